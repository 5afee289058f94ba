"""Report of a study: one HTML file that needs no other."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import markupsafe
import pandas as pd

from causalkit.results.report import Code, Heading, Section, Table, Text, html_report, section_html
from causalkit.study.grouped import ANALYSES, Analysis
from causalkit.study.report_figures import figures
from causalkit.study.report_tables import (
    USUAL,
    analyses_table,
    failures_table,
    performance_table,
    status_table,
    stopping_table,
    told_stale,
)
from causalkit.study.results import Results
from causalkit.study.store_write import write_output
from causalkit.study.summary import summarise
from causalkit.study.words import span

if TYPE_CHECKING:
    from causalkit.study.published import Comparison

ADEMP = {
    "aims": "Aims",
    "data_generators": "Data-generating mechanisms",
    "estimands": "Estimands",
    "methods": "Methods",
    "performance": "Performance measures",
}
_DRAWN = (*USUAL, "mean_wall_s")
_OPEN, _MOST_ROWS, _MOST_TRACEBACKS = 60, 5000, 20
_STYLE = """<style>
.tall{max-height:34rem;overflow:auto;border:1px solid #ddd;padding:0 .6rem}
.tall thead th{position:sticky;top:0;background:#fff}
details{margin:.8rem 0}
summary{cursor:pointer;font-weight:600;color:#005a91}
</style>"""


def study_report(
    results: Results, *, comparison: "Comparison | None" = None, path: str | Path | None = None
) -> str:
    """One self-contained HTML page on a study: design, stopping, results, failures, origin.

    Parameters
    ----------
    results : Results
    comparison : Comparison, optional
        With a published table; every entry is shown.
    path : path, optional
        File to write the page to, in UTF-8; its folder is made.

    Returns
    -------
    str
        Styles inline, pictures embedded, all text escaped. Long tables fold and scroll. Figures
        are left out, with a sentence, where matplotlib is not installed.

    References
    ----------
    Morris, White & Crowther (2019). Using simulation studies to evaluate statistical methods.
    Statistics in Medicine 38, 2074-2102.
    """
    table = stopping_table(results)
    parts = [_STYLE, *_opening(results, table), *_design(results), *_stopping(results, table)]
    if len(results.records):
        summary = _summary(results, "complete")
        parts += _performance(results, summary)
        parts += _figures(results, summary)
        parts += _failures(results, summary)
    parts += _comparison(comparison)
    parts += _origin(results)
    title = results.header.get("name") or "Simulation study"
    shell = html_report(title, [], provenance={"seed": results.seed})
    # The page of any report, with folding parts that its sections do not know.
    head, mark, tail = shell.partition("<footer>")
    page = "\n".join([head.rstrip(), *parts, mark + tail])
    if path is not None:
        write_output(Path(path), page.encode())
    return page


def _html(*sections: Section) -> list[str]:
    """Sections as HTML."""
    return [section_html(section) for section in sections]


def _fold(title: str, body: str, *, tall: bool = True) -> str:
    """A part that opens at a click; tall ones scroll."""
    inner = f'<div class="tall">{body}</div>' if tall else body
    return f"<details><summary>{markupsafe.escape(title)}</summary>{inner}</details>"


def _table(frame: pd.DataFrame, *, name: str, caption: str = "") -> str:
    """A short table as it is; a long one folded, and one too long cut, which is said."""
    if len(frame) <= _OPEN:
        return section_html(Table(frame, caption))
    cut = (
        f" Shown are the first {_MOST_ROWS:,} of {len(frame):,} rows; "
        "the summary of the study has all."
        if len(frame) > _MOST_ROWS
        else ""
    )
    body = section_html(Table(frame.iloc[:_MOST_ROWS]))
    said = section_html(Text(caption + cut)) if caption or cut else ""
    return said + _fold(f"{name}: {min(len(frame), _MOST_ROWS):,} rows", body)


def _opening(results: Results, table: pd.DataFrame) -> list[str]:
    """What was run, in two sentences, from the table of stopping."""
    failed, run = int(table["Failed"].sum()), int((table["R"] + table["Failed"]).sum())
    share = f" ({100 * failed / run:.1f}%)" if run else ""
    text = (
        f"{len(results.cells):,} cells and {len(results.estimators):,} estimators; "
        f"{span(table['R'])} successful replications of each. {failed:,} of {run:,} replications "
        f"failed{share}. Intervals have level {results.level:g}, tests the null {results.null:g}. "
        "Every number in brackets is a Monte-Carlo standard error."
    )
    return _html(Text(text))


def _design(results: Results) -> list[str]:
    """ADEMP header."""
    sections: list[Section] = [Heading("Design")]
    for key, title in ADEMP.items():
        sections += [Heading(title, level=3), Text(results.header.get(key) or "Not stated.")]
    return _html(*sections)


def _stopping(results: Results, table: pd.DataFrame) -> list[str]:
    """Replications of each cell and estimator, and why there are no more."""
    counts = table["Ended by"].value_counts()
    told = "; ".join(f"{rule}: {count:,}" for rule, count in counts.items())
    text = f"Pairs of cell and estimator by what ended them – {told or 'none yet'}."
    if not len(results.records):
        text += " No replication has been run yet."
    old = told_stale(results)
    return [
        *_html(Heading("Plan and stopping"), Text(text)),
        _table(table, name="Replications"),
        *(_html(Text(old)) if old else []),
    ]


def _performance(results: Results, summary: pd.DataFrame) -> list[str]:
    """Table of measures."""
    table = performance_table(results, summary, measures=USUAL)
    note = "Successful replications only (complete cases)."
    return [*_html(Heading("Performance")), _table(table, name="Performance", caption=note)]


def _figures(results: Results, summary: pd.DataFrame) -> list[str]:
    """Figures, and why others are not drawn."""
    found = list(figures(results, summary))
    drawn = [html for html, _ in found if html]
    missing = [Text(sentence) for _, sentence in found if sentence]
    return [*_html(Heading("Figures")), *drawn, *_html(*missing)]


def _failures(results: Results, complete: pd.DataFrame) -> list[str]:
    """Counts, messages, tracebacks, and what failures do to the numbers."""
    if (results.records["status"] == "ok").all() and results.failures.empty:
        return _html(Heading("Failures"), Text("No replication failed."))
    parts = _html(Heading("Failures"), Table(status_table(results)))
    if len(results.failures):
        table = failures_table(results)
        parts.append(_table(table, name="Failures by message"))
        parts += _tracebacks(results, table)
    summaries = {
        name: complete if name == "complete" else _summary(results, name) for name in ANALYSES
    }
    text = (
        "Complete cases leave failed replications out, estimator by estimator. Pairwise keeps "
        "replications in which all estimators succeeded. In the worst case a failure neither "
        "covers nor rejects; a dash marks measures for which that has no meaning."
    )
    parts += _html(Heading("Three analyses", level=3), Text(text))
    for measure in ("bias", "coverage"):
        name = measure.capitalize()
        some = analyses_table(results, summaries, measure=measure)
        parts.append(_table(some, name=name, caption=f"{name}, cells with failures."))
    return parts


def _tracebacks(results: Results, table: pd.DataFrame) -> Iterator[str]:
    """Each distinct traceback, folded, the most frequent first."""
    counts = table.groupby("Traceback", sort=False)["Count"].sum().sort_values(ascending=False)
    known = [digest for digest in counts.index if digest in results.tracebacks]
    for digest in known[:_MOST_TRACEBACKS]:
        body = section_html(Code(results.tracebacks[digest]))
        yield _fold(f"Traceback {digest} ({counts[digest]:,} times)", body)
    left = len(known) - _MOST_TRACEBACKS
    if left > 0:
        yield section_html(Text(f"{left:,} rarer tracebacks are left out; the store has them."))


def _comparison(comparison: "Comparison | None") -> list[str]:
    """Every entry of a published table beside ours."""
    if comparison is None:
        return []
    parts = _html(Heading("Comparison with published numbers"), Text(comparison.verdict))
    if comparison.n_differing:
        parts += [*_html(Text("Entries that differ, the farthest first:"))]
        parts.append(comparison.entries_html(differing=True))
    return [*parts, _fold(f"All {len(comparison.table):,} entries", comparison.entries_html())]


def _origin(results: Results) -> list[str]:
    """Seed, versions, host, and the study file."""
    facts = {"seed": results.seed, **results.provenance}
    frame = pd.DataFrame(
        {"Fact": list(facts), "Value": [_plain(value) for value in facts.values()]}
    )
    parts = _html(Heading("Provenance"), Table(frame))
    if results.contended:
        note = "Several workers shared the machine, so times of estimators do not compare."
        parts += _html(Text(note))
    if results.toml:
        parts.append(_fold("Study file", section_html(Code(results.toml)), tall=False))
    return parts


def _plain(value: Any) -> str:
    """A fact as one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _summary(results: Results, analysis: Analysis) -> pd.DataFrame:
    """Measures of the report under one treatment of failures."""
    return summarise(results, measures=list(_DRAWN), analysis=analysis)

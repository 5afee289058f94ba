"""The demonstration: a real panel, and a simulated one where the truth is known."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData, load_dataset
from causalkit.generators import panel_fp2024
from causalkit.optional import require
from causalkit.panel import PanelDML
from causalkit.panel.linear import LINEAR
from causalkit.results import ResultTable, table
from causalkit.results.numerals import decimals, interval, number
from causalkit.results.plots import plot_forest
from causalkit.results.plots_checks import plot_residuals, plot_sensitivity
from causalkit.results.render import Grid, grid_text, wrapped
from causalkit.results.report import Code, Figure, Heading, Section, Table, Text, html_report
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED = 0
Say = Callable[[str], None]

# The paper's three, then this library's default.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "pooled": {"approach": "pooled"},
    "within": {"approach": "within", "mundlak_terms": "means"},
    "CRE, means": {"approach": "cre", "mundlak_terms": "means"},
    "CRE, basis": {"approach": "cre", "mundlak_terms": "basis"},
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the demonstration.

    Attributes
    ----------
    text : str
        What the terminal shows.
    sections : tuple of Section
        What the report shows.
    files : mapping of str to str
        Further files, by name.
    """

    text: str
    sections: tuple[Section, ...]
    files: Mapping[str, str]


def run_demo(out_dir: Path, *, echo: Say, progress: Say) -> Path:
    """Estimate effects in a real and in a simulated panel, and write a report.

    Parameters
    ----------
    out_dir : Path
        Folder for ``report.html`` and the tables; made if absent.
    echo : callable
        Takes the results, as text.
    progress : callable
        Takes one line per step.

    Returns
    -------
    Path
        The report: one file that needs no other.

    Raises
    ------
    MissingDependencyError
        If matplotlib or the package with the wage data is absent; before anything is computed.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_demo(Path("causalkit-demo"), echo=print, progress=print)  # doctest: +SKIP
    """
    require("matplotlib.figure", extra="plots", needed_by="causalkit demo")
    started = time.perf_counter()
    wages = load_dataset("wage_panel")
    chapters = [real_panel(wages, progress)]
    echo(f"\n{chapters[0].text}\n")
    chapters.append(known_truth(progress))
    echo(f"\n{chapters[1].text}\n")
    progress("writing the report")
    page = html_report(
        "causalkit: panel double machine learning with Mundlak terms",
        [section for chapter in chapters for section in chapter.sections],
        provenance={"seed": SEED, "seconds": round(time.perf_counter() - started)},
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    files = {name: text for chapter in chapters for name, text in chapter.files.items()}
    for name, text in {**files, "report.html": page}.items():
        (out_dir / name).write_text(text, encoding="utf-8")
    return out_dir / "report.html"


def real_panel(data: CausalData, progress: Say) -> Chapter:
    """Union membership and wages: the default estimator, and all approaches side by side."""
    progress("wage panel: fitting PanelDML (1 of 2)")
    est = PanelDML(time_effects="dummies", random_state=SEED).fit(data)
    result = est.estimate()
    progress("wage panel: fitting every other approach on the same folds (2 of 2)")
    compared = est.compare()
    beside = (published(data), str(est.mundlak_test()), *compared.notes)
    strength = str(est.sensitivity())
    title = "Do unions raise wages? 545 men, 1980-1987"
    lines = [line for part in (*beside, strength) for line in ("", *wrapped(part))]
    grid = _grid(compared, rule=len(LINEAR))
    about = "Above the rule linear regressions, below it PanelDML, on the same folds"
    text = [title, "", result.summary(), "", f"{about}:", grid_text(grid, width=80), *lines]
    return Chapter(
        text="\n".join(text),
        sections=(
            Heading(title),
            Text(f"{data.citation}. {data.published['note']}"),
            Code(
                "import causalkit as ck\n"
                'data = ck.load_dataset("wage_panel")\n'
                f'est = ck.PanelDML(time_effects="dummies", random_state={SEED}).fit(data)\n'
                "print(est.estimate().summary())\n"
                "est.compare().plot()"
            ),
            Table(result),
            Heading("Every approach on the same folds", 3),
            Figure(
                _forest(compared),
                f"Effect of union membership on the log hourly wage. The first {len(LINEAR)} are "
                "linear regressions, the others PanelDML.",
            ),
            *(Text(part) for part in beside),
            Heading("How strong would a confounder have to be?", 3),
            Figure(
                _sensitivity(est, strengths=np.linspace(0.0, 0.1, 101)),
                "Lowest effect that remains if a time-varying confounder was left out; the heavy "
                "line is no effect.",
            ),
            Text(strength),
        ),
        files={"wage_panel.tex": compared.to_latex(), "wage_panel.csv": _csv(compared)},
    )


def published(data: CausalData) -> str:
    """The published answer of an example data set, in a sentence."""
    known = data.published
    return f"Published: {known['estimate']:.4f} ({known['std_error']:.4f}), {known['how']}."


def known_truth(progress: Say) -> Chapter:
    """A panel with nonlinear confounding and unit heterogeneity, where the effect is known."""
    data = panel_fp2024(SEED, structure="C", form="u-shaped", gamma=1.0, delta=1.0)
    assert data.truth is not None
    truth = data.truth.estimands["ate"]
    fits: dict[str, PanelDML] = {}
    for place, (name, arguments) in enumerate(METHODS.items(), start=1):
        progress(f"simulated panel: {name} ({place} of {len(METHODS)})")
        fits[name] = PanelDML(random_state=SEED, **arguments).fit(data.blind())
    compared = table({name: est.estimate() for name, est in fits.items()})
    grid = _grid(compared, truth=truth)
    title = f"Where the truth is known: the effect is {truth:g}"
    about = (
        f"{len(data):,} rows from the design of Fuhr & Papies (2024), structure C: an observed "
        "covariate acts through its square, and unobserved unit heterogeneity acts on covariate, "
        "treatment and outcome. The estimators see neither the truth nor the heterogeneity. "
        '"pooled" ignores units, "within" learns from what is left after unit means are taken off, '
        '"CRE, means" gives the learners the unit means of covariate and treatment, and "CRE, '
        'basis" (the default) those of a dictionary of the covariate. "error" is the estimate '
        'minus the truth, and "covers" says whether the interval contains it.'
    )
    return Chapter(
        text="\n".join([title, "", *wrapped(about), "", grid_text(grid, width=80)]),
        sections=(
            Heading(title),
            Text(about),
            Figure(
                _forest(compared, null=truth), f"Each approach; the line is the truth, {truth:g}."
            ),
            Table(pd.DataFrame(grid.rows, columns=["approach", *grid.header[1:]])),
            Heading("What the last estimate is made of", 3),
            Figure(
                _residuals(fits["CRE, basis"]),
                "Both variables minus their cross-fitted prediction; the slope is the effect.",
            ),
        ),
        files={"simulated.csv": _csv(compared)},
    )


def _grid(compared: ResultTable, *, truth: float | None = None, rule: int = 0) -> Grid:
    """Results one below the other, with a rule above one of them if asked.

    Where the truth is known, also their error and whose interval covers it.
    """
    places = decimals(float(error) for result in compared.results for error in result.std_errors)
    rows = []
    for name, result in zip(compared.names, compared.results, strict=True):
        low, high = result.bounds()
        value, error = float(result.estimates[0]), float(result.std_errors[0])
        row = [name, number(value, places), number(error, places)]
        row.append(interval(float(low[0]), float(high[0]), places))
        if truth is not None:
            row += [number(value - truth, places), "yes" if low[0] <= truth <= high[0] else "no"]
        rows.append(tuple(row))
    header: tuple[str, ...] = ("", "estimate", "std. error", "95% interval")
    header += () if truth is None else ("error", "covers")
    return Grid(header=header, rows=tuple(rows), breaks=(rule,) if rule else ())


def _forest(compared: ResultTable, *, null: float = 0.0) -> "Axes":
    """Forest plot on a figure of its own."""
    ax = _axes(6.6, 1.1 + 0.36 * len(compared.results))
    return plot_forest(compared, ax=ax, null=null)


def _residuals(est: PanelDML) -> "Axes":
    """Outcome residuals against treatment residuals, with the estimate as slope."""
    rows, result = est.augment(), est.estimate()
    return plot_residuals(
        rows["treatment_residual"].to_numpy(),
        rows["outcome_residual"].to_numpy(),
        estimate=float(result.estimates[0]),
        std_error=float(result.std_errors[0]),
        treatment=result.treatment[0],
        outcome=result.outcome,
        df=result.df,
        ax=_axes(5.6, 4.2),
    )


def _sensitivity(est: PanelDML, *, strengths: Floats) -> "Axes":
    """Contours of the lower bound of a positive effect over the strength of a confounder."""
    plain = est.sensitivity()
    low, _ = plain.bounds(strengths[:, None], strengths[None, :])
    return plot_sensitivity(
        strengths,
        strengths,
        low,
        estimate=plain.estimate,
        robustness_value=plain.robustness_value,
        ax=_axes(5.6, 4.6),
    )


def _axes(width: float, height: float) -> "Axes":
    """Axes of a new figure; made without pyplot, so that no window can open."""
    figure = require("matplotlib.figure", extra="plots", needed_by="causalkit demo").Figure
    ax: Axes = figure(figsize=(width, height), layout="constrained").subplots()
    return ax


def _csv(compared: ResultTable) -> str:
    """Tidy rows as CSV."""
    return str(compared.tidy().to_csv(index=False))

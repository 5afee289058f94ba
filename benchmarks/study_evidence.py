"""Turns the results of a finished study into a page of evidence, docs/evidence/NAME.md.

causalkit sim run studies/panel_fp2024.toml --workers 2
python benchmarks/study_evidence.py results/panel_fp2024

What a person wrote on the page under "In words" stays; read it again beside the new numbers.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from causalkit.study.collect import collect, comparison_of
from causalkit.study.published import Comparison
from causalkit.study.report_tables import performance_table
from causalkit.study.summary import summarise

PAGES = Path(__file__).resolve().parent.parent / "docs" / "evidence"
MEASURES = ["bias", "empirical_se", "se_ratio", "coverage"]
WORDS = "## In words"


def page(folder: Path, words: str = "") -> str:
    """Header, replications, measures with Monte-Carlo errors, comparison with the published."""
    results = collect(folder)
    header = results.header
    found = summarise(results, measures=MEASURES)
    reps = " to ".join(str(n) for n in sorted({found["n_ok"].min(), found["n_ok"].max()}))
    parts = [
        f"# The study {header['name']}",
        f"Made by `causalkit sim run studies/{header['name']}.toml --workers 2` and "
        f"`python benchmarks/study_evidence.py results/{header['name']}`. Numbers in parentheses "
        "are Monte-Carlo standard errors.",
        str(header["aims"]),
        f"Replications per cell and estimator: {reps}.",
        *([f"{WORDS}\n\n{words}"] if words else []),
        performance_table(results, found, measures=MEASURES).to_markdown(index=False),
    ]
    comparison = comparison_of(folder, None)
    if comparison is not None:
        parts += ["## Beside the published table", compared(comparison)]
    return "\n\n".join(parts) + "\n"


def compared(comparison: Comparison) -> str:
    """Comparison without a row for each entry whose cell or estimator was not run."""
    table = comparison.table
    absent = table["status"].str.startswith("not run")
    text = replace(comparison, table=table[~absent]).to_markdown()
    if absent.any():
        text += (
            f"\n\nLeft out: {absent.sum()} of {len(table)} published entries, of estimators or "
            "sizes that were not run."
        )
    return text


def kept_words(path: Path) -> str:
    """Section "In words" of the page as it is, up to its table."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text.partition(WORDS)[2].partition("\n|")[0].strip()


def main() -> None:
    """Write the page of one results folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    path = PAGES / f"{collect(folder).header['name']}.md"
    path.write_text(page(folder, kept_words(path)), encoding="utf-8")


if __name__ == "__main__":
    main()

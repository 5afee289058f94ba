"""Turns the results of a finished study into a page of evidence, docs/evidence/NAME.md.

causalkit sim run studies/panel_fp2024.toml --workers 2
python benchmarks/study_evidence.py results/panel_fp2024
"""

import argparse
from pathlib import Path

from causalkit.study.collect import collect, comparison_of
from causalkit.study.report_tables import performance_table
from causalkit.study.summary import summarise

PAGES = Path(__file__).resolve().parent.parent / "docs" / "evidence"
MEASURES = ["bias", "empirical_se", "se_ratio", "coverage"]


def page(folder: Path) -> str:
    """Header, replications, measures with Monte-Carlo errors, comparison with the published."""
    results = collect(folder)
    header = results.header
    found = summarise(results, measures=MEASURES)
    reps = found["n_ok"].min(), found["n_ok"].max()
    parts = [
        f"# The study {header['name']}",
        f"Made by `causalkit sim run studies/{header['name']}.toml --workers 2` and "
        f"`python benchmarks/study_evidence.py results/{header['name']}`. Numbers in parentheses "
        "are Monte-Carlo standard errors.",
        str(header["aims"]),
        f"Replications per cell and estimator: {reps[0]} to {reps[1]}.",
        performance_table(results, found, measures=MEASURES).to_markdown(index=False),
    ]
    comparison = comparison_of(folder, None)
    if comparison is not None:
        parts += ["## Beside the published table", comparison.to_markdown()]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page of one results folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (PAGES / f"{collect(folder).header['name']}.md").write_text(page(folder), encoding="utf-8")


if __name__ == "__main__":
    main()

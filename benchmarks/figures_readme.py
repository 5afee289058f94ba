"""The picture of the README: union membership and wages, by every approach.

    python benchmarks/figures_readme.py [FILE.png]

One ``compare()`` in two forest plots: linear regressions above, and below them the same ideas with
learned nuisance functions.
"""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

import causalkit as ck
from causalkit.results.plots import plot_forest

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "wage_panel.png"
PANELS = {
    "Linear regression": {
        "pooled OLS": "Pooled OLS",
        "first differences": "First differences",
        "fixed effects": "Within (fixed effects)",
        "Mundlak OLS": "Mundlak",
    },
    "Double machine learning": {
        "DML pooled": "Pooled",
        "DML differences": "First differences",
        "DML late within": "Within, late",
        "DML within": "Within",
        "DML CRE, normal": "Mundlak, CRE normal",
        "DML CRE, general": "Mundlak, CRE general",
        "DML CRE, means": "Mundlak, means",
        "DML CRE, basis": "Mundlak, basis (default)",
    },
}


def main(path: Path) -> None:
    data = ck.load_dataset("wage_panel")
    compared = ck.PanelDML(time_effects="dummies", random_state=0).fit(data).compare()
    results = dict(zip(compared.names, compared.results, strict=True))
    figure, panels = plt.subplots(
        2,
        sharex=True,
        figsize=(7.5, 5.5),
        layout="constrained",
        height_ratios=[len(names) + 0.2 for names in PANELS.values()],
    )
    published = data.published["estimate"], data.published["std_error"]
    for ax, (title, names) in zip(panels, PANELS.items(), strict=True):
        shown = {name: results[label] for label, name in names.items()}
        plot_forest(shown, ax=ax, title=title)
        ax.axvline(published[0], color="#E69F00", lw=1.6, zorder=1)
    above, below = panels
    above.set_xlabel("")
    above.spines["bottom"].set_visible(False)
    above.tick_params(axis="x", length=0)
    below.get_yticklabels()[-1].set_fontweight("bold")
    below.set_xlabel(
        "Effect of union membership on the log hourly wage, 95% confidence intervals\n"
        f"545 men, 1980–1987, year effects. Orange line: published within estimate, "
        f"{published[0]:.4f} ({published[1]:.4f})"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)

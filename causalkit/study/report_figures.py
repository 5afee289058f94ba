"""Figures of a study's report, and the sentences on those that cannot be drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causalkit.errors import ArgumentError, MissingDependencyError
from causalkit.optional import require
from causalkit.results.report import Figure, section_html
from causalkit.study.plots import (
    plot_bias_spread,
    plot_frontier,
    plot_heatmap,
    plot_lollipop,
    plot_nested_loop,
    plot_p_values,
    plot_qq,
    plot_rate,
    plot_swarm,
    plot_zip,
)
from causalkit.study.results import Results
from causalkit.study.words import words


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the report: how it is drawn, what it says, and whether it needs many cells."""

    draw: Callable[..., Any]
    caption: str
    options: dict[str, Any] = field(default_factory=dict)
    of_summary: bool = True
    least_cells: int = 1


_MEASURES = ("bias", "empirical_se", "rmse", "coverage")
PICTURES: dict[str, Picture] = {
    "coverage": Picture(plot_lollipop, "Coverage of the intervals, by estimator."),
    **{
        f"{name} by cell": Picture(
            plot_nested_loop,
            f"{words(name)} over all cells; step lines below name them.",
            {"measure": name},
            least_cells=2,
        )
        for name in _MEASURES
    },
    "heatmap": Picture(plot_heatmap, "Coverage over two factors.", least_cells=4),
    "bias and spread": Picture(plot_bias_spread, "What the error is made of."),
    "rate": Picture(plot_rate, "How the RMSE falls with the sample size.", least_cells=2),
    "zip": Picture(plot_zip, "Every interval, ranked by |z|.", of_summary=False),
    "swarm": Picture(plot_swarm, "Estimates of the replications.", of_summary=False),
    "QQ": Picture(plot_qq, "Whether z is standard normal.", of_summary=False),
    "p-values": Picture(
        plot_p_values, "Whether p-values are uniform under the null.", of_summary=False
    ),
    "cost": Picture(plot_frontier, "What exactness costs."),
}


def figures(results: Results, summary: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """HTML of each figure and, where it cannot be drawn, a sentence: one of the two is empty."""
    cells = len(results.cells)
    for name, picture in PICTURES.items():
        if cells < picture.least_cells:
            continue
        options = picture.options | ({"summary": summary} if picture.of_summary else {})
        try:
            yield _embedded(picture.draw(results, **options), picture.caption), ""
        except ArgumentError as error:
            yield "", f"Not drawn, {name}: {error}"
        except MissingDependencyError as error:
            yield "", f"Figures are left out: {error}"
            return


def _embedded(drawing: Any, caption: str) -> str:
    """HTML of a drawing, which is closed."""
    figure = drawing if hasattr(drawing, "savefig") else drawing.figure
    alt = " ".join([caption, *drawing.plot_notes])
    try:
        return section_html(Figure(figure, caption, alt))
    finally:
        require("matplotlib.pyplot", extra="plots", needed_by="study_report").close(figure)

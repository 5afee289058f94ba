"""Axes to draw on, colours, and the frame of numbers that every picture carries."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.metrics.measure import as_numbers
from causalkit.optional import require
from causalkit.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): distinct under the common colour-vision deficiencies, and in grey.
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "#222222", "#767676", "#e6e6e6"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "s", "D", "^", "v", "P")
SMALL, BODY = 8.5, 9.5
LEGEND: dict[str, Any] = {
    "frameon": False,
    "fontsize": SMALL,
    "labelcolor": INK,
    "handletextpad": 0.5,
}


def numbers(name: str, values: Any, *, n: int | None = None) -> Floats:
    """Finite numbers to draw, one-dimensional, ``n`` of them if that is given.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If they are no numbers, or missing, infinite, or of another shape.
    """
    array = as_numbers(name, values)
    bad = int((~np.isfinite(array)).sum())
    if array.ndim != 1 or bad or (n is not None and array.size != n):
        wanted = "" if n is None else f"{n} "
        raise ArgumentError(
            f"{name} must be a column of {wanted}finite numbers, got shape {array.shape} with "
            f"{bad} missing or infinite; leave such rows out of every argument."
        )
    return array


def check_drawn(given: object, kind: type, words: str) -> None:
    """Refuse what is not of the kind drawn; ``words`` say what is, and where it comes from."""
    if not isinstance(given, kind):
        raise ArgumentTypeError(f"{words}; got {type(given).__name__}.")


def colours(count: int) -> Iterator[tuple[str, str]]:
    """Colour and marker for each of ``count`` series; both differ, for print in grey.

    Where the colours begin again the markers go one further, so that 36 series differ.
    """
    for series in range(count):
        again, place = divmod(series, len(PALETTE))
        yield PALETTE[place], MARKERS[(place + again) % len(MARKERS)]


def axes(ax: "Axes | None", *, size: tuple[float, float], needed_by: str) -> "Axes":
    """The axes given, or those of a new figure of ``size`` inches."""
    if ax is None:
        pyplot = require("matplotlib.pyplot", extra="plots", needed_by=needed_by)
        ax = pyplot.subplots(figsize=size, layout="constrained")[1]
    assert ax is not None
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK)
    ax.set_axisbelow(True)
    return ax


def bare(ax: "Axes") -> None:
    """Leave nothing of the axes but what is drawn on them."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def colour_bar(layer: Any, beside: "Sequence[Axes]", name: str, *, aspect: float = 25.0) -> Any:
    """Named bar of the colours of a layer, beside the axes that share them."""
    figure: Any = beside[0].get_figure()
    bar = figure.colorbar(layer, ax=list(beside), shrink=0.9, aspect=aspect, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK)
    bar.set_label(literal(name), fontsize=BODY, color=INK)
    return bar


def label(ax: "Axes", *, x: str = "", y: str = "") -> None:
    """Axis labels; ``$`` is a dollar sign, not mathematics."""
    ax.set_xlabel(literal(x), fontsize=BODY, color=INK)
    ax.set_ylabel(literal(y), fontsize=BODY, color=INK)


def literal(text: str) -> str:
    """Text that matplotlib prints as it stands."""
    return text.replace("$", r"\$")


def head(ax: "Axes", *, title: str, legend: bool) -> None:
    """Title flush left, and below it, above the axes, a legend without a frame.

    The legend takes as many columns as its names leave room for: one wider than the axes would
    squeeze them.
    """
    rows = 0
    if legend:
        handles, names = ax.get_legend_handles_labels()
        figure = ax.get_figure(root=True)
        room = ax.get_position().width * (figure.get_figwidth() if figure else 6.0)
        columns = max(1, int(room / (0.5 + 0.07 * max(map(len, names)))))
        rows = -(-len(names) // columns)
        ax.legend(
            handles,
            names,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            ncols=columns,
            **LEGEND,
        )
    if title:
        text: dict[str, Any] = {"fontsize": BODY + 1, "color": INK, "fontweight": "bold"}
        ax.set_title(literal(title), loc="left", pad=6 + 17 * rows, **text)


def below(figure: "Figure", text: str) -> None:
    """A small line of explanation under everything else, flush left."""
    figure.supxlabel(literal(text), x=0.01, ha="left", fontsize=SMALL, color=GREY)


def finish(ax: "Axes", frame: pd.DataFrame) -> "Axes":
    """Attach the numbers drawn, so that the picture can be redrawn elsewhere."""
    ax.plot_data = frame  # type: ignore[attr-defined]  # documented extra attribute
    return ax

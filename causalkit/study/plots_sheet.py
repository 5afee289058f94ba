"""A sheet of panels with a title and a legend above and notes below, and styles of series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.optional import require
from causalkit.results import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Drawn = Axes | Figure

PANELS = 12
_LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
# Inches; letters of bold title and of notes per inch of width.
_TITLE_LINE, _LEGEND_LINE, _NOTE_LINE = 0.2, 0.22, 0.165
_TITLE_LETTERS, _NOTE_LETTERS = 10.6, 14.5


@dataclass(frozen=True, slots=True)
class Style:
    """How one estimator looks: colour, marker, line and filling differ, for print in grey."""

    colour: str
    marker: str
    line: Any
    face: str

    @property
    def point(self) -> dict[str, Any]:
        """Settings of a marker."""
        return {"marker": self.marker, "mfc": self.face, "mec": self.colour, "mew": 1.3}


def styles(count: int) -> list[Style]:
    """One style per estimator; after six colours the markers are hollow."""
    found = []
    for place, (colour, marker) in enumerate(canvas.colours(count)):
        face = colour if (place // len(canvas.PALETTE)) % 2 == 0 else "white"
        found.append(Style(colour, marker, _LINES[(place + place // 6) % len(_LINES)], face))
    return found


@dataclass(frozen=True, slots=True)
class Sheet:
    """Panels to draw on; ``figure`` is None where the caller gave the axes."""

    axes: tuple["Axes", ...]
    figure: "Figure | None"
    columns: int

    def outer(self, place: int) -> tuple[bool, bool]:
        """Whether nothing stands below a panel, and whether nothing stands left of it."""
        return place + self.columns >= len(self.axes), place % self.columns == 0

    def label(self, *, x: str, y: str) -> None:
        """Axis labels, on the panels at the edge."""
        for place, ax in enumerate(self.axes):
            below, left = self.outer(place)
            canvas.label(ax, x=x if below else "", y=y if left else "")
            if below:
                ax.tick_params(labelbottom=True)


def sheet(
    count: int,
    *,
    ax: "Axes | None",
    size: tuple[float, float],
    needed_by: str,
    columns: int | None = None,
    share: tuple[bool, bool] = (True, True),
) -> Sheet:
    """Axes for ``count`` panels of ``size`` inches; the axes given where there is one panel.

    Raises
    ------
    ArgumentError
        If axes were given and there is more than one panel.
    """
    if ax is not None:
        if count > 1:
            raise ArgumentError(
                f"{needed_by} has {count} panels here, which do not fit on one axes: choose a "
                "cell by where={...} (and estimand= or estimators=), or leave ax out."
            )
        return Sheet((canvas.axes(ax, size=size, needed_by=needed_by),), None, 1)
    pyplot = require("matplotlib.pyplot", extra="plots", needed_by=needed_by)
    across = columns or _columns(count)
    rows = -(-count // across)
    figure, grid = pyplot.subplots(
        rows,
        across,
        figsize=(size[0] * across, size[1] * rows),
        layout="constrained",
        squeeze=False,
        sharex=share[0],
        sharey=share[1],
    )
    for empty in grid.flat[count:]:
        empty.set_visible(False)
    drawn = tuple(canvas.axes(one, size=size, needed_by=needed_by) for one in grid.flat[:count])
    return Sheet(drawn, figure, across)


def _columns(count: int) -> int:
    """Panels beside each other."""
    return count if count <= 3 else 2 if count == 4 else 3


def tick_places(count: int, *, most: int = 12) -> list[int]:
    """Positions of the ticks that are named: all, or evenly spaced ones where there are many."""
    return list(range(0, count, -(-count // most))) if count else []


def panel_title(ax: "Axes", text: str) -> None:
    """Small title of a panel, broken to its width."""
    if text:
        place = ax.get_subplotspec()
        panels = 1 if place is None else place.get_gridspec().ncols
        # What is left of a panel beside the numbers at its axis holds 12 letters to the inch.
        letters = int(12 * ax.get_figure().get_figwidth() / panels)  # type: ignore[union-attr]
        words = fill(canvas.literal(text), min(44, letters), break_on_hyphens=False)
        ax.set_title(words, loc="left", fontsize=canvas.SMALL, color=canvas.INK, pad=4)


def finish(
    drawn: Sheet,
    frame: pd.DataFrame,
    *,
    title: str,
    notes: Iterable[str] = (),
    legend: bool = True,
) -> "Drawn":
    """Title, legend and notes; the axes if there is one panel, else the figure.

    The result carries ``plot_data``, the numbers drawn, and ``plot_notes``, the sentences below.
    """
    said = tuple(dict.fromkeys(note for note in notes if note))
    handles = _handles(drawn.axes) if legend else {}
    if drawn.figure is None:
        target: Any = drawn.axes[0]
        canvas.head(target, title=title, legend=bool(handles))
        if said:
            words = [fill(note, 90) for note in said]
            target.set_xlabel("\n".join([target.get_xlabel(), *map(canvas.literal, words)]))
    else:
        _frame_text(drawn.figure, title=title, handles=handles, notes=said)
        target = drawn.axes[0] if len(drawn.axes) == 1 else drawn.figure
    target.plot_data, target.plot_notes = frame, said
    return target  # type: ignore[no-any-return]  # Axes or Figure, by the number of panels


def _handles(axes: Sequence["Axes"]) -> dict[str, Any]:
    """Legend entries of all panels, each name once."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return found


def _frame_text(
    figure: "Figure", *, title: str, handles: dict[str, Any], notes: Sequence[str]
) -> None:
    """Write around the panels, and make the figure as much taller as that takes."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    head = fill(
        canvas.literal(title), int(width * _TITLE_LETTERS), break_on_hyphens=False
    ).splitlines()
    foot = [
        line
        for note in notes
        for line in fill(canvas.literal(note), int(width * _NOTE_LETTERS)).splitlines()
    ]
    across = _legend_columns(handles, width)
    rows = -(-len(handles) // across) if handles else 0
    top = 0.08 + _TITLE_LINE * len(head) + _LEGEND_LINE * rows + (0.06 if rows else 0.0)
    bottom = _NOTE_LINE * len(foot) + (0.1 if foot else 0.02)
    total = height + top + bottom
    figure.set_figheight(total)
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.0, bottom / total, 1.0, 1.0 - (top + bottom) / total))
    left = 0.08 / width
    bold: dict[str, Any] = {"fontsize": canvas.BODY + 1, "fontweight": "bold", "va": "top"}
    figure.text(left, 1.0 - 0.06 / total, "\n".join(head), color=canvas.INK, **bold)
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="upper left",
            bbox_to_anchor=(0.0, 1.0 - (0.04 + _TITLE_LINE * len(head)) / total),
            borderaxespad=0.1,
            ncols=across,
            **canvas.LEGEND,
        )
    figure.text(
        left,
        0.06 / total,
        "\n".join(foot),
        color=canvas.GREY,
        fontsize=canvas.SMALL - 0.5,
        va="bottom",
    )


def _legend_columns(handles: dict[str, Any], width: float) -> int:
    """Columns that the names leave room for."""
    longest = max(map(len, handles), default=1)
    return max(1, min(len(handles), int(width / (0.55 + 0.068 * longest))))

"""What every chapter of the demonstration is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalkit.optional import require
from causalkit.results.report import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED = 0
Say = Callable[[str], None]


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


def new_axes(width: float, height: float) -> "Axes":
    """Axes of a new figure; made without pyplot, so that no window can open."""
    figure = require("matplotlib.figure", extra="plots", needed_by="causalkit demo").Figure
    ax: Axes = figure(figsize=(width, height), layout="constrained").subplots()
    return ax

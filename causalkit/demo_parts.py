"""What every chapter of the demonstration is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalkit.errors import MissingDependencyError
from causalkit.optional import require
from causalkit.results.render import wrapped
from causalkit.results.report import Heading, Section, Text

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


def left_out_without_torch(title: str, *, part: str, by: str, progress: Say) -> Chapter | None:
    """Chapter that says why it is left out; None where torch is there.

    Parameters
    ----------
    title : str
        Of the chapter.
    part : str
        What progress calls it.
    by : str
        Who needs torch.
    progress : callable
    """
    try:
        require("torch", extra="deep", needed_by=by)
    except MissingDependencyError as error:
        progress(f"{part}: left out, torch is not installed")
        said = f"Left out: {error}"
        return Chapter("\n".join([title, "", *wrapped(said)]), (Heading(title), Text(said)), {})
    return None


def new_axes(width: float, height: float) -> "Axes":
    """Axes of a new figure; made without pyplot, so that no window can open."""
    figure = require("matplotlib.figure", extra="plots", needed_by="causalkit demo").Figure
    ax: Axes = figure(figsize=(width, height), layout="constrained").subplots()
    return ax

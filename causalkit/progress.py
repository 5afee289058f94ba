"""Progress of long work: a bar, the user's own function, or silence."""

from collections.abc import Callable
from typing import Any

from causalkit.errors import ArgumentTypeError

Progress = Callable[[str], None]


def teller(progress: Any, what: str, *, unit: str, total: int | None = None) -> Progress | None:
    """Function to call with a short text after each finished piece of work.

    Parameters
    ----------
    progress : None, bool or callable
        True draws a bar; a callable is told each text.
    what, unit : str
        Labels of the bar.
    total : int, optional
        Pieces of work, if known.

    Raises
    ------
    ArgumentTypeError
        If ``progress`` is something else.
    """
    if progress is None or progress is False:
        return None
    if callable(progress):
        told: Progress = progress
        return told
    if progress is not True:
        raise ArgumentTypeError(f"progress must be None, True or a function, got {progress!r}.")
    from tqdm import tqdm

    bar = tqdm(desc=what, unit=unit, total=total)

    def advance(text: str) -> None:
        bar.set_postfix_str(text)
        bar.update()

    return advance

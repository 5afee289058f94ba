"""Tables of a study as text, Markdown, LaTeX, HTML or CSV."""

from typing import Any, Literal

import pandas as pd

from causalkit.errors import check_choice
from causalkit.results.render import Grid, grid_html, grid_latex, grid_markdown, grid_text

Form = Literal["text", "markdown", "latex", "html", "csv"]
FORMS: tuple[Form, ...] = ("text", "markdown", "latex", "html", "csv")


def printed(frame: pd.DataFrame, form: Form, *, title: str = "") -> str:
    """A table in the form that is asked for.

    Parameters
    ----------
    frame : DataFrame
        Numbers are written with six digits, but for CSV, which has all of them.
    form : {"text", "markdown", "latex", "html", "csv"}
        LaTeX is a ``table`` float with booktabs rules.
    title : str
        Caption; CSV has none.

    Raises
    ------
    ArgumentError
        If there is no such form.
    """
    check_choice("format", form, FORMS)
    if form == "csv":
        return str(frame.to_csv(index=False))
    grid = Grid(
        header=tuple(map(str, frame.columns)),
        rows=tuple(tuple(map(_cell, row)) for row in frame.itertuples(index=False, name=None)),
        title=title,
    )
    makers = {"text": grid_text, "markdown": grid_markdown, "latex": grid_latex, "html": grid_html}
    return makers[form](grid)


def _cell(value: Any) -> str:
    """A value as text; nothing for what is missing."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.6g}"
    return "" if value is None else str(value)

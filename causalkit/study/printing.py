"""Tables of a study as text, Markdown, LaTeX, HTML or CSV."""

from typing import Literal, get_args

import pandas as pd

from causalkit.errors import check_choice
from causalkit.results.render import grid_html, grid_latex, grid_markdown, grid_text
from causalkit.results.report import frame_grid

Form = Literal["text", "markdown", "latex", "html", "csv"]
FORMS: tuple[Form, ...] = get_args(Form)


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
    grid = frame_grid(frame.reset_index(drop=True), digits=6, title=title)
    makers = {"text": grid_text, "markdown": grid_markdown, "latex": grid_latex, "html": grid_html}
    return makers[form](grid)

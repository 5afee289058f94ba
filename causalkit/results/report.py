"""A self-contained HTML page of text, tables and pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import markupsafe
import pandas as pd

from causalkit.errors import ArgumentTypeError, check_choice
from causalkit.provenance import versions
from causalkit.results.effect import EffectResult
from causalkit.results.render import Grid, filled, framed_html
from causalkit.results.tables import ResultTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_MIME = {"png": "image/png", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of level 2 or 3."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to type, as they stand."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A result, a table of results, or any frame; floats of a frame get four digits."""

    content: EffectResult | ResultTable | pd.DataFrame
    caption: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.content, EffectResult | ResultTable | pd.DataFrame):
            raise ArgumentTypeError(
                "a Table shows an EffectResult, a ResultTable or a pandas frame, got "
                f"{type(self.content).__name__}."
            )


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption; ``alt`` says what it shows to those who cannot see it."""

    drawing: "Axes | Drawing"
    caption: str = ""
    alt: str = ""
    kind: Literal["png", "svg"] = "png"

    def __post_init__(self) -> None:
        if not (hasattr(self.drawing, "savefig") or hasattr(self.drawing, "figure")):
            raise ArgumentTypeError(
                "a Figure shows matplotlib axes or a matplotlib figure, got "
                f"{type(self.drawing).__name__}."
            )
        check_choice("kind", self.kind, tuple(_MIME))


Section = Heading | Text | Code | Table | Figure

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root{color-scheme:light}
body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
 color:#222;background:#fff;max-width:54rem;margin:0 auto;padding:2rem 1.25rem 3rem}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 1.25rem;padding-bottom:.5rem;
 border-bottom:3px solid #0072B2}
h2{font-size:1.3rem;margin:2.25rem 0 .5rem}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
p{margin:.6rem 0;max-width:46rem}
pre{background:#f5f6f8;border-left:3px solid #0072B2;padding:.7rem .9rem;overflow-x:auto;
 font-size:.86rem;line-height:1.45}
figure{margin:1.1rem 0}
figure img{max-width:100%;height:auto}
figcaption{font-size:.9rem;color:#444;margin-top:.25rem;max-width:46rem}
.wide{overflow-x:auto}
footer{margin-top:3rem;padding-top:.75rem;border-top:1px solid #ccc;font-size:.8rem;color:#555}
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for section in sections %}{{ section }}
{% endfor -%}
<footer>{{ footer }}</footer>
</body>
</html>
"""
_FIGURE = """<figure><img src="data:{{ mime }};base64,{{ data }}" width="{{ width }}" \
alt="{{ alt }}">{% if caption %}
<figcaption>{{ caption }}</figcaption>{% endif %}</figure>"""


def html_report(
    title: str, sections: Sequence[Section], *, provenance: Mapping[str, Any] | None = None
) -> str:
    """One HTML page that needs no other file: styles inline, pictures embedded.

    Parameters
    ----------
    title : str
    sections : sequence of Heading, Text, Code, Table or Figure
    provenance : mapping, optional
        Facts for the footer, such as the seed and wall time; versions are added.

    Returns
    -------
    str
        All text escaped.

    Raises
    ------
    ArgumentTypeError
        If a section is of no known kind.

    Examples
    --------
    >>> page = html_report("Wages", [Heading("Union"), Text("Effect < 10 %")])
    >>> "Effect &lt; 10 %" in page
    True
    """
    packages = " · ".join(f"{name} {number}" for name, number in versions().items())
    facts = " · ".join(f"{key}: {value}" for key, value in (provenance or {}).items())
    return filled(
        _PAGE,
        title=title,
        sections=[markupsafe.Markup(section_html(section)) for section in sections],
        footer=" · ".join(part for part in (facts, packages) if part),
    )


def section_html(section: Section) -> str:
    """One section as HTML."""
    match section:
        case Heading():
            tag = f"h{section.level}"
            return filled(f"<{tag}>{{{{ text }}}}</{tag}>", text=section.text)
        case Text():
            return filled("<p>{{ text }}</p>", text=section.text)
        case Code():
            return filled("<pre><code>{{ text }}</code></pre>", text=section.text)
        case Table():
            return _table_html(section)
        case Figure():
            return _figure_html(section)
    raise ArgumentTypeError(
        f"a report is made of Heading, Text, Code, Table and Figure, got {type(section).__name__}."
    )


def frame_grid(frame: pd.DataFrame, *, digits: int = 4, title: str = "") -> Grid:
    """Any frame as a grid of strings; the index is shown unless it is a plain row number."""
    shown = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
    rows = shown.itertuples(index=False, name=None)
    cells = tuple(tuple(_cell(value, digits) for value in row) for row in rows)
    return Grid(header=tuple(map(str, shown.columns)), rows=cells, title=title)


def _cell(value: Any, digits: int) -> str:
    """Text of one value of a frame; nothing for what is missing."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.{digits}g}"
    return "" if value is None or value is pd.NA else str(value)


def _table_html(section: Table) -> str:
    """A result, a table of results or a frame; the caption stands below."""
    content = section.content
    if isinstance(content, EffectResult | ResultTable):
        body = content.to_html()
    else:
        body = framed_html(frame_grid(content))
    source = '<div class="wide">{{ body }}</div>{% if caption %}<p>{{ caption }}</p>{% endif %}'
    return filled(source, body=markupsafe.Markup(body), caption=section.caption)


def _figure_html(section: Figure) -> str:
    """A picture embedded as data."""
    drawing: Any = section.drawing
    figure = drawing if hasattr(drawing, "savefig") else drawing.figure
    buffer = io.BytesIO()
    metadata = {"Date": None} if section.kind == "svg" else None
    figure.savefig(buffer, format=section.kind, dpi=180, bbox_inches="tight", metadata=metadata)
    return filled(
        _FIGURE,
        mime=_MIME[section.kind],
        data=base64.b64encode(buffer.getvalue()).decode("ascii"),
        width=round(96 * figure.get_figwidth()),
        alt=section.alt or section.caption,
        caption=section.caption,
    )

"""Text, HTML, LaTeX and Markdown: the only place that lays out grids and escapes their cells."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import east_asian_width

import jinja2
import markupsafe
import tabulate

WIDTH = 80
_LABEL = 34
_HEAD = 20
_GAP = 2
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "∣": r"$\mid$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "→": r"$\rightarrow$",
    "Ã": r"\~{A}",
    "Ỹ": r"\~{Y}",
}
_LATEX |= {raised: rf"\textsuperscript{{{digit}}}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
_LATEX |= {lowered: rf"\textsubscript{{{digit}}}" for digit, lowered in enumerate("₀₁₂₃₄₅₆₇₈₉")}
_GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho varsigma "
    "sigma tau upsilon varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi "
    "Omega"
)
_LATEX |= {
    letter: rf"$\{name}$"
    for letter, name in zip("αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", _GREEK.split(), strict=True)
}
# LaTeX has no commands for the Greek letters that look like Latin ones.
_LATEX |= dict(zip("οΑΒΕΖΗΙΚΜΝΟΡΤΧ", "oABEZHIKMNOPTX", strict=True))
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")

STYLE = """
.ck{font-size:.92em;line-height:1.4;max-width:60em}
.ck table{border-collapse:collapse;margin:.6em 0;border-top:2px solid;border-bottom:2px solid}
.ck caption{text-align:left;font-weight:600;padding:.2em 0}
.ck th,.ck td{padding:.15em .8em;text-align:right;border:0;vertical-align:top;
 font-variant-numeric:tabular-nums}
.ck th:first-child,.ck td:first-child{text-align:left;padding-left:.2em}
.ck thead th{border-bottom:1px solid;font-weight:600}
.ck tr.rule td{border-top:1px solid;padding-top:.35em}
.ck dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1em;margin:.4em 0}
.ck dt{font-weight:600}
.ck dd{margin:0}
.ck p.note{margin:.25em 0;font-size:.9em}
.ck h4{margin:.9em 0 .2em}
.ck ul{margin:.2em 0;padding-left:1.3em}
"""

_GRID_HTML = """<table>
{%- if grid.title %}
<caption>{{ grid.title }}</caption>
{%- endif %}
<thead><tr>{% for cell in grid.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in grid.rows %}
<tr{% if loop.index0 in grid.breaks %} class="rule"{% endif %}>
{%- for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
{%- for note in grid.notes %}
<p class="note">{{ note }}</p>
{%- endfor %}"""

_PAGE_HTML = """<div class="ck"><style>{{ style }}</style>
<h3>{{ page.title }}</h3>
<dl>
{%- for name, value in page.facts %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
{%- for part in page.parts %}
{%- if part.heading %}
<h4>{{ part.heading }}</h4>
{%- endif %}
{%- if part.grid %}
{{ grid_html(part.grid) }}
{%- endif %}
{%- if part.text %}
<p class="note">{{ part.text }}</p>
{%- endif %}
{%- if part.lines %}
<ul>{% for line in part.lines %}<li>{{ line }}</li>{% endfor %}</ul>
{%- endif %}
{%- endfor %}
</div>"""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of strings, before any format.

    Attributes
    ----------
    header : tuple of str
        Column heads; the first column holds labels.
    rows : tuple of tuple of str
        Cells, as many per row as there are heads.
    breaks : tuple of int
        Rows that have a rule above them.
    title : str
    notes : tuple of str
        Paragraphs below the table.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    breaks: tuple[int, ...] = ()
    title: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a page: heading, table, paragraph, list of lines; each may be absent."""

    heading: str = ""
    grid: Grid | None = None
    text: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that a summary says: title, facts in pairs, parts."""

    title: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]


def one_line(text: str) -> str:
    """Text without line breaks, tabs or control characters, which would break a layout."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def escape_markdown(text: str) -> str:
    """Text that Markdown prints as it stands."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def wrapped(text: str, *, width: int = WIDTH, bullet: str = "") -> list[str]:
    """Lines of at most ``width`` columns, with a hanging bullet."""
    flat = one_line(text)
    return textwrap.wrap(
        flat,
        max(width // 2 if _is_wide(flat) else width, len(bullet) + 1),
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    ) or [bullet.rstrip()]


def grid_text(grid: Grid, *, width: int | None = None) -> str:
    """Plain text; with ``width``, labels wrap so that no line of the table is longer."""
    heads = [wrapped(cell, width=_HEAD) for cell in grid.header]
    rows = [[one_line(cell) for cell in row] for row in grid.rows]
    # tabulate pads heads, but not cells, by two.
    widths = [
        max(*(len(line) + _GAP for line in head), *(len(row[place]) for row in rows), 0)
        for place, head in enumerate(heads)
    ]
    label = _LABEL if width is None else max(6, width - sum(widths[1:]) - _GAP * len(rows[0][1:]))
    lines: list[Any] = []
    for place, row in enumerate(rows):
        if place in grid.breaks:
            lines.append(tabulate.SEPARATING_LINE)
        first, *more = wrapped(row[0], width=label)
        lines += [[first, *row[1:]], *([piece] + [""] * (len(row) - 1) for piece in more)]
    deepest = max(map(len, heads))
    header = ["\n".join([""] * (deepest - len(head)) + head) for head in heads]
    body = tabulate.tabulate(
        lines, header, tablefmt="simple", disable_numparse=True, colalign=_align(grid)
    ).splitlines()
    # One rule across, above, between and below, where tabulate rules each column.
    total = max(map(len, body))
    between, rule = body[deepest], "-" * total
    body = [rule, *(rule if line == between else line for line in body), rule]
    title = wrapped(grid.title, width=max(total, 40)) if grid.title else []
    notes = [line for note in grid.notes for line in wrapped(note, width=width or max(total, 60))]
    return "\n".join(line.rstrip() for line in [*title, *body, *notes])


def grid_markdown(grid: Grid) -> str:
    """Markdown (pipe) table, notes as paragraphs."""
    header = [escape_markdown(cell) for cell in grid.header]
    rows = [[escape_markdown(cell) for cell in row] for row in grid.rows]
    body = tabulate.tabulate(
        rows, header, tablefmt="pipe", disable_numparse=True, colalign=_align(grid)
    )
    title = [f"**{escape_markdown(grid.title)}**"] if grid.title else []
    return "\n\n".join([*title, body, *[escape_markdown(note) for note in grid.notes]])


def grid_latex(grid: Grid, *, booktabs: bool = True, caption: str = "", label: str = "") -> str:
    """LaTeX ``table`` float; notes stand below in a minipage."""
    top, middle, bottom = (
        (r"\toprule", r"\midrule", r"\bottomrule") if booktabs else (r"\hline",) * 3
    )
    body: list[str] = []
    for place, row in enumerate(grid.rows):
        body += [middle] if place in grid.breaks else []
        body.append(_latex_row(row))
    heading = caption or grid.title
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        *([rf"\caption{{{escape_latex(heading)}}}"] if heading else []),
        *([rf"\label{{{re.sub(r'[^A-Za-z0-9:._-]', '-', label)}}}"] if label else []),
        rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
        top,
        _latex_row(grid.header),
        middle,
        *body,
        bottom,
        r"\end{tabular}",
    ]
    if grid.notes:
        notes = " ".join(escape_latex(note) for note in grid.notes)
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{0.9\linewidth}",
            rf"\footnotesize {notes}",
            r"\end{minipage}",
        ]
    return "\n".join([*lines, r"\end{table}", ""])


def grid_html(grid: Grid) -> str:
    """HTML table and notes, without a style of its own."""
    return filled(_GRID_HTML, grid=grid)


def framed_html(grid: Grid) -> str:
    """HTML table and notes that carry their style along."""
    return filled(
        '<div class="ck"><style>{{ style }}</style>\n{{ body }}\n</div>',
        style=markupsafe.Markup(STYLE),
        body=markupsafe.Markup(grid_html(grid)),
    )


def page_text(page: Page) -> str:
    """A page as plain text of at most 80 columns."""
    lines = [*wrapped(page.title), "=" * WIDTH, *_fact_lines(page.facts), ""]
    for part in page.parts:
        if part.heading:
            lines.append(part.heading)
        if part.grid is not None:
            lines.append(grid_text(part.grid, width=WIDTH))
        lines += wrapped(part.text) if part.text else []
        for line in part.lines:
            lines += wrapped(line, bullet="- ")
        lines.append("")
    return "\n".join(lines).rstrip()


def page_html(page: Page) -> str:
    """A page as an HTML fragment, for notebooks and reports."""
    return filled(
        _PAGE_HTML,
        page=page,
        style=markupsafe.Markup(STYLE),
        grid_html=lambda grid: markupsafe.Markup(grid_html(grid)),
    )


def _fact_lines(facts: Sequence[tuple[str, str]]) -> list[str]:
    """Facts in two columns where both fit, else one below the other."""
    half = WIDTH // 2
    margin = max((len(name) for name, _ in facts), default=0) + 2
    lines: list[str] = []
    left = ""
    for name, value in facts:
        first, *more = wrapped(value, width=WIDTH - margin)
        cell = f"{name + ':':<{margin}}{first}"
        if more or len(cell) >= half or _is_wide(cell):
            lines += [left] if left else []
            left = ""
            lines += [cell, *(" " * margin + line for line in more)]
        elif left:
            lines.append(f"{left:<{half}}{cell}")
            left = ""
        else:
            left = cell
    return lines + ([left] if left else [])


def _is_wide(text: str) -> bool:
    """Whether some characters take two columns; half the width is then safe for any mixture."""
    return any(east_asian_width(character) in "WF" for character in text)


def _latex_row(cells: Sequence[str]) -> str:
    """One LaTeX table row; numbers get a true minus sign and stars are raised."""
    first, *others = (escape_latex(cell) for cell in cells)
    numbers = [re.sub(r"(?<![\w.}])-(?=\d)", "$-$", cell) for cell in others]
    raised = [re.sub(r"(\*+)$", r"\\textsuperscript{\1}", cell) for cell in numbers]
    # A bracket or star at the start would be read as an argument of the row end before it.
    guard = "{}" if first.startswith(("[", "*")) else ""
    return guard + " & ".join([first, *raised]) + r" \\"


def _align(grid: Grid) -> tuple[str, ...]:
    """Labels left, everything else right."""
    return ("left",) + ("right",) * (len(grid.header) - 1)


def filled(source: str, **values: Any) -> str:
    """Text of a template, every value put into it escaped."""
    return _template(source).render(**values)


@cache
def _template(source: str) -> jinja2.Template:
    return jinja2.Environment(autoescape=True).from_string(source)

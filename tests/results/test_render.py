"""Layout and escaping, read back with parsers that are not ours."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import causalkit
from causalkit.results.render import (
    _LATEX,
    Grid,
    Page,
    Part,
    escape_latex,
    framed_html,
    grid_html,
    grid_latex,
    grid_markdown,
    grid_text,
    one_line,
    page_html,
    page_text,
)

NASTY = r"income_% of a & b <x> {y} $z$ ^~\ #1 | *s* `c` [l](u) \" '"
LABELS = st.text(st.characters(codec="utf-8"), max_size=30)
GRID = Grid(
    header=("", "(1)", "(2)"),
    rows=((NASTY, "-0.0800***", ""), ("", "(0.0227)", ""), ("Observations", "4,360", "12")),
    breaks=(2,),
    title="A & B",
    notes=(f"Note on {NASTY}",),
)
# What LaTeX prints for each command or symbol that the escape may write.
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\{": "{",
    r"\}": "}",
    r"\$": "$",
    r"\&": "&",
    r"\#": "#",
    r"\%": "%",
    r"\_": "_",
}


def printed_by_latex(text: str) -> str:
    """Text on the page; fails on a special character that is not escaped."""
    pattern = "|".join(sorted(map(re.escape, PRINTED), key=len, reverse=True))
    pieces = re.split(f"({pattern})", text)
    for piece in pieces[::2]:
        assert not set(piece) & set(r"\{}$&#%_^~<>|"), piece
    return "".join(PRINTED.get(piece, piece) for piece in pieces)


SYMBOLS = {character for character in _LATEX if not character.isascii()}


@given(LABELS.filter(lambda text: not set(text) & SYMBOLS))
def test_latex_prints_any_label_as_it_stands(label):
    assert printed_by_latex(escape_latex(label)) == one_line(label)


def printed_characters(folder):
    """Characters beyond ASCII in the texts of the package, docstrings aside."""
    found = set()
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = ""
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {character for character in node.value if not character.isascii()}
    return found


def test_what_the_package_prints_is_ascii_in_latex():
    package = Path(causalkit.__file__).parent
    # Of the data, authors' names alone, which any LaTeX reads as they are.
    parts = [part for part in package.iterdir() if part.is_dir() and part.name != "data"]
    seen = set().union(*map(printed_characters, parts))
    assert {"Δ", "π", "√", "²", "−"} <= seen
    assert {character for character in seen if not escape_latex(character).isascii()} == set()


def test_greek_letters_are_the_commands_of_their_names():
    for letter in "αβγδζηθικμνξπρστυχψωΓΔΘΞΠΣΥΦΨΩ":
        _, size, _, name = unicodedata.name(letter).split()
        command = name.lower() if size == "SMALL" else name.capitalize()
        assert escape_latex(letter) == f"$\\{command}$"
    assert [escape_latex(letter) for letter in "λΛε"] == [
        r"$\lambda$",
        r"$\Lambda$",
        r"$\varepsilon$",
    ]


@given(LABELS)
def test_html_shows_any_label_as_it_stands(read_html, label):
    found = read_html(grid_html(Grid(header=("", label), rows=((label, label),))))
    assert found["th"] == ["", label.replace("\r\n", "\n")] or label != one_line(label)
    if label == one_line(label):
        assert found["td"] == [label, label]


@given(st.text("ab _*`[]()<>#|~$&!\\{}^-+.1:/", max_size=20))
def test_markdown_shows_any_label_as_it_stands(label):
    text = grid_markdown(Grid(header=("term", "x"), rows=((f"t {label}", "1"),)))
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    cells = [token for token in tokens if token.type == "inline"]
    shown = ["".join(child.content for child in cell.children) for cell in cells]
    assert shown == ["term", "x", one_line(f"t {label}"), "1"]


@pytest.mark.parametrize("booktabs", [True, False])
def test_latex_tables_are_balanced_and_every_row_has_all_its_cells(booktabs):
    text = grid_latex(GRID, booktabs=booktabs, caption="Wages & unions", label="tab:a b")
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    ended = re.findall(r"\\end\{(\w+)\}", text)
    assert begun == ["table", "tabular", "minipage"]
    assert ended == ["tabular", "minipage", "table"]
    bare = re.sub(r"\\[{}&$#%_]", "", text)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {row.count("&") for row in rows} == {2}
    rules = ["toprule", "midrule", "midrule", "bottomrule"] if booktabs else ["hline"] * 4
    assert re.findall(r"\\(\w+(?:rule|line))\n", text) == rules
    assert r"\caption{Wages \& unions}" in text
    assert r"\label{tab:a-b}" in text


def test_latex_numbers_get_a_minus_sign_and_raised_stars():
    assert r"& $-$0.0800\textsuperscript{***} &" in grid_latex(GRID)
    interval = Grid(header=("", "ci"), rows=(("a-1", "[-0.5, -0.25]"),))
    assert r"a-1 & [$-$0.5, $-$0.25] \\" in grid_latex(interval)


def test_a_label_in_brackets_is_not_taken_for_the_space_after_a_row():
    rows = grid_latex(Grid(header=("", "x"), rows=(("[0, 5)", "1"), ("*", "2"))))
    assert "\n{}[0, 5) & 1" in rows
    assert "\n{}* & 2" in rows


def test_text_labels_wrap_and_rules_span_the_table():
    grid = Grid(
        header=("", "value"), rows=(("a long label " * 9, "1.0"), ("b", "2.0")), breaks=(1,)
    )
    lines = grid_text(grid, width=50).splitlines()
    assert max(map(len, lines)) <= 50
    assert lines[3].endswith("1.0")
    rules = [line for line in lines if set(line) == {"-"}]
    assert len(rules) == 4
    assert {len(rule) for rule in rules} == {max(map(len, lines))}
    assert " ".join(line.split("  ")[0] for line in lines[3:] if line[0] == "a").count("label") >= 1


def test_text_heads_of_several_lines_stand_on_the_rule():
    grid = Grid(header=("", "a very long column head", "b"), rows=(("x", "1", "2"),))
    lines = grid_text(grid).splitlines()
    assert lines[1].split() == ["a", "very", "long", "column"]
    assert lines[2].split() == ["head", "b"]


@given(LABELS)
def test_one_line_has_no_break_and_no_control_character(label):
    assert one_line(label).isprintable()
    assert one_line(one_line(label)) == one_line(label)


def test_a_page_says_the_same_in_text_and_html(read_html):
    page = Page(
        title="Effect of <d>",
        facts=(("Outcome", "a & b"), ("Observations", "10"), ("Estimand", "x" * 60)),
        parts=(Part("Notes", lines=("first", "second")), Part(grid=GRID, text="A sentence.")),
    )
    text = page_text(page)
    assert max(map(len, text.splitlines())) <= 80
    assert "Outcome:      a & b" in text
    assert "- first\n- second" in text
    found = read_html(page_html(page))
    assert found["h3"] == ["Effect of <d>"]
    assert found["dd"][:2] == ["a & b", "10"]
    assert found["li"] == ["first", "second"]
    assert found["p"] == ["A sentence."] or found["p"][-1] == "A sentence."


def test_framed_tables_keep_their_style_to_themselves():
    text = framed_html(GRID)
    rules = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1).split("}")[:-1]
    assert all(part.strip().startswith(".ck") for part in rules)
    assert '<tr class="rule"><td>Observations' in text

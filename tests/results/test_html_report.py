"""The report: one file, everything escaped, pictures inside."""

import base64
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.results import table
from causalkit.results.report import Code, Figure, Heading, Table, Text, frame_grid, html_report


@pytest.fixture
def drawing():
    figure, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1], [0, 1])
    yield figure
    plt.close(figure)


def test_what_is_no_table_and_no_drawing_is_refused_where_it_is_made(drawing):
    with pytest.raises(ArgumentTypeError, match=r"a Table shows an EffectResult, .* got str"):
        Table("x")
    with pytest.raises(ArgumentTypeError, match=r"a Figure shows matplotlib axes .* got str"):
        Figure("x")
    with pytest.raises(ArgumentError, match="unknown kind 'gif'"):
        Figure(drawing, kind="gif")


def test_a_report_shows_each_section_in_order_with_text_escaped(make, read_html):
    page = html_report(
        "Wages & <unions>",
        [
            Heading("First <b>"),
            Text("a < b"),
            Heading("Second", level=3),
            Code("x = 1\ny < 2"),
            Table(table([make(terms=("income_% <x>",))], names=["A"]), caption="c & d"),
        ],
        provenance={"seed": 3, "note": "<i>"},
    )
    found = read_html(page)
    assert found["h1"] == ["Wages & <unions>"]
    assert found["title"] == ["Wages & <unions>"]
    assert found["h2"] == ["First <b>"]
    assert found["h3"] == ["Second"]
    assert found["code"] == ["x = 1\ny < 2"]
    assert {"a < b", "c & d"} <= set(found["p"])
    assert "income_% <x>" in found["td"]
    assert found["footer"][0].startswith("seed: 3 · note: <i> · causalkit ")
    assert page.index("First") < page.index("Second") < page.index("income_%")


def test_a_report_needs_no_other_file(make, drawing):
    page = html_report("t", [Figure(drawing, "cap", "alt"), Table(make())])
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "@import" not in page


@pytest.mark.parametrize(
    ("kind", "mime", "start"),
    [("png", "image/png", b"\x89PNG"), ("svg", "image/svg+xml", b"<?xml")],
)
def test_pictures_are_embedded_with_alt_text(drawing, kind, mime, start):
    page = html_report("t", [Figure(drawing.axes[0], 'a "caption"', kind=kind)])
    source = re.search(rf'src="data:{re.escape(mime)};base64,([^"]+)"', page)
    assert base64.b64decode(source.group(1)).startswith(start)
    assert 'alt="a &#34;caption&#34;"' in page
    assert "<figcaption>a &#34;caption&#34;</figcaption>" in page


def test_results_bring_their_inference_line(make):
    page = html_report("t", [Table(make())])
    assert "cluster-robust (unit, 545 clusters)" in page


def test_frames_show_their_index_unless_it_counts_rows():
    frame = pd.DataFrame({"x": [1.23456, None], "n": pd.array([1, None], dtype="Int64")})
    plain = frame_grid(frame)
    assert plain.header == ("x", "n")
    assert plain.rows == (("1.235", "1"), ("", ""))
    named = frame_grid(frame.set_axis(pd.Index(["a", "b"], name="row")))
    assert named.header == ("row", "x", "n")
    assert [row[0] for row in named.rows] == ["a", "b"]


def test_an_unknown_section_is_refused():
    with pytest.raises(ArgumentTypeError, match="got str"):
        html_report("t", ["text"])

"""Files by their ending, and text with other separators than commas."""

import warnings

import pandas as pd
import pytest

from causalkit.data.read_file import read_file
from causalkit.errors import ArgumentError, CausalKitWarning

FRAME = pd.DataFrame({"y": [1.5, -2.25, 3.0], "d": [0, 1, 1], "town": ["a", "b, c", "d;e"]})


@pytest.mark.parametrize(
    ("sep", "decimal", "told"),
    [
        (";", ",", "semicolons between columns and decimal commas"),
        (";", ".", "semicolons between columns"),
        ("\t", ".", "tabs between columns"),
        ("\t", ",", "tabs between columns and decimal commas"),
        ("|", ".", "bars between columns"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_other_separators_are_read_and_told(sep, decimal, told, encoding, tmp_path):
    path = tmp_path / "f.csv"
    FRAME.to_csv(path, index=False, sep=sep, decimal=decimal, encoding=encoding)
    with pytest.warns(CausalKitWarning, match=rf"'f.csv' was read with {told}\.$"):
        pd.testing.assert_frame_equal(read_file(path), FRAME)


@pytest.mark.parametrize("head", ['"y; in euros",d,town', "y;z,d,town", "y,d|e,town"])
def test_a_file_with_commas_is_read_as_pandas_reads_it(head, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(f'{head}\n1.5,0,"1,5"\n2.5,1,"2;5"\n', encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(read_file(path), pd.read_csv(path))


def test_decimal_commas_in_a_file_with_commas_are_refused(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("y,d\n1,5,0,5\n2,5,1,5\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"'f.csv': its rows have more columns than its head"):
        read_file(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", "", "cannot read 'f.csv': No columns"),
        ("f.parquet", "text", "cannot read 'f.parquet': "),
        ("f.dta", "text", "cannot read 'f.dta' as a Stata file: "),
        ("f.xlsx", "text", "cannot tell the format of 'f.xlsx'"),
    ],
)
def test_what_cannot_be_read_is_named_once(name, content, message, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ArgumentError) as caught:
        read_file(tmp_path / name)
    assert str(caught.value).startswith(message)
    assert str(caught.value).count(repr(name)) == 1

"""Lags and differences of a panel's columns refuse what is no column or no number of periods."""

import pytest
from switching_design import panel

from causalkit.errors import ArgumentTypeError


@pytest.mark.parametrize("k", [1.5, 1.0, "1", True, None])
def test_a_lag_is_a_whole_number_of_periods(k):
    with pytest.raises(ArgumentTypeError, match=f"k must be a whole number.*got {k!r}"):
        panel().lag("x1", k)


@pytest.mark.parametrize("method", ["lag", "diff"])
@pytest.mark.parametrize("columns", [["x1", "x2"], ("x1",), 3])
def test_a_lag_is_of_one_column(method, columns):
    with pytest.raises(ArgumentTypeError, match=r"name of one column, got .*once for each"):
        getattr(panel(), method)(columns)

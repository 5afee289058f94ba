"""Positions on the calendar: the next period is one step away, not the next row."""

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData
from causalkit.data.calendar import positions, sorts_as_time
from causalkit.errors import ArgumentError, DataError


def places(values, freq=None):
    """Positions of some values of time."""
    return positions(pd.Series(values, name="when"), freq).tolist()


def test_whole_numbers_have_step_one_and_gaps_count():
    assert places([2003, 2000, 2001]) == [3, 0, 1]
    assert places([2000.0, 2002.0]) == [0, 2]
    assert places(pd.array([5, 7], dtype="Int64")) == [0, 2]
    assert places(["9", "10", "12"]) == [0, 1, 3]


def test_a_number_is_the_step_between_numbers():
    assert places([1990, 2005, 1995], 5) == [0, 3, 1]
    assert places([0.0, 0.75, 0.25], 0.25) == [0, 3, 1]
    assert places(["2000", "2010"], 5) == [0, 2]


def test_fractions_without_a_step_go_by_order():
    assert places([0.1, 7.3, 0.2]) == [0, 2, 1]


@pytest.mark.parametrize("tz", [None, "Europe/Berlin"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_dates_with_a_step_are_calendar_months_and_years(unit, tz):
    dates = pd.to_datetime(["2019-12-31", "2020-01-31", "2020-03-15", "2021-01-01"])
    dates = dates.as_unit(unit).tz_localize(tz)
    months = (dates.year * 12 + dates.month).to_numpy()
    assert places(dates, "M") == (months - months.min()).tolist()
    assert places(dates, "ME") == places(dates, "MS") == places(dates, "M")
    quarters = (dates.year * 4 + dates.quarter).to_numpy()
    assert places(dates, "Q") == (quarters - quarters.min()).tolist()
    assert places(dates, "Y") == (dates.year - 2019).tolist()


def test_dates_with_a_step_of_days_weeks_or_business_days():
    dates = pd.to_datetime(["2024-01-05", "2024-01-08", "2024-01-19"])  # Friday, Monday, Friday
    assert places(dates, "D") == [0, 3, 14]
    assert places(dates, "W") == [0, 1, 2]
    business = pd.bdate_range("2024-01-05", "2024-01-19")
    assert places(dates, "B") == [business.get_loc(date) for date in dates]


def test_fiscal_years_and_quarters_are_cut_where_they_start_or_end():
    dates = pd.to_datetime(["2020-06-30", "2020-07-01", "2020-08-01", "2021-06-30", "2021-07-01"])
    assert places(dates, "YS-JUL") == [0, 1, 1, 1, 2]
    assert places(dates, "YE-JUN") == [0, 1, 1, 1, 2]
    assert places(dates, "QS-FEB") == [0, 0, 1, 4, 4]


def test_a_multiple_of_a_step_must_fit():
    dates = pd.to_datetime(["2024-01-01", "2024-07-01", "2024-03-01"])
    assert places(dates, "2M") == [0, 3, 1]
    with pytest.raises(ArgumentError, match=r"freq='4M' does not fit 'when': row 1 has 2024-07"):
        places(dates, "4M")


def test_dates_without_a_step_go_by_order():
    assert places(pd.to_datetime(["2020-01-01", "2024-06-01", "2020-01-02"])) == [0, 2, 1]


def test_periods_and_ordered_categories_have_a_calendar_of_their_own():
    quarters = pd.PeriodIndex(["2020Q1", "2020Q4", "2021Q1"], freq="Q")
    assert places(quarters) == [0, 3, 4]
    halves = pd.period_range("2020-01", periods=3, freq="6M")
    assert places(halves) == [0, 1, 2]
    seasons = pd.Categorical(
        ["spring", "winter"], categories=["spring", "summer", "winter"], ordered=True
    )
    assert places(seasons) == [0, 2]
    with pytest.raises(ArgumentError, match=r"calendar of its own.*leave out freq='M'"):
        places(quarters, "M")


@pytest.mark.parametrize(
    ("values", "freq", "message"),
    [
        ([2000, 2001, 2003], 2, "freq=2 does not fit 'when': row 1 has 2001.*steps from 2000"),
        ([2000, 2001], "Y", "freq='Y' is a calendar alias but 'when' holds numbers"),
        ([2000, 2001], 0, "freq must be positive, got 0"),
        (pd.to_datetime(["2020-01-01"]), 1, "freq=1 is a number but 'when' holds dates"),
        (pd.to_datetime(["2020-01-01"]), "0M", "freq='0M' is no step of a calendar for 'when'"),
        (pd.to_datetime(["2020-01-01"]), "YS-XXX", "freq='YS-XXX' is no step of a calendar"),
        (pd.to_datetime(["2020-01-01"]), "fortnight", "freq='fortnight' is no step of a calendar"),
        (["2020Q1", "2020Q2"], "Q", "freq='Q' needs numbers or dates, but 'when' holds text"),
    ],
)
def test_a_step_that_does_not_fit_says_why(values, freq, message):
    with pytest.raises(ArgumentError, match=message):
        places(values, freq)


def test_no_rows_have_no_positions():
    assert places(np.empty(0, dtype=np.int64)) == []
    assert places(np.empty(0), 5) == []


@pytest.mark.parametrize(
    ("labels", "sorted_as_time"),
    [
        (["2020-01", "2019-12"], True),
        (["wave1", "wave2"], True),
        (["9", "10"], True),
        (["wave9", "wave10"], False),
        (["Jan", "Feb"], False),
        (["2020-1", "2020-12"], False),
    ],
)
def test_text_sorts_as_time_if_only_digits_differ(labels, sorted_as_time):
    assert sorts_as_time(pd.Series(labels)) is sorted_as_time


def test_two_dates_of_a_unit_in_one_period_of_the_step_are_refused():
    frame = pd.DataFrame(
        {
            "y": [1.0, 2.0, 4.0, 3.0],
            "d": [0, 1, 1, 0],
            "firm": ["a", "a", "b", "b"],
            "when": pd.to_datetime(["2020-01-01", "2020-01-20", "2020-01-01", "2020-02-01"]),
        }
    )
    roles = {"outcome": "y", "treatment": "d", "unit": "firm", "time": "when"}
    assert CausalData.from_frame(frame, **roles).periods().tolist() == [0, 1, 0, 2]
    with pytest.raises(DataError, match=r"E12.*row 1 is a second row of unit 'a'.*freq='M'"):
        CausalData.from_frame(frame, **roles, freq="M")
    assert CausalData.from_frame(frame, **roles, freq="D").periods().tolist() == [0, 19, 0, 31]


def test_periods_count_from_the_earliest_of_all_units():
    frame = pd.DataFrame(
        {"y": [1.0, 2.0, 3.0], "d": [0, 1, 0], "firm": [1, 1, 2], "year": [2004, 2002, 2001]}
    )
    data = CausalData.from_frame(frame, outcome="y", treatment="d", unit="firm", time="year")
    assert data.periods().tolist() == [3, 1, 0]
    assert not data.periods().flags.writeable

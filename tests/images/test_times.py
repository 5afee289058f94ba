"""Dates of frames: what can be compared, and what is refused by name."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, DataError
from causalkit.images.times import check_times, compare_times, times_of


def film(times):
    """Two places with a frame at each of some times."""
    dims = ("place", "time", "band", "y", "x")
    pixels = xr.DataArray(np.zeros((2, 3, 1, 2, 2)), dims=dims, name="film")
    return ImageStore.bare(pixels if times is None else pixels.assign_coords(time=times))


DATES = pd.to_datetime(["2010-01-01", "2011-01-01", "2012-01-01"])
ZONED = pd.Timestamp("2012-01-01T01:00", tz="Europe/Oslo")  # midnight, by the clock of the frames


def check(times, when, *, allow_later=False):
    check_times(film(times), when, allow_later=allow_later)


@pytest.mark.parametrize(
    ("times", "when"),
    [
        (DATES, "2012-01-02"),
        (DATES, date(2012, 1, 2)),
        (DATES, np.datetime64("2012-01-02")),
        (DATES, ZONED + pd.Timedelta("1h")),
        (DATES, None),
        ([2010, 2011, 2012], 2013),
        ([2010.0, 2010.5, 2011.0], np.float32(2012)),
        (None, None),
    ],
)
def test_frames_from_before_the_treatment_pass(times, when):
    check(times, when)


@pytest.mark.parametrize(
    ("times", "when"), [(DATES, "2012-01-01"), (DATES, ZONED), ([2010, 2011, 2012], 2012)]
)
def test_a_frame_of_the_day_of_treatment_is_refused_unless_it_is_allowed(times, when):
    with pytest.raises(DataError, match="1 frames of 'film' are not from before treatment_date"):
        check(times, when)
    check(times, when, allow_later=True)


@pytest.mark.parametrize(
    ("times", "when", "message"),
    [
        (DATES, "soon", "treatment_date='soon' is no date"),
        (DATES, 2012, "treatment_date=2012 is no date"),
        (DATES, pd.NaT, "is no date"),
        ([2010, 2011, 2012], "2012-01-01", "treatment_date must be one number, got str"),
        (None, "2012-01-01", "have no dates to compare with treatment_date"),
    ],
)
def test_a_treatment_date_that_cannot_be_compared_is_refused(times, when, message):
    with pytest.raises(ArgumentError, match=message):
        check(times, when)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["spring", "summer", "winter"], r"times of 'film' are string \(first: 'spring'\)"),
        (DATES[::-1], "are not in order .first: 2012-01-01"),
        ([2010, 2010, 2011], "are repeated .first: 2010 before 2010"),
        ([DATES[0], pd.NaT, DATES[2]], "are not in order"),
    ],
)
def test_times_without_an_order_are_refused(times, message):
    with pytest.raises(DataError, match=message):
        check(times, None)


def test_times_are_named_by_date_else_by_number():
    assert times_of(film(DATES)) == ("2010-01-01", "2011-01-01", "2012-01-01")
    assert times_of(film([2010, 2011, 2012])) == ("2010", "2011", "2012")
    assert times_of(film(None)) == ("frame 1", "frame 2", "frame 3")
    single = ImageStore.bare(film(None).pixels.isel(time=0))
    assert times_of(single) == ()


def test_long_lists_of_dates_are_cut_in_the_middle():
    years = tuple(map(str, range(1990, 2020)))
    with pytest.raises(DataError) as told:
        compare_times(years, years[:-1], "the images")
    shown = (
        "29 frames (1990, 1991, 1992, 1993, 1994, 1995, ..., 2013, 2014, 2015, 2016, 2017, 2018)"
    )
    assert shown in str(told.value)

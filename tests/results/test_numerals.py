"""Numbers as text."""

import math

import pytest

from causalkit.results import numerals


@pytest.mark.parametrize(
    ("errors", "places"),
    [([0.0227], 4), ([670.8], 0), ([8.36], 2), ([0.5, 0.01], 4), ([], 4), ([0.0], 4), ([1e-9], 6)],
)
def test_decimals_show_three_digits_of_the_smallest_standard_error(errors, places):
    assert numerals.decimals(errors) == places


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.08, 4, "0.0800"),
        (1794.34, 0, "1,794"),
        (-0.00001, 4, "0.0000"),
        (-0.0225, 4, "-0.0225"),
        (1.5e-9, 6, "1.500e-09"),
        (2.5e11, 2, "2.500e+11"),
        (0.0, 6, "0.000000"),
        (math.nan, 2, ""),
        (math.inf, 2, "inf"),
        (-math.inf, 2, "-inf"),
        (None, 2, ""),
    ],
)
def test_numbers_are_short_and_never_a_row_of_false_zeros(value, places, text):
    assert numerals.number(value, places) == text


@pytest.mark.parametrize(
    ("p", "text", "mark"),
    [
        (0.0004, "<0.001", "***"),
        (0.0099, "0.010", "***"),
        (0.01, "0.010", "**"),
        (0.0499, "0.050", "**"),
        (0.0999, "0.100", "*"),
        (0.1, "0.100", ""),
    ],
)
def test_p_values_and_stars_follow_the_printed_bounds(p, text, mark):
    assert numerals.p_text(p) == text
    assert numerals.stars(p) == mark


def test_counts_percent_and_intervals():
    assert numerals.count(4360) == "4,360"
    assert numerals.count(None) == ""
    assert numerals.percent(0.95) == "95%"
    assert numerals.percent(0.999) == "99.9%"
    assert numerals.interval(-0.5, 0.25, 2) == "[-0.50, 0.25]"

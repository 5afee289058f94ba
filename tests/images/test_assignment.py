"""Whether the treatment agrees with its propensity, and whether it went by image."""

import tracemalloc
import warnings

import numpy as np
import pytest
from scipy.stats import norm

from causalkit.errors import RandomizationWarning, SplitWarning
from causalkit.images.assignment import (
    Assignment,
    check_propensity,
    disagreement,
    warn_if_assigned_by_image,
)


def drawn(rng, propensity, groups, *, together=False, strata=None):
    lot = rng.random(groups.max() + 1)[groups] if together else rng.random(groups.size)
    return Assignment((lot < propensity) * 1.0, propensity, groups, strata)


@pytest.mark.parametrize("together", [False, True])
def test_a_right_propensity_is_doubted_as_often_as_the_level_says(together):
    """2,000 draws of 400 rows in 200 groups: 5 %, give or take 4 standard errors, at most.

    The five cells overlap and the variance is rounded up, so that fewer are expected.
    """
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 2
    strata = groups % 2
    propensity = np.where(strata == 0, 0.3, 0.6)
    found = [
        disagreement(drawn(rng, propensity, groups, together=together, strata=strata)).p_value
        for _ in range(2000)
    ]
    share = np.mean(np.array(found) < 0.05)
    assert 0.01 < share < 0.05 + 4.0 * (0.05 * 0.95 / 2000) ** 0.5


ROWS, PAIRS = np.arange(100), np.arange(100) // 2


@pytest.mark.parametrize(
    ("treated", "propensity", "groups", "variance"),
    [
        (60, 0.45, ROWS, 60 * 0.55**2 + 40 * 0.45**2),  # of squares of T - e, above n e (1 - e)
        (80, 0.7, ROWS, 100 * 0.7 * 0.3),  # the squares say 17, and a count has 21
        (50, 0.4, PAIRS, 100 * 0.4 * 0.6),  # one of each pair: the sums of pairs say 2
    ],
)
def test_a_p_value_is_by_squares_of_sums_and_no_less_than_that_of_a_count(
    treated, propensity, groups, variance
):
    t = (treated > ROWS) * 1.0 if groups is ROWS else ROWS % 2 * 1.0
    found = disagreement(Assignment(t, np.full(100, propensity), groups))
    z = (treated - 100 * propensity) / variance**0.5
    assert found.p_value == pytest.approx(2.0 * norm.sf(z))
    assert (found.n, found.share) == (100, treated / 100)
    assert found.propensity == pytest.approx(propensity)


def contradictions():
    rng = np.random.default_rng(1)
    n = 800
    block = np.arange(n) % 2
    e = np.where(block == 1, 0.8, 0.2)
    t = (rng.random(n) < e) * 1.0
    half = (rng.random(n) < 0.5) * 1.0
    rows = np.arange(n)
    return {
        "1 - propensity agrees": Assignment(t, 1.0 - e, rows),
        r"share their 'b' with row 0 \(400\) .* says 50.0%": Assignment(
            t, np.full(n, 0.5), rows, block, "their 'b'"
        ),
        r"of all rows \(800\) 4\d\.\d% are treated, and propensity= says 30.0%": Assignment(
            half, np.full(n, 0.3), rows
        ),
    }


@pytest.mark.parametrize("words", contradictions())
def test_propensities_that_the_treatment_contradicts_are_told(words):
    with pytest.warns(RandomizationWarning, match=words):
        check_propensity(contradictions()[words])


def test_memory_grows_with_rows_and_not_with_rows_times_strata():
    n = 10_000
    rows = np.arange(n)
    treatment = ((rows % 2 == 0) | (rows == 77)) * 1.0
    given = Assignment(treatment, np.full(n, 0.5), rows, rows // 2)
    tracemalloc.start()
    found = disagreement(given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.rows, found.n) == ("the rows that share stratum with row 76", 2)
    assert found.p_value == 1.0
    assert peak < 200 * n  # a mask of the rows for each of the 5,000 strata takes 5,000 n


@pytest.mark.parametrize("chance", [0.1, 0.5])
@pytest.mark.parametrize("size", [2, 5])
def test_units_that_are_treated_alike_by_lot_are_no_assignment_by_image(chance, size):
    """200 draws at a level of .001: more than three alarms come once in 15,000 such tests."""
    rng = np.random.default_rng(2)
    image = np.arange(600) // size
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(200):
            t = (rng.random(600) < chance) * 1.0
            warn_if_assigned_by_image(image, t, np.full(600, chance))
    assert len(told) <= 3
    whole = (rng.random(600) < chance)[image] * 1.0
    by_lot = chance**size + (1.0 - chance) ** size
    with pytest.warns(SplitWarning, match=f"same for all units in 100%.*would be in {by_lot:.0%}"):
        warn_if_assigned_by_image(image, whole, np.full(600, chance))

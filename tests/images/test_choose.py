"""The number of clusters: the smallest that predicts about as well as the best."""

from types import SimpleNamespace

import numpy as np
import pytest

from causalkit.images.choose import FromFeatures, _compared

ROWS = np.arange(100)
# Mean 0; its standard error over these rows is .1005.
NOISE = np.where(ROWS % 2 == 0, 1.0, -1.0)


def member(row_scores, shares):
    """What is looked at in a fit: scores of rows, and mean probabilities of types."""
    types = np.tile(shares, (5, 1))
    return SimpleNamespace(
        score=row_scores.mean(),
        row_scores=row_scores,
        posterior=SimpleNamespace(mean_types=lambda _: types),
    )


def chosen(gains, shares=((1.0,), (0.6, 0.4), (0.5, 0.3, 0.2))):
    """Number of clusters that is taken, of fits that gain so much on one cluster, row by row."""
    best = {k + 1: member(gain, shares[k]) for k, gain in enumerate(gains)}
    table = _compared(best, FromFeatures(np.zeros((5, 1)), np.zeros((5, 1))), ROWS[:5])
    return int(table.loc[table["chosen"], "n_clusters"].item())


@pytest.mark.parametrize(("gain", "number"), [(0.05, 1), (0.09, 1), (0.11, 2), (0.5, 2)])
def test_a_larger_number_has_to_gain_more_than_one_standard_error(gain, number):
    assert chosen([np.zeros(100), gain + NOISE]) == number


def test_gains_are_compared_row_by_row():
    """Rows differ far more from each other than fits do on any one of them."""
    hard = 20.0 * NOISE
    assert chosen([hard, hard + 0.05]) == 2


def test_the_smallest_of_those_that_will_do_is_taken():
    assert chosen([np.zeros(100), 1.0 + NOISE, 1.05 + 1.5 * NOISE]) == 2


def test_numbers_with_types_that_hardly_occur_are_passed_over():
    gains = [np.zeros(100), 1.0 + NOISE, 3.0 + NOISE]
    assert chosen(gains) == 3
    rare = ((1.0,), (0.6, 0.4), (0.59, 0.4, 0.01))
    # None that is left is within an error of the best: one cluster, the average effect.
    assert chosen(gains, rare) == 1
    assert chosen([np.zeros(100), 2.95 + 2.0 * NOISE, 3.0 + NOISE], rare) == 2

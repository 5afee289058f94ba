"""The number of clusters: the smallest that predicts about as well as the best."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.images import training
from causalkit.images.choose import FromFeatures, _compared, _error_of_mean

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


def chosen(gains, shares=((1.0,), (0.6, 0.4), (0.5, 0.3, 0.2)), groups=ROWS):
    """Number of clusters that is taken, of fits that gain so much on one cluster, row by row."""
    best = {k + 1: member(gain, shares[k]) for k, gain in enumerate(gains)}
    source = FromFeatures(np.zeros((5, 1)), np.zeros((5, 1)))
    table = _compared(best, source, ROWS[:5], groups)
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
    # Nor do they set the bar: two clusters gain ten errors on one, whatever three gain on two.
    assert chosen(gains, rare) == 2
    assert chosen([np.zeros(100), 0.05 + NOISE, 3.0 + NOISE], rare) == 1


def test_gains_of_rows_that_hang_together_count_as_one():
    """By pairs of opposites the gains are the same throughout; by halves there are but two."""
    gains = [np.zeros(100), 0.05 + NOISE]
    assert chosen(gains) == 1
    assert chosen(gains, groups=ROWS // 2) == 2
    halves = [np.zeros(100), 0.2 + np.repeat([-1.0, 1.0], 50)]
    assert chosen(halves) == 2
    assert chosen(halves, groups=ROWS // 50) == 1


def test_the_error_of_a_mean_is_that_of_group_means_where_groups_are_alike():
    values = np.random.default_rng(0).normal(size=(20, 5)) + np.arange(20)[:, None]
    error = values.mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert _error_of_mean(values.ravel(), np.repeat(np.arange(20), 5)) == pytest.approx(error)
    alone = values.std(ddof=1) / 10.0
    assert _error_of_mean(values.ravel(), ROWS) == pytest.approx(alone)


def test_one_group_alone_is_no_ground_for_more_clusters():
    assert chosen([np.zeros(100), 5.0 + NOISE], groups=np.zeros(100, dtype=int)) == 1


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_every_look_at_the_images_has_the_precision_that_was_asked_for(monkeypatch):
    looked = []

    def represent_all(*given, precision, **more):
        looked.append(precision)
        return whole(*given, precision=precision, **more)

    whole = training.represent_all
    monkeypatch.setattr(training, "represent_all", represent_all)
    fast = {"epochs": 1, "n_restarts": 1, "inference": "map", "n_ensemble": 1, "random_state": 0}
    arguments = fast | {"n_clusters": "auto", "max_clusters": 2, "precision": "bf16"}
    data = ck.generators.image_rct(3, n_images=520, size=8).blind()
    ck.ImageEffectClusters(encoder=ck.ImageEncoder.cnn(width=8), **arguments).fit(data)
    # By number of clusters: both parts, and the shares of types; then the reference and the rest.
    assert len(looked) >= 7
    assert set(looked) == {torch.bfloat16}

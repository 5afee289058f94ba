"""Parts of the sample, and the test of randomisation."""

import numpy as np
import pytest

from causalkit.errors import ArgumentError, DataError
from causalkit.images.balance import _merged, balance_test
from causalkit.images.splits import (
    check_room,
    connected,
    spatial_blocks,
    split,
    wider_shares,
)

SHARES = (0.5, 0.1, 0.4)


def test_rows_hang_together_through_chains_of_images_and_clusters():
    image = np.array([0, 0, 1, 2, 3, 4])
    cluster = np.array([7, 8, 8, 9, 9, 5])
    found = connected(image, cluster)
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4]
    assert len({found[0], found[3], found[5]}) == 3


def test_parts_share_no_group_and_have_both_arms_alike():
    rng = np.random.default_rng(0)
    groups = np.append(np.arange(600), rng.integers(0, 600, 900))
    by_group = rng.random(600) < 0.3
    treatment = by_group[groups].astype(float)
    found = split(groups, treatment, groups, shares=SHARES, rng=np.random.default_rng(1))
    rows = (found.train, found.select, found.evaluate)
    assert sorted(np.concatenate(rows).tolist()) == list(range(1500))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not set(groups[rows[first]]) & set(groups[rows[second]])
    shares = [np.unique(groups[part]).size / np.unique(groups).size for part in rows]
    np.testing.assert_allclose(shares, SHARES, atol=0.01)
    arms = [by_group[np.unique(groups[part])].mean() for part in rows]
    assert np.ptp(arms) < 0.02


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.5, 0.5), "three positive shares"),
        ((0.6, 0.1, 0.4), "sum to 1"),
        ((1, 0, 0), "positive"),
        ((0.5, np.nan, 0.4), "positive"),
        (None, "three positive shares"),
        (("half", 0.1, 0.4), "three positive shares"),
    ],
)
def test_shares_that_are_none(shares, message):
    rows = np.arange(400)
    with pytest.raises(ArgumentError, match=message):
        split(rows, rows % 2 * 1.0, rows, shares=shares, rng=np.random.default_rng(0))


def test_parts_with_few_images_or_one_arm_are_refused():
    rows = np.arange(400)
    with pytest.raises(DataError, match="selection part has 40 distinct images of 400, fewer"):
        split(rows, rows % 2 * 1.0, rows, shares=SHARES, rng=np.random.default_rng(0))
    rows = np.arange(1000)
    treated = (rows == 3).astype(float)
    with pytest.raises(DataError, match="rows of one arm only"):
        split(rows, treated, rows, shares=SHARES, rng=np.random.default_rng(0))


def test_blocks_are_squares_of_the_width_asked_for():
    lon, lat = np.meshgrid(np.linspace(30, 31, 50), np.linspace(44, 45, 50))
    found = spatial_blocks(lon.ravel(), lat.ravel(), 25.0)
    for block in np.unique(found):
        mine = found == block
        north = np.ptp(lat.ravel()[mine]) * 111.32
        east = np.ptp(lon.ravel()[mine]) * 111.32 * np.cos(np.deg2rad(44.5))
        assert max(north, east) <= 25.0 + 1e-9
    assert np.unique(found).size >= 12
    for width, message in ((0.0, "must be positive"), ("wide", "must be one number")):
        with pytest.raises(ArgumentError, match=message):
            spatial_blocks(lon.ravel(), lat.ravel(), width)


def predictable(rng, strength, *, by_group=False):
    """p-value for a treatment that features predict with some strength."""
    groups = np.repeat(np.arange(120), 3)
    features = rng.normal(size=(360, 6))
    if by_group:
        features = features[groups * 3]
    drive = strength * features[:, 0] + rng.logistic(size=360)
    if by_group:
        drive = drive[groups * 3]
    treatment = (drive > 0).astype(float)
    even = np.full(360, 0.5)
    return balance_test(
        features, treatment, groups, propensity=even, n_permutations=99, rng=rng
    ).p_value


@pytest.mark.parametrize("by_group", [False, True])
def test_randomised_treatments_pass_at_the_nominal_rate(by_group):
    """Sixty trials at level .1: more than thirteen rejections has chance under 1 %."""
    rng = np.random.default_rng(0)
    values = np.array([predictable(rng, 0.0, by_group=by_group) for _ in range(60)])
    assert (values <= 0.1).sum() <= 13
    assert values.mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("n_values", [2, 360])
@pytest.mark.parametrize("known", [True, False])
def test_a_probability_that_images_tell_is_no_lack_of_chance_where_it_is_known(n_values, known):
    """Forty trials: more than eleven rejections at level .1 have chance under .1 %."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(40):
        features = rng.normal(size=(360, 6))
        drive = np.sign(features[:, 0]) if n_values == 2 else features[:, 0]
        chance = 1.0 / (1.0 + np.exp(-drive))
        treatment = (rng.random(360) < chance).astype(float)
        told = chance if known else np.full(360, treatment.mean())
        found = balance_test(
            features, treatment, np.arange(360), propensity=told, n_permutations=99, rng=rng
        )
        values.append(found.p_value)
    assert (np.mean(np.array(values) <= 0.1) <= 11 / 40) == known


def test_groups_are_permuted_among_those_of_about_their_own_probability():
    """Treatments vary most where images are extreme: permuted among all, .20 are rejected, not .1.

    Of three hundred trials more than 46 rejections have chance under .2 %.
    """
    rng = np.random.default_rng(1)
    values = []
    for _ in range(300):
        features = rng.standard_t(3, size=(360, 2))
        chance = np.where(np.abs(features[:, 0]) > 1.5, 0.5, 0.03)
        treatment = (rng.random(360) < chance).astype(float)
        found = balance_test(
            features, treatment, np.arange(360), propensity=chance, n_permutations=49, rng=rng
        )
        values.append(found.p_value)
    assert (np.array(values) <= 0.1).sum() <= 46


def test_treatments_that_images_predict_are_found():
    rng = np.random.default_rng(0)
    assert max(predictable(rng, 1.0) for _ in range(5)) <= 0.02


def predictable_of_unequal_groups(rng, strength, *, by_group):
    """p-value where no two groups have the same number of rows."""
    groups = np.repeat(np.arange(60), rng.permutation(np.arange(3, 63)))
    features = rng.normal(size=(60, 4))
    chance = 1.0 / (1.0 + np.exp(-strength * features[:, 0]))
    drawn = rng.random(60)[groups] if by_group else rng.random(groups.size)
    treatment = (drawn < chance[groups]).astype(float)
    even = np.full(groups.size, 0.5)
    return balance_test(
        features[groups], treatment, groups, propensity=even, n_permutations=49, rng=rng
    )


@pytest.mark.parametrize("by_group", [False, True])
def test_groups_of_unequal_size_pass_at_the_nominal_rate(by_group):
    """A hundred trials at level .1: fewer than 2 or more than 20 have chance under .2 %."""
    rng = np.random.default_rng(0)
    found = [predictable_of_unequal_groups(rng, 0.0, by_group=by_group) for _ in range(100)]
    assert 2 <= sum(one.p_value <= 0.1 for one in found) <= 20
    assert all(one.moved == 1.0 for one in found)


@pytest.mark.parametrize("by_group", [False, True])
def test_treatments_of_unequal_groups_that_images_predict_are_found(by_group):
    """Where groups change places only with those of their own size the p-value is 1."""
    rng = np.random.default_rng(0)
    found = [predictable_of_unequal_groups(rng, 30.0, by_group=by_group) for _ in range(5)]
    assert max(one.p_value for one in found) <= 0.02


def test_sizes_that_ten_groups_have_are_kept_apart_and_rarer_ones_join_their_neighbours():
    assert _merged(np.array([12, 10, 30])).tolist() == [0, 1, 2]
    assert _merged(np.array([4, 5, 3, 11, 2, 1])).tolist() == [0, 0, 0, 3, 3, 3]
    assert _merged(np.array([3, 2])).tolist() == [0, 0]


def test_groups_without_others_of_their_probability_are_counted():
    """Each third of the rows is a group with a propensity of its own: nothing can be permuted."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 100)
    chance = np.array([0.2, 0.5, 0.8])[groups]
    found = balance_test(
        rng.normal(size=(300, 2)),
        (rng.random(300) < chance) * 1.0,
        groups,
        propensity=chance,
        n_permutations=9,
        rng=rng,
    )
    assert (found.moved, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("images", [158, 160, 199, 250, 400, 499, 519, 5000])
@pytest.mark.parametrize("shares", [SHARES, (0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (0.1, 0.1, 0.8)])
def test_the_split_that_a_message_names_works(images, shares):
    wider = wider_shares(shares, images)
    assert sum(wider) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    rows = np.arange(images)
    for treated in (0.5, 0.1):
        treatment = (rng.random(images) < treated).astype(float)
        check_room(rows, rows, shares=wider)
        parts = split(rows, treatment, rows, shares=wider, rng=rng)
        assert min(map(len, (parts.train, parts.select, parts.evaluate))) >= 50


def test_a_sample_that_is_too_small_is_refused_before_it_is_drawn():
    rows = np.arange(400)
    message = r"selection part can have at most 42 distinct images of 400.* take split=\([\d., ]*\)"
    with pytest.raises(DataError, match=message) as told:
        check_room(rows, rows, shares=SHARES)
    assert told.value.code == "E23-few-images"
    with pytest.raises(DataError, match="what differs between them: add places"):
        check_room(rows[:150], rows[:150], shares=(0.3, 0.3, 0.4))
    # Some groups of many images may fall into the part, so that there is no telling yet.
    groups = np.minimum(rows, 340)
    check_room(groups, rows, shares=SHARES)
    # Several rows of an image are no more images.
    with pytest.raises(DataError, match="of 400, fewer than 50"):
        check_room(np.tile(rows, 5), np.tile(rows, 5), shares=SHARES)


@pytest.mark.parametrize("images", [470, 480, 485, 490, 500, 520])
def test_what_is_refused_at_once_would_be_refused_when_drawn(images):
    """At the border for all shares of treated; the other way round it may fall either way."""
    rows = np.arange(images)
    for treated in (0.5, 0.31, 0.1):
        treatment = (np.random.default_rng(1).random(images) < treated).astype(float)
        try:
            check_room(rows, rows, shares=SHARES)
        except DataError:
            with pytest.raises(DataError, match="E23-few-images"):
                split(rows, treatment, rows, shares=SHARES, rng=np.random.default_rng(0))

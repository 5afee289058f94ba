"""Group means, deviations and adjacent rows against pandas on the same arrays."""

import numpy as np
import pandas as pd
import pytest

from causalkit.data.panel import adjacent, demean, leave_out_means, unit_means, varies_within


@pytest.fixture(params=["balanced", "unbalanced"])
def arrays(request):
    """Values with gaps, group codes in no order, weights."""
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(30), 6)
    if request.param == "unbalanced":
        codes = np.concatenate([np.arange(30), rng.integers(0, 30, 120)])
    rng.shuffle(codes)
    values = rng.normal(3.0, 2.0, (codes.size, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, codes, rng.uniform(0.5, 2.0, codes.size)


def by_hand(values, codes, weights):
    """Weighted means of observed values, group by group."""
    out = np.full((codes.max() + 1, values.shape[1]), np.nan)
    for group in range(out.shape[0]):
        for j in range(values.shape[1]):
            seen = (codes == group) & ~np.isnan(values[:, j])
            if seen.any():
                out[group, j] = np.average(values[seen, j], weights=weights[seen])
    return out


def test_unit_means_are_those_of_groupby(arrays):
    values, codes, _ = arrays
    expected = pd.DataFrame(values).groupby(codes).mean().to_numpy()
    np.testing.assert_allclose(unit_means(values, codes), expected, rtol=1e-13)


def test_weighted_unit_means_are_those_of_average(arrays):
    values, codes, weights = arrays
    got = unit_means(values, codes, weights=weights)
    np.testing.assert_allclose(got, by_hand(values, codes, weights), rtol=1e-13)


def test_a_group_without_weight_has_its_plain_mean_and_one_without_values_none():
    values, codes = np.array([1.0, 3.0, 5.0, np.nan]), np.array([0, 0, 1, 2])
    got = unit_means(values, codes, weights=np.array([0.0, 0.0, 2.0, 1.0]), n_groups=4)
    np.testing.assert_array_equal(got[:, 0], [2.0, 5.0, np.nan, np.nan])


def test_leave_out_means_are_those_of_the_other_rows(arrays):
    values, codes, weights = arrays
    for chosen in (None, weights):
        got = leave_out_means(values, codes, weights=chosen)
        w = np.ones(codes.size) if chosen is None else chosen
        for row in range(0, codes.size, 7):
            others = (codes == codes[row]) & (np.arange(codes.size) != row)
            for j in range(3):
                seen = others & ~np.isnan(values[:, j])
                expected = np.average(values[seen, j], weights=w[seen]) if seen.any() else np.nan
                assert got[row, j] == pytest.approx(expected, rel=1e-11, nan_ok=True)


def test_a_row_without_company_has_no_leave_out_mean():
    got = leave_out_means(
        np.array([0.1, 0.2, np.nan]), np.array([0, 1, 1]), weights=np.full(3, 0.3)
    )
    np.testing.assert_array_equal(got[:, 0], [np.nan, np.nan, 0.2])


def test_deviations_are_those_of_transform(arrays):
    values, codes, weights = arrays
    frame = pd.DataFrame(values)
    expected = frame - frame.groupby(codes).transform("mean")
    np.testing.assert_allclose(demean(values, codes), expected, rtol=1e-10, atol=1e-13)
    weighted = values - by_hand(values, codes, weights)[codes]
    np.testing.assert_allclose(
        demean(values, codes, weights=weights), weighted, rtol=1e-10, atol=1e-13
    )


def test_what_varies_within_groups_is_what_has_two_values_there(arrays):
    values, codes, _ = arrays
    constant = codes * 1.5
    constant[::5] = np.nan
    table = np.column_stack([values[:, 0], constant, np.ones(codes.size)])
    expected = (pd.DataFrame(table).groupby(codes).nunique() > 1).any().to_numpy()
    assert varies_within(table, codes).tolist() == expected.tolist() == [True, False, False]


@pytest.mark.parametrize("gap", [1, 2, -1, 0])
def test_adjacent_rows_are_those_of_a_merge_on_the_calendar(gap):
    rng = np.random.default_rng(2)
    cells = rng.choice(20 * 9, 100, replace=False)
    codes, periods = cells // 9, cells % 9 - 4
    frame = pd.DataFrame({"unit": codes, "t": periods, "row": np.arange(100)})
    before = frame.assign(t=frame["t"] + gap)
    expected = frame.merge(before, on=["unit", "t"], suffixes=("", "_before")).sort_values("row")
    rows, previous = adjacent(codes, periods, gap=gap)
    assert rows.tolist() == expected["row"].tolist()
    assert previous.tolist() == expected["row_before"].tolist()


def test_adjacent_rows_do_not_cross_units_and_stand_periods_far_apart():
    rows, before = adjacent(np.array([0, 1, 1]), np.array([5, 6, 7]))
    assert (rows.tolist(), before.tolist()) == ([2], [1])
    far = np.array([0, 2**61, 2**61 + 1, 3])
    rows, before = adjacent(np.array([0, 3, 3, 3]), far)
    assert (rows.tolist(), before.tolist()) == ([2], [1])


def test_adjacent_rows_are_not_confused_where_their_keys_would_overflow():
    # 4 · (2⁶² + 2) is 8 in 64 bits: unit 4 in period 0 would follow unit 0 in period 7.
    codes, periods = np.array([0, 4, 1, 2, 3]), np.array([7, 0, 2**62, 5, 5])
    assert [part.size for part in adjacent(codes, periods)] == [0, 0]


def test_nothing_has_no_means_and_no_neighbours():
    none = np.empty(0, dtype=np.int64)
    assert unit_means(np.empty((0, 2)), none).shape == (0, 2)
    assert [part.size for part in adjacent(none, none)] == [0, 0]

"""Unbalanced panels: which rows are observed."""

import numpy as np
import pytest

from causalkit.generators.rows import observed_rows, panel_data


def draw(seed=0, **given):
    sizes = {"n_units": 400, "n_periods": 8} | given
    return observed_rows(np.random.default_rng(seed), **sizes)


def test_complete_panel_by_default_and_no_draw_is_used_up():
    rng = np.random.default_rng(0)
    assert observed_rows(rng, n_units=3, n_periods=4).all()
    assert rng.random() == np.random.default_rng(0).random()


def test_exact_share_of_rows_goes_and_two_per_unit_stay():
    seen = draw(missing_share=0.7)
    assert (~seen).sum() == round(0.7 * 3200)
    assert seen.sum(axis=1).min() == 2


def test_every_period_is_equally_likely_to_be_missing():
    # Binomial standard error of each period's share of missing rows, over 400 units.
    share = (~draw(missing_share=0.4)).mean(axis=0)
    assert np.abs(share - 0.4).max() < 4 * np.sqrt(0.4 * 0.6 / 400)


def test_every_unit_is_equally_likely_to_lose_rows():
    missing = (~draw(missing_share=0.4)).sum(axis=1)
    # Hypergeometric draws among six exposed rows per unit: variance below 6 p (1 - p), p = 3.2/6.
    assert abs(missing[:200].mean() - 3.2) < 4 * np.sqrt(6 * 0.25 / 200)


def test_late_units_miss_a_first_stretch_and_nothing_else():
    seen = draw(late_entry=0.5)
    assert (np.diff(seen.astype(int), axis=1) >= 0).all()
    late = ~seen[:, 0]
    assert late.sum() == 200
    first = seen[late].argmax(axis=1)
    assert (first.min(), first.max()) == (1, 6)


def test_first_period_of_late_units_is_uniform():
    seen = draw(late_entry=1.0)
    counts = np.bincount(seen.argmax(axis=1), minlength=7)[1:]
    expected = 400 / 6
    # Pearson statistic with 5 degrees of freedom: 25.7 is its 0.9999 quantile.
    assert ((counts - expected) ** 2 / expected).sum() < 25.7


def test_omission_applies_to_what_late_entry_left():
    late = draw(late_entry=0.5)
    both = draw(late_entry=0.5, missing_share=0.2)
    assert (late | ~both).all()
    assert both.sum() == late.sum() - round(0.2 * late.sum())
    assert both.sum(axis=1).min() >= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"missing_share": 1.0}, r"missing_share must lie in \[0, 1\), got 1.0"),
        ({"missing_share": -0.1}, r"missing_share must lie in \[0, 1\), got -0.1"),
        ({"late_entry": 1.5}, r"late_entry must lie in \[0, 1\], got 1.5"),
        ({"late_entry": 0.5, "n_periods": 2}, "late_entry needs at least 3 periods"),
        (
            {"missing_share": 0.9},
            r"would remove 2880 of 3200 rows, but each unit keeps 2, so at most 2400 can go",
        ),
    ],
)
def test_impossible_shares_say_what_is_possible(given, message):
    with pytest.raises(ValueError, match=message):
        draw(**given)


def test_cells_keep_their_unit_and_period():
    shape = (2, 3)
    cell = np.arange(6.0).reshape(shape)
    seen = np.array([[True, False, True], [False, True, True]])
    data = panel_data(
        y=cell**2,
        d=np.cos(cell),
        x=np.stack([np.sin(cell), np.exp(-cell)], axis=2),
        g0=-cell,
        seen=seen,
        estimands={"ate": 2.0},
    )
    frame = data.frame
    np.testing.assert_array_equal(frame[["unit", "time"]], [[1, 1], [1, 3], [2, 2], [2, 3]])
    index = np.array([0.0, 2.0, 4.0, 5.0])
    np.testing.assert_allclose(frame["y"], index**2)
    np.testing.assert_allclose(frame["d"], np.cos(index))
    np.testing.assert_allclose(frame["x2"], np.exp(-index))
    np.testing.assert_allclose(frame["g0"], -index)
    assert data.roles.covariates == ("x1", "x2")
    assert data.roles.extra == ("g0",)
    assert data.roles.kinds == ("continuous",)
    assert dict(data.truth.estimands) == {"ate": 2.0}

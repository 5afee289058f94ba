"""What holds for any numbers: units, order and names do not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causalkit.metrics import MEASURES, Measure, autoc, qini, toc, wilson

finite = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 4))
# The power of the unit of the estimand in each measure; 0 for pure numbers.
POWER = {
    **dict.fromkeys(["bias", "median_bias", "empirical_se", "rmse", "mae", "model_se"], 1),
    **dict.fromkeys(["mean_width", "median_width", "interval_score"], 1),
    "mse": 2,
    **dict.fromkeys(["relative_bias", "standardised_bias", "relative_se_error"], 0),
    **dict.fromkeys(["coverage", "lower_miss", "upper_miss", "bias_eliminated_coverage"], 0),
}


@st.composite
def columns(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Records of 3 to 20 replications, with intervals in order and truths that are not zero."""
    n = draw(st.integers(3, 20))
    truth = draw(arrays(np.float64, n, elements=st.floats(0.5, 9.0)))
    estimate = draw(arrays(np.float64, n, elements=finite))
    half = draw(arrays(np.float64, n, elements=st.floats(0.25, 100.0)))
    return {
        "truth": truth,
        "estimate": estimate,
        "std_error": half / 2,
        "conf_low": estimate - half,
        "conf_high": estimate + half,
    }


def computed(name: str, record: dict[str, np.ndarray]) -> Measure:
    """A measure with the bootstrap of a fixed seed."""
    return MEASURES[name].function(record, rng=np.random.default_rng(0))


def same(a: Measure, b: Measure, *, factor: float = 1.0, unit: float = 1.0) -> bool:
    """Whether b is factor times a, up to rounding in numbers of size ``unit``."""
    return b.value == pytest.approx(
        factor * a.value, rel=1e-9, abs=1e-9 * unit, nan_ok=True
    ) and b.mcse == pytest.approx(factor * a.mcse, rel=1e-6, abs=1e-6 * unit, nan_ok=True)


@pytest.mark.parametrize("name", POWER)
@settings(max_examples=40, deadline=None)
@given(record=columns(), exponent=st.integers(-20, 20))
def test_measures_change_with_the_unit_of_the_estimand_and_shares_do_not(name, record, exponent):
    # Powers of two, so that no comparison is decided by rounding.
    c = 2.0**exponent
    scaled = {key: c * values for key, values in record.items()}
    factor = c ** POWER[name]
    a, b = computed(name, record), computed(name, scaled)
    assert same(a, b, factor=factor, unit=factor)


@pytest.mark.parametrize("name", [n for n in POWER if n != "bias_eliminated_coverage"])
@settings(max_examples=30, deadline=None)
@given(record=columns(), seed=st.integers(0, 1000))
def test_the_order_of_replications_does_not_matter(name, record, seed):
    order = np.random.default_rng(seed).permutation(record["truth"].size)
    mixed = {key: values[order] for key, values in record.items()}
    assert same(computed(name, record), computed(name, mixed))


@settings(max_examples=60, deadline=None)
@given(x=st.integers(0, 200), extra=st.integers(0, 200), level=st.floats(0.5, 0.999))
def test_wilson_intervals_hold_their_share_stay_inside_and_grow_with_the_level(x, extra, level):
    n = x + extra + 1
    low, high = wilson(x / n, n, level=level)
    assert 0.0 <= low <= x / n <= high <= 1.0
    wider = wilson(x / n, n, level=(1.0 + level) / 2)
    assert wider[0] <= low
    assert high <= wider[1]


@settings(max_examples=60, deadline=None)
@given(
    ranked=st.integers(2, 25).flatmap(
        lambda n: st.tuples(
            arrays(np.int64, n, elements=st.integers(-5, 5)),
            arrays(np.float64, n, elements=finite),
        )
    ),
    shift=finite,
)
def test_rankings_depend_on_order_alone_and_on_effects_up_to_their_level(ranked, shift):
    priority, score = ranked
    curve = toc(priority, score)
    unit = 1.0 + np.abs(score).max() + abs(shift)
    assert toc(np.exp(priority), 2.0 * score + shift) == pytest.approx(2 * curve, abs=1e-10 * unit)
    assert autoc(priority**3, score + shift) == pytest.approx(
        autoc(priority, score), abs=1e-10 * unit
    )
    assert qini(priority, -score) == pytest.approx(-qini(priority, score), abs=1e-10 * unit)
    assert curve[-1] == pytest.approx(0.0, abs=1e-10 * unit)
    assert math.isfinite(curve.sum())

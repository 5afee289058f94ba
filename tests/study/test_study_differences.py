"""Paired differences of measures that are no means."""

import math

import numpy as np
import pytest
from handmade_results import pick, records_of, results_of

from causalkit.metrics import MEASURES
from causalkit.study.summary import summarise

SMOOTH = ["empirical_se", "rmse", "model_se", "relative_se_error", "se_ratio", "standardised_bias"]


def two(size=600, lost=()):
    """Two estimators with related errors, of which the second has too small standard errors."""
    rng = np.random.default_rng(5)
    a = 0.3 + rng.standard_normal(size)
    b = 0.5 * a + rng.exponential(size=size)
    se_a, se_b = 1.0 + 0.1 * np.abs(a), 0.5 + 0.1 * np.abs(b)
    status = np.where(np.isin(np.arange(size), lost), "error", "ok")
    records = (
        records_of("c", "a", a, truth=0.0).assign(std_error=se_a),
        records_of("c", "b", b, truth=0.0, status=status).assign(std_error=se_b),
    )
    return records, (a, se_a), (b, se_b)


def value_of(name, errors, std_errors):
    columns = {"estimate": errors, "truth": np.zeros(errors.size), "std_error": std_errors}
    return MEASURES[name].function(columns).value


@pytest.mark.parametrize("name", SMOOTH)
def test_the_error_of_a_difference_is_that_of_the_jackknife_of_pairs(name):
    records, a, b = two()
    row = pick(
        summarise(results_of(*records), measures=[name], reference="A"),
        estimator="B",
        measure=name,
    )
    assert row["difference"] == pytest.approx(value_of(name, *b) - value_of(name, *a))
    left = [
        value_of(name, *(np.delete(x, i) for x in b))
        - value_of(name, *(np.delete(x, i) for x in a))
        for i in range(600)
    ]
    # Second-order terms, which the jackknife has as well, are of the order of max z²/R = .06.
    assert row["difference_mcse"] == pytest.approx(math.sqrt(599 * np.var(left)), rel=0.06)
    apart = [pick(summarise(results_of(r), measures=[name]), measure=name)["mcse"] for r in records]
    assert abs(row["difference_mcse"] / math.hypot(*apart) - 1.0) > 0.02


def test_only_replications_that_both_have_enter():
    records, a, b = two(lost=range(100))
    row = pick(
        summarise(results_of(*records), measures=["rmse"], reference="A"),
        estimator="B",
        measure="rmse",
    )
    expected = value_of("rmse", *(x[100:] for x in b)) - value_of("rmse", *(x[100:] for x in a))
    assert row["difference"] == pytest.approx(expected)


def test_equal_estimators_differ_by_nothing_without_error():
    (records, _), *_ = two(size=40)
    both = results_of(records, records.assign(est_id="b"))
    table = summarise(both, reference="A").query("estimator == 'B'")
    table = table[table["difference"].notna() | table["measure"].isin(SMOOTH)]
    assert set(SMOOTH) | {"bias", "coverage", "mse", "mean_width"} <= set(table["measure"])
    assert (table["difference"] == 0.0).all()
    assert (table["difference_mcse"] == 0.0).all()
    precision = summarise(both, measures=["relative_precision"], reference="A").iloc[0]
    assert (precision["value"], precision["mcse"]) == (0.0, 0.0)


def test_two_replications_tell_no_error_of_a_difference_of_spreads():
    records = (
        records_of("c", "a", np.array([0.0, 1.0]), truth=0.0),
        records_of("c", "b", np.array([0.0, 3.0]), truth=0.0),
    )
    table = summarise(results_of(*records), measures=["empirical_se"], reference="A")
    row = pick(table, estimator="B", measure="empirical_se")
    assert row["difference"] == pytest.approx(math.sqrt(2.0))
    assert math.isnan(row["difference_mcse"])

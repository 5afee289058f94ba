"""Products of covariates that rows are too few for: found, noted and warned of."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import DroppedRowsWarning
from causalkit.nuisance import CrossFit
from causalkit.panel.approaches import APPROACHES
from causalkit.panel.design import Options
from causalkit.panel.products import warn_of_products
from causalkit.panel.sample import panel_sample


def panel(n_covariates=12, n_units=60):
    return ck.generators.panel_cp2025(
        1000, dgp=3, n_units=n_units, n_periods=8, n_covariates=n_covariates
    ).blind()


def test_the_default_removes_confounding_by_a_product_when_rows_are_few():
    # 480 rows for 102 terms and their means. Without products the estimate is near 1.
    est = ck.PanelDML(random_state=0).fit(panel())
    row = est.estimate()
    assert abs(row.estimate - 0.5) < 3 * row.std_error
    assert row.std_error < 0.08
    for chosen in est.diagnostics_["learners"].values():
        assert "lasso with products" in chosen
    assert "66 pairwise products" in row.summary()
    assert "learner='auto' tries them" in " ".join(row.summary().split())
    assert not row.warnings


# With 46 covariates and few rows ridge leaves unit means in the treatment residual.
@pytest.mark.filterwarnings("ignore::causalkit.errors.IdentificationWarning")
@pytest.mark.parametrize(
    ("n_covariates", "mend"),
    [
        (12, "learner='auto' tries them"),
        (46, r"PolynomialFeatures\(degree=2, include_bias=False\)"),
    ],
)
def test_a_learner_that_cannot_see_products_warns_and_names_the_mend(n_covariates, mend):
    with pytest.warns(DroppedRowsWarning, match=f"outcome, treatment cannot see them; .*{mend}"):
        est = ck.PanelDML(learner="ridge", random_state=0).fit(panel(n_covariates))
    assert any("pairwise products" in text for text in est.estimate().warnings)


@pytest.mark.parametrize(
    ("chosen", "wide", "warns"),
    [
        ("auto: lasso in 5 of 5", False, True),
        ("auto: lasso in 5 of 5", True, False),
        ("auto: boosting alone for missing values in 5 of 5", False, False),
        ("boosting", False, False),
        ("given", False, False),
        ("lasso", True, True),
    ],
)
def test_warning_follows_what_the_learner_could_see(chosen, wide, warns):
    sight = SimpleNamespace(left_out="no products", wide=object() if wide else None)
    hats = CrossFit({}, {"outcome": chosen})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_products(SimpleNamespace(outcome=sight), hats)
    assert bool(caught) == warns


def test_a_propensity_is_warned_of_although_the_outcome_tries_products():
    sight = SimpleNamespace(left_out="no products", wide=object())
    chosen = {"mu1": "auto: lasso in 5 of 5", "propensity": "auto: lasso in 5 of 5"}
    with pytest.warns(DroppedRowsWarning, match="regressions of propensity cannot see them; basis"):
        warn_of_products(SimpleNamespace(outcome=sight), CrossFit({}, chosen))


def wide_products(approach, sample):
    """The columns that the wide features add to the full ones."""
    sight = APPROACHES[approach](sample, Options()).outcome
    rows = np.arange(sight.full.n_rows)
    return sight.wide.take(rows)[:, sight.full.n_features :]


def test_products_enter_as_the_approach_needs_them():
    sample = panel_sample(panel(n_units=30))
    z = (sample.x - sample.x.mean(axis=0)) / sample.x.std(axis=0)
    a, b = np.triu_indices(12, 1)
    products = z[:, a] * z[:, b]
    cube = products.reshape(30, 8, -1)
    deviations = (cube - cube.mean(axis=1, keepdims=True)).reshape(240, -1)
    changes = np.diff(cube, axis=1).reshape(210, -1)
    for approach, expected in {
        "pooled": products,
        "cre": deviations,
        "cre_general": deviations,
        "hybrid": deviations,
        "within": deviations,
        "late_within": products,
        "dummies": products,
        "fd": changes,
    }.items():
        np.testing.assert_allclose(wide_products(approach, sample), expected, atol=1e-10)


def test_terms_enter_as_deviations_where_their_means_are_beside_them():
    sample = panel_sample(panel(n_units=30))
    rows = np.arange(240)
    seen = APPROACHES["cre"](sample, Options()).outcome
    full, wide = seen.full.take(rows), seen.wide.take(rows)
    cube = full[:, :36].reshape(30, 8, -1)
    deviations = (cube - cube.mean(axis=1, keepdims=True)).reshape(240, -1)
    np.testing.assert_allclose(wide[:, :36], deviations, atol=1e-10)
    np.testing.assert_array_equal(wide[:, 36:73], full[:, 36:])  # means, and that of the treatment


def test_no_wide_features_where_products_fit_or_covariates_are_missing():
    few = panel_sample(panel(n_covariates=3))
    assert APPROACHES["cre"](few, Options()).outcome.wide is None
    data = panel()
    frame = data.frame.copy()
    frame.loc[frame.index[3], "x1"] = np.nan
    roles = {"outcome": "y", "treatment": "d", "unit": "unit", "time": "time"}
    covariates = [f"x{j}" for j in range(1, 13)]
    holes = ck.CausalData.from_frame(
        pd.DataFrame(frame), covariates=covariates, missing="native", **roles
    )
    seen = APPROACHES["cre"](panel_sample(holes), Options()).outcome
    assert seen.wide is None
    assert seen.left_out == "basis without the 66 pairwise products (too many for 480 rows)"

"""The dictionary and its unit means: what they are, and what naive versions get wrong."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError, DroppedRowsWarning
from causalkit.nuisance.basis import cubic, make_basis
from causalkit.panel.mundlak import unit_moments


def test_cubic_spans_what_polynomial_features_span():
    x = np.random.default_rng(0).standard_normal((400, 3))
    basis = cubic(x)
    ours = np.column_stack([np.ones(400), basis(x)])
    squares = PolynomialFeatures(2).fit_transform(x)
    theirs = np.column_stack([squares, x**3])
    assert basis.n_terms == 3 + 6 + 3
    for wanted, given in ((theirs, ours), (ours, theirs)):
        left = wanted - given @ np.linalg.lstsq(given, wanted, rcond=None)[0]
        assert np.abs(left).max() < 1e-8


def test_names_of_terms_say_what_they_are():
    basis = cubic(np.random.default_rng(0).standard_normal((400, 2)))
    assert basis.names(("age", "pay")) == (
        "age", "pay", "age^2", "age^3", "pay^2", "pay^3", "age*pay",
    )  # fmt: skip


def test_binary_columns_get_no_powers_and_three_values_no_cube():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 2, 300), rng.integers(0, 3, 300)]).astype(float)
    assert cubic(x).powers == ((1, 2),)


def test_an_outlier_has_bounded_powers_and_an_unbounded_line():
    x = np.random.default_rng(0).standard_normal((1000, 1))
    x[0] = 1000.0
    basis = cubic(x)
    line, square, cube = basis(x)[0]
    assert line == pytest.approx((1000.0 - x.mean()) / x.std())
    assert square == pytest.approx(25.0)
    assert cube == pytest.approx(125.0)


def test_products_that_the_rows_cannot_carry_are_left_out_and_the_summary_says_so():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(60), 4)
    columns = {f"x{j}": rng.standard_normal(240) for j in range(10)}
    frame = pd.DataFrame({"y": rng.standard_normal(240), "d": rng.standard_normal(240), **columns})
    frame["unit"] = unit
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates=list(columns), unit="unit"
    )
    with pytest.warns(DroppedRowsWarning, match="45 pairwise products"):
        result = ck.PanelDML(learner="ridge", random_state=0).fit(data).estimate()
    assert "without the 45 pairwise products (too many for 240 rows)" in " ".join(
        result.summary().split()
    )


def test_splines_are_constant_beyond_the_outer_knots():
    x = np.linspace(0.0, 1.0, 200)[:, None]
    basis = make_basis("spline", x)
    np.testing.assert_allclose(basis(np.array([[5.0]])), basis(np.array([[1.0]])))
    assert basis.n_terms == SplineTransformer(n_knots=5, include_bias=False).fit(x).n_features_out_


@pytest.mark.parametrize(
    ("basis", "error", "words"),
    [
        ("quartic", ArgumentError, "'quartic'.*cubic, spline"),
        (PolynomialFeatures, ArgumentTypeError, "transformer instance"),
        (SplineTransformer(sparse_output=True), ArgumentError, "SplineTransformer.*dense"),
        (3, ArgumentTypeError, "got 3"),
    ],
)
def test_an_unusable_basis_is_refused(basis, error, words):
    with pytest.raises(error, match=words):
        make_basis(basis, np.random.default_rng(0).random((50, 2)))


def test_a_transformer_as_basis_is_averaged_after_the_transformation():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(30), 5)
    x = rng.standard_normal((150, 1))
    basis = make_basis(PolynomialFeatures(2, include_bias=False), x)
    moments = unit_moments(x, basis, basis.n_terms, unit, None)
    squares = pd.Series(x[:, 0] ** 2).groupby(unit).mean().to_numpy()
    np.testing.assert_allclose(moments.means[:, 1], squares)
    assert not np.allclose(moments.means[:, 1], moments.means[:, 0] ** 2)


@pytest.mark.parametrize("chunk", [1, 7, 64, 2**21])
def test_moments_by_unit_equal_pandas_whatever_the_chunk(chunk, monkeypatch):
    monkeypatch.setattr("causalkit.panel.mundlak._CHUNK_VALUES", chunk)
    rng = np.random.default_rng(0)
    unit = np.sort(rng.integers(0, 20, 100))
    unit = np.unique(unit, return_inverse=True)[1]
    x = rng.standard_normal((100, 3))
    x[:, 2] = unit
    x[3, 0] = np.nan
    weights = rng.uniform(0.5, 2.0, 100)
    moments = unit_moments(x, None, 3, unit, weights)
    for column in range(3):
        frame = pd.DataFrame({"x": x[:, column], "w": weights, "unit": unit}).dropna()
        for code, part in frame.groupby("unit"):
            mean = np.average(part["x"], weights=part["w"])
            spread = np.sqrt(np.average((part["x"] - mean) ** 2, weights=part["w"]))
            assert moments.means[code, column] == pytest.approx(mean)
            assert moments.spread[code, column] == pytest.approx(spread, abs=1e-12)
    assert moments.varies.tolist() == [True, True, False]


def test_means_of_the_basis_remove_the_bias_that_a_basis_of_means_keeps():
    errors = {"basis": [], "naive": []}
    for k in range(24):
        made = ck.generators.panel_fp2024(100 + k, n_units=200, gamma=1.0, delta=1.0).blind()
        fitted = ck.PanelDML(learner="ridge", random_state=0).fit(made)
        errors["basis"].append(fitted.estimate().estimate - 1.0)
        # b(mean x): the mean as a covariate, its powers taken by the dictionary, no means of b.
        frame = made.frame.assign(
            m=made.frame.groupby("unit")["x1"].transform("mean"),
            dm=made.frame.groupby("unit")["d"].transform("mean"),
        )
        naive = ck.CausalData.from_frame(
            frame, outcome="y", treatment="d", covariates=["x1", "m", "dm"], unit="unit"
        )
        pooled = ck.PanelDML(approach="pooled", learner="ridge", random_state=0).fit(naive)
        errors["naive"].append(pooled.estimate().estimate - 1.0)
    bias = {name: np.mean(values) for name, values in errors.items()}
    mcse = {name: np.std(values, ddof=1) / np.sqrt(24) for name, values in errors.items()}
    assert abs(bias["basis"]) <= 4 * mcse["basis"]
    assert bias["naive"] > 4 * mcse["naive"]


def test_standardising_first_changes_nothing_in_the_cubic_dictionary():
    x = np.random.default_rng(0).gamma(2.0, 100.0, (300, 2))
    np.testing.assert_allclose(cubic(x)(x), cubic(StandardScaler().fit_transform(x))(
        StandardScaler().fit_transform(x)
    ))  # fmt: skip


def test_frequency_weights_set_up_the_basis_of_repeated_rows():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((60, 3))
    x[rng.random(x.shape) < 0.1] = np.nan
    counts = rng.integers(1, 4, 60)
    weighted = cubic(x, weights=counts.astype(float), n_rows=counts.sum())
    repeated = cubic(np.repeat(x, counts, axis=0))
    assert np.allclose(weighted.centre, repeated.centre, rtol=1e-12)
    assert np.allclose(weighted.scale, repeated.scale, rtol=1e-12)
    assert weighted.powers == repeated.powers
    assert np.array_equal(weighted.pairs, repeated.pairs)


def test_products_that_are_left_out_are_kept_aside_up_to_a_thousand():
    x = np.random.default_rng(0).standard_normal((6000, 46))
    assert cubic(x[:, :30]).too_many is None
    aside = cubic(x[:, :45]).too_many
    assert aside.n_terms == 990
    few = cubic(x[:, :3])
    np.testing.assert_allclose(cubic(x[:40, :3]).too_many(x[:40, :3]).shape, (40, 3))
    np.testing.assert_allclose(aside(x[:, :45])[:, :2], few(x[:, :3])[:, -3:-1])
    dropped = cubic(x)
    assert dropped.too_many is None
    assert dropped.notes == ("basis without the 1035 pairwise products (more than 500)",)

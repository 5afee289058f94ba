"""Policies for missing values: what stays, what goes, and that imputers learn inside folds."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import KNNImputer, SimpleImputer

import causalkit as ck
from causalkit.data import CausalData
from causalkit.data.imputer import MedianModeImputer
from causalkit.data.missing import training_fold_imputer
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError

ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x", "b"]}


def table():
    """20 rows, with holes in outcome (2), treatment (1, in a row without outcome), covariates."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=20),
            "d": rng.integers(0, 2, 20).astype(float),
            "x": rng.lognormal(size=20),
            "b": rng.integers(0, 2, 20).astype(float),
            "note": ["n"] * 20,
            "unit": np.repeat(np.arange(5), 4),
            "year": np.tile([1, 2, 3, 4], 5),
        }
    )
    frame.loc[[3, 9], "y"] = np.nan
    frame.loc[9, "d"] = np.nan
    frame.loc[[0, 3, 12], "x"] = np.nan
    frame.loc[12, "b"] = np.nan
    frame.loc[7, "note"] = None
    return frame


def test_raise_is_the_default():
    with pytest.raises(DataError) as caught:
        CausalData.from_frame(table(), **ROLES)
    assert [p.code[:3] for p in caught.value.problems] == ["E04", "E05", "E07", "E07"]


def test_drop_counts_each_row_once_and_keeps_its_identity():
    frame = table()
    data = CausalData.from_frame(frame, **ROLES, extra="note", missing="drop")
    complete = frame.dropna(subset=["y", "d", "x", "b"])
    np.testing.assert_array_equal(data.column("outcome"), complete["y"])
    assert data.dropped == {"y missing": 2, "x missing": 2}
    assert data.dropped_ids == (0, 3, 9, 12)


def test_identities_are_unit_and_time_in_a_panel():
    data = CausalData.from_frame(table(), **ROLES, unit="unit", time="year", missing="drop")
    assert data.dropped_ids == ((0, 1), (0, 4), (2, 2), (3, 1))
    units = CausalData.from_frame(table(), **ROLES, unit="unit", missing="drop")
    assert units.dropped_ids == (0, 0, 2, 3)


@pytest.mark.parametrize("policy", ["indicator", "native", KNNImputer()], ids=str)
def test_other_policies_keep_missing_covariates_and_drop_the_rest(policy):
    data = CausalData.from_frame(table(), **ROLES, missing=policy)
    assert data.n == 18
    assert data.dropped == {"y missing": 2}
    assert np.isnan(data.matrix("covariates")).sum() == 3
    assert data.missing is policy


def test_drop_takes_the_truth_along():
    truth = ck.data.Truth({"ate": 0.0}, cate=np.arange(20.0))
    data = CausalData.from_frame(table(), **ROLES, missing="drop", truth=truth)
    assert data.truth.cate.tolist() == [i for i in range(20) if i not in (0, 3, 9, 12)]


def test_levels_that_only_dropped_rows_had_are_gone():
    frame = table().assign(g=pd.Categorical(["rare"] + list("ab") * 9 + ["a"]))
    roles = ROLES | {"covariates": ["x", "b", "g"]}
    kept = CausalData.from_frame(frame, **roles, missing="native")
    assert kept.matrix_names("covariates") == ("x", "b", "g=b", "g=rare")
    data = CausalData.from_frame(frame, **roles, missing="drop")
    assert data.matrix_names("covariates") == ("x", "b", "g=b")


def test_nothing_left_is_said():
    frame = table().assign(x=np.nan)
    with pytest.raises(DataError, match=r"no rows are left of 20: .*x missing in 18"):
        CausalData.from_frame(frame, **ROLES, missing="drop")


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        ("dorp", ArgumentError, "unknown missing 'dorp'. Did you mean 'drop'"),
        (KNNImputer, ArgumentTypeError, "an object, not a class"),
        (0, ArgumentTypeError, "must be one of raise, drop, indicator, native"),
    ],
)
def test_an_unknown_policy_is_refused(policy, error, message):
    with pytest.raises(error, match=message):
        CausalData.from_frame(table(), **ROLES, missing=policy)


def holes(seed, *, binary=False):
    """Training and test rows with 15 % missing values."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=(60, 4))
    if binary:
        values = (values > 0.7) * 1.0
    values[rng.random(values.shape) < 0.15] = np.nan
    return values[:40], values[40:]


@pytest.mark.parametrize(("binary", "strategy"), [(False, "median"), (True, "most_frequent")])
def test_the_indicator_policy_is_the_simple_imputer_with_indicators(binary, strategy):
    train, test = holes(1, binary=binary)
    peer = SimpleImputer(strategy=strategy, add_indicator=True).fit(train)
    ours = MedianModeImputer().fit(train)
    np.testing.assert_allclose(ours.transform(train), peer.transform(train), rtol=1e-15)
    np.testing.assert_allclose(ours.transform(test), peer.transform(test), rtol=1e-15)
    assert ours.get_feature_names_out(["a", "b", "c", "d"]).tolist() == [
        *("a", "b", "c", "d", "a_missing", "b_missing", "c_missing", "d_missing")
    ]


def test_columns_that_are_missing_together_share_a_flag_and_complete_ones_have_none():
    train = np.array([[1.0, 2.0, 5.0], [np.nan, np.nan, 6.0], [3.0, 4.0, 7.0]])
    imputer = MedianModeImputer().fit(train)
    expected = [[1, 2, 5, 0], [2, 3, 6, 1], [3, 4, 7, 0]]
    assert imputer.transform(train).tolist() == expected
    # A hole in a column that was complete in training is filled, not flagged.
    assert imputer.transform([[1.0, 2.0, np.nan]]).tolist() == [[1, 2, 6, 0]]


def test_a_column_without_a_value_is_filled_with_zero_and_widths_are_checked():
    imputer = MedianModeImputer().fit([[np.nan, 1.0], [np.nan, 2.0]])
    assert imputer.transform([[np.nan, 1.0], [5.0, 2.0]]).tolist() == [[0, 1, 1], [5, 2, 0]]
    with pytest.raises(ArgumentError, match="expected 2 columns as in training, got 3"):
        imputer.transform(np.ones((1, 3)))


def test_a_policy_gives_the_transformer_for_training_folds():
    imputer = KNNImputer()
    assert training_fold_imputer(imputer) is imputer
    assert isinstance(training_fold_imputer("indicator"), MedianModeImputer)
    assert [training_fold_imputer(policy) for policy in ("raise", "drop", "native")] == [None] * 3


class Recorder(SimpleImputer):
    """Imputer that keeps the rows that it was fitted on."""

    seen: ClassVar[list[np.ndarray]] = []

    def fit(self, X, y=None):
        Recorder.seen.append(np.asarray(X))
        return super().fit(X, y)


def test_imputers_are_fitted_on_training_folds_only():
    rng = np.random.default_rng(3)
    n = 120
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": rng.normal(size=n),
            "x": np.arange(n, dtype=float),
            "unit": np.arange(n) // 4,
            "year": np.arange(n) % 4,
        }
    )
    frame.loc[::7, "x"] = np.nan
    data = CausalData.from_frame(
        frame, **(ROLES | {"covariates": "x"}), unit="unit", time="year", missing=Recorder()
    )
    Recorder.seen.clear()
    ck.PanelDML(approach="pooled", learner="linear", n_folds=3, random_state=0).fit(data)
    assert Recorder.seen
    assert all(rows.shape[0] == 2 * n // 3 for rows in Recorder.seen)


def repeated(missing="raise", **columns):
    """Two units over two periods, the first row once more."""
    frame = pd.DataFrame(
        {
            "u": [1, 1, 2, 2, 1],
            "t": [1, 2, 1, 2, 1],
            "y": [1.0, 2.0, 3.0, 4.0, 5.0],
            "d": [0, 1, 0, 1, 0],
            "x": [1.0, 2.0, 3.0, 4.0, 3.0],
            "c": [1, 1, 2, 2, 1],
        }
    ).assign(**columns)
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates="x",
        unit="u",
        time="t",
        cluster="c",
        missing=missing,
        on_duplicate="mean",
    )


@pytest.mark.parametrize("column", ["x", "y"])
def test_a_value_that_some_repeats_lack_is_named_and_not_averaged_away(column):
    lacking = {column: [1.0, 5.0, 3.0, 4.0, np.nan]}
    with pytest.raises(DataError, match=rf"'{column}' is missing in some .* \(1, 1\) and given"):
        repeated(**lacking)
    assert repeated("drop", **lacking).frame[column].tolist() == [1.0, 5.0, 3.0, 4.0]


def test_a_value_that_all_repeats_lack_is_missing_as_elsewhere():
    with pytest.raises(DataError, match=r"\[E07-nan-covariate\] column 'x'"):
        repeated(x=[np.nan, 2.0, 3.0, 4.0, np.nan])


def test_repeats_of_covariates_that_may_be_missing_are_averages_of_what_is_there():
    data = repeated("native", x=[np.nan, 2.0, 3.0, 4.0, 7.0])
    assert data.frame["x"].tolist() == [7.0, 2.0, 3.0, 4.0]
    assert data.frame["y"].tolist() == [3.0, 2.0, 3.0, 4.0], "of both rows"


def test_repeats_are_averaged_but_for_identifiers_and_arms():
    data = repeated()
    assert data.frame["y"].tolist() == [3.0, 2.0, 3.0, 4.0]
    assert data.frame["x"].tolist() == [2.0, 2.0, 3.0, 4.0]
    assert data.frame["c"].tolist() == [1, 1, 2, 2]
    assert data.roles.kinds == ("binary",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"c": [1, 1, 2, 2, 3]}, r"'c' has several values for \(unit, time\) \(1, 1\)"),
        ({"d": [0, 1, 0, 1, 1]}, r"'d' has several values .* cannot be averaged; choose one row"),
        ({"u": [1.0, 1.0, np.nan, 2.0, 1.0]}, r"\[E06-nan-id\] column 'u'"),
    ],
)
def test_what_has_no_mean_is_not_averaged(columns, message):
    with pytest.raises(DataError, match=message):
        repeated(**columns)


@pytest.mark.parametrize("policy", ["indicator", "native", KNNImputer()])
@pytest.mark.parametrize("role", ["covariates", "modifiers"])
def test_a_covariate_without_any_value_is_named_where_missing_values_are_let_through(policy, role):
    frame = table().assign(q=np.nan)
    roles = {"outcome": "y", "treatment": "d", role: ["x", "q"]}
    with pytest.raises(DataError, match=r"\[E07.*'q' is missing in every row"):
        CausalData.from_frame(frame, **roles, missing=policy)


def test_rows_that_are_all_left_out_are_counted_by_the_column_that_lacks_them():
    frame = table().assign(q=np.nan)
    roles = ROLES | {"covariates": ["x", "q"]}
    with pytest.raises(DataError, match=r"no rows are left of 20: y missing in 2, x missing in 2,"):
        CausalData.from_frame(frame, **roles, missing="drop")
    with pytest.raises(DataError, match="q missing in 16") as caught:
        CausalData.from_frame(frame, **roles, missing="drop")
    assert (caught.value.code, caught.value.column) == ("E10-constant-outcome", "q")

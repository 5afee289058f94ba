"""Roles, treatment kinds, weights, codes, and that the blind see no truth."""

import pickle
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData, Roles, Truth
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError


def table(n=12):
    """Columns of many types."""
    rng = np.random.default_rng(9)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "y2": rng.normal(size=n),
            "d": [0, 1] * (n // 2),
            "x": rng.normal(size=n),
            "m": rng.normal(size=n),
            "flag": rng.random(n) < 0.5,
            "g": pd.Categorical(rng.choice(list("abc"), n)),
            "w": rng.uniform(1, 2, n),
            "unit": np.repeat(np.arange(n // 3), 3),
            "t": np.tile([1, 2, 3], n // 3),
        }
    )


def made(**roles):
    """Data of the table."""
    return CausalData.from_frame(table(), **({"outcome": "y", "treatment": "d"} | roles))


def test_modifiers_may_be_covariates_and_a_cluster_may_be_the_unit():
    data = made(covariates=["x", "m"], modifiers="m", unit="unit", cluster="unit")
    assert data.roles.modifiers == ("m",)
    assert data.clusters()[0].tolist() == data.codes("unit").tolist()


@pytest.mark.parametrize(
    "roles",
    [
        {"covariates": "y"},
        {"covariates": "d"},
        {"instruments": "x", "covariates": "x"},
        {"modifiers": "d"},
        {"weights": "x", "weight_kind": "sampling", "covariates": "x"},
        {"strata": "unit", "unit": "unit"},
        {"extra": "y"},
    ],
    ids=lambda roles: " ".join(roles),
)
def test_any_other_overlap_is_refused(roles):
    with pytest.raises(DataError, match="E02"):
        made(**roles)


def test_roles_by_name_are_tuples():
    roles = made(covariates=["x", "g"], unit="unit", modifiers="x").roles
    assert roles.columns("covariates") == ("x", "g")
    assert roles.columns("unit") == ("unit",)
    assert roles.columns("weights") == ()
    assert roles.all_columns() == ("y", "d", "x", "g", "unit")
    with pytest.raises(ArgumentError, match=r"'covariate'.*Did you mean 'covariates'"):
        roles.columns("covariate")


@pytest.mark.parametrize(
    ("roles", "error", "message"),
    [
        ({"unit": ["unit"]}, ArgumentTypeError, r"unit must be one column name .*got \['unit'\]"),
        ({"covariates": [1]}, ArgumentTypeError, r"covariates must be a column name or a list"),
        ({"covariates": 3}, ArgumentTypeError, "got 3"),
        ({"cluster": ["unit", "t", "g"]}, ArgumentError, "at most two cluster columns.*got 3"),
        ({"outcome": []}, ArgumentError, r"at least one outcome column: outcome=\.\.\."),
        ({"kinds": ["binary", "multi"]}, ArgumentError, "kinds has 2 entries for 1 treatments"),
        ({"kinds": "binry"}, ArgumentError, "treatment kind 'binry'. Did you mean 'binary'"),
    ],
)
def test_roles_of_the_wrong_form_are_refused(roles, error, message):
    with pytest.raises(error, match=message):
        made(**roles)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1] * 6, "binary"),
        ([0.0, 1.0] * 6, "binary"),
        ([True, False] * 6, "binary"),
        (["no", "yes"] * 6, "binary"),
        (["no", "yes", "maybe"] * 4, "multi"),
        (pd.Categorical(["a", "b"] * 6, categories=["a", "b", "c"]), "binary"),
        ([1, 2] * 6, "continuous"),
        ([0, 1, 2] * 4, "continuous"),
        (np.linspace(0, 1, 12), "continuous"),
        (pd.array([0, 1] * 6, dtype="Int8"), "binary"),
    ],
)
def test_the_kind_of_a_treatment_is_inferred_once(values, kind):
    data = CausalData.from_frame(table().assign(d=values), outcome="y", treatment="d")
    assert data.roles.kinds == (kind,)
    # Rows of one arm do not change what the treatment is.
    assert data.subset(slice(0, 12, 3)).roles.kinds == (kind,)


def test_a_declared_kind_overrides_the_inferred_one():
    frame = table().assign(d=np.tile([0, 1, 2], 4))
    data = CausalData.from_frame(frame, outcome="y", treatment="d", kinds="dose")
    assert data.roles.kinds == ("dose",)


def test_of_two_text_arms_the_second_in_sorted_order_is_treated():
    data = CausalData.from_frame(table().assign(d=["b", "a"] * 6), outcome="y", treatment="d")
    assert data.column("treatment").tolist() == [1.0, 0.0] * 6
    assert data.matrix_names("treatment") == ("d=b",)


def test_the_matrix_is_that_of_pandas_dummies_without_the_first():
    data = made(covariates=["x", "flag", "g"])
    expected = pd.get_dummies(table()[["x", "flag", "g"]], drop_first=True, dtype=float)
    assert data.matrix_names("covariates") == ("x", "flag", "g=b", "g=c")
    np.testing.assert_array_equal(data.matrix("covariates"), expected.to_numpy(dtype=float))


def test_the_matrix_is_made_once_for_a_type_and_is_read_only():
    data = made(covariates=["x", "g"])
    assert data.matrix("covariates") is data.matrix("covariates")
    single = data.matrix("covariates", dtype="float32")
    assert single.dtype == np.float32
    assert single is data.matrix("covariates", dtype=np.float32)
    assert data.matrix("covariates").dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        data.matrix("covariates")[0, 0] = 0.0


def test_nullable_columns_become_numbers_with_nan():
    frame = table().assign(x=pd.array([None, *range(11)], dtype="Int64"))
    roles = {"outcome": "y", "treatment": "d", "covariates": "x", "missing": "native"}
    got = CausalData.from_frame(frame, **roles).column("covariates")
    np.testing.assert_array_equal(got, [np.nan, *range(11)])


def test_a_column_is_for_one_column():
    with pytest.raises(ArgumentError, match=r"'covariates' has 2 columns \(x, m\).*matrix\("):
        made(covariates=["x", "m"]).column("covariates")
    with pytest.raises(ArgumentError, match=r"'unit'.*codes\(\.\.\.\)"):
        CausalData.from_frame(
            table().assign(unit=list("abcd" * 3)), outcome="y", treatment="d", unit="unit"
        ).matrix("unit")


def test_codes_follow_sorted_labels_whatever_their_type_and_row_order():
    frame = table()
    numbers = made(unit="unit").codes("unit")
    assert numbers.tolist() == frame["unit"].tolist()
    for labels in (frame["unit"].astype(str), frame["unit"] * 10**12, frame["unit"] - 2.0):
        named = CausalData.from_frame(
            frame.assign(unit=labels), outcome="y", treatment="d", unit="unit"
        )
        assert named.codes("unit").tolist() == numbers.tolist()
    order = np.random.default_rng(0).permutation(12)
    shuffled = CausalData.from_frame(frame.iloc[order], outcome="y", treatment="d", unit="unit")
    assert shuffled.codes("unit").tolist() == numbers[order].tolist()
    assert shuffled.levels("unit").tolist() == [0, 1, 2, 3]


def test_numbers_as_text_sort_as_numbers_and_an_ordered_category_as_it_says():
    frame = table().assign(unit=[str(u) for u in np.repeat([100, 9, 20, 3], 3)])
    data = CausalData.from_frame(frame, outcome="y", treatment="d", unit="unit")
    assert data.levels("unit").tolist() == ["3", "9", "20", "100"]
    order = ["low", "mid", "high"]
    frame = table().assign(unit=pd.Categorical(order * 4, categories=order, ordered=True))
    data = CausalData.from_frame(frame, outcome="y", treatment="d", strata="unit")
    assert data.codes("strata").tolist() == [0, 1, 2] * 4
    assert data.levels("strata").tolist() == order


def test_weights_are_there_if_named_and_clusters_in_the_order_named():
    assert made().weights() is None
    assert made().clusters() == ()
    data = made(weights="w", weight_kind="sampling", unit="unit", cluster=["t", "unit"])
    np.testing.assert_array_equal(data.weights(), table()["w"])
    assert [codes.max() + 1 for codes in data.clusters()] == [3, 4]
    with pytest.raises(ArgumentError, match=r"2 cluster columns \(t, unit\)"):
        data.codes("cluster")


def secret():
    """Data whose truth can be told from anything else by its bytes."""
    truth = Truth({"planted-estimand": 123.456}, cate=np.full(12, 77777.25), scope="sample")
    return CausalData.from_frame(
        table(), outcome="y", treatment="d", covariates=["x", "g"], truth=truth
    )


def reachable(thing, seen=None):
    """Objects that can be reached through attributes and items."""
    seen = {} if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | str | bytes | int | float):
        return seen
    seen[id(thing)] = thing
    below = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    below += thing.values() if isinstance(thing, dict) else []
    below += thing if isinstance(thing, list | tuple | set) else []
    for part in below:
        reachable(part, seen)
    return seen


def test_blind_data_lead_to_no_truth_by_attribute_memory_or_pickle():
    data = secret()
    data.matrix("covariates"), data.codes, data.digest()
    assert any(isinstance(part, Truth) for part in reachable(data).values())
    assert b"planted-estimand" in pickle.dumps(data)
    for blind in (
        data.blind(),
        data.blind().subset(range(6)),
        pickle.loads(pickle.dumps(data)).blind(),
    ):
        assert blind.truth is None
        assert not any(isinstance(part, Truth) for part in reachable(blind).values())
        assert b"planted-estimand" not in pickle.dumps(blind)
        assert np.float64(77777.25).tobytes() not in pickle.dumps(blind)


def test_blind_data_are_the_same_otherwise():
    data = secret()
    blind = data.blind()
    assert blind.digest() == data.digest()
    assert blind.matrix("covariates") is data.matrix("covariates") or np.array_equal(
        blind.matrix("covariates"), data.matrix("covariates")
    )
    for field in fields(data):
        if field.name not in ("truth", "frame", "tables", "labels", "_memo"):
            assert getattr(blind, field.name) == getattr(data, field.name)
    assert blind.labels.equals(data.labels)


def test_pickles_hold_content_and_no_derived_matrices():
    data = secret()
    before = len(pickle.dumps(data))
    data.matrix("covariates"), data.digest(), data.matrix_names("covariates")
    assert len(pickle.dumps(data)) == before
    back = pickle.loads(pickle.dumps(data))
    assert back.digest() == data.digest()
    assert back.roles == data.roles
    np.testing.assert_array_equal(back.truth.cate, data.truth.cate)


def test_the_constructor_itself_checks_and_takes_roles():
    roles = Roles(outcome=("y",), treatment=("d",), covariates=("x",))
    data = CausalData(frame=table(), roles=roles)
    assert data.roles.kinds == ("binary",)
    assert data.frame.columns.tolist() == ["y", "d", "x"]
    with pytest.raises(DataError, match="E10"):
        CausalData(frame=table().assign(y=1.0), roles=roles)

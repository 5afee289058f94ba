"""Bad input: every message names what was seen and the mend."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    DataError,
    IdentificationError,
    NotFittedError,
)
from causalkit.transtee.baselines import TARNet
from causalkit.transtee.items import library_of


def build(frame, covariates=("a", "b", "c"), **roles):
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=list(covariates), **roles
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"d_model": 10, "n_heads": 4}, "d_model=10 is not a multiple of n_heads=4"),
        ({"treatment": "binry"}, "binary"),
        ({"treatment": "multi"}, r"the treatment of the data \(t\) is 'binary'"),
        ({"outcome": "gausian"}, "gaussian"),
        ({"regularizer": "pt"}, "regularizer must be None, 'tr' or 'ptr', got 'pt'"),
        ({"density": "gauss"}, "gaussian"),
        ({"interval": "bayes"}, "conformal"),
        ({"lr": 0.0}, r"lr must be a number in \(0, 10\], got 0.0"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1.0"),
        ({"validation_fraction": 0.0}, r"validation_fraction must be a number in \(0, 1\)"),
        ({"batch_size": 1}, "batch_size"),
        ({"n_ensemble": 0}, "n_ensemble"),
        ({"support": (2.0, 1.0)}, "lowest dose first"),
        ({"support": 3}, "lowest dose, highest dose"),
        ({"device": "cuda:7"}, r"device='cuda:7' is not here; present: cpu"),
        ({"device": "toaster"}, r"device='toaster' is no device; present: cpu"),
        ({"precision": "fp8"}, "bf16"),
        ({"refit": 1}, "refit must be True or False"),
        ({"deterministic": 1}, "deterministic must be True or False"),
    ],
)
def test_arguments_are_checked_before_training(arms, arguments, said):
    with pytest.raises((ArgumentError, TypeError), match=said):
        ck.TransTEE(**(SMALL | arguments)).fit(arms)


def test_clone_and_params_round_trip():
    made = ck.TransTEE(d_model=16, regularizer="tr")
    assert clone(made).get_params() == made.get_params()
    assert made.set_params(lr=1e-3).lr == 1e-3


def test_nothing_is_asked_of_an_estimator_that_is_not_fitted(arms):
    for ask in (lambda e: e.effect(arms), lambda e: e.estimate(), lambda e: e.save("nowhere")):
        with pytest.raises(NotFittedError, match="TransTEE is not fitted yet"):
            ask(ck.TransTEE())


def test_levels_never_seen_in_training(arms, arms_fit):
    with pytest.raises(DataError, match=r"'t' has values never seen in training: 2; known: 0, 1"):
        arms_fit.predict(arms, treatment=2)


@pytest.mark.parametrize("dose", [np.nan, np.inf, "much"])
def test_a_dose_that_is_no_number(doses, dose_fit, dose):
    with pytest.raises(DataError, match=r"dose 't' is not a finite number in 1 rows \(first:"):
        dose_fit.predict(doses, treatment=dose)


def test_actions_of_the_wrong_length(arms, arms_fit):
    with pytest.raises(ArgumentError, match="one for each of the 240 rows, got 3"):
        arms_fit.predict(arms, treatment=np.array([0, 1, 0]))
    with pytest.raises(ArgumentError, match="empty list"):
        arms_fit.predict(arms, treatment=[])


def test_what_to_compare_must_be_said_for_doses(doses, dose_fit):
    with pytest.raises(ArgumentError, match=r"the treatment is continuous: say what to compare"):
        dose_fit.effect(doses)


def test_arms_have_no_dose(arms, arms_fit):
    with pytest.raises(ArgumentError, match="the treatment is binary and has no dose to vary"):
        arms_fit.dose_response(arms)


def test_columns_that_are_missing_or_of_another_type(arms_fit):
    frame = arms_frame()
    with pytest.raises(DataError, match=r"trained on a, b, c, and these data lack c \(they have"):
        arms_fit.predict(build(frame, ("a", "b")), treatment=1)
    words = frame.assign(b=pd.Categorical(np.where(frame["b"] > 0, "high", "low")))
    with pytest.raises(DataError, match="'b' was a number in training"):
        arms_fit.predict(build(words), treatment=1)


def test_an_arm_with_one_row_and_one_with_few():
    frame = arms_frame()
    frame["t"] = np.where(np.arange(240) == 0, 2, frame["t"])
    with pytest.raises(DataError, match=r"arm 2 of 't' has 1 row\(s\)"):
        ck.TransTEE(**SMALL).fit(build(frame, kinds=("multi",)))
    frame["t"] = np.where(np.arange(240) < 6, 2, frame["t"])
    with pytest.warns(CausalKitWarning, match="arm 2 of 't' has only 6 rows"):
        ck.TransTEE(**SMALL).fit(build(frame, kinds=("multi",)))


def test_tiny_data_warn(arms):
    with pytest.warns(CausalKitWarning, match="only 40 rows"):
        ck.TransTEE(**SMALL).fit(arms.subset(np.arange(40)))


def visits(n_steps, n_features=2, n=60):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((n, n_steps, n_features)).astype("float32")
    frame = pd.DataFrame({"y": values[:, 0, 0], "t": np.arange(n) % 2, "x": rng.random(n)})
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates="x",
        sequence="v",
        arrays=xr.Dataset({"v": (("obs", "step", "feature"), values)}),
    )


def test_sequences_longer_or_wider_than_those_of_training():
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(visits(3))
    assert fit.effect(visits(2)).sizes["obs"] == 60
    with pytest.raises(DataError, match=r"at most 3 steps in training, and 60 rows have more \(fi"):
        fit.effect(visits(5))
    with pytest.raises(DataError, match="had 2 features in training and have 4 here"):
        fit.effect(visits(3, 4))
    # Without positions of their own, networks read sequences of any length.
    mean = TARNet(max_epochs=1, n_ensemble=1, random_state=0).fit(visits(3))
    assert mean.effect(visits(5)).sizes["obs"] == 60
    together = ck.TransTEE.fit_many([visits(3), visits(2)], **(SMALL | {"max_epochs": 1}))
    assert together[1].effect(visits(2)).sizes["obs"] == 60
    with pytest.raises(ArgumentError, match="data set 1 has 5 steps in 'v' and the first has 3"):
        ck.TransTEE.fit_many([visits(3), visits(5)], **(SMALL | {"max_epochs": 1}))
    padded = visits(5)
    short = padded.arrays.assign(v=padded.arrays["v"].where(padded.arrays["step"] < 3))
    long = ck.CausalData.from_frame(
        padded.frame,
        outcome="y",
        treatment="t",
        covariates="x",
        sequence="v",
        arrays=short,
    )
    assert fit.effect(long).sizes["obs"] == 60


def test_rows_with_holes_where_training_had_none(arms):
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(arms)
    frame = arms.frame.assign(b=arms.frame["b"].where(arms.frame.index != 7))
    with pytest.raises(DataError, match="'b' is missing in row 7, and the network was trained"):
        fit.effect(build(frame, missing="native"))


def test_no_covariates():
    with pytest.raises(DataError, match="needs covariates, a sequence or a graph"):
        ck.TransTEE(**SMALL).fit(build(arms_frame(), ()))


def test_data_sets_that_do_not_go_together(arms, doses):
    with pytest.raises(ArgumentError, match="data set 1 has other columns or kinds"):
        ck.TransTEE.fit_many([arms, doses], **SMALL)
    with pytest.raises(ArgumentError, match="at least one data set"):
        ck.TransTEE.fit_many([])


def test_a_regulariser_says_what_it_can_do(arms):
    with pytest.warns(CausalKitWarning, match="may delete confounders"):
        ck.TransTEE(**SMALL, regularizer="tr").fit(arms)


def test_conformal_intervals_need_arms(doses):
    with pytest.raises(ArgumentError, match=r"needs a treatment with arms; this one is continuous"):
        ck.TransTEE(**SMALL, interval="conformal").fit(doses)


def test_averages_need_arms_or_doses():
    frame = arms_frame().assign(s=np.arange(240) % 2)
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment=["t", "s"], kinds=("binary", "binary"), covariates=["a"]
    )
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(data)
    with pytest.raises(IdentificationError, match="along doses, and the treatment is several"):
        fit.estimate()


def test_structured_treatments_need_their_table():
    frame = arms_frame().assign(t=np.arange(240) % 7)
    with pytest.raises(DataError, match=r"Pass tables=\{'t_vectors': frame\}"):
        ck.TransTEE(**SMALL).fit(build(frame, kinds=("structured",)))
    nodes = pd.DataFrame({"t": np.repeat(np.arange(7), 2), "node": [0, 1] * 7, "size": 1.0})
    edges = pd.DataFrame({"t": [0, 3], "source": [0, 0], "target": [1, 9]})
    data = build(frame, kinds=("structured",), tables={"t_nodes": nodes, "t_edges": edges})
    with pytest.raises(DataError, match=r"1 edges name nodes.*first: graph .*3.*, edge 0 to 9"):
        ck.TransTEE(**SMALL).fit(data)


def test_a_sequence_without_a_step():
    import xarray as xr

    steps = np.ones((240, 3, 1), dtype=np.float32)
    steps[17] = np.nan
    arrays = xr.Dataset({"visits": (("obs", "step", "feature"), steps)})
    data = build(arms_frame(), arrays=arrays, sequence="visits")
    with pytest.raises(DataError, match=r"'visits' has no step in 1 rows \(first: row 17\)"):
        ck.TransTEE(**SMALL).fit(data)


def test_torch_is_named_where_it_is_missing(monkeypatch, arms):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *args, **kwargs)

    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "\.\[deep\]"'):
        ck.TransTEE().fit(arms_data())


def test_rows_that_are_no_causal_data_are_refused_without_naming_fit(arms_fit):
    with pytest.raises(TypeError, match=r"^TransTEE needs a CausalData, got DataFrame"):
        arms_fit.predict(arms_frame(), treatment=1)


def test_codes_say_what_is_wrong(arms, arms_fit, doses, dose_fit):
    new = arms.frame.assign(g=["A", "Z"] * 120)
    graded = build(arms_frame().assign(g=pd.Categorical(["A", "B"] * 120)), covariates=["g"])
    nodes = pd.DataFrame({"t": np.repeat(np.arange(7), 2), "node": [0, 1] * 7, "size": 1.0})
    edges = pd.DataFrame({"t": [0], "source": [0], "target": [1]})
    frame = arms_frame().assign(t=np.arange(240) % 7)

    def library(**changed):
        tables = {"t_nodes": nodes, "t_edges": edges} | changed
        return library_of(build(frame, kinds=("structured",), tables=tables), "t")

    cases = {
        "E25-unknown-level": [
            lambda: arms_fit.predict(arms, treatment=7),
            lambda: graded.like(new),
            lambda: library().codes([9], "t"),
        ],
        "E03-non-numeric": [lambda: library(t_nodes=nodes.assign(size="x"))],
        "E26-tables": [
            lambda: library(t_nodes=pd.concat([nodes, nodes[:1]])),
            lambda: library(t_edges=edges.assign(target=9)),
            lambda: library(t_edges=edges.assign(length=1.0)),
        ],
        "E05-nan-treatment": [lambda: dose_fit.predict(doses, treatment=np.nan)],
        "E24-treatment-kind": [
            lambda: TARNet().fit(build(frame, kinds=("structured",), tables={"t_vectors": nodes}))
        ],
    }
    for code, calls in cases.items():
        for call in calls:
            with pytest.raises(DataError) as caught:
                call()
            assert caught.value.code == code
            assert "np." not in str(caught.value)

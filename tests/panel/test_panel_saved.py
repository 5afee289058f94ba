"""A saved estimator answers what needs no data, without them."""

import pickle
from inspect import signature

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import StorageError
from causalkit.panel.approaches import APPROACHES

N_UNITS, N_PERIODS = 40, 5


def table():
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(N_UNITS), N_PERIODS)
    x = rng.standard_normal((2, unit.size))
    d = x[0] + rng.standard_normal(unit.size)
    y = d * (1.0 + x[0]) + rng.standard_normal(unit.size)
    columns = {"y": y, "d": d, "treated": rng.integers(0, 2, unit.size), "x1": x[0], "x2": x[1]}
    return pd.DataFrame(columns | {"unit": unit, "time": np.tile(np.arange(N_PERIODS), N_UNITS)})


def panel(treatment, **roles):
    covariates = ["x1", "x2"]
    return ck.CausalData.from_frame(
        table(), outcome="y", treatment=treatment, covariates=covariates, unit="unit", **roles
    )


def test_another_estimand_and_effects_need_no_data_after_loading(tmp_path):
    interactive = ck.PanelDML(
        model="interactive", approach="pooled", learner="ridge", random_state=0
    )
    interactive.fit(panel("treated")).save(tmp_path / "interactive.joblib")
    loaded = ck.PanelDML.load(tmp_path / "interactive.joblib")
    assert loaded.estimate("att").tidy().equals(interactive.estimate("att").tidy())
    data = panel("d", modifiers="x1")
    varying = ck.PanelDML(learner="linear", random_state=0).fit(data)
    varying.save(tmp_path / "varying.joblib")
    predicted = ck.PanelDML.load(tmp_path / "varying.joblib").effect(data)
    assert predicted.equals(varying.effect(data))
    slope = np.polyfit(table()["x1"], predicted["effect"].to_numpy(), 1)[0]
    assert abs(slope - 1.0) < 0.3


def test_data_are_passed_again_by_name_as_in_the_other_family():
    of_panels, of_instruments = (
        signature(estimator.compare) for estimator in (ck.PanelDML, ck.InvalidIV)
    )
    assert of_panels == of_instruments


@pytest.mark.parametrize("approach", sorted(APPROACHES))
@pytest.mark.filterwarnings("ignore::causalkit.errors.SplitWarning")
def test_every_approach_can_be_saved_whoever_is_told_of_its_progress(approach, tmp_path):
    heard = []
    arguments = {"approach": approach, "learner": "linear", "random_state": 0}
    split = "observation" if approach == "dummies" else "unit"
    data = panel("d", time="time")
    fitted = ck.PanelDML(**arguments, split=split, progress=lambda text: heard.append(text))
    fitted.fit(data).save(tmp_path / "fit.joblib")
    assert heard
    loaded = ck.PanelDML.load(tmp_path / "fit.joblib")
    assert loaded.progress is None
    assert callable(fitted.progress)
    assert loaded.estimate().tidy().equals(fitted.estimate().tidy())
    benchmarked = loaded.benchmark("x1", data=data)
    assert benchmarked.equals(fitted.benchmark("x1"))


def test_a_save_that_fails_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "fit.joblib"
    fitted = ck.PanelDML(learner="linear", random_state=0).fit(panel("d"))
    fitted.save(path)
    before = path.read_bytes()
    fitted.unwritable_ = lambda: None  # comes after what can be written
    with pytest.raises(pickle.PicklingError):
        fitted.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match=r"cannot write .*fit\.joblib: No such file"):
        fitted.save(tmp_path / "none" / "fit.joblib")

"""Effects by row in studies: what counts, what fails, and what a summary says of it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from study_toys import HERE, difference, toy

from causalkit.data.truth import Truth
from causalkit.study.effects import COVERAGE, EFFECT_METRICS, effect_metrics
from causalkit.study.study import Study


class Ranks:
    """``difference`` with true effects of ``ranked`` plus one; in some replications otherwise."""

    def __init__(self, how="right", share=0.0, *, random_state=0):
        self.how, self.share, self.random_state = how, share, random_state

    def get_params(self, *, deep=False):
        return {"how": self.how, "share": self.share, "random_state": self.random_state}

    def set_params(self, **given):
        vars(self).update(given)
        return self

    def fit(self, data):
        self.result = difference(data)
        return self

    def estimate(self):
        return self.result

    def effect(self, data):
        n = len(data)
        found = pd.DataFrame({"effect": np.linspace(0.0, 2.0, n) + 1.0})
        band = found.assign(conf_low=found["effect"] - 2.0, conf_high=found["effect"] + 2.0)
        if np.random.default_rng(self.random_state).random() >= self.share:
            return band if self.how != "array" else found["effect"].to_numpy()
        if self.how == "raises":
            raise RuntimeError("no luck")
        if self.how == "leaves":
            raise SystemExit(3)
        if self.how == "hole":
            band.loc[2, "effect"] = np.nan
        if self.how == "short":
            return band.iloc[:-1]
        if self.how == "band":
            band["conf_low"] = np.nan
        return band


def study_of(tmp_path, reps=40, **estimators):
    study = Study(
        name="effects",
        seed=3,
        aims="x",
        reps=reps,
        generators=[{"name": "study_toys:ranked"}],
        estimators=estimators,
        run_options={"backend": "serial", "out": str(tmp_path)},
        folder=HERE,
    )
    study.run()
    return study


def picked(study, measure):
    return study.summarise(measures=[measure]).set_index("estimator")


@pytest.mark.parametrize("how", ["raises", "leaves", "hole", "short"])
def test_replications_without_effects_are_failures_of_the_metrics_of_effects_alone(tmp_path, how):
    study = study_of(tmp_path, it=Ranks(how, share=0.5))
    lost = study.results().failures
    assert 5 < len(lost) < 35
    assert set(lost["status"]) == {"effects"}
    for measure in (*EFFECT_METRICS, COVERAGE):
        row = picked(study, measure).loc["it"]
        assert (row["n_ok"], row["n_failed"]) == (40 - len(lost), len(lost)), measure
        assert "failures" in row["flag"]
    assert picked(study, "pehe").loc["it", "value"] == pytest.approx(1.0)
    row = picked(study, "bias").loc["it"]
    assert (row["n_ok"], row["n_failed"], row["flag"]) == (40, 0, "")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", "effect() raised RuntimeError: no luck"),
        ("leaves", "SystemExit: it ended the program with code 3"),
        ("hole", "effect is nan in 1 of 20 rows (first: row 2)"),
        ("short", "effect has shape (19,) for 20 rows of data"),
    ],
)
def test_what_is_wrong_with_effects_is_told_in_terms_of_rows(tmp_path, how, words):
    study = study_of(tmp_path, reps=2, it=Ranks(how, share=1.0))
    assert words in study.results().failures["message"].iloc[0]


def test_a_band_of_nothing_costs_only_the_coverage_and_a_warning_says_so(tmp_path):
    study = study_of(tmp_path, reps=30, it=Ranks("band", share=1.0))
    assert picked(study, "pehe").loc["it", "value"] == pytest.approx(1.0)
    row = picked(study, COVERAGE).loc["it"]
    assert np.isnan(row["value"])
    assert (row["n_ok"], row["n_failed"]) == (0, 30)
    told = "\n".join(study.results().warnings.values())
    assert "no cate_coverage: conf_low is nan in 20 of 20 rows" in told
    assert study.results().failures.empty


def test_estimators_without_intervals_have_no_coverage_whether_effects_fail_or_not(tmp_path):
    class Bare(Ranks):
        def effect(self, data):
            return super().effect(data)[["effect"]]

    study = study_of(tmp_path, bare=Bare("raises", share=0.5), band=Ranks())
    assert list(picked(study, COVERAGE).index) == ["band"]
    assert picked(study, "pehe").loc["bare", "n_failed"] > 0


def test_effects_may_be_arrays_series_frames_mappings_or_datasets():
    import xarray as xr

    data = toy(np.random.default_rng(0), n=6)
    effects = np.arange(6.0)
    truth = Truth({"ate": 1.0}, cate=effects)

    class Says:
        def __init__(self, said):
            self.said = said

        def effect(self, data):
            return self.said

    hat = effects + np.array([1.0, -1.0] * 3)
    said = (
        hat,
        hat[:, None],
        list(hat),
        pd.Series(hat, index=list("abcdef")),
        pd.DataFrame({"effect": hat}),
        {"effect": hat},
        xr.Dataset({"effect": ("obs", hat)}),
    )
    for one in said:
        assert effect_metrics(Says(one), truth, data).numbers["pehe"] == 1.0
    with pytest.raises(ValueError, match="call the column of effects 'effect'"):
        effect_metrics(Says(pd.DataFrame({"cate": hat})), truth, data)


def test_a_true_effect_that_is_a_function_is_one_of_the_covariates():
    import causalkit as ck

    x = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    frame = pd.DataFrame({"y": [3.0, 0.0, 2.0, 5.0], "d": [0, 1, 0, 1], "a": x[:, 0], "b": x[:, 1]})
    data = ck.CausalData.from_frame(frame, outcome="y", treatment="d", covariates=["a", "b"])

    class Fitted:
        def effect(self, data):
            return data.frame["a"] + 2.0

    truth = Truth({"ate": 1.0}, cate=lambda z: z[:, 0])
    by_row = Truth({"ate": 1.0}, cate=x[:, 0])
    found = effect_metrics(Fitted(), truth, data).numbers
    assert found == effect_metrics(Fitted(), by_row, data).numbers
    assert found["pehe"] == 2.0


def test_reported_metrics_that_are_no_numbers_or_called_as_measures_are_told(tmp_path):
    def reporting(data):
        mine = {"bias": 2.0, "own": 7.0, "text": "a", "flag": True}
        return dataclasses.replace(difference(data), diagnostics={"metrics": mine})

    study = study_of(tmp_path, reps=30, it=reporting)
    told = "\n".join(study.results().warnings.values())
    assert "'text' is 'a', which is no number" in told
    assert "'bias' is the name of a measure; the summary shows it as 'bias_metric'" in told
    assert "'own'" not in told
    values = {name: picked(study, name).loc["it", "value"] for name in ("own", "bias_metric")}
    assert values == {"own": 7.0, "bias_metric": 2.0}
    assert picked(study, "bias").loc["it", "value"] != 2.0

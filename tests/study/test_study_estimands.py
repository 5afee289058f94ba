"""Which truth a result is held against."""

import warnings

import numpy as np
import pytest
from study_toys import HERE, difference, result_of

import causalkit as ck
from causalkit.data.truth import Truth
from causalkit.errors import CausalKitWarning
from causalkit.study.attempt import estimated, fit_of
from causalkit.study.design import EstimatorSpec
from causalkit.study.pilot import pilot
from causalkit.study.study import Study


def name_of(estimand, known, **more):
    """Name under which a result of one term is recorded."""
    truth = Truth(dict.fromkeys(known, 1.0))
    result = result_of(0.0, 1.0, 9, estimand=estimand, **more)
    return estimated([result], truth, level=0.95, null=0.0)[0].estimand


@pytest.mark.parametrize(
    ("own", "known"),
    [("att", "ate"), ("ate", "att"), ("atc", "theta"), ("ate", "adrf[0.5]"), ("late", "att"),
     ("ate", "outcome[best]"), ("adrf", "adrf[0.5]"), ("ate[1]", "ate[2]"), ("slope", "ate")],
)  # fmt: skip
def test_a_result_of_another_estimand_keeps_its_name_and_has_no_truth(own, known):
    assert name_of(own, [known]) == own


@pytest.mark.parametrize(
    ("own", "known"),
    [("ate", "ate"), ("att", "att"), ("ate", "theta"), ("ate", "ate[1]"), ("effect", "ate"),
     ("", "ate"), ("effect", "theta"), ("late", "theta")],
)  # fmt: skip
def test_a_result_of_the_same_meaning_takes_the_only_truth(own, known):
    assert name_of(own, [known]) == known


def test_the_only_truth_is_not_taken_where_there_are_several_truths_or_results():
    assert name_of("late", ["ate", "att"]) == "late"
    both = [result_of(0.0, 1.0, 9, estimand=name) for name in ("late", "ate")]
    found = estimated(both, Truth({"ate": 1.0}), level=0.95, null=0.0)
    assert [one.estimand for one in found] == ["late", "ate"]


@pytest.mark.parametrize("own", ["late", "iv-slope", "variance-weighted"])
def test_an_estimand_that_is_the_average_under_constant_effects_is_held_against_it_and_says_so(own):
    with pytest.warns(CausalKitWarning, match=f"'{own}' and is held against the truth of 'ate'"):
        assert name_of(own, ["ate"]) == "ate"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert name_of(own, ["ate", own]) == own


def test_estimators_with_instruments_are_still_judged_by_the_only_truth():
    plain = ck.generators.invalid_iv(0, n=600)
    unit = np.arange(len(plain)) // 2
    panel_data = ck.CausalData.from_frame(
        plain.blind().frame.assign(unit=unit, time=np.arange(len(plain)) % 2),
        outcome="y", treatment="a", instruments="z", covariates=list(plain.roles.covariates),
        unit="unit", time="time", truth=plain.truth,
    )  # fmt: skip
    panel = ck.PanelDML(model="iv", learner="linear", approach="pooled")
    cases = ((panel, "late", panel_data), (ck.InvalidIV(method="parametric"), "ate", plain))
    for estimator, own, data in cases:
        spec = EstimatorSpec("e", "here:e", target=estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results, _ = fit_of(spec, data.blind(), 1)
            found = estimated(results, data.truth, level=0.95, null=0.0)
        assert results[0].estimand == own
        assert [one.estimand for one in found] == ["ate"]


def test_a_summary_says_that_an_effect_on_the_treated_has_no_truth(tmp_path):
    def treated(data):
        found = difference(data)
        return result_of(found.estimate, found.std_error, found.n, estimand="att")

    study = Study(
        name="t",
        seed=1,
        aims="x",
        reps=30,
        generators=[{"name": "study_toys:toy"}],
        estimators={"treated": treated},
        run_options={"backend": "serial", "out": str(tmp_path)},
        folder=HERE,
    )
    (told,) = pilot(study).notes
    assert told.startswith("treated: 'att' has no truth in 1 of 1 cells, where the data know ate;")
    assert f"NOTE {told}" in str(pilot(study))
    study.run()
    table = study.summarise(measures=["bias", "coverage"])
    assert table["estimand"].to_list() == ["att", "att"]
    assert np.isnan(table["value"]).all()
    assert table["flag"].to_list() == ["no truth", "no truth"]


def test_a_pilot_has_no_notes_where_every_result_has_a_truth(tmp_path):
    study = Study(
        name="t",
        seed=1,
        aims="x",
        generators=[{"name": "study_toys:toy"}],
        estimators={"difference": difference},
        folder=HERE,
    )
    assert pilot(study).notes == ()
    assert "NOTE" not in str(pilot(study, reps=0))

"""Studies of TransTEE on the generators made for it: every number meets its truth by name."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError
from causalkit.study.block import run_block
from causalkit.study.design import Cell, EstimatorSpec, Job
from causalkit.study.effects import effect_metrics, failed_effects
from causalkit.study.true_doses import at_true_doses

pytest.importorskip("torch", reason="causalkit.TransTEE needs torch")

FEW = {"d_model": 8, "max_epochs": 1, "n_ensemble": 1}


def block_of(generator, params, *, args=FEW, target=None):
    cell = Cell(generator, 1, params)
    spec = EstimatorSpec("net", "transtee" if target is None else "here:net", args, target=target)
    return run_block(Job(9, 0.95, 0.0, cell, (spec,), 0, 0))


def truths_of(block):
    assert block.failures.empty, block.failures["message"].to_list()
    return block.records.set_index("estimand")["truth"].to_dict()


def test_arms_meet_the_truth_and_have_errors_by_row():
    block = block_of("multi_arm", {"n": 150, "n_arms": 3})
    assert truths_of(block) == {"ate[t=1]": 1.0, "ate[t=2]": 2.0}
    assert {"pehe[1]", "pehe[2]"} <= set(block.metrics["metric"])
    two = block_of("multi_arm", {"n": 150, "n_arms": 2})
    assert truths_of(two) == {"ate[t=1]": 1.0}
    assert "pehe" in set(two.metrics["metric"])


@pytest.mark.parametrize("how", ["name", "instance"])
def test_doses_asked_at_are_those_of_the_truth(how):
    made = ck.TransTEE(**FEW) if how == "instance" else None
    block = block_of("dose_synthetic", {"n": 200, "h": 2.0}, target=made)
    data = ck.generators.dose_synthetic(0, n=50, h=2.0)
    assert truths_of(block) == pytest.approx(data.truth.estimands)
    assert list(data.truth.estimands) == ["E[Y(0.6)]", "E[Y(1)]", "E[Y(1.6)]"]
    if made is not None:
        assert made.doses is None


def test_doses_of_the_user_are_left_alone():
    truth = Truth({"E[Y(0.3)]": 1.0, "E[Y(drug, 0.3)]": 2.0, "ate": 3.0})
    for spec, wanted in (
        (EstimatorSpec("a", "transtee", {"doses": [0.4]}), [0.4]),
        (EstimatorSpec("b", "transtee"), (0.3,)),
        (EstimatorSpec("c", "panel-dml"), None),
    ):
        assert at_true_doses(spec, truth).args.get("doses") == wanted
    own = EstimatorSpec("d", "here:d", target=ck.TransTEE(doses=[0.4]))
    assert at_true_doses(own, truth).target.doses == [0.4]
    bare = EstimatorSpec("e", "transtee")
    assert at_true_doses(bare, None) is bare
    assert at_true_doses(bare, Truth({"ate": 1.0})) is bare


def test_metrics_by_arm_are_those_of_each_arm_alone():
    rng = np.random.default_rng(0)
    effects, hat = rng.standard_normal((2, 30, 2))
    truth = Truth({}, cate=effects)

    class Fitted:
        def __init__(self, columns):
            self.columns = columns

        def effect(self, data):
            found = hat[:, self.columns]
            names = {"treatment": np.array(["low", "high"])}
            return {"effect": found, "conf_low": found - 1, "conf_high": found + 1} | names

    data = ck.generators.multi_arm(0, n=30, n_arms=3)
    both = effect_metrics(Fitted([0, 1]), truth, data).numbers
    for place, arm in enumerate(("low", "high")):
        alone = effect_metrics(Fitted(place), Truth({}, cate=effects[:, place]), data).numbers
        # Sums over columns of a table are rounded otherwise than those of an array.
        assert alone == pytest.approx({name: both[f"{name}[{arm}]"] for name in alone}, rel=1e-12)
    assert len(both) == 2 * len(alone)
    with pytest.raises(ArgumentError, match=r"effect has shape \(30,\), and the true .* \(30, 2\)"):
        effect_metrics(Fitted(0), truth, data)


def test_a_fit_without_effects_is_a_failure_of_those_of_every_arm():
    key = {"cell_id": "c", "est_id": "e", "estimand": "ate"}
    metrics = pd.DataFrame(
        [key | {"rep": 0, "metric": f"pehe[{arm}]", "value": 0.5} for arm in (1, 2)]
        + [key | {"rep": 1, "metric": "pehe", "value": np.nan}]
    )
    found = failed_effects(metrics, "pehe[2]").sort_values("rep")
    assert found["rep"].tolist() == [0, 1]
    assert found["status"].tolist() == ["ok", "failed"]


def test_a_structured_treatment_fails_with_what_to_do():
    params = {"n": 60, "n_test": 20, "n_graphs": 5, "n_covariates": 2}
    block = block_of("graph_sw", params)
    (message,) = block.failures["message"]
    assert "none of structured treatments" in message
    assert "In a study use a function of the data" in message

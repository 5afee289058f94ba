"""What summary and glance say of the nuisances of a fit by arm."""

import iv_designs as designs
import numpy as np
import pytest

import causalkit as ck
from causalkit.iv import selection

PLAIN = {"basis": None, "n_folds": 2, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return designs.as_data(*designs.draw(np.random.default_rng(7), 1000))


@pytest.mark.parametrize("method", ["debiased", "selective"])
def test_errors_of_outcome_and_treatment_are_those_of_the_arm_that_each_row_is_in(data, method):
    learners = "linear" if method == "debiased" else ["linear"]
    fit = ck.InvalidIV(method=method, learners=learners, **PLAIN).fit(data)
    seen = fit.augment()
    frame = data.frame.iloc[seen["row"]]
    row = fit.estimate().glance().iloc[0]
    for column, name, target in (
        ("nuisance_rmse_y", "outcome", "y"),
        ("nuisance_rmse_d", "treatment", "a"),
    ):
        arms = [seen[f"{name}:{arm}_hat"].to_numpy() for arm in (0, 1)]
        error = frame[target].to_numpy() - designs.received(frame["z"].to_numpy(), arms)
        assert row[column] == pytest.approx(np.sqrt(np.mean(error**2)))


def test_every_line_of_the_nuisance_table_of_a_selective_fit_has_figures_and_a_learner(data):
    fit = ck.InvalidIV(learners=["linear", "ridge"], **PLAIN).fit(data)
    text = fit.estimate().summary()
    block = text[text.index("Nuisance functions") : text.index("Diagnostics")].splitlines()
    lines = [line for line in block[1:] if line and line.strip("-") and not line.startswith("- ")]
    names = [line.split()[0] for line in lines[1:]]
    assert sorted(names) == ["instrument", "outcome:0", "outcome:1", "treatment:0", "treatment:1"]
    assert all(len(line.split()) > 1 for line in lines[1:])
    picked = dict(zip(selection.AXES, fit.fit_.selection.choice, strict=True))
    for name in (*names, "effect"):
        axis = name.partition(":")[0]
        label = fit.fit_.selection.pools[axis].labels[picked[axis]]
        assert f"- {name} learner: selected: {label}" in block

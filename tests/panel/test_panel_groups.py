"""Effects by group: rows found by label, and AIPW scores of the interactive model."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from switching_design import panel, table

import causalkit as ck
from causalkit.errors import ArgumentError, IdentificationError, OverlapWarning
from causalkit.heterogeneity import check_group_arms


@pytest.mark.parametrize("kind", ["gate", "blp"])
def test_groups_and_moderators_in_another_order_are_those_of_their_rows(kind):
    frame = table().set_axis(np.arange(1000, 1600))
    est = ck.PanelDML(learner="ridge", random_state=0).fit(panel(frame))
    rng = np.random.default_rng(0)
    mixed = frame.iloc[rng.permutation(len(frame))]
    if kind == "gate":
        found = [est.gate(given) for given in ("group", frame["group"], mixed["group"])]
    else:
        names = ["x1", "x2"]
        found = [est.blp(given) for given in (names, frame[names], mixed[names])]
    for other in found[1:]:
        assert other.terms == found[1].terms
        np.testing.assert_array_equal(other.estimates, found[0].estimates)
    with pytest.raises(ArgumentError, match=r"row labels \(\d+, .*not those of the data \(1000,"):
        getattr(est, kind)(mixed.reset_index(drop=True)["x2"].sort_values() > 0)


def test_predictions_in_another_order_are_those_of_their_rows():
    frame = table()
    est = ck.PanelDML(learner="ridge", random_state=0).fit(panel(frame))
    hats = est.augment().set_index("row")[["outcome_hat", "treatment_hat"]]
    given = {"outcome": hats["outcome_hat"].iloc[::-1], "treatment": hats["treatment_hat"]}
    again = ck.PanelDML(learner="ridge", random_state=0).fit(panel(frame), predictions=given)
    assert again.estimate().estimate == pytest.approx(est.estimate().estimate, rel=1e-12)


def interactive(approach="pooled", *, modifiers=(), **arguments):
    data = panel(outcome="y2", treatment="b", modifiers=modifiers)
    est = ck.PanelDML(
        model="interactive",
        approach=approach,
        learner="ridge",
        ssc="none",
        use_t=False,
        random_state=0,
        **arguments,
    )
    return est.fit(data)


def scores_of(est, frame):
    """Doubly robust scores of the rows that are used, from the predictions of the fit."""
    rows = est.augment()
    rows = rows[rows["influence_b"].notna()]
    seen = frame.iloc[rows["row"]]
    hats = (rows[f"{name}_hat"].to_numpy() for name in ("mu0", "mu1", "propensity"))
    return seen, ck.dr_scores(seen["y2"].to_numpy(), seen["b"].to_numpy(), *hats)


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
@pytest.mark.parametrize("approach", ["pooled", "cre"])
@pytest.mark.parametrize("kind", ["gate", "blp"])
def test_interactive_effects_by_group_are_regressions_of_doubly_robust_scores(kind, approach):
    frame, est = table(), interactive(approach, trim=0.1)
    seen, scores = scores_of(est, frame)
    assert len(seen) < len(frame)
    if kind == "gate":
        found, design = est.gate("group"), pd.get_dummies(seen["group"]).to_numpy(float)
        assert found.terms == ("group=high", "group=low")
    else:
        found, design = est.blp(["x1", "x2"]), sm.add_constant(seen[["x1", "x2"]].to_numpy())
        assert found.terms == ("constant", "x1", "x2")
    how = {"groups": seen["unit"].to_numpy(), "use_correction": False}
    peer = sm.OLS(scores, design).fit(cov_type="cluster", cov_kwds=how)
    np.testing.assert_allclose(found.estimates, peer.params, rtol=1e-8)
    np.testing.assert_allclose(found.std_errors, peer.bse, rtol=1e-8)
    assert set(found.contrast) == {"1 vs 0"}
    assert found.n == len(seen)


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_interactive_effects_of_groups_average_to_that_of_all():
    est = interactive(n_rep=3, aggregation="mean")
    groups, frame = est.gate("group"), table()
    rows = est.augment()
    used = frame.iloc[rows.loc[rows["influence_b"].notna(), "row"]]
    shares = used["group"].value_counts(normalize=True).sort_index().to_numpy()
    assert groups.estimates @ shares == pytest.approx(est.estimate().estimate, rel=1e-10)


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_what_the_interactive_model_does_not_answer_says_so():
    for roles in ({}, {"modifiers": "x1"}):
        est, new = interactive(**roles), panel(outcome="y2", treatment="b", **roles)
        for ask in (
            lambda e=est: e.bootstrap(kind="wild"),
            lambda e=est: e.blp("x1", penalty="lasso"),
            lambda e=est, d=new: e.effect(d),
        ):
            with pytest.raises(ArgumentError, match="this fit is interactive"):
                ask()


@pytest.mark.filterwarnings("ignore::causalkit.errors.OverlapWarning")
def test_groups_that_lack_an_arm_are_refused_and_few_rows_of_one_are_told():
    """A linear effect takes the slope of all its rows; the interactive one compares in each row."""
    est, b = interactive(), table()["b"].to_numpy()
    labels = np.full(b.size, "old", dtype=object)
    labels[b == 0] = np.where(np.arange((b == 0).sum()) < 40, "new", "old")
    with pytest.raises(IdentificationError, match=r"group=new has no row of arm 1.*data\.subset"):
        est.gate(labels)
    labels[np.flatnonzero(b == 1)[:4]] = "new"
    with pytest.warns(OverlapWarning, match=r"E19.*group=new \(4 of arm 1\)"):
        found = est.gate(labels)
    assert any("group=new (4 of arm 1)" in told for told in found.warnings)
    assert not est.gate("group").warnings
    linear = ck.PanelDML(learner="ridge", random_state=0).fit(panel(treatment="b"))
    assert not linear.gate(labels).warnings


def test_rows_of_an_arm_are_counted_as_often_as_they_stand_for():
    arm, groups = np.array([0, 1, 0, 1]), np.repeat(np.eye(2), 2, axis=0)
    ask = {"multiplicity": np.array([10.0, 10.0, 12.0, 10.0])}
    check_group_arms(groups, ("a", "b"), arm, ("no", "yes"), **ask)
    with pytest.warns(OverlapWarning, match=r"a \(1 of arm no\), a \(1 of arm yes\), b"):
        check_group_arms(groups, ("a", "b"), arm, ("no", "yes"))

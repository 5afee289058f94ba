"""Equality with DoubleML's DoubleMLPLPR on the same folds with the same learners."""

import numpy as np
import pytest
from doubleml import DoubleMLPanelData, DoubleMLPLPR
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeRegressor

import causalkit as ck


def panel(*, binary: bool = False):
    frame = ck.generators.panel_cp2025(3, dgp=3, n_units=60, n_periods=5, n_covariates=4).frame
    frame = frame.drop(
        columns=[c for c in frame if c not in ("y", "d", "unit", "time") and not c.startswith("x")]
    )
    if binary:
        frame["d"] = (frame["d"] > frame["d"].median()).astype(float)
    return frame.sort_values(["unit", "time"], ignore_index=True)


def both(frame, approach, learner, *, score="partialling out", learner_m=None):
    learner_m = learner_m or learner
    covariates = [c for c in frame if c.startswith("x")]
    peer_data = DoubleMLPanelData(
        frame,
        y_col="y",
        d_cols="d",
        t_col="time",
        id_col="unit",
        x_cols=covariates,
        static_panel=True,
    )
    more = {"ml_g": learner} if score == "IV-type" else {}
    np.random.seed(1)  # noqa: NPY002 - the peer has no other door to its random splits
    peer = DoubleMLPLPR(
        peer_data, learner, learner_m, n_folds=4, n_rep=2, score=score, approach=approach, **more
    )
    peer.fit()
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="d", covariates=covariates, unit="unit", time="time"
    )
    offset = np.flatnonzero(frame["time"].to_numpy() > frame["time"].min())
    rows = offset if approach == "fd_exact" else np.arange(len(frame))
    folds = [[(rows[train], rows[test]) for train, test in repeat] for repeat in peer.smpls]
    ours = ck.PanelDML(
        approach=approach,
        mundlak_terms="means",
        learner=learner,
        learner_treatment=learner_m,
        score="iv-type" if score == "IV-type" else "partialling-out",
        ssc="none",
        aggregation="bounds",
        use_t=False,
        random_state=0,
    ).fit(data, folds=folds)
    return ours, peer


@pytest.mark.parametrize("approach", ["cre_general", "cre_normal", "fd_exact", "wg_approx"])
@pytest.mark.parametrize(
    "learner",
    [
        LinearRegression(),
        Lasso(alpha=0.05),
        DecisionTreeRegressor(min_samples_leaf=10, random_state=0),
    ],
)
def test_four_approaches_equal_doubleml(approach, learner):
    ours, peer = both(panel(), approach, learner)
    theta = ours.diagnostics_["theta_by_repeat"][:, 0]
    np.testing.assert_allclose(theta, peer.all_coef[0], rtol=1e-8)
    np.testing.assert_allclose(ours.estimate().estimate, peer.coef[0], rtol=1e-8)
    np.testing.assert_allclose(ours.estimate().std_error, peer.se[0], rtol=1e-8)


@pytest.mark.parametrize("approach", ["cre_general", "cre_normal", "fd_exact"])
def test_iv_type_score_equals_doubleml(approach):
    ours, peer = both(panel(), approach, LinearRegression(), score="IV-type")
    np.testing.assert_allclose(ours.estimate().estimate, peer.coef[0], rtol=1e-8)
    np.testing.assert_allclose(ours.estimate().std_error, peer.se[0], rtol=1e-8)


def test_classifier_for_a_binary_treatment_equals_doubleml():
    ours, peer = both(
        panel(binary=True), "cre_normal", LinearRegression(), learner_m=LogisticRegression()
    )
    np.testing.assert_allclose(ours.estimate().estimate, peer.coef[0], rtol=1e-8)
    np.testing.assert_allclose(ours.estimate().std_error, peer.se[0], rtol=1e-8)

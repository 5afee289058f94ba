"""EconML's learners on the replications of T3 and the splits of T1.

A part of ``transtee_evidence.py``. CausalForestDML, LinearDML and DRLearner with a linear final
stage run through causalkit's adapters, whose fitted object gives effects of units; what has no
adapter, T- and X-learners and other final stages, is EconML's own class on the same arrays. Nothing
was tuned but the features of the dose, on splits 20 and 21, which are not reported.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer
from transtee_summary import summary

import causalkit as ck
from causalkit.generators.replications import ihdp_split
from causalkit.study import adapters_econml as adapters
from causalkit.study.adapters_common import global_seed, peer_learner

N_FOLDS = 5
LEAST_PROPENSITY = 0.05
TREES = 500
AS_COLUMN = FunctionTransformer(np.reshape, kw_args={"shape": (-1, 1)})
Effects = Callable[[ck.CausalData, int], Any]


def learner(name: str) -> Any:
    """For an outcome: ``linear``, ``forest`` (100 trees) or ``boosting`` (100 trees of depth 3)."""
    made = {
        "linear": LinearRegression,
        "forest": partial(RandomForestRegressor, n_estimators=100, min_samples_leaf=5),
        "boosting": GradientBoostingRegressor,
    }
    return made[name]()


def metalearner(data: ck.CausalData, seed: int, *, kind: str, by: str) -> Any:
    """T- or X-learner; the propensity of the latter is a penalised logistic regression."""
    from econml import metalearners

    given: dict[str, Any] = {"models": learner(by)}
    if kind == "XLearner":
        given["propensity_model"] = peer_learner("ridge", "probability")
    with global_seed(seed):
        model = getattr(metalearners, kind)(**given)
        return model.fit(
            data.column("outcome"), data.column("treatment"), X=data.matrix("covariates")
        )


def adapted(data: ck.CausalData, seed: int, *, kind: str, by: str, **options: Any) -> Any:
    """Fitted object of an adapter, all covariates being modifiers."""
    binary = data.roles.kinds[0] == "binary"
    kinds = ("binary" if binary else "continuous",)
    given = data.with_roles(modifiers=data.roles.covariates, kinds=kinds)
    made = getattr(adapters, kind)(
        outcome_learner=learner(by),
        treatment_learner="ridge" if binary else learner("forest"),
        n_folds=N_FOLDS,
        options=options,
        random_state=seed,
    )
    return made.fit(given).model_


def doubly_robust(data: ck.CausalData, seed: int, *, by: str) -> Any:
    """DR-learner whose final stage is a learner too, which has no adapter."""
    from econml.dr import DRLearner

    with global_seed(seed):
        model = DRLearner(
            model_regression=learner(by),
            model_propensity=peer_learner("ridge", "probability"),
            model_final=learner(by),
            min_propensity=LEAST_PROPENSITY,
            cv=N_FOLDS,
            random_state=seed,
        )
        return model.fit(
            data.column("outcome"), data.column("treatment"), X=data.matrix("covariates")
        )


WAYS: dict[str, Effects] = {
    **{
        f"{kind[0]}-learner, {by}": partial(metalearner, kind=kind, by=by)
        for kind in ("TLearner", "XLearner")
        for by in ("linear", "forest", "boosting")
        if (kind, by) != ("XLearner", "linear")  # that is the linear T-learner
    },
    **{
        f"DR-learner, {by}; final stage linear": partial(
            adapted, kind="EconMLDRLearner", by=by, min_propensity=LEAST_PROPENSITY
        )
        for by in ("linear", "boosting")
    },
    **{
        f"DR-learner, {by}; final stage too": partial(doubly_robust, by=by)
        for by in ("forest", "boosting")
    },
    "CausalForestDML, boosting": partial(
        adapted, kind="EconMLCausalForestDML", by="boosting", n_estimators=TREES
    ),
}


def infants(
    errors: dict[str, dict[str, list[float]]],
    count: int,
    table: str | None,
    keep: Callable[[Any], None],
) -> dict[str, Any]:
    """Errors of unit effects as in T3 up to a replication, after those that are there."""
    for name in WAYS:
        errors.setdefault(name, {by: [] for by in ("out", "in", "eps_ate", "scaled", "seconds")})
    for k in range(1 + len(errors[next(iter(WAYS))]["out"]), count + 1):
        data = ck.generators.ihdp_published(0, replication=k)
        train, test = ihdp_split(k, table=table)
        x, true = data.matrix("covariates"), data.truth.cate
        for name, way in WAYS.items():
            started = time.process_time()
            model = way(data.blind().subset(train), k)
            kept = errors[name]
            kept["seconds"].append(time.process_time() - started)
            error = np.ravel(model.effect(x)) - true
            kept["out"].append(float(np.sqrt((error[test] ** 2).mean())))
            kept["in"].append(float(np.sqrt((error[train] ** 2).mean())))
            kept["eps_ate"].append(float(abs(error[test].mean())))
            kept["scaled"].append(kept["out"][-1] / float(true.std()))
        keep(errors)
    return errors


def curve(model: Any, train: ck.CausalData, x: Any, doses: Any, *, by: str) -> Any:
    """Outcomes ``(n, m)``: effects against dose 0 on a level by the learner of the outcome.

    EconML gives effects of one dose against another. The level is fitted to what these leave of the
    outcomes of training rows.
    """
    seen, t = train.matrix("covariates"), train.column("treatment")
    start = model.transformer.transform(np.zeros(1))

    def parts(rows: Any, at: Any) -> Any:
        slopes = model.const_marginal_effect(rows).reshape(len(rows), -1)
        return slopes, model.transformer.transform(at) - start

    slopes, features = parts(seen, t)
    left = train.column("outcome") - (slopes * features).sum(axis=1)
    level = clone(learner(by)).fit(seen, left).predict(x)
    slopes, features = parts(x, doses)
    return level[:, None] + slopes @ features.T


DOSE_WAYS = {
    f"{kind}, {by}": (f"EconML{kind}", by)
    for kind in ("LinearDML", "CausalForestDML")
    for by in ("forest", "boosting")
}


def featurizer() -> Any:
    """Cubic splines of the dose with knots at its quantiles."""
    spline = SplineTransformer(n_knots=5, degree=3, knots="quantile", include_bias=False)
    return make_pipeline(AS_COLUMN, spline)


def doses(
    splits: range, setting: dict[str, float], ways: dict[str, tuple[str, str]] = DOSE_WAYS
) -> dict[str, Any]:
    """AMSE on splits of IHDP with a dose, as in T1."""
    errors: dict[str, dict[str, list[float]]] = {
        name: {"all": [], "test": [], "seconds": []} for name in ways
    }
    for k in splits:
        data = ck.generators.ihdp_continuous(0, split=k, **setting)
        held = data.frame["test"].to_numpy() == 1
        train, x = data.blind().subset(~held), data.matrix("covariates")[held]
        at = data.column("treatment")[held]
        truth = data.truth.unit_response(at)
        for name, (kind, by) in ways.items():
            started = time.process_time()
            more = {"n_estimators": TREES} if "Forest" in kind else {}
            with global_seed(k):
                model = adapted(
                    train, k, kind=kind, by=by, treatment_featurizer=featurizer(), **more
                )
                hat = curve(model, train, x, at, by=by)
            errors[name]["seconds"].append(time.process_time() - started)
            for population in ("all", "test"):
                error = ck.metrics.amse(hat, truth, population=population, test=held)
                errors[name][population].append(float(error))
    return {
        name: {
            "all": summary(one["all"]),
            "test": summary(one["test"]),
            "errors": one["all"],
            "seconds": float(np.mean(one["seconds"])),
            "n": len(one["all"]),
        }
        for name, one in errors.items()
    }

"""Average effects with intervals: cross-fitted networks inside doubly robust scores."""

import time
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.device import deterministic_algorithms
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import Solution, solve_linear
from causalkit.inference.variance import warn_if_few
from causalkit.nuisance import Folds
from causalkit.provenance import record
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.scores import LinearScore, arm_means
from causalkit.transtee.actions import AMOUNT, action_frame, encode_actions
from causalkit.transtee.calibration import calibration, joined
from causalkit.transtee.crossfit import folds_of, out_of_fold
from causalkit.transtee.dose_average import dose_averages
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.model import Asked
from causalkit.transtee.points import points_of
from causalkit.transtee.propensities import arm_chances, clipped, learners_of
from causalkit.transtee.settings import Settings
from causalkit.warn import collect_warnings

ASSUMES = ("Assumes no unmeasured confounding given the covariates, and overlap.",)
CALIBRATION = (
    "Slope: of the doubly robust scores on effects predicted by networks that did not see the row, "
    "within folds. One where predicted differences between rows are right on average, zero where "
    "they say nothing.",
)
ESTIMANDS = {
    "binary": ("ate", "calibration"),
    "multi": ("ate", "calibration"),
    "continuous": ("adrf",),
    "dose": ("adrf",),
}


def average_effects(
    data: CausalData,
    coding: Coding,
    coded: Coded,
    settings: Settings,
    estimand: str | None,
    *,
    arm: Any,
    doses: Any,
    baseline: Any,
    propensity: Any,
    bandwidth: float | None,
) -> EffectResult:
    """Effects of arms against the first, how far predicted ones hold, or mean outcomes at doses.

    Networks are trained anew on the other folds of every row; the propensity, or the density of the
    dose, is cross-fitted on the same folds.
    """
    started = time.perf_counter()
    kind = coding.actions.kind
    if kind not in ESTIMANDS:
        raise IdentificationError(
            f"estimate() averages over arms or along doses, and the treatment is {kind}; use "
            "effect(), or compare two actions as a binary treatment."
        )
    estimand = estimand or ESTIMANDS[kind][0]
    if estimand not in ESTIMANDS[kind]:
        known = " or ".join(repr(one) for one in ESTIMANDS[kind])
        raise ArgumentError(f"estimand of a {kind} treatment must be {known}, got {estimand!r}.")
    along = kind in AMOUNT
    if not along:
        asked = {"arm": arm, "doses": doses, "baseline": baseline, "bandwidth": bandwidth}
        if given := [f"{name}=" for name, value in asked.items() if value is not None]:
            raise ArgumentError(
                f"{', '.join(given)}: only for treatments with a dose, and this one is {kind}, "
                "whose arms are all compared with the first; leave out."
            )
    learners = learners_of(kind, propensity)
    folds = folds_of(coded, settings)
    roles = data.roles
    clusters = data.clusters() or (() if coded.groups is None else (coded.groups,))
    names = roles.cluster or ((str(roles.unit),) if clusters else ())
    with deterministic_algorithms(settings.deterministic), collect_warnings() as caught:
        if along:
            points = points_of(coding.actions, coded, arm=arm, doses=doses, baseline=baseline)
            terms, solution, facts = dose_averages(
                coding,
                coded,
                settings,
                folds,
                points,
                learners=learners,
                bandwidth=bandwidth,
                clusters=clusters,
            )
            estimand = f"{estimand}-differences" if points.compared else estimand
        else:
            terms, solution, facts = _arms(coding, coded, settings, folds, learners[0], estimand)
        warn_if_few(clusters)
    return effect_from_solutions(
        [solution],
        terms=terms,
        clusters=clusters,
        cluster_names=names,
        cov_type=("robust", "clustered", "two-way")[len(clusters)],
        multiplicity=coded.multiplicity,
        estimand=estimand,
        estimator=f"{settings.label} ({'dose AIPW' if along else 'AIPW'})",
        outcome=roles.outcome[0],
        treatment=roles.treatment,
        n_folds=settings.n_folds,
        seed=settings.seed,
        dropped=dict(data.dropped),
        warnings=tuple(caught),
        provenance=record(seed=settings.seed, wall_s=time.perf_counter() - started),
        data_digest=data.digest(),
        **facts,
    )


def _arms(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any, estimand: str
) -> tuple[tuple[str, ...], Solution, dict[str, Any]]:
    code = coding.actions
    column = code.columns[0]
    levels = code.levels[column]
    arm = coded.actions.arms[:, 0]
    mu, fold = np.empty((coded.n, len(levels))), np.empty(coded.n, dtype=np.int64)
    actions = [encode_actions(code, action_frame(code, level, 1)) for level in levels]
    for number, (model, test) in enumerate(out_of_fold(coding, coded, settings, folds)):
        mu[test] = model.outcomes(Asked(coded.covariates.rows(test)), actions).mean(axis=0)
        fold[test] = number
    chances = clipped(arm_chances(coding, coded, settings, folds, learner), arm, coded)
    scores = arm_means(coded.y, arm, mu=mu, propensity=chances)
    contrasts, effects = scores[:, 1:] - scores[:, :1], mu[:, 1:] - mu[:, :1]
    named = len(levels) > 2
    terms = tuple(f"{column}={level}" if named else column for level in levels[1:])
    ranges = {"range of propensities": (float(chances.min()), float(chances.max()))}
    if estimand == "calibration":
        return (
            tuple(f"{term}: {part}" for term in terms for part in ("average effect", "slope")),
            calibration(contrasts, effects, fold, weight=coded.weight),
            {"notes": (*ASSUMES, *CALIBRATION), "diagnostics": ranges},
        )
    ones = np.ones((*contrasts.shape, 1))
    solution = joined(solve_linear(LinearScore(ones, ones, contrasts), weights=coded.weight))
    plug_in = np.average(effects, axis=0, weights=coded.weight)
    return (
        terms,
        solution,
        {
            "contrast": tuple(f"{level} vs {levels[0]}" for level in levels[1:]),
            "notes": (
                *ASSUMES,
                "Plug-in mean of the networks, no interval: "
                + ", ".join(f"{t} {v:.4g}" for t, v in zip(terms, plug_in, strict=True))
                + ".",
            ),
            "diagnostics": {"plug-in": dict(zip(terms, plug_in.tolist(), strict=True)), **ranges},
        },
    )

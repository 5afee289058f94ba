"""Average effects with intervals: cross-fitted networks inside doubly robust scores."""

import time
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, IdentificationError, OverlapWarning
from causalkit.inference.solve import Solution
from causalkit.inference.variance import warn_if_few
from causalkit.nuisance import DenseFeatures, FoldKeys, Folds, Nuisance, draw_folds
from causalkit.nuisance.fitter import Fitter
from causalkit.provenance import record
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.rng import seed_of
from causalkit.scores import arm_means, dose_aipw
from causalkit.transtee.actions import action_frame, encode_actions
from causalkit.transtee.conformal import flat_features
from causalkit.transtee.fitting import Coded, Coding, fit_members, members_of
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats, Ints
from causalkit.warn import collect_warnings, warn

CLIP = 0.01
N_CURVE = 100


def average_effects(
    data: CausalData,
    coding: Coding,
    coded: Coded,
    settings: Settings,
    *,
    propensity: Any,
    doses: Any,
    bandwidth: float | None,
) -> EffectResult:
    """Effects of arms against the first, or the mean outcome at some doses.

    Networks are trained anew on the other folds of every row; the propensity, or the density of the
    dose, is cross-fitted on the same folds.
    """
    started = time.perf_counter()
    kind = coding.actions.kind
    if kind not in ("binary", "multi", "continuous"):
        raise IdentificationError(
            f"estimate() averages over arms or along one dose, and the treatment is {kind}; use "
            "effect() or dose_response(), or compare two actions as a binary treatment."
        )
    keys = FoldKeys(coded.n, unit=coded.groups)
    rule = "observation" if coded.groups is None else "unit"
    folds = draw_folds(keys, rule=rule, n_folds=settings.n_folds, seed=settings.seed)
    with collect_warnings() as caught:
        if kind == "continuous":
            terms, solution, facts = _curve(
                coding, coded, settings, folds, propensity, doses, bandwidth
            )
        else:
            terms, solution, facts = _arms(coding, coded, settings, folds, propensity)
        warn_if_few(() if coded.groups is None else (coded.groups,))
    roles = data.roles
    clusters = data.clusters() or (() if coded.groups is None else (coded.groups,))
    names = roles.cluster or ((str(roles.unit),) if clusters else ())
    return effect_from_solutions(
        [solution],
        terms=terms,
        clusters=clusters,
        cluster_names=names,
        cov_type=("robust", "clustered", "two-way")[len(clusters)],
        estimand="ate" if kind != "continuous" else "adrf",
        estimator=f"{settings.label} ({'AIPW' if kind != 'continuous' else 'dose AIPW'})",
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


def _out_of_fold(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds
) -> list[tuple[Model, Ints]]:
    """A model for every fold, trained on the others, with the rows it did not see."""
    members, tests = [], []
    for fold, (train, test) in enumerate(folds.splits(0)):
        seed = seed_of(settings.seed, "fold network", fold)
        own = members_of(coded, 0, settings, seed, train)
        members += own
        tests.append((own, test))
    stacks = fit_members(coding, [coded], members, settings)
    found = []
    for own, test in tests:
        seeds = {member.seed for member in own}
        parts = tuple(
            stack.one(places)
            for stack in stacks
            if (places := [k for k, m in enumerate(stack.members) if m.seed in seeds])
        )
        found.append((Model(coding, parts, {}), test))
    return found


def _weighted_mean(values: Floats, weight: Floats | None) -> Solution:
    """Means of score columns with their influence."""
    if weight is None:
        theta = values.mean(axis=0)
        return Solution(theta, values - theta)
    share = weight / weight.mean()
    theta = (share[:, None] * values).mean(axis=0)
    return Solution(theta, share[:, None] * (values - theta))


def _arms(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds, learner: Any
) -> tuple[tuple[str, ...], Solution, dict[str, Any]]:
    code = coding.actions
    column = code.columns[0]
    levels = code.levels[column]
    arm = coded.actions.arms[:, 0]
    mu = np.empty((coded.n, len(levels)))
    actions = [encode_actions(code, action_frame(code, level, 1)) for level in levels]
    for model, test in _out_of_fold(coding, coded, settings, folds):
        asked = Asked(coded.covariates.rows(test), test.size, None)
        mu[test] = model.outcomes(asked, actions).mean(axis=0)
    chances = _propensities(coding, coded, settings, folds, learner, arm, len(levels))
    scores = arm_means(coded.y, arm, mu=mu, propensity=chances)
    contrasts = scores[:, 1:] - scores[:, :1]
    plug_in = (mu[:, 1:] - mu[:, :1]).mean(axis=0)
    control = levels[0]
    named = len(levels) > 2
    terms = tuple(f"{column}={level}" if named else column for level in levels[1:])
    return (
        terms,
        _weighted_mean(contrasts, coded.weight),
        {
            "contrast": tuple(f"{level} vs {control}" for level in levels[1:]),
            "notes": (
                "Assumes no unmeasured confounding given the covariates, and overlap.",
                "Plug-in mean of the networks, no interval: "
                + ", ".join(f"{t} {v:.4g}" for t, v in zip(terms, plug_in, strict=True))
                + ".",
            ),
            "diagnostics": {
                "plug-in": dict(zip(terms, plug_in.tolist(), strict=True)),
                "range of propensities": (float(chances.min()), float(chances.max())),
            },
        },
    )


def _propensities(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    folds: Folds,
    learner: Any,
    arm: Ints,
    n_arms: int,
) -> Floats:
    """Cross-fitted P(A = k | X), rows summing to one, away from 0 by the clip."""
    features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
    fitter = Fitter(seed=settings.seed, weights=coded.weight)
    asked = range(1, n_arms) if n_arms == 2 else range(n_arms)
    found = fitter.run(
        [
            Nuisance(f"arm{k}", (arm == k).astype(float), features, learner, kind="probability")
            for k in asked
        ],
        folds,
    )
    chances = np.column_stack([found[f"arm{k}"][:, 0] for k in asked])
    if n_arms == 2:
        chances = np.hstack([1.0 - chances, chances])
    chances = chances / chances.sum(axis=1, keepdims=True)
    small = chances[np.arange(arm.size), arm] < CLIP
    if small.any():
        warn(
            f"[E19-overlap] {small.mean():.1%} of the rows received an arm with a propensity below "
            f"{CLIP:g}, which was moved to that bound; effects there rest on extrapolation.",
            OverlapWarning,
        )
    return np.asarray(np.clip(chances, CLIP, 1.0))


def _curve(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    folds: Folds,
    learner: Any,
    doses: Any,
    bandwidth: float | None,
) -> tuple[tuple[str, ...], Solution, dict[str, Any]]:
    """Mean outcome at some doses: local linear regression of pseudo-outcomes on the dose."""
    t = coded.actions.doses[:, 0].astype(np.float64)
    at = np.quantile(t, (0.25, 0.5, 0.75)) if doses is None else np.asarray(doses, dtype=float)
    if at.ndim != 1 or not np.isfinite(at).all() or at.min() < t.min() or at.max() > t.max():
        raise ArgumentError(
            f"doses must lie within those seen, {t.min():.4g} to {t.max():.4g}, got {doses!r}."
        )
    width = bandwidth or float(t.std() * coded.n ** (-0.25))
    grid = np.linspace(t.min(), t.max(), N_CURVE)
    code = coding.actions
    received, mean_outcome = np.empty(coded.n), np.empty(coded.n)
    actions = [encode_actions(code, action_frame(code, float(d), 1)) for d in grid]
    for model, test in _out_of_fold(coding, coded, settings, folds):
        asked = Asked(coded.covariates.rows(test), test.size, None)
        own = encode_actions(code, action_frame(code, t[test], test.size))
        received[test] = model.outcomes(asked, [own]).mean(axis=0)[:, 0]
        curve = model.outcomes(asked, actions).mean(axis=(0, 1))
        mean_outcome[test] = np.interp(t[test], grid, curve)
    density, mean_density = _densities(coding, coded, settings, folds, learner, t, grid)
    pseudo = dose_aipw(
        coded.y, mu=received, density=density, mean_density=mean_density, mean_outcome=mean_outcome
    )
    solution = local_linear(t, pseudo, at, width, weight=coded.weight)
    return (
        tuple(f"E[Y({d:.4g})]" for d in at),
        solution,
        {
            "notes": (
                "Assumes no unmeasured confounding given the covariates, and overlap at these "
                "doses.",
                f"Local linear with bandwidth {width:.4g}, whose smoothing bias the interval does "
                "not count.",
            ),
            "diagnostics": {
                "bandwidth": width,
                "plug-in": dict(
                    zip([f"{d:.4g}" for d in at], np.interp(at, grid, curve).tolist(), strict=True)
                ),
            },
        },
    )


def _densities(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    folds: Folds,
    learner: Any,
    t: Floats,
    grid: Floats,
) -> tuple[Floats, Floats]:
    """π(T | X) and ∫π(T | x)dP(x) at the doses received, by normal kernels on residuals."""
    from scipy.stats import gaussian_kde

    features = DenseFeatures(flat_features(coded.covariates, coding.covariates.shape.levels))
    fitter = Fitter(seed=settings.seed, weights=coded.weight)
    centre = fitter.run([Nuisance("dose", t, features, learner)], folds)["dose"][:, 0]
    residual = t - centre
    kde = gaussian_kde(residual, weights=coded.weight)
    density = np.maximum(kde(residual), 1e-3 * kde(residual).max())
    mean = [kde(d - centre).mean() for d in grid]
    return density, np.interp(t, grid, mean)


def local_linear(
    t: Floats, values: Floats, at: Floats, width: float, *, weight: Floats | None = None
) -> Solution:
    """Local linear regression at some points, normal kernel, with influence values ``(n, k)``."""
    theta, influence = np.empty(at.size), np.empty((t.size, at.size))
    w = np.ones(t.size) if weight is None else weight / weight.mean()
    for place, point in enumerate(at):
        away = (t - point) / width
        kernel = w * np.exp(-0.5 * away**2)
        x = np.column_stack([np.ones(t.size), away])
        gram = (kernel[:, None] * x).T @ x / t.size
        beta = np.linalg.solve(gram, (kernel[:, None] * x).T @ values / t.size)
        theta[place] = beta[0]
        left = kernel * (values - x @ beta)
        influence[:, place] = (left[:, None] * x) @ np.linalg.inv(gram)[0]
    return Solution(theta, influence)

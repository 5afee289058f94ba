"""Cross-fitted nuisances for one binary instrument, in three stages.

1. π(L) = P(Z = 1 | L), μ_z(L) = E[A | Z = z, L] and η_z(L) = E[Y | Z = z, L].
2. The residual covariance C_z(L) = E[ÃỸ | Z = z, L] with Ã = A − μ_Z and Ỹ = Y − η_Z, and for a
   continuous treatment V_z(L) = E[Ã² | Z = z, L]; for a binary one V_z = μ_z(1 − μ_z).
3. β(L) and ρ(L) from C_z = β V_z + ρ: by arm, β = ΔC/ΔV; or directly, by the regression of
   ÃỸ − E[ÃỸ | L] on (Z − π)ΔV with a slope that depends on L (an R-learner). ΔV and β are
   calibrated first (:mod:`causalkit.iv.calibration`), because ΔV is divided by.

Every residual comes from models that did not see its row. Those of stage 2 were trained on rows of
the fold that is predicted, but what a wrong μ or η adds to E[ÃỸ | L] is a product of their errors,
and so this costs nothing to first order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.iv.calibration import calibrated
from causalkit.iv.influence import Nuisances, Products, binary_direction
from causalkit.iv.sample import IVSample
from causalkit.iv.views import Sight
from causalkit.nuisance import CrossFit, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.rng import seed_of
from causalkit.typing import Bools, Floats, Learner

ARMS = (0, 1)
EFFECT_LOSSES = ("auto", "arms", "direct")
LEAST_VARIANCE = 1e-3  # of a treatment, beside its overall variance


@dataclass(frozen=True, slots=True)
class Learners:
    """Learner of each kind of nuisance."""

    instrument: str | Learner
    treatment: str | Learner
    outcome: str | Learner
    effect: str | Learner


@dataclass(frozen=True, slots=True)
class Regressions:
    """Regressions on the covariates by arm: arrays ``(n, n_rep)``, or pairs of them by arm."""

    pi: Floats
    mu: tuple[Floats, Floats]
    eta: tuple[Floats, Floats]
    hats: CrossFit


@dataclass(frozen=True, slots=True)
class Fitted:
    """All nuisances of one fit.

    Attributes
    ----------
    hats : Nuisances
        For the influence function.
    products : Products
        For the variance-weighted effect.
    predictions : mapping of str to (n, n_rep) array
        As learned, by name.
    targets : mapping of str to (n, n_rep) array
        What each was learned from; NaN where a row did not train it.
    chosen : mapping of str to str
        Learner behind each, and what ``"auto"`` chose.
    facts : mapping of str to object
        How β was learned, and its held-out losses.
    clipped : float
        Share of rows whose propensity of the instrument was outside the bounds.
    models : mapping of (name, repeat, fold) to object
        Fitted models, if they are kept.
    population : (n,) bool array or None
        Rows that the average runs over, where it is not for |ΔV| of these nuisances to say.
    instruments : (n, L) array or None
        Z − E[Z | L] of the first repeat, where ``products`` do not hold it.
    """

    hats: Nuisances
    products: Products
    predictions: Mapping[str, Floats]
    targets: Mapping[str, Floats]
    chosen: Mapping[str, str]
    facts: Mapping[str, object]
    clipped: float
    models: Mapping[tuple[str, int, int], object]
    population: Bools | None = None
    instruments: Floats | None = None


def fit_binary(
    sample: IVSample,
    sight: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    *,
    constant: Bools,
    clip: float,
    least_delta_v: float,
    effect_loss: str = "auto",
    calibrate: bool = True,
) -> Fitted:
    """Every nuisance of one binary instrument.

    Parameters
    ----------
    sample, sight, folds, fitter, learners
        Data, features, splits and how to fit.
    constant : (2,) bool array
        Arms in which the treatment does not vary.
    clip : float
        π is kept inside [clip, 1 − clip].
    least_delta_v : float
        |ΔV| below which it is replaced by this value, with its sign; the caller leaves such rows
        out of the average.
    effect_loss : {"auto", "arms", "direct"}
        How β is learned; ``"auto"`` takes the one with the smaller held-out loss.
    calibrate : bool
        Whether learned ΔV and β are calibrated; those from elsewhere never are.
    """
    first = first_stage(sample, sight, folds, fitter, learners, constant=constant)
    z, a = sample.z[:, 0], sample.a
    pi = kept_inside(first.pi, clip)
    a_res = a[:, None] - received(z, first.mu)
    product = a_res * (sample.y[:, None] - received(z, first.eta))
    second = second_stage(
        sample, sight, folds, fitter, learners, product=product, square=a_res**2, constant=constant
    )
    variance = variances(sample, first.mu, second, constant)
    covariance = (second["product:0"], second["product:1"])
    outcome_mean = mix(pi, covariance)
    treatment_mean = mix(pi, variance)
    given, moved, left = fitter.given, variance[1] - variance[0], product - outcome_mean
    calibrate = calibrate and not constant.any()
    if calibrate and not any(name.startswith(("treatment", "variance")) for name in given):
        moved = calibrated(sample, moved, a_res**2 - treatment_mean, z[:, None] - pi)
    delta_v = away_from_zero(moved, least_delta_v)
    swing = (z[:, None] - pi) * delta_v
    ways = {}
    if effect_loss != "direct":
        ways["arms"] = (covariance[1] - covariance[0]) / delta_v
    direct: CrossFit | None = None
    if effect_loss != "arms":
        direct = _direct_effect(sight, folds, fitter, learners, left, swing)
        ways["direct"] = direct["effect"]
    if calibrate and "effect" not in given:
        ways = {name: calibrated(sample, way, left, swing) for name, way in ways.items()}
    losses = {
        name: float(sample.mean((left - way * swing) ** 2).mean()) for name, way in ways.items()
    }
    way = min(losses, key=lambda name: losses[name])
    beta = given.get("effect", ways[way])
    rho = given.get("confounding", mix(pi, covariance) - beta * mix(pi, variance))
    mu, eta = received(z, first.mu), received(z, first.eta)
    omega = eta - beta * mu
    hats = Nuisances(
        mu=mu,
        omega=omega,
        beta=beta,
        rho=rho,
        direction=binary_direction(z, pi, delta_v),
        delta_v=moved,
        share=mix(pi, first.mu),
    )
    products = Products(left, a_res**2 - treatment_mean, z[:, None] - pi)
    more = {} if direct is None else {"effect": direct["effect"]}
    chosen = {**first.hats.chosen, **second.chosen}
    if direct is not None:
        chosen["effect"] = direct.chosen["effect"]
    # β and ρ may be given though no regression of that name was asked for.
    chosen |= dict.fromkeys(given, "given")
    learned = {"product": product} | ({} if sample.binary_treatment else {"variance": a_res**2})
    return Fitted(
        hats=hats,
        products=products,
        predictions={**first.hats.predictions, **second.predictions, **more},
        targets=targets_of(sample, folds.n_rep, **learned),
        chosen=chosen,
        facts={"effect_learned": way, "effect_losses": losses},
        clipped=sample.share((first.pi < clip) | (first.pi > 1.0 - clip)),
        models={
            **first.hats.models,
            **second.models,
            **({} if direct is None else direct.models),
        },
    )


def first_stage(
    sample: IVSample,
    sight: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    *,
    constant: Bools,
) -> Regressions:
    """π, μ_z and η_z; a treatment that does not vary in an arm is its value there."""
    z, a, y = sample.z[:, 0], sample.a, sample.y
    kind = "probability" if sample.binary_treatment else "mean"
    nuisances = [sight.nuisance("instrument", z, learners.instrument, kind="probability")]
    fixed: dict[str, Floats] = {}
    for arm, inside in arms_of(z):
        if constant[arm]:
            fixed[f"treatment:{arm}"] = np.full((sample.n, folds.n_rep), a[inside][0])
        else:
            name = f"treatment:{arm}"
            nuisances.append(
                sight.nuisance(name, a, learners.treatment, kind=kind, train_on=inside)
            )
        nuisances.append(sight.nuisance(f"outcome:{arm}", y, learners.outcome, train_on=inside))
    found = fitter.run(nuisances, folds)
    hats = replace(
        found,
        predictions={**found.predictions, **fixed},
        chosen={**found.chosen, **dict.fromkeys(fixed, "constant")},
    )
    return Regressions(
        pi=hats["instrument"],
        mu=(hats["treatment:0"], hats["treatment:1"]),
        eta=(hats["outcome:0"], hats["outcome:1"]),
        hats=hats,
    )


def arms_of(z: Floats) -> list[tuple[int, Bools]]:
    """Both arms of a binary instrument with their rows; the masks are shared objects."""
    return [(arm, z == arm) for arm in ARMS]


def second_stage(
    sample: IVSample,
    sight: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    *,
    product: Floats,
    square: Floats,
    constant: Bools,
) -> CrossFit:
    """C_z and, for a continuous treatment, V_z: regressions of residual products by arm."""
    arms = [(arm, rows) for arm, rows in arms_of(sample.z[:, 0]) if not constant[arm]]

    def make(repeat: int) -> list[Nuisance]:
        found = []
        for arm, rows in arms:
            target = product[:, repeat]
            found.append(sight.nuisance(f"product:{arm}", target, learners.effect, train_on=rows))
            if not sample.binary_treatment:
                target = square[:, repeat]
                found.append(
                    sight.nuisance(f"variance:{arm}", target, learners.treatment, train_on=rows)
                )
        return found

    found = by_repeat(make, folds, fitter)
    nothing = np.zeros((sample.n, folds.n_rep))
    fixed = {f"product:{arm}": nothing for arm in ARMS if constant[arm]}
    return replace(
        found,
        predictions={**fixed, **found.predictions},
        chosen={**dict.fromkeys(fixed, "constant"), **found.chosen},
    )


def variances(
    sample: IVSample, mu: tuple[Floats, Floats], second: CrossFit, constant: Bools
) -> tuple[Floats, Floats]:
    """V_z by arm: μ(1 − μ) for a binary treatment, else as learned, kept positive."""
    found = []
    least = LEAST_VARIANCE * sample.variance
    for arm in ARMS:
        if constant[arm]:
            found.append(np.zeros_like(mu[arm]))
        elif sample.binary_treatment:
            found.append(mu[arm] * (1.0 - mu[arm]))
        else:
            found.append(np.maximum(second[f"variance:{arm}"], least))
    return found[0], found[1]


def kept_inside(pi: Floats, clip: float) -> Floats:
    """Propensities inside [clip, 1 − clip], away from 0 and 1.

    Raises
    ------
    ArgumentError
        If ``clip`` is zero and some are 0 or 1, and so their weights infinite.
    """
    inside = np.clip(pi, clip, 1.0 - clip)
    at_bound = (inside <= 0.0) | (inside >= 1.0)
    if at_bound.any():
        raise ArgumentError(
            f"{at_bound.mean():.1%} of the propensities of the instrument are 0 or 1, and "
            "clip=0 leaves their weights infinite; use clip=0.01, or another learner."
        )
    return inside


def received(z: Floats, arms: tuple[Floats, ...]) -> Floats:
    """Values ``(..., n, m)`` of the arm that each row is in."""
    return np.where(z[:, None] == 1.0, arms[1], arms[0])


def mix(pi: Floats, arms: tuple[Floats, Floats]) -> Floats:
    """Mean over the arms given the covariates."""
    return pi * arms[1] + (1.0 - pi) * arms[0]


def away_from_zero(values: Floats, least: float) -> Floats:
    """Values whose size is at least ``least``, with their sign."""
    sign = np.where(values < 0.0, -1.0, 1.0)
    return sign * np.maximum(np.abs(values), max(least, 1e-12))


def _direct_effect(
    sight: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    left: Floats,
    swing: Floats,
) -> CrossFit:
    """Weighted regression of (P − E[P | L])/swing on L with weights swing²."""

    def make(repeat: int) -> list[Nuisance]:
        return [sight.nuisance("effect", left[:, repeat] / swing[:, repeat], learners.effect)]

    return by_repeat(make, folds, fitter, emphasis=swing**2)


def by_repeat(
    make: Callable[[int], list[Nuisance]],
    folds: Folds,
    fitter: Fitter,
    *,
    emphasis: Floats | None = None,
) -> CrossFit:
    """Cross-fit nuisances whose targets differ between repeats, each repeat on its own folds."""
    found = []
    for repeat in range(folds.n_rep):
        own = replace(
            fitter,
            seed=seed_of(fitter.seed, "repeat", repeat),
            given={name: values[:, [repeat]] for name, values in fitter.given.items()},
        )
        focus = None if emphasis is None else emphasis[:, repeat] / emphasis[:, repeat].mean()
        found.append(own.run(make(repeat), folds.repeat(repeat), emphasis=focus))
    predictions = {name: np.hstack([one[name] for one in found]) for name in found[0].predictions}
    models = {
        (name, repeat, fold): model
        for repeat, one in enumerate(found)
        for (name, _, fold), model in one.models.items()
    }
    return CrossFit(predictions, found[0].chosen, models)


def targets_of(sample: IVSample, n_rep: int, **learned: Floats) -> dict[str, Floats]:
    """What each nuisance was learned from, ``(n, n_rep)``, with NaN in the arm that did not.

    ``learned`` are targets of a second stage that differ between repeats.
    """
    wide = {
        name: np.repeat(values[:, None], n_rep, axis=1)
        for name, values in (("treatment", sample.a), ("outcome", sample.y))
    }
    found = {"instrument": np.repeat(sample.z, n_rep, axis=1)}
    for arm, inside in arms_of(sample.z[:, 0]):
        for name, values in {**wide, **learned}.items():
            found[f"{name}:{arm}"] = np.where(inside[:, None], values, np.nan)
    return found

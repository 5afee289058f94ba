"""Candidate learners of every nuisance, each fitted once per fold, and those that failed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.iv.calibration import calibrated
from causalkit.iv.nuisances import (
    ARMS,
    arms_of,
    away_from_zero,
    by_repeat,
    mix,
    received,
    variances,
)
from causalkit.iv.sample import IVSample
from causalkit.iv.settings import Candidates, Settings
from causalkit.iv.views import Sight
from causalkit.nuisance import CrossFit, Folds, Nuisance
from causalkit.nuisance.fitter import Fitter
from causalkit.typing import Bools, Floats

Make = Callable[[int], list[Nuisance]]


@dataclass(frozen=True, slots=True)
class Pool:
    """Out-of-fold predictions of all candidates of one nuisance.

    Attributes
    ----------
    labels : tuple of str
        Candidates that could be fitted everywhere.
    arms : tuple of (K, n, n_rep) arrays
        By arm; one array for the instrument.
    losses : (K,) array
        Mean out-of-fold loss: squared error, or log loss of a probability.
    failures : mapping of label to str
        Candidates left out, and why.
    """

    labels: tuple[str, ...]
    arms: tuple[Floats, ...]
    losses: Floats
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """Candidate with the smallest loss."""
        return int(np.argmin(self.losses))


class Fits:
    """Runs candidates together, or one by one if one fails; counts fits and keeps failures."""

    def __init__(self, fitter: Fitter, folds: Folds) -> None:
        self._fitter, self._folds = fitter, folds
        self.failures: dict[str, str] = {}
        self.count = 0

    def run(
        self, make: Make, names: list[str], *, emphasis: Floats | None = None
    ) -> dict[str, Floats]:
        """Predictions of the nuisances that ``make(repeat)`` lists, without those that fail."""
        self.count += len(names) * sum(map(len, self._folds.test))
        try:
            return self._fitted(make, emphasis)
        except Exception:
            return self._alone(make, names, emphasis)

    def _fitted(self, make: Make, emphasis: Floats | None) -> dict[str, Floats]:
        return dict(by_repeat(make, self._folds, self._fitter, emphasis=emphasis).predictions)

    def _alone(self, make: Make, names: list[str], emphasis: Floats | None) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for name in names:

            def one(repeat: int, name: str = name) -> list[Nuisance]:
                return [nuisance for nuisance in make(repeat) if nuisance.name == name]

            try:
                found |= self._fitted(one, emphasis)
            except Exception as error:
                self.failures[name] = f"{type(error).__name__}: {error}"
        return found


def _pool(
    sample: IVSample,
    target: Floats,
    listed: list[str],
    found: Mapping[str, Floats],
    names: Callable[[str], list[str]],
    *,
    rows: tuple[Bools, ...],
    probability: bool,
    fits: Fits,
    what: str,
) -> Pool:
    """Pool of the candidates that have predictions in all arms."""
    good = [label for label in listed if all(name in found for name in names(label))]
    failures = {
        label: next(fits.failures[name] for name in names(label) if name in fits.failures)
        for label in listed
        if label not in good
    }
    _check_some(tuple(good), failures, what)
    arms = tuple(np.stack([found[names(label)[arm]] for label in good]) for arm in range(len(rows)))
    losses = np.zeros((len(good), target.size))
    for values, inside in zip(arms, rows, strict=True):
        truth = target[inside][:, None]
        hats = values[:, inside]
        if probability:
            p = np.clip(hats, 1e-6, 1 - 1e-6)
            each = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
        else:
            each = (truth - hats) ** 2
        losses[:, inside] = each.mean(axis=2)
    return Pool(tuple(good), arms, sample.mean(losses.T), failures)


def _by_arm(name: str, label: str) -> list[str]:
    return [f"{name}:{arm}/{label}" for arm in ARMS]


def first_pools(
    sample: IVSample,
    sight: Sight,
    folds: Folds,
    fits: Fits,
    candidates: Candidates,
    constant: Bools,
) -> dict[str, Pool]:
    """Candidates for π, μ_z and η_z."""
    z = sample.z[:, 0]
    arms = arms_of(z)
    kind = "probability" if sample.binary_treatment else "mean"
    made = [
        sight.nuisance(f"instrument/{label}", z, learner, kind="probability")
        for label, learner in candidates["instrument"]
    ]
    for arm, rows in arms:
        for label, learner in candidates["treatment"] if not constant[arm] else ():
            name = f"treatment:{arm}/{label}"
            made.append(sight.nuisance(name, sample.a, learner, kind=kind, train_on=rows))
        for label, learner in candidates["outcome"]:
            name = f"outcome:{arm}/{label}"
            made.append(sight.nuisance(name, sample.y, learner, train_on=rows))
    found = fits.run(lambda _: made, [nuisance.name for nuisance in made])
    for arm, rows in arms:
        for label, _ in candidates["treatment"] if constant[arm] else ():
            found[f"treatment:{arm}/{label}"] = np.full((z.size, folds.n_rep), sample.a[rows][0])
    every = (np.ones(z.size, dtype=bool),)
    by_arm = tuple(rows for _, rows in arms)
    return {
        "instrument": _pool(
            sample,
            z,
            [label for label, _ in candidates["instrument"]],
            found,
            lambda label: [f"instrument/{label}"],
            rows=every,
            probability=True,
            fits=fits,
            what="instrument",
        ),
        **{
            name: _pool(
                sample,
                target,
                [label for label, _ in candidates[name]],
                found,
                partial(_by_arm, name),
                rows=by_arm,
                probability=name == "treatment" and sample.binary_treatment,
                fits=fits,
                what=name,
            )
            for name, target in (("treatment", sample.a), ("outcome", sample.y))
        },
    }


def exposures(
    sample: IVSample,
    sight: Sight,
    fits: Fits,
    candidates: Candidates,
    pools: Mapping[str, Pool],
    constant: Bools,
) -> tuple[Floats, Floats]:
    """E[A | Z, L] by each outcome candidate, for its ω; not fitted twice where it is known."""
    known = dict(candidates["treatment"])
    mine = dict(candidates["outcome"])
    treatment = pools["treatment"]
    found: dict[str, Floats] = {}
    made = []
    for arm, rows in arms_of(sample.z[:, 0]):
        for label in pools["outcome"].labels:
            name = f"exposure:{arm}/{label}"
            same = label in treatment.labels and known[label] is mine[label]
            if same or constant[arm]:
                position = treatment.labels.index(label) if same else 0
                found[name] = treatment.arms[arm][position]
                continue
            made.append(sight.nuisance(name, sample.a, mine[label], train_on=rows))
    if made:
        found |= fits.run(lambda _: made, [nuisance.name for nuisance in made])
    if fits.failures.keys() & {nuisance.name for nuisance in made}:
        name = next(nuisance.name for nuisance in made if nuisance.name in fits.failures)
        raise IdentificationError(
            f"an outcome candidate cannot be fitted to the treatment ({name}): "
            f"{fits.failures[name]}. Leave it out of the candidates."
        )
    low, high = (
        np.stack([found[f"exposure:{arm}/{label}"] for label in pools["outcome"].labels])
        for arm in ARMS
    )
    return low, high


class Best:
    """Residual products and variances by the treatment and outcome candidates of least loss."""

    def __init__(
        self,
        sample: IVSample,
        pools: Mapping[str, Pool],
        pi: Floats,
        constant: Bools,
        least: float,
        *,
        calibrate: bool,
    ) -> None:
        z = sample.z[:, 0]
        treatment, outcome = pools["treatment"], pools["outcome"]
        self.sample, self.constant, self.least = sample, constant, least
        self.treatment = treatment.labels[treatment.best]
        self.calibrate = calibrate
        self.pi = pi[pools["instrument"].best]
        self.mu = (treatment.arms[0][treatment.best], treatment.arms[1][treatment.best])
        a_res = sample.a[:, None] - received(z, self.mu)
        y_res = sample.y[:, None] - received(z, tuple(arm[outcome.best] for arm in outcome.arms))
        self.product, self.square = a_res * y_res, a_res**2
        self.second: CrossFit = CrossFit({}, {})

    def learn_variance(
        self, sight: Sight, folds: Folds, fitter: Fitter, settings: Settings
    ) -> None:
        """Learn V_z of a continuous treatment from squared residuals."""
        learner = dict(settings.candidates["treatment"])[self.treatment]
        arms = arms_of(self.sample.z[:, 0])
        self.second = by_repeat(
            lambda repeat: [
                sight.nuisance(f"variance:{arm}", self.square[:, repeat], learner, train_on=rows)
                for arm, rows in arms
                if not self.constant[arm]
            ],
            folds,
            fitter,
        )

    @property
    def variance(self) -> tuple[Floats, Floats]:
        """V_z by arm."""
        return variances(self.sample, self.mu, self.second, self.constant)

    @property
    def delta_v(self) -> Floats:
        """ΔV(L), ``(n, n_rep)``."""
        return self._moved(self.square, self.variance)

    def delta_v_of(self, mu: tuple[Floats, ...]) -> Floats:
        """ΔV(L) by every treatment candidate, ``(K, n, n_rep)``."""
        if not self.sample.binary_treatment:
            return np.repeat(self.delta_v[None], len(mu[0]), axis=0)
        z = self.sample.z[:, 0]
        return np.stack(
            [
                self._moved(
                    (self.sample.a[:, None] - received(z, (low, high))) ** 2,
                    (low * (1.0 - low), high * (1.0 - high)),
                )
                for low, high in zip(*mu, strict=True)
            ]
        )

    def _moved(self, square: Floats, variance: tuple[Floats, Floats]) -> Floats:
        moved = variance[1] - variance[0]
        if not self.calibrate:
            return moved
        left = square - mix(self.pi, variance)
        return calibrated(self.sample, moved, left, self.sample.z - self.pi)


def effect_pool(
    sample: IVSample,
    sight: Sight,
    fits: Fits,
    settings: Settings,
    best: Best,
    constant: Bools,
) -> tuple[Pool, Floats]:
    """Candidates for β with their ρ: by arm or directly, whichever has the smaller loss."""
    learners = settings.candidates["effect"]
    covariance = _covariances(sample, sight, fits, settings, best, constant)
    means = {label: mix(best.pi, arms) for label, arms in covariance.items()}
    delta_v = away_from_zero(best.delta_v, best.least)
    direct: dict[str, Floats] = {}
    swing = (sample.z - best.pi) * delta_v
    if settings.effect_loss != "arms" and means:
        # One centring for all, by the candidate that predicts the products best.
        centre = min(means.values(), key=lambda mean: _loss(sample, best.product - mean))
        left = (best.product - centre) / swing

        def effects(repeat: int) -> list[Nuisance]:
            return [
                sight.nuisance(f"effect/{label}", left[:, repeat], learner)
                for label, learner in learners
                if label in means
            ]

        direct = fits.run(effects, [f"effect/{label}" for label in means], emphasis=swing**2)
    found: dict[str, tuple[float, Floats, Floats]] = {}
    treated = received(sample.z[:, 0], best.variance)
    for label, (low, high) in covariance.items():
        ways = [direct[f"effect/{label}"]] if f"effect/{label}" in direct else []
        if settings.effect_loss != "direct":
            ways.append((high - low) / delta_v)
        tried = []
        for way in ways:
            beta = way
            if best.calibrate:
                beta = calibrated(sample, way, best.product - means[label], swing)
            rho = means[label] - beta * mix(best.pi, best.variance)
            tried.append((_loss(sample, best.product - beta * treated - rho), beta, rho))
        if tried:
            found[label] = min(tried, key=lambda item: item[0])
    failures = {
        label: next(
            reason
            for name, reason in fits.failures.items()
            if name.startswith(("product", "effect")) and name.endswith(f"/{label}")
        )
        for label, _ in learners
        if label not in found
    }
    _check_some(tuple(found), failures, "effect")
    losses = np.array([loss for loss, _, _ in found.values()])
    betas = np.stack([beta for _, beta, _ in found.values()])
    pool = Pool(tuple(found), (betas,), losses, failures)
    return pool, np.stack([rho for _, _, rho in found.values()])


def _covariances(
    sample: IVSample,
    sight: Sight,
    fits: Fits,
    settings: Settings,
    best: Best,
    constant: Bools,
) -> dict[str, tuple[Floats, Floats]]:
    """C_z(L) at both arms, by every candidate that could be fitted."""
    learners = settings.candidates["effect"]
    arms = [(arm, rows) for arm, rows in arms_of(sample.z[:, 0]) if not constant[arm]]

    def products(repeat: int) -> list[Nuisance]:
        target = best.product[:, repeat]
        return [
            sight.nuisance(f"product:{arm}/{label}", target, learner, train_on=rows)
            for arm, rows in arms
            for label, learner in learners
        ]

    names = [f"product:{arm}/{label}" for arm, _ in arms for label, _ in learners]
    found = fits.run(products, names)
    for arm in ARMS:
        for label, _ in learners if constant[arm] else ():
            found[f"product:{arm}/{label}"] = np.zeros_like(best.product)
    return {
        label: (found[f"product:0/{label}"], found[f"product:1/{label}"])
        for label, _ in learners
        if all(f"product:{arm}/{label}" in found for arm in ARMS)
    }


def _check_some(labels: tuple[str, ...], failures: Mapping[str, str], what: str) -> None:
    if not labels:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in failures.items())
        raise IdentificationError(f"every candidate for the {what} failed ({reasons}).")


def _loss(sample: IVSample, errors: Floats) -> float:
    return float(sample.mean(errors**2).mean())

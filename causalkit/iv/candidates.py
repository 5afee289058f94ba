"""Selective machine learning of one fit: candidates in, the selected combination out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import CausalKitWarning
from causalkit.iv import selection
from causalkit.iv.influence import Nuisances, binary_direction, modelled_products
from causalkit.iv.nuisances import Fitted, away_from_zero, kept_inside, mix, received, targets_of
from causalkit.iv.pools import Best, Fits, Pool, effect_pool, exposures, first_pools
from causalkit.iv.sample import IVSample
from causalkit.iv.settings import Settings
from causalkit.iv.views import Sight
from causalkit.nuisance import Folds
from causalkit.nuisance.fitter import Fitter
from causalkit.rng import stream
from causalkit.typing import Bools, Floats
from causalkit.warn import warn


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and from what.

    Attributes
    ----------
    choice : (π, μ, ω, βρ)
        Positions of the selected candidates.
    pools : mapping of nuisance to Pool
    risks : PseudoRisks
    parts : Contributions
        Estimates of all combinations, by fold and by block of rows.
    weights : array or None
        Of all combinations, if the estimate is smoothed.
    n_fits : int
        Fits of a learner to a training fold.
    """

    choice: selection.Choice
    pools: Mapping[str, Pool]
    risks: selection.PseudoRisks
    parts: selection.Contributions
    weights: Floats | None
    n_fits: int

    def table(self, criterion: selection.Criterion) -> pd.DataFrame:
        """One row per nuisance and candidate.

        Columns ``nuisance, learner, loss, chosen_by_loss, selected, pseudo_risk_raw, pseudo_risk,
        failure``; pseudo-risks are those of the selected combination with this candidate in
        place of the selected one, in squared units of the effect.
        """
        corrected = self.risks.criterion(criterion)
        raw = self.risks.criterion(criterion, raw=True)
        rows: list[dict[str, Any]] = []
        for axis, name in enumerate(selection.AXES):
            pool = self.pools[name]
            for index, label in enumerate(pool.labels):
                place = tuple(index if a == axis else k for a, k in enumerate(self.choice))
                rows.append(
                    {
                        "nuisance": name,
                        "learner": label,
                        "loss": float(pool.losses[index]),
                        "chosen_by_loss": index == pool.best,
                        "selected": index == self.choice[axis],
                        "pseudo_risk_raw": float(raw[place]),
                        "pseudo_risk": float(corrected[place]),
                        "failure": "",
                    }
                )
            for label, reason in pool.failures.items():
                rows.append({"nuisance": name, "learner": label, "failure": reason})
        frame = pd.DataFrame(rows)
        flags = ["chosen_by_loss", "selected"]
        return frame.astype({flag: "boolean" for flag in flags}).fillna(dict.fromkeys(flags, False))


def fit_selective(
    sample: IVSample,
    sight: Sight,
    folds: Folds,
    fitter: Fitter,
    settings: Settings,
    *,
    constant: Bools,
) -> tuple[Fitted, Selection]:
    """Fit every candidate once per fold, judge all combinations, and return the selected one.

    Residual products, from which the candidates for β and ρ learn, are those of the treatment and
    outcome candidates with the smallest out-of-fold loss.
    """
    fits = Fits(fitter, folds)
    pools = first_pools(sample, sight, folds, fits, settings.candidates, constant)
    exposure = exposures(sample, sight, fits, settings.candidates, pools, constant)
    z = sample.z[:, 0]
    pi = kept_inside(pools["instrument"].arms[0], settings.clip)
    least = sample.least_delta_v(settings.trim_delta_v)
    calibrate = settings.calibrate and not constant.any()
    products = Best(sample, pools, pi, constant, least, calibrate=calibrate)
    if not sample.binary_treatment:
        products.learn_variance(sight, folds, fitter, settings)
    pools["effect"], rho = effect_pool(sample, sight, fits, settings, products, constant)
    _report_failures(pools, fits)
    mu = pools["treatment"].arms
    delta_v = products.delta_v_of(mu)
    # One population for all combinations, or their differences would be of populations.
    population: Bools = np.asarray((np.abs(products.delta_v) >= least).all(axis=1))
    kept = population if population.any() else np.ones(sample.n, dtype=bool)
    groups = sample.clusters[0] if sample.clusters else np.arange(sample.n)
    block = selection.random_blocks(groups, rng=stream(settings.seed, "blocks"))
    n_blocks = int(block.max()) + 1
    mu_seen, eta_seen, exposure_seen = (
        received(z, arms) for arms in (mu, pools["outcome"].arms, exposure)
    )
    by_fold, by_block, fold = [], [], folds.fold_ids()
    for repeat, tests in enumerate(folds.test):
        n_folds = len(tests)
        hats = selection.Predictions(
            pi=pi[:, :, repeat],
            mu=mu_seen[:, :, repeat],
            delta_v=away_from_zero(delta_v[:, :, repeat], least),
            eta=eta_seen[:, :, repeat],
            exposure=exposure_seen[:, :, repeat],
            beta=pools["effect"].arms[0][:, :, repeat],
            rho=rho[:, :, repeat],
        )
        cells = selection.block_sums(
            sample.y,
            sample.a,
            z,
            hats,
            block=fold[repeat] * n_blocks + block,
            n_blocks=n_folds * n_blocks,
            weights=sample.weights,
            kept=kept,
        ).reshape(n_folds, n_blocks, *hats.shape)
        by_fold.append(cells.sum(axis=1) * n_folds)
        by_block.append(cells.sum(axis=0) * n_blocks)
    share = selection.block_weights(block, n_blocks=n_blocks, weights=sample.weights, kept=kept)
    parts = selection.Contributions(tuple(by_fold), np.mean(by_block, axis=0), share)
    risks = selection.pseudo_risks(parts)
    choice = selection.choose(risks, settings.criterion)
    weights = None
    if settings.smooth:
        weights = selection.smoothed(parts.by_block, settings.criterion, parts.block_weight)[1]
    found = Selection(choice, pools, risks, parts, weights, fits.count)
    moved = delta_v[choice[1]]
    fitted = _selected(sample, pools, pi, exposure, rho, products, moved, choice)
    return replace(fitted, population=population), found


def _report_failures(pools: Mapping[str, Pool], fits: Fits) -> None:
    for name in selection.AXES:
        for label, reason in pools[name].failures.items():
            warn(
                f"candidate {label} for the {name} failed and is left out ({reason}); see "
                "candidates().",
                CausalKitWarning,
            )
    for label in pools["effect"].labels:
        if f"effect/{label}" in fits.failures:
            warn(
                f"candidate {label} for the effect learns it by arm alone: the direct regression "
                f"failed ({fits.failures[f'effect/{label}']}).",
                CausalKitWarning,
            )


def _selected(
    sample: IVSample,
    pools: Mapping[str, Pool],
    pi: Floats,
    exposure: tuple[Floats, Floats],
    rho: Floats,
    best: Best,
    delta_v: Floats,
    choice: selection.Choice,
) -> Fitted:
    """Nuisances of the selected combination, whose ΔV is ``delta_v``."""
    k_pi, k_mu, k_omega, k_beta = choice
    z = sample.z[:, 0]
    mu = tuple(arm[k_mu] for arm in pools["treatment"].arms)
    eta = tuple(arm[k_omega] for arm in pools["outcome"].arms)
    beta = pools["effect"].arms[0][k_beta]
    shown = received(z, eta) - beta * received(z, tuple(arm[k_omega] for arm in exposure))
    hats = Nuisances(
        mu=received(z, mu),
        omega=shown,
        beta=beta,
        rho=rho[k_beta],
        direction=binary_direction(z, pi[k_pi], away_from_zero(delta_v, best.least)),
        delta_v=delta_v,
        share=mix(pi[k_pi], (mu[0], mu[1])),
    )
    a_res = sample.a[:, None] - hats.mu
    y_res = sample.y[:, None] - received(z, eta)
    variance = best.variance
    if sample.binary_treatment:
        variance = (mu[0] * (1.0 - mu[0]), mu[1] * (1.0 - mu[1]))
    mean_square = mix(pi[k_pi], variance)
    products = modelled_products(y_res, a_res, hats, mean_square, z[:, None] - pi[k_pi])
    labels = {
        name: f"selected: {pools[name].labels[k]}"
        for name, k in zip(selection.AXES, choice, strict=True)
    }
    raw = pools["instrument"].arms[0][k_pi]
    predictions = {
        "instrument": raw,
        "treatment:0": mu[0],
        "treatment:1": mu[1],
        "outcome:0": eta[0],
        "outcome:1": eta[1],
        "effect": beta,
        "confounding": rho[k_beta],
    }
    return Fitted(
        hats=hats,
        products=products,
        predictions=predictions,
        targets=targets_of(sample, pi.shape[2]),
        # β and ρ are of one learner, and come under its name.
        chosen={
            name: labels[name.partition(":")[0]] for name in predictions if name != "confounding"
        },
        facts={"effect_learned": "selected"},
        clipped=sample.share(raw != pi[k_pi]),
        models={},
    )

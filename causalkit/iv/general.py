"""Cross-fitted nuisances for any instrument: several, with many levels, or continuous.

The contrast between two arms becomes the centred variance V(Z, L) − E[V(Z, L) | L], the direction
in which the variance of the treatment moves most; everything else is as for a binary instrument.

The score divides by E[(V − E[V | L])² | L], which stands for E[(V − E[V | L]) Ã² | L]. The square
of a prediction is not that: it also has the prediction's own noise, and it is learned from other
folds, where models predict that were trained on the very rows it is used for. With two folds the
average then has heavy tails. So direction, spread and β take level and slope from held-out
residuals. The products of the variance-weighted effect and of the Anderson–Rubin set stay as
predicted: a scale taken from the same rows would be correlated with them.
"""

import numpy as np

from causalkit.iv.calibration import calibrated
from causalkit.iv.influence import Nuisances, Products
from causalkit.iv.nuisances import LEAST_VARIANCE, Fitted, Learners, by_repeat
from causalkit.iv.sample import IVSample
from causalkit.iv.views import Sight
from causalkit.nuisance import CrossFit, Folds
from causalkit.nuisance.fitter import Fitter
from causalkit.typing import Floats


def fit_general(
    sample: IVSample,
    sight: Sight,
    joint: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    *,
    least_delta_v: float,
    calibrate: bool = True,
) -> Fitted:
    """Every nuisance of instruments of any kind.

    Parameters
    ----------
    sample, folds, fitter, learners
        As in :func:`causalkit.iv.nuisances.fit_binary`.
    sight, joint : Sight
        Covariates L, and instruments with covariates (Z, L).
    least_delta_v : float
        2 sd(V | L) below which it is replaced by this value; the caller leaves such rows out.
    calibrate : bool
        Whether the move of V, its spread and β are calibrated.
    """
    kind = "probability" if sample.binary_treatment else "mean"
    first = fitter.run(
        [
            joint.nuisance("treatment", sample.a, learners.treatment, kind=kind),
            joint.nuisance("outcome", sample.y, learners.outcome),
        ],
        folds,
    )
    mu, eta = first["treatment"], first["outcome"]
    a_res = sample.a[:, None] - mu
    square, product = a_res**2, a_res * (sample.y[:, None] - eta)
    variance, of_variance = _variance(sample, joint, folds, fitter, learners, mu, square)
    means = by_repeat(
        lambda repeat: [
            sight.nuisance("product", product[:, repeat], learners.effect),
            # From Ã², on the rows that V was learned from: V by other models has another level.
            sight.nuisance("variance mean", square[:, repeat], learners.instrument),
            sight.nuisance("share", sample.a, learners.treatment, kind=kind),
        ],
        folds,
        fitter,
    )
    alone = _instrument_means(sample, sight, folds, fitter, learners)
    left, moved = product - means["product"], square - means["variance mean"]
    predicted = variance - means["variance mean"]
    every = np.ones_like(predicted)
    swing = predicted
    if calibrate:
        swing = predicted * calibrated(sample, every, moved, predicted)
    spread = by_repeat(
        lambda repeat: [
            sight.nuisance("variance spread", swing[:, repeat] ** 2, learners.instrument)
        ],
        folds,
        fitter,
    )
    square_swing = spread["variance spread"]
    if calibrate:
        square_swing = calibrated(sample, square_swing, swing * moved, every)
    delta_v = 2.0 * np.sqrt(np.maximum(square_swing, 0.0))
    kept_away = np.maximum(delta_v, max(least_delta_v, 1e-12))
    safe = np.where(swing < 0.0, -1.0, 1.0) * np.maximum(np.abs(swing), 1e-6 * kept_away)
    effect = by_repeat(
        lambda repeat: [
            sight.nuisance("effect", left[:, repeat] / safe[:, repeat], learners.effect)
        ],
        folds,
        fitter,
        emphasis=safe**2,
    )
    beta = effect["effect"]
    if calibrate:
        beta = calibrated(sample, beta, left, swing)
    rho = means["product"] - beta * means["variance mean"]
    hats = Nuisances(
        mu=mu,
        omega=eta - beta * mu,
        beta=beta,
        rho=rho,
        direction=swing / (kept_away / 2.0) ** 2,
        delta_v=delta_v,
        share=means["share"],
    )
    products = Products(left, moved, predicted)
    parts = [first, means, spread, effect, *([] if of_variance is None else [of_variance])]
    merged = {name: values for part in parts for name, values in part.predictions.items()}

    def wide(values: Floats) -> Floats:
        return np.repeat(values[:, None], folds.n_rep, axis=1)

    targets = {
        "treatment": wide(sample.a),
        "outcome": wide(sample.y),
        "product": product,
        "variance mean": square,
        "variance spread": swing**2,
        "share": wide(sample.a),
    }
    if of_variance is not None:
        targets["variance"] = square
    return Fitted(
        hats=hats,
        products=products,
        predictions=merged,
        targets=targets,
        chosen={name: label for part in parts for name, label in part.chosen.items()},
        facts={"effect_learned": "direct"},
        clipped=0.0,
        models={key: model for part in parts for key, model in part.models.items()},
        instruments=sample.z - np.hstack(list(alone.predictions.values())),
    )


def _instrument_means(
    sample: IVSample, sight: Sight, folds: Folds, fitter: Fitter, learners: Learners
) -> CrossFit:
    """E[Z | L] of each instrument in the first repeat; the first stage alone asks for it."""
    nuisances = [
        sight.nuisance(f"instrument {name}", values, learners.instrument)
        for name, values in zip(sample.instrument_names, sample.z.T, strict=True)
    ]
    return fitter.run(nuisances, folds.repeat(0))


def _variance(
    sample: IVSample,
    joint: Sight,
    folds: Folds,
    fitter: Fitter,
    learners: Learners,
    mu: Floats,
    square: Floats,
) -> tuple[Floats, CrossFit | None]:
    """V(Z, L): μ(1 − μ) for a binary treatment, else learned from squared residuals."""
    if sample.binary_treatment:
        return mu * (1.0 - mu), None
    found = by_repeat(
        lambda repeat: [joint.nuisance("variance", square[:, repeat], learners.treatment)],
        folds,
        fitter,
    )
    least = LEAST_VARIANCE * sample.variance
    return np.maximum(found["variance"], least), found

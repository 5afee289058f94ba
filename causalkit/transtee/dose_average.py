"""Mean outcome at some doses, with an interval that smoothing bias does not spoil."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.inference.arguments import check_between
from causalkit.inference.solve import Solution
from causalkit.inference.variance import degrees_of_freedom, sandwich
from causalkit.nuisance import Folds
from causalkit.transtee.actions import action_frame, encode_actions
from causalkit.transtee.crossfit import out_of_fold
from causalkit.transtee.dose_density import DoseDensity
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.local_fit import DEGREE, PointEstimates, local_polynomial
from causalkit.transtee.model import Asked
from causalkit.transtee.observations import observations
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats, Ints

QUARTILES = (0.25, 0.5, 0.75)
RATE = -1.0 / 5.0


def dose_averages(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    folds: Folds,
    *,
    learner: Any,
    doses: Any,
    bandwidth: float | None,
    clusters: Sequence[Ints],
) -> tuple[tuple[str, ...], Solution, dict[str, Any]]:
    """E[Y(t)] at some doses: names, estimates with influence values, and facts of the result."""
    t = coded.actions.doses[:, 0].astype(np.float64)
    observed = observations(t, coded.multiplicity)
    at = np.asarray(np.quantile(observed, QUARTILES) if doses is None else doses, dtype=float)
    # Doses are kept in single precision, in which the largest may be a little less than it was.
    slack = 1e-6 * np.abs(t).max()
    if at.ndim != 1 or not (np.abs(at - np.clip(at, t.min(), t.max())) <= slack).all():
        raise ArgumentError(
            f"doses must lie within those seen, {t.min():.4g} to {t.max():.4g}, got {doses!r}."
        )
    width = float(observed.std() * observed.size**RATE)
    if bandwidth is not None:
        width = check_between("bandwidth", bandwidth, 0.0, np.inf, start=False)
    known = DoseDensity.of(coding, coded, settings, folds, learner, t)
    density, mean_density = known.received(), known.mean()
    code = coding.actions
    received, curves = np.empty(coded.n), np.empty((coded.n, at.size))
    actions = [encode_actions(code, action_frame(code, float(d), 1)) for d in at]
    for model, test in out_of_fold(coding, coded, settings, folds):
        asked = Asked(coded.covariates.rows(test))
        own = encode_actions(code, action_frame(code, t[test], test.size))
        received[test] = model.outcomes(asked, [own]).mean(axis=0)[:, 0]
        curves[test] = model.outcomes(asked, actions).mean(axis=0)
    found = curve_at(
        at,
        y=coded.y,
        t=t,
        received=received,
        curves=curves,
        density=density,
        mean_density=mean_density,
        width=width,
        weight=coded.weight,
        multiplicity=coded.multiplicity,
        clusters=clusters,
    )
    plug_in = np.average(curves, axis=0, weights=coded.weight)
    return (
        tuple(f"E[Y({d:.4g})]" for d in at),
        Solution(found.theta, found.influence),
        {
            "df_by_term": found.df,
            "notes": (
                "Assumes no unmeasured confounding given the covariates, and overlap at these "
                "doses.",
                f"Residuals are smoothed over the dose by a local quadratic with bandwidth "
                f"{width:.4g}, the bias-corrected form of a local line with that bandwidth; its "
                "errors are HC2 with the degrees of freedom of Bell and McCaffrey.",
            ),
            "diagnostics": {
                "bandwidth": width,
                "plug-in": dict(zip([f"{d:.4g}" for d in at], plug_in.tolist(), strict=True)),
            },
        },
    )


def curve_at(
    at: Floats,
    *,
    y: Floats,
    t: Floats,
    received: Floats,
    curves: Floats,
    density: Floats,
    mean_density: Floats,
    width: float,
    weight: Floats | None = None,
    multiplicity: Floats | None = None,
    clusters: Sequence[Ints] = (),
    degree: int = DEGREE,
) -> PointEstimates:
    """E[Y(t)] at doses ``at`` (k,) from cross-fitted nuisances.

    The mean over rows of μ(X, t), plus a local polynomial at t of the residuals Y − μ(X, T), in
    which a row counts by E[π(T | X)] / π(T | X). Only what μ gets wrong is smoothed; smoothing μ as
    well, as in the pseudo-outcomes of Kennedy et al. (2017), would flatten every peak of the curve.
    As weights of the regression the ratios add up to one, as those of Hájek: multiplied to the
    residuals, as there, one row of little density given X moves the curve without limit.
    A local polynomial of degree 2 is a local line corrected by the curvature estimated with the
    same bandwidth, and its influence counts that correction.

    Parameters
    ----------
    received, curves : (n,) and (n, k) arrays
        μ(X, T) and μ(X, t) at every dose of ``at``.
    density, mean_density : (n,) arrays
        π(T | X) and its mean over X at the dose received.
    weight : (n,) array, optional
    multiplicity : (n,) array, optional
        Those weights, if they are frequencies: rows that each row stands for.
    clusters : sequence of (n,) int arrays
        Those that errors are summed by.

    References
    ----------
    Colangelo & Lee (2020), arXiv:2004.03036, section 2; Calonico, Cattaneo & Farrell (2018), JASA
    113:767, remark 7.
    """
    share = np.ones(y.size) if weight is None else weight / weight.mean()
    ratio = share * mean_density / density
    corrections = local_polynomial(
        t,
        y - received,
        at,
        width,
        weight=ratio,
        multiplicity=multiplicity,
        clusters=clusters,
        degree=degree,
    )
    plug_in = (share[:, None] * curves).mean(axis=0)
    own = share[:, None] * (curves - plug_in)
    df = [_freedom(own, corrections, codes, multiplicity) for codes in clusters or (None,)]
    return PointEstimates(
        plug_in + corrections.theta, own + corrections.influence, np.min(df, axis=0)
    )


def _freedom(
    own: Floats, fit: PointEstimates, codes: Ints | None, multiplicity: Floats | None
) -> Floats:
    """Degrees of freedom of a mean over rows plus a local fit, after Satterthwaite (1946)."""
    clusters = () if codes is None else (codes,)
    n = own.shape[0] if multiplicity is None else float(multiplicity.sum())
    of_mean = degrees_of_freedom(clusters, n)
    by_mean, by_fit = (
        np.diag(sandwich(influence, clusters, multiplicity=multiplicity))
        for influence in (own, fit.influence)
    )
    share = by_fit / np.maximum(by_mean + by_fit, np.finfo(float).tiny)
    return np.minimum(1.0 / ((1.0 - share) ** 2 / of_mean + share**2 / fit.df), of_mean)

"""Mean outcome at some doses, with an interval that smoothing bias does not spoil."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.inference.arguments import check_between
from causalkit.inference.arm_means import IN_ARMS
from causalkit.inference.solve import Solution
from causalkit.nuisance import Folds
from causalkit.transtee.actions import ActionCode
from causalkit.transtee.by_row import ByRow, propensities_of_arms
from causalkit.transtee.coding import Coded
from causalkit.transtee.crossfit import Split
from causalkit.transtee.dose_density import DoseDensity
from causalkit.transtee.dose_scores import MeanOutcomes, curve_at, mean_of_arm
from causalkit.transtee.few_doses import warn_between
from causalkit.transtee.model import Asked
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.points import Points, check_doses_vary, doses_seen, rows_and_doses
from causalkit.transtee.propensities import arm_chances, clipped, warn_if_few_count
from causalkit.transtee.repeated_splits import Averages
from causalkit.typing import Floats, Ints

RATE = -1.0 / 5.0


def dose_averages(
    split: Split,
    points: Points,
    *,
    learners: tuple[Any, Any],
    bandwidth: float | None,
    clusters: Sequence[Ints],
) -> Averages:
    """E[Y(t)] or E[Y(k, t)] at points: names, estimates with influence values, facts of the result.

    Parameters
    ----------
    learners : pair
        Of P(arm | X), which one dose has no use for, and of the mean of the dose.
    """
    coding, coded, settings, folds = split.coding, split.coded, split.settings, split.folds
    code = coding.actions
    counted: dict[str, Any] = {"weight": mean_weight(coded), "multiplicity": coded.multiplicity}
    shared = counted | {"clusters": clusters}
    widths = _widths(coded, folds, points, bandwidth)
    chances, facts, by_arm = np.ones((coded.n, 1)), dict[str, Any](), dict[str, Floats]()
    if code.kind != "continuous":
        found, facts["propensity"] = arm_chances(coding, coded, settings, folds, learners[0])
        chances = clipped(found, coded.actions.arms[:, 0], **counted)
        facts["range of propensities"] = (float(found.min()), float(found.max()))
        by_arm = propensities_of_arms(found, code.arms)
    known = {
        place: DoseDensity.of(coding, coded, settings, folds, learners[1], place)
        for place in widths
    }
    own, curves, partial = _predicted(split, points)
    theta, fit_df = np.empty(points.arms.size), np.empty(points.arms.size)
    by_mean, by_fit = np.empty(curves.shape), np.empty(curves.shape)
    for place in set(points.arms.tolist()):
        at = np.flatnonzero(points.arms == place)
        chance, mu = chances[:, place], np.take(curves, at, axis=1)
        rows, t = rows_and_doses(coded, place)
        if place not in known:
            warn_if_few_count(1.0 / chance, rows, code.arms[place], multiplicity=coded.multiplicity)
            part = mean_of_arm(coded.y, rows, mu=mu, propensity=chance, **shared)
        else:
            density = known[place]
            warn_between(points.doses[at], doses_seen(coded, place), _of(code, place))
            with _naming(code, place):
                part = curve_at(
                    points.doses[at],
                    y=coded.y,
                    t=t,
                    received=own,
                    curves=mu,
                    density=chance * density.received(_of(code, place)),
                    mean_density=density.mean(chance),
                    width=widths[place],
                    rows=rows,
                    **shared,
                )
        theta[at], fit_df[at] = part.theta, part.fit_df
        by_mean[:, at], by_fit[:, at] = part.own, part.of_fit
    plug_in = np.average(curves, axis=0, weights=counted["weight"])
    named = {code.arms[place]: width for place, width in widths.items()}
    facts["bandwidth"] = widths[0] if code.kind == "continuous" else named
    facts["plug-in"] = dict(zip(points.names, plug_in.tolist(), strict=True))
    found_at = MeanOutcomes(theta, by_mean, by_fit, fit_df, clusters, coded.multiplicity)
    terms = tuple(f"E[Y({name})]" for name in points.names)
    if points.compared:
        terms = tuple(f"{term} - {terms[-1]}" for term in terms[:-1])
        found_at = found_at.from_last()
    df = found_at.df
    told = {
        "df_by_term": df,
        "df_combined": np.minimum(found_at.fit_df, df),
        "n_together": 1,
        "leverage": _leverage(points, widths),
        "notes": _notes(points, widths),
        "by_row": ByRow(coded.y, folds.fold_ids()[0], {"outcome": own[:, None]} | by_arm, partial),
        "diagnostics": facts,
    }
    return terms, Solution(found_at.theta, found_at.influence), told


def _widths(
    coded: Coded, folds: Folds, points: Points, bandwidth: float | None
) -> dict[int, float]:
    """Bandwidth along the dose of every arm that takes one."""
    dosed = sorted(set(points.arms[~np.isnan(points.doses)].tolist()))
    if bandwidth is not None:
        width = check_between("bandwidth", bandwidth, 0.0, np.inf, start=False)
    found = {}
    for place in dosed:
        check_doses_vary(points.code, coded, folds, place)
        observed = doses_seen(coded, place)
        found[place] = float(observed.std() * observed.size**RATE) if bandwidth is None else width
    return found


@contextmanager
def _naming(code: ActionCode, place: int) -> Iterator[None]:
    """Say of which arm it is, if there are too few rows at a dose."""
    try:
        yield
    except IdentificationError as error:
        if code.kind == "continuous":
            raise
        raise IdentificationError(f"arm {code.labels[place]!r}: {error}") from error


def _of(code: ActionCode, place: int) -> str:
    return "" if code.kind == "continuous" else f" of arm {code.arms[place]}"


def _predicted(split: Split, points: Points) -> tuple[Floats, Floats, bool]:
    """μ(X, A) ``(n,)`` of the action received and ``(n, k)`` at points, by networks out of fold.

    Also whether their training was interrupted.
    """
    coded = split.coded
    own, curves = np.empty(coded.n), np.empty((coded.n, points.arms.size))
    actions = points.actions()
    networks = split.networks()
    for model, test in networks:
        asked = Asked(coded.covariates.rows(test))
        own[test] = model.averaged(asked, [coded.actions.rows(test)])[:, 0]
        curves[test] = model.averaged(asked, actions)
    return own, curves, any(model.partial for model, _ in networks)


def _leverage(points: Points, widths: dict[int, float]) -> str:
    """How errors count it at doses, and in arms without."""
    of_doses = ["of rows as in HC2, degrees of freedom of Bell and McCaffrey"] if widths else []
    of_arms = [IN_ARMS] if np.isnan(points.doses).any() else []
    return "; ".join(of_doses + of_arms)


def _notes(points: Points, widths: dict[int, float]) -> tuple[str, ...]:
    what = "doses" if widths else "arms"
    assumes = "Assumes no unmeasured confounding given the covariates, and overlap at these"
    if not widths:
        return (f"{assumes} {what}.",)
    told = ", ".join(f"{width:.4g}{_of(points.code, k)}" for k, width in widths.items())
    return (
        f"{assumes} {what}.",
        f"Residuals are smoothed over the dose by a local quadratic with bandwidth {told}, the "
        "bias-corrected form of a local line with that bandwidth.",
    )

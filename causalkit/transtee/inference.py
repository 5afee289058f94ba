"""Average effects with intervals: cross-fitted networks inside doubly robust scores."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.data.roles import AMOUNTS
from causalkit.device import deterministic_algorithms
from causalkit.errors import ArgumentError, IdentificationError
from causalkit.heterogeneity import check_group_units, group_indicators, moderator_frame
from causalkit.inference.variance import warn_if_few
from causalkit.provenance import record
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.transtee.arm_averages import Groups, arm_averages
from causalkit.transtee.by_row import ByRow
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.crossfit import FoldNetworks, Split, splits_of
from causalkit.transtee.dose_average import dose_averages
from causalkit.transtee.points import points_of
from causalkit.transtee.propensities import learners_of
from causalkit.transtee.repeated_splits import Averages, over_splits
from causalkit.transtee.settings import Settings
from causalkit.typing import Ints
from causalkit.warn import collect_warnings

_OF_ARMS = ("ate", "att", "atc", "gate", "calibration")
ESTIMANDS = {
    "binary": _OF_ARMS,
    "multi": _OF_ARMS,
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
    kept: dict[tuple[int, int], FoldNetworks],
    arm: Any,
    doses: Any,
    baseline: Any,
    groups: Any,
    propensity: Any,
    bandwidth: float | None,
) -> tuple[EffectResult, ByRow]:
    """Effects of arms against one, how far predicted ones hold, or mean outcomes at doses.

    Also returns what was predicted of every row.

    Networks are trained anew on the other folds of every row; the propensity, or the density of the
    dose, is cross-fitted on the same folds.

    Parameters
    ----------
    kept : dict
        Networks that were trained before, by seed and number of folds; new ones are put in.
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
        known = ", ".join(repr(one) for one in ESTIMANDS[kind])
        raise ArgumentError(f"estimands of a {kind} treatment are {known}, got {estimand!r}.")
    along = kind in AMOUNTS
    if not along:
        asked = {"arm": arm, "doses": doses, "bandwidth": bandwidth}
        if given := [f"{name}=" for name, value in asked.items() if value is not None]:
            raise ArgumentError(
                f"{', '.join(given)}: only for treatments with a dose, and this one is {kind}; "
                "leave out. Another arm to compare with is baseline=."
            )
    if (groups is not None) != (estimand == "gate"):
        raise ArgumentError(
            "groups= and estimand='gate' go together: groups is the name of a column, or a label "
            f"for each row; got estimand={estimand!r} and "
            f"{'no groups' if groups is None else 'groups'}."
        )
    learners = learners_of(kind, propensity)
    roles = data.roles
    clusters = data.clusters() or (() if coded.groups is None else (coded.groups,))
    names = roles.cluster or ((str(roles.unit),) if clusters else ())
    splits = splits_of(coding, coded, settings, digest=data.digest(), kept=kept)
    with deterministic_algorithms(settings.deterministic), collect_warnings() as caught:
        averages: Callable[[Split], Averages]
        if along:
            points = points_of(coding.actions, coded, arm=arm, doses=doses, baseline=baseline)
            averages = partial(
                dose_averages,
                points=points,
                learners=learners,
                bandwidth=bandwidth,
                clusters=clusters,
            )
        else:
            units = clusters[0] if clusters else np.arange(coded.n)
            averages = partial(
                arm_averages,
                learner=learners[0],
                estimand=estimand,
                baseline=baseline,
                groups=None if groups is None else _groups(data, groups, units),
                clusters=clusters,
            )
        terms, solutions, facts = over_splits(splits, averages)
        if estimand == "ate":
            facts["notes"] += (_of_networks(facts["diagnostics"]["plug-in"]),)
        if along and points.compared:
            estimand = f"{estimand}-differences"
        warn_if_few(clusters)
    by_row: ByRow = facts.pop("by_row")
    facts["diagnostics"]["nuisances"] = by_row.nuisances(coded)
    result = effect_from_solutions(
        solutions,
        terms=terms,
        clusters=clusters,
        cluster_names=names,
        cov_type=("robust", "clustered", "two-way")[len(clusters)],
        multiplicity=coded.multiplicity,
        estimand=estimand,
        estimator=f"{settings.label} ({'dose AIPW' if along else 'AIPW'})",
        outcome=roles.outcome[0],
        treatment=roles.treatment,
        choices=roles.choices,
        n_folds=settings.n_folds,
        seed=settings.seed,
        dropped=dict(data.dropped),
        warnings=tuple(caught),
        provenance={
            **record(seed=settings.seed, wall_s=time.perf_counter() - started),
            "partial": by_row.partial,
        },
        data_digest=data.digest(),
        glance_extra=by_row.glance(),
        **facts,
    )
    return result, by_row


def _of_networks(means: Mapping[str, float]) -> str:
    listed = ", ".join(f"{term} {value:.4g}" for term, value in means.items())
    return f"Plug-in mean of the networks, no interval: {listed}."


def _groups(data: CausalData, groups: Any, units: Ints) -> Groups:
    """Indicators ``(n, g)`` of the groups of all rows, and their names."""
    name = "group"
    if isinstance(groups, str):
        name = groups
        groups = moderator_frame(data, name)[name]
    else:
        groups = in_row_order(data, groups, what="groups")
    indicators, names = group_indicators(groups, len(data), name=name)
    check_group_units(indicators, units, names)
    return indicators, names

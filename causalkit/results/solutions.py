"""From solved scores of repeated splits to one result: variance, aggregation, exact words."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, IdentificationError, check_choice, unknown_name
from causalkit.inference.repeats import aggregate
from causalkit.inference.solve import Solution
from causalkit.inference.variance import (
    Ssc,
    count_clusters,
    degrees_of_freedom,
    freedom_within,
    sandwich,
)
from causalkit.results.effect import EffectResult
from causalkit.typing import Bools, Floats, Ints

COV_TYPES = ("clustered", "two-way", "robust", "nonrobust")
_OURS = ("estimates", "vcov", "influence", "df", "inference")


def effect_from_solutions(
    solutions: Sequence[Solution],
    *,
    terms: Sequence[str],
    clusters: Sequence[Ints] = (),
    cluster_names: Sequence[str] = (),
    ssc: Ssc = "G/(G-1)",
    cov_type: str = "clustered",
    aggregation: str = "median",
    multiplicity: Floats | Ints | None = None,
    variances: Sequence[Floats] | None = None,
    n_absorbed: int = 0,
    n_together: int | None = None,
    leverage: str = "",
    use_t: bool = True,
    **facts: Any,
) -> EffectResult:
    """Result of one or more repeated splits.

    An effect of a group (``estimand="gate"``) is a mean over the group's rows, whose influence
    alone is not zero: small-sample factor and t count the clusters, or rows, of the group.

    Parameters
    ----------
    solutions : sequence of Solution
        One per repeated split.
    terms : sequence of str
        Names of the k effects.
    clusters : sequence of (n,) int arrays
        Zero, one or two arrays of cluster codes; ignored unless the variance is clustered.
    cluster_names : sequence of str
        Their names, for the inference line.
    ssc : {"none", "G/(G-1)", "G/(G-1)*(n-1)/(n-k)"}
        Small-sample factor; without clusters either is n/(n-k).
    cov_type : {"clustered", "two-way", "robust", "nonrobust"}
    aggregation : {"median", "mean", "bounds"}
        How repeats become one estimate and one variance.
    multiplicity : (n,) array, optional
        Frequency weights: rows that each row stands for.
    variances : sequence of (k, k) arrays, optional
        One per repeat, in place of the sandwich; ``"nonrobust"`` needs them.
    n_absorbed : int, default 0
        Regressors that were partialled out of a linear score. Without clusters its n/(n-k) and t
        count them beside the effects; a cluster variance does not.
    n_together : int, optional
        Effects that are estimated together, which n/(n-k) counts: 1 of means, each of which is by
        itself. Default: all.
    leverage : str, optional
        How influence values count the leverage of rows, for the inference line.
    use_t : bool, default True
        Quantiles of the t distribution rather than the normal.
    **facts
        Other fields of :class:`EffectResult`: ``estimand``, ``estimator``, ``outcome``,
        ``treatment``, ...

    Returns
    -------
    EffectResult
        Its influence values are the mean over repeats.

    Raises
    ------
    ArgumentError
        If a clustered variance comes without its clusters, ``"nonrobust"`` without variances, or a
        fact is no field of the result.
    IdentificationError
        If a group lies within a single cluster.
    """
    check_choice("cov_type", cov_type, COV_TYPES)
    known = {item.name for item in fields(EffectResult)} - set(_OURS)
    for name in facts:
        if name not in known:
            raise unknown_name("fact", name, known)
    used = _clusters_of(cov_type, clusters, has_variances=variances is not None)
    names = tuple(cluster_names) if used and cluster_names else ("cluster",) * len(used)
    if len(names) != len(used):
        raise ArgumentError(f"{len(used)} cluster variables need as many names, got {names!r}.")
    absorbed = 0 if used else n_absorbed
    n_params = len(terms) + absorbed
    # A homoskedastic variance is of the residuals of all groups.
    within = None if cov_type == "nonrobust" else _group_rows(solutions, facts.get("estimand"))
    freedom = None
    if within is not None:
        freedom = freedom_within(within, used, multiplicity=multiplicity, n_absorbed=absorbed)
        _check_freedom(freedom, terms, names)
    if variances is None:
        how: dict[str, Any] = {"ssc": ssc, "multiplicity": multiplicity, "within": within}
        if n_together is None or within is not None:
            n_together = len(terms)
        how["n_params"] = n_together + absorbed
        variances = [sandwich(s.influence, used, **how) for s in solutions]
    theta, vcov = aggregate(solutions, variances, method=aggregation)
    rows = solutions[0].influence.shape[0]
    n = rows if multiplicity is None else round(float(multiplicity.sum()))
    # Rows that stand for none are in no cluster, as in the variance.
    present = used if multiplicity is None else tuple(codes[multiplicity > 0] for codes in used)
    counts = [count_clusters(codes) for codes in present]
    # Effects are averages of their own unless they are coefficients of one regression.
    lost = n_params if absorbed else 1
    words = inference_words(
        cov_type=cov_type,
        ssc=ssc,
        clusters=tuple(zip(names, counts, strict=True)),
        n_rep=len(solutions),
        aggregation=aggregation,
        by_group=within is not None,
        means=n_together == 1,
        leverage=leverage,
    )
    found: dict[str, Any] = {
        "n": n,
        "n_clusters": min(counts) if counts else None,
        "n_rep": len(solutions),
        "df_by_term": freedom if use_t else None,
        **facts,
    }
    return EffectResult(
        terms=tuple(terms),
        estimates=theta,
        vcov=vcov,
        influence=np.mean([s.influence for s in solutions], axis=0),
        df=degrees_of_freedom(present, n, n_params=lost) if use_t else np.inf,
        cov_type=cov_type,
        ssc=ssc,
        inference=words,
        clusters=used,
        **found,
    )


def _group_rows(solutions: Sequence[Solution], estimand: Any) -> Bools | None:
    """Rows ``(n, k)`` of every group; None where all rows bear on all effects."""
    if estimand != "gate":
        return None
    within: Bools = np.any([s.influence != 0.0 for s in solutions], axis=0)
    # Without any influence the scores of a group are all equal, and there is no error to correct.
    within |= ~within.any(axis=0)
    return None if within.all() else within


def _check_freedom(freedom: Floats, terms: Sequence[str], names: Sequence[str]) -> None:
    short = [term for term, df in zip(terms, freedom.tolist(), strict=True) if df <= 0.0]
    if short:
        where = f"lies within a single cluster of {' and '.join(names)}" if names else "has one row"
        raise IdentificationError(
            f"group {short[0]} {where}, so that nothing tells its error; merge it with another "
            "group, or leave its rows out of the data."
        )


def _clusters_of(
    cov_type: str, clusters: Sequence[Ints], *, has_variances: bool
) -> tuple[Ints, ...]:
    """Cluster codes that the kind of variance uses; raises where it lacks what it needs."""
    if cov_type in ("clustered", "two-way"):
        least = 2 if cov_type == "two-way" else 1
        if len(clusters) < least:
            raise ArgumentError(
                f"cov_type={cov_type!r} needs {least} cluster variable(s), got {len(clusters)}; "
                "name them as `cluster` (or `unit`) when building the data, or use "
                "cov_type='robust'."
            )
        return tuple(clusters)
    if cov_type == "nonrobust" and not has_variances:
        raise ArgumentError("cov_type='nonrobust' needs variances=, one matrix per repeat.")
    return ()


def inference_words(
    *,
    cov_type: str,
    ssc: str,
    clusters: Sequence[tuple[str, int]],
    n_rep: int,
    aggregation: str,
    by_group: bool = False,
    means: bool = False,
    leverage: str = "",
) -> str:
    """The sentence on inference that every rendering prints.

    Examples
    --------
    >>> inference_words(cov_type="clustered", ssc="G/(G-1)", clusters=[("unit", 545)], n_rep=1,
    ...                 aggregation="median")
    'cluster-robust (unit, 545 clusters), small-sample factor G/(G-1)'
    """
    factor = "no small-sample factor" if ssc == "none" else f"small-sample factor {ssc}"
    if clusters:
        groups = "; ".join(f"{name}, {size} clusters" for name, size in clusters)
        ways = "two-way cluster-robust" if len(clusters) == 2 else "cluster-robust"
        words = f"{ways} ({groups}), {factor}"
    elif cov_type == "robust":
        rows = "n/(n-1)" if means else "n/(n-k)"
        factor = factor if ssc == "none" else f"small-sample factor {rows}"
        words = f"heteroskedasticity-robust, not clustered, {factor}"
    else:
        # The factor is part of the residual variance, whatever `ssc` says.
        words = "homoskedastic, not clustered, not robust, small-sample factor n/(n-k)"
    if by_group and "small-sample factor" in words and ssc != "none":
        words += " of each group"
    if leverage:
        words += f"; leverage {leverage}"
    splits = f"; {aggregation} over {n_rep} repeated splits" if n_rep > 1 else ""
    return words + splits

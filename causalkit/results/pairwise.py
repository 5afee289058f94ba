"""Differences between the terms of one result, all pairs at once."""

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from causalkit.errors import ArgumentError
from causalkit.results.combine import combined, shared_baseline

if TYPE_CHECKING:
    from causalkit.results.effect import EffectResult


def differences(result: "EffectResult") -> "EffectResult":
    """Differences of all pairs of terms, such as group effects, compared simultaneously.

    Parameters
    ----------
    result : EffectResult
        At least two terms in the same unit, such as arms against one baseline.

    Returns
    -------
    EffectResult
        Terms ``"a - b"`` in the order of the pairs; covariances are those of the terms, degrees of
        freedom as in :meth:`EffectResult.combine`. Intervals and p-values are simultaneous unless
        another kind is asked for: the critical value is that of the largest of all absolute
        t-ratios, and p-values are adjusted by it (single-step max-t). Without influence values:
        with many groups they would outgrow the data, and the covariances hold all that inference
        needs.

    Raises
    ------
    ArgumentError
        If there is a single term, or the terms have different contrasts that are not arms of one
        treatment against one baseline.

    References
    ----------
    Chernozhukov, Chetverikov & Kato (2013); Hothorn, Bretz & Westfall (2008) for max-t, Hasler &
    Hothorn (2008) where pairs have degrees of freedom of their own.
    """
    if len(result.terms) < 2:
        raise ArgumentError(
            f"pairwise differences need at least two terms; this result has one "
            f"({result.terms[0]}). gate(...) gives one per group."
        )
    if len(set(result.contrast)) > 1 and shared_baseline(result) is None:
        raise ArgumentError(
            f"the terms have different contrasts ({', '.join(result.contrast)}) and are not arms "
            "against one baseline, so their differences have no common meaning; combine({...}) "
            "gives the one that you mean."
        )
    pairs = [{a: 1.0, b: -1.0} for a, b in combinations(result.terms, 2)]
    bare = replace(result, influence=None, interval="uniform")
    return combined(bare, pairs, kind="differences")

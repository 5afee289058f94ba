"""One fit of one estimator on the data of one replication, as numbers that a record holds."""

import inspect
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError, ArgumentTypeError, CausalKitWarning
from causalkit.results import EffectResult
from causalkit.results.summary import ESTIMANDS
from causalkit.study.design import EstimatorSpec
from causalkit.study.point import UNNAMED, PointEstimate
from causalkit.study.resolve import built, estimator_of

# Names of results that say no more than that they are effects.
_NAMELESS = frozenset({"", UNNAMED, "average effect", "treatment effect"})
# What models with an instrument estimate; their one coefficient is the average effect if constant.
_OF_A_CONSTANT_EFFECT = frozenset({"late", "iv-slope", "variance-weighted"})
# What stands in brackets after these is a dose, group or policy: another one is another number.
_OF_PLACES = frozenset({"outcome", "adrf", "gate", "blp", "calibration"})


# What an estimator may return.
Result = EffectResult | PointEstimate


@dataclass(frozen=True, slots=True)
class Estimated:
    """Numbers of one estimand; those beside the estimate are NaN where there is nothing else."""

    estimand: str
    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    n_obs: int


def fit_of(spec: EstimatorSpec, data: CausalData, seed: int) -> tuple[list[Result], Any]:
    """Fit an estimator, or call a function.

    Parameters
    ----------
    spec : EstimatorSpec
    data : CausalData
        Without the truth, unless the estimator is an oracle.
    seed : int
        For ``random_state``, where the estimator takes one.

    Returns
    -------
    list of results, and the fitted estimator (None for a function)

    Raises
    ------
    ArgumentTypeError
        If what it returns is no result.
    Exception
        Whatever the estimator raises.
    """
    made = _made(spec, seed)
    if not hasattr(made, "fit"):
        return _results(made(data), spec, data), None
    answer = made.fit(data)
    fitted = made if answer is None else answer
    if spec.estimands:
        return [fitted.estimate(estimand=name) for name in spec.estimands], fitted
    return _results(fitted.estimate(), spec, data), fitted


def _made(spec: EstimatorSpec, seed: int) -> Any:
    """Estimator with its arguments, or function of the data alone."""
    found = estimator_of(spec)
    if hasattr(found, "fit") and not inspect.isclass(found):
        from sklearn.base import clone

        again = clone(found)
        takes = "random_state" in again.get_params(deep=False)
        return again.set_params(random_state=seed) if takes else again
    args = built(spec.args) if spec.target is None else {}
    if _takes_seed(found) and "random_state" not in args:
        args["random_state"] = seed
    if inspect.isclass(found):
        return found(**args)
    return lambda data: found(data, **args)


@lru_cache(maxsize=256)
def _takes_seed(found: Any) -> bool:
    return "random_state" in inspect.signature(found).parameters


def _results(answer: Any, spec: EstimatorSpec, data: CausalData) -> list[Result]:
    """One or several answers as a list of results."""
    if isinstance(answer, Mapping):
        return [_result(one, str(name), spec, data) for name, one in answer.items()]
    several = isinstance(answer, Sequence) and not _is_pair(answer)
    return [_result(one, UNNAMED, spec, data) for one in (answer if several else [answer])]


def _is_pair(answer: Any) -> bool:
    """Whether it is an estimate with its standard error."""
    return (
        isinstance(answer, tuple)
        and len(answer) == 2
        and all(isinstance(number, Real) for number in answer)
    )


def _result(one: Any, name: str, spec: EstimatorSpec, data: CausalData) -> Result:
    """A result as it is; a number, with its standard error or without, as a result of that name."""
    if isinstance(one, EffectResult):
        return one
    if isinstance(one, Real):
        return PointEstimate(name, float(one), len(data))
    if _is_pair(one):
        estimate, std_error = one
        return EffectResult(
            terms=(name,),
            estimates=np.array([estimate]),
            vcov=np.array([[std_error**2]]),
            estimand=name,
            estimator=spec.label,
            outcome=data.roles.outcome[0],
            treatment=data.roles.treatment,
            n=len(data),
            inference=f"standard error as {spec.label!r} returned it",
        )
    raise ArgumentTypeError(
        f"estimator {spec.label!r} returned a {type(one).__name__}; it must return an "
        "EffectResult, or several, or a number, or the pair (estimate, standard error)."
    )


def estimated(
    results: Sequence[Result], truth: Truth | None, *, level: float, null: float
) -> list[Estimated]:
    """Numbers of every term of every result, under the names of the truth's estimands.

    A result of one term is matched by its estimand; several terms by ``"estimand[term]"`` or the
    term's name. The only result against the only truth is also matched where both mean the same,
    as :func:`same_meaning` says. What matches nothing keeps its own name and has no truth.

    Raises
    ------
    ArgumentError
        If two numbers have one name.
    """
    known = () if truth is None else tuple(truth.estimands)
    found = []
    for result in results:
        if isinstance(result, PointEstimate):
            found.append(_point(result, known, alone=len(results) == 1))
            continue
        low, high = result.bounds(level)
        p_values = result.p_values(null)
        names = _names(result, known, alone=len(results) == 1)
        for j, name in enumerate(names):
            found.append(
                Estimated(
                    estimand=name,
                    estimate=float(result.estimates[j]),
                    std_error=math.sqrt(result.vcov[j, j]),
                    conf_low=float(low[j]),
                    conf_high=float(high[j]),
                    p_value=float(p_values[j]),
                    n_obs=int(result.n),
                )
            )
    twice = [name for name, n in Counter(one.estimand for one in found).items() if n > 1]
    if twice:
        raise ArgumentError(
            f"the estimator returned two results of the estimand {min(twice)!r}; give each result "
            "its own name: EffectResult(estimand=...)."
        )
    return found


def _point(result: PointEstimate, known: tuple[str, ...], *, alone: bool) -> Estimated:
    """Numbers of an estimate without a standard error."""
    name, nan = result.estimand, math.nan
    if name not in known and alone and len(known) == 1 and _stands_for(name, known[0]):
        name = known[0]
    return Estimated(name, result.estimate, nan, nan, nan, nan, result.n)


def same_meaning(own: str, known: str) -> bool:
    """Whether a result and a truth of different names are about the same number.

    They are if they differ only in the arm in brackets that one of them lacks (but doses and groups
    in brackets differ), or if one of the two names says nothing (``"effect"``, or a truth called
    after its parameter) and the other an average effect. An effect on the treated never is that.

    Examples
    --------
    >>> same_meaning("ate", "ate[1]"), same_meaning("ate", "theta"), same_meaning("att", "ate")
    (True, True, False)
    """
    (mine, _, term), (its, _, other) = own.partition("["), known.partition("[")
    if mine == its:
        return term == other or (not (term and other) and mine not in _OF_PLACES)
    unnamed = its not in ESTIMANDS and its not in _OF_PLACES
    averages = {"ate", *_OF_A_CONSTANT_EFFECT}
    return (mine in averages and unnamed) or (mine in _NAMELESS and (its == "ate" or unnamed))


def _names(result: EffectResult, known: tuple[str, ...], *, alone: bool) -> list[str]:
    if len(result.terms) == 1:
        if result.estimand in known:
            return [result.estimand]
        if alone and len(known) == 1 and _stands_for(result.estimand, known[0]):
            return [known[0]]
    long = [f"{result.estimand}[{term}]" for term in result.terms]
    if len(result.terms) == 1 and long[0] not in known:
        return [result.terms[0]] if result.terms[0] in known else [result.estimand]
    return [
        full if full in known or term not in known else term
        for full, term in zip(long, result.terms, strict=True)
    ]


def _stands_for(own: str, known: str) -> bool:
    """Whether a result may be held against the only truth there is."""
    if own in _OF_A_CONSTANT_EFFECT and known == "ate":
        warnings.warn(
            f"the estimand is {own!r} and is held against the truth of 'ate': equal "
            "where effects are constant; give the generator's Truth its own value otherwise.",
            CausalKitWarning,
            stacklevel=3,
        )
        return True
    return same_meaning(own, known)

"""Linear combinations of the terms of one result, and joint tests of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError, unknown_name
from causalkit.inference.hypotheses import (
    HypothesisTest,
    check_restrictions,
    is_certain,
    wald,
)
from causalkit.results.intervals import check_kind
from causalkit.typing import Floats

if TYPE_CHECKING:
    from causalkit.results.effect import EffectResult

_FORMS = (
    'give names of terms, weights by term such as {"lag": 1, "lead": -1}, several of these by '
    "name, or a matrix with a row per combination and a column per term"
)
_BETWEEN = " vs "
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Weights:
    """Combinations of terms.

    Attributes
    ----------
    values : (r, k) array
        Weight of each term in each combination.
    names : (r,) tuple of str
    """

    values: Floats
    names: tuple[str, ...]

    @classmethod
    def of(cls, terms: Sequence[str], given: Any) -> "Weights":
        """Weights in any form that a user may give.

        Parameters
        ----------
        terms : sequence of str
        given : None, str, mapping, Series, DataFrame, sequence or array
            All terms; one term; weights by term, or by name the weights of several combinations;
            a list of terms or weights; or ``(r, k)`` numbers in the order of the terms.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If a term is unknown, or the weights are no finite numbers in one of these forms.
        """
        if given is None:
            return cls(np.eye(len(terms)), tuple(terms))
        rows, names = _rows(given), None
        if isinstance(rows, Mapping):
            names, rows = tuple(map(str, rows)), list(rows.values())
        if rows is not None:
            values = np.array([_by_term(terms, row) for row in rows]).reshape(-1, len(terms))
        else:
            values = _matrix(terms, given)
        if not values.size or not values.any(axis=1).all():
            raise ArgumentError(f"a combination has no weight that is not zero; {_FORMS}.")
        return cls(values, names or tuple(_expression(terms, row) for row in values))


def _rows(given: Any) -> Any:
    """Combinations by name, a list of them, or None for a matrix."""
    if isinstance(given, pd.DataFrame):
        return given.to_dict("records")
    given = given.to_dict() if isinstance(given, pd.Series) else given
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        named = bool(given) and all(isinstance(part, Mapping) for part in given.values())
        return given if named else [given]
    listed = isinstance(given, Sequence) and bool(given)
    return given if listed and all(isinstance(row, str | Mapping) for row in given) else None


def _by_term(terms: Sequence[str], given: Any) -> Floats:
    weights = np.zeros(len(terms))
    for term, weight in ({given: 1.0} if isinstance(given, str) else given).items():
        if term not in terms:
            raise unknown_name("term", term, terms)
        number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not number or not np.isfinite(weight):
            raise ArgumentError(f"the weight of {term!r} must be a finite number, got {weight!r}.")
        weights[terms.index(term)] = weight
    return weights


def _matrix(terms: Sequence[str], given: Any) -> Floats:
    try:
        values = np.atleast_2d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"cannot read {given!r} as combinations; {_FORMS}.") from error
    if values.ndim != 2 or values.shape[1] != len(terms) or not np.isfinite(values).all():
        raise ArgumentError(
            f"weights of shape {np.shape(given)} are not finite numbers for {len(terms)} terms "
            f"({', '.join(terms)}); {_FORMS}."
        )
    return values


def _expression(terms: Sequence[str], weights: Floats) -> str:
    """Combination as people write it, what is taken away last: ``"a - 0.5 b"``."""
    parts = [pair for pair in zip(terms, weights.tolist(), strict=True) if pair[1]]
    text = ""
    for term, weight in sorted(parts, key=lambda pair: pair[1] < 0):
        size = "" if abs(weight) == 1.0 else f"{abs(weight):g} "
        if text:
            text += " - " if weight < 0 else " + "
        elif weight < 0:
            text = "-"
        text += size + term
    return text


def combined(result: "EffectResult", weights: Any, *, kind: str = "combination") -> "EffectResult":
    """Linear combinations of the terms, with the covariances of the result.

    Parameters
    ----------
    result : EffectResult
    weights : str, mapping, DataFrame, sequence or array
        See :meth:`Weights.of`.
    kind : str, default "combination"
        End of the name of the estimand.

    Returns
    -------
    EffectResult
        One term per combination. Clusters, degrees of freedom and kinds of intervals are those of
        the result. Where terms differ in degrees of freedom, those of independent ones, such as
        groups without a common cluster, are pooled as by Welch (1947), which gives at least the
        least; of others the least is taken, and of mean outcomes at doses that of the local fits
        alone, ``df_combined``: the rest of their error cancels in differences.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the weights are none, or name an unknown term.

    Examples
    --------
    >>> import numpy as np
    >>> from causalkit.results import EffectResult
    >>> result = EffectResult(
    ...     terms=("now", "lag"), estimates=np.array([1.0, 0.5]), vcov=np.diag([0.09, 0.16]),
    ...     estimand="ate", estimator="PanelDML", outcome="y", treatment=("now", "lag"),
    ...     n=500, df=99, inference="cluster-robust (unit, 100 clusters)")
    >>> total = result.combine({"long run": {"now": 1, "lag": 1}})
    >>> total.terms, total.estimate, round(total.std_error, 3)
    (('long run',), 1.5, 0.5)
    """
    chosen = Weights.of(result.terms, weights)
    values = chosen.values
    return replace(
        result,
        terms=chosen.names,
        estimates=values @ result.estimates,
        vcov=values @ result.vcov @ values.T,
        influence=None if result.influence is None else result.influence @ values.T,
        df_by_term=freedom_of(result, values),
        df_combined=least_combined(result, values),
        estimand=f"{result.estimand}-{kind}",
        contrast=tuple(contrast_of(result, row) for row in values),
        draws=None,
    )


def joint_test(
    result: "EffectResult", restrictions: Any = None, *, null: Any = 0.0, kind: str | None = None
) -> HypothesisTest:
    """Wald test that combinations of the terms have given values, all at once.

    Parameters
    ----------
    result : EffectResult
    restrictions : str, mapping, DataFrame, sequence or array, optional
        See :meth:`Weights.of`; by default each term.
    null : float or (r,) array, default 0
        Their values under the null.
    kind : {"normal", "t"}, optional
        χ², or F by the degrees of freedom that intervals have (of several combinations the least):
        Hotelling's, as the whole variance is estimated from so many clusters, and without
        clusters or robustness the textbook's. Default: F where they are finite, as p-values of one
        term then take t. Multipliers of clusters draw the χ² itself, so that a bootstrap adds
        nothing.

    Returns
    -------
    HypothesisTest
        Where the variance of the combinations is singular, its rank counts as their number; if a
        combination has no variance and is not as the null says, the statistic is infinite, as the
        t-ratio of that combination is.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the restrictions are none, contradict each other or name an unknown term, or there are
        more than degrees of freedom, or than clusters less one.

    Examples
    --------
    >>> import numpy as np
    >>> from causalkit.results import EffectResult
    >>> result = EffectResult(
    ...     terms=("lead 2", "lead 1"), estimates=np.array([0.2, 0.3]), vcov=np.diag([0.01, 0.01]),
    ...     estimand="ate", estimator="PanelDML", outcome="y", treatment=("d",), n=500, df=99,
    ...     inference="cluster-robust (unit, 100 clusters)")
    >>> result.wald()
    Wald test: F(2, 98) = 6.434, p = 0.002368. Null: lead 2 = 0, lead 1 = 0.
    """
    if kind not in (None, "normal", "t"):
        raise ArgumentError(
            f"kind={kind!r} is for single terms; a joint test is kind='t' (F) or 'normal' (χ²), "
            "which the multiplier bootstrap draws exactly."
        )
    chosen = Weights.of(result.terms, restrictions)
    try:
        under = np.broadcast_to(np.asarray(null, dtype=np.float64), (len(chosen.names),))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"null must be a number, or one for each of {len(chosen.names)} restrictions, got "
            f"{null!r}."
        ) from error
    if not np.isfinite(under).all():
        raise ArgumentError(f"null must be finite, got {null!r}.")
    _check_agree(chosen.values, under)
    freedom = freedom_of(result, chosen.values)
    df = result.df if freedom is None else float(freedom.min())
    own = result.interval if result.interval in ("normal", "t") else None
    is_t = check_kind(kind or own, df=df) == "t"
    words = _words(chosen.names, under)
    count = int(np.linalg.matrix_rank(chosen.values))
    scaled = is_t and result.cov_type != "nonrobust"
    most = min(df if is_t else np.inf, (result.n_clusters or np.inf) - 1.0)
    check_restrictions(count, most, name="Wald test")
    given: dict[str, Any] = {"R": chosen.values, "q": under}
    if is_certain(result.estimates, result.vcov, **given):
        return _infinite(words, count, df=df if is_t else None, hotelling=scaled)
    how: dict[str, Any] = {"df": df if is_t else None, "hotelling": scaled, "null": words}
    return wald(result.estimates, result.vcov, **given, **how)


def _infinite(words: str, count: int, *, df: float | None, hotelling: bool) -> HypothesisTest:
    """What chance cannot explain, in the form of other tests."""
    if df is None:
        return HypothesisTest("Wald test", words, np.inf, (float(count),), "chi2", 0.0)
    left = df - count + 1.0 if hotelling else df
    return HypothesisTest("Wald test", words, np.inf, (float(count), left), "F", 0.0)


def freedom_of(result: "EffectResult", weights: Floats) -> Floats | None:
    """Degrees of freedom of each combination, where terms differ in them.

    Those of uncorrelated terms after Satterthwaite (1946), else the least of the terms.
    """
    if result.df_by_term is None:
        return None
    several = result.df_by_term if result.df_combined is None else result.df_combined
    return np.array(
        [
            _pooled(result.vcov, several if np.count_nonzero(row) > 1 else result.df_by_term, row)
            for row in weights
        ]
    )


def least_combined(result: "EffectResult", weights: Floats) -> Floats | None:
    """What each combination brings into combinations of itself with others."""
    if result.df_combined is None:
        return None
    return np.asarray(np.where(weights != 0.0, result.df_combined, np.inf).min(axis=1))


def _pooled(vcov: Floats, df: Floats, weights: Floats) -> float:
    """Degrees of freedom of one combination of terms, each with its own."""
    (taken,) = np.nonzero(weights)
    least = float(df[taken].min())
    among = vcov[np.ix_(taken, taken)]
    parts = weights[taken] ** 2 * np.diag(among)
    if taken.size == 1 or np.any(among != np.diag(np.diag(among))) or not (parts > 0.0).any():
        return least
    shares = parts / parts.sum()
    with np.errstate(divide="ignore"):
        return max(least, float(1.0 / (shares**2 / df[taken]).sum()))


def _check_agree(weights: Floats, values: Floats) -> None:
    """Refuse restrictions that no terms can satisfy, such as a = 0 and a = 1."""
    rank = np.linalg.matrix_rank(weights)
    if np.linalg.matrix_rank(np.column_stack([weights, values])) > rank:
        raise ArgumentError(
            "the restrictions contradict each other: of those that say the same, null gives "
            "different values. Leave one out, or mend null."
        )


def _words(names: Sequence[str], values: Floats) -> str:
    said = [f"{name} = {value:g}" for name, value in zip(names, values.tolist(), strict=True)]
    rest = f", and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
    return ", ".join(said[:_MOST_NAMED]) + rest


def contrast_of(result: "EffectResult", weights: Floats) -> str:
    """What a combination compares; nothing where its terms have no contrast in common."""
    named = [result.contrast[place] for place in np.flatnonzero(weights)]
    if len(set(named)) == 1:
        return named[0]
    pair = sorted(zip(weights[weights != 0.0].tolist(), named, strict=True))
    if [weight for weight, _ in pair] != [-1.0, 1.0]:
        return ""
    baseline = shared_baseline(result)
    if baseline is None:
        return ""
    (_, minus), (_, plus) = pair
    return f"{plus.removesuffix(baseline)}{_BETWEEN}{minus.removesuffix(baseline)}"


def shared_baseline(result: "EffectResult") -> str | None:
    """End that all contrasts share, as ``" vs placebo"``, if terms are arms of one treatment.

    Differences of such effects compare the arms. Of two treatments, or of groups as well as arms,
    they do not, though the contrasts may end alike.
    """
    named = result.contrast
    if len(result.treatment) != 1 or len(set(named)) < len(named):
        return None
    first = named[0]
    ends = [first[place:] for place in range(len(first)) if first.startswith(_BETWEEN, place)]
    return next((end for end in ends if all(name.endswith(end) for name in named)), None)

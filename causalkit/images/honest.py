"""Honest effects: averages of doubly robust scores over rows that no model was fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from causalkit.errors import ArgumentError, CausalKitWarning, IdentificationError, check_choice
from causalkit.heterogeneity.calibration import calibration
from causalkit.images.posterior import Posterior
from causalkit.inference.arguments import check_number
from causalkit.inference.solve import Solution, solve_linear
from causalkit.results import EffectResult
from causalkit.results.solutions import effect_from_solutions
from causalkit.scores import LinearScore
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import collect_warnings, warn

LEAST_PER_ARM = 20
LEAST_APART = 10  # of each arm; where errors are clustered, intervals of fewer cover less
INACTIVE = 0.02  # mean probability of a type that hardly occurs
MOST_CONDITION = 30.0
MOST_APART = 3.0  # standard errors between mean predicted effect and honest average
ESTIMANDS = ("clusters", "soft", "ate", "calibration")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Evaluation rows: scores from models of other rows, and what those models predict.

    Attributes
    ----------
    rows : (n,) int array
        Rows of the data.
    score : (n,) array
        Doubly robust scores Γ, in units of the outcome.
    treatment : (n,) array
        0 or 1.
    cate : (n,) array
        Predicted effect.
    types : (n, K) array
        Predicted type probabilities; one column of ones where there are no types.
    clusters : (n,) int array or None
        Codes within which errors may be dependent.
    cluster_name : str
    """

    rows: Ints
    score: Floats
    treatment: Floats
    cate: Floats
    types: Floats
    clusters: Ints | None
    cluster_name: str = "image"

    @property
    def n_types(self) -> int:
        """K."""
        return int(self.types.shape[1])

    @property
    def assigned(self) -> Ints:
        """Most probable type of every row, from 0."""
        return np.asarray(self.types.argmax(axis=1), dtype=np.int64)

    def condition(self) -> float:
        """Condition number of Σ ππ': large where types are not told apart."""
        gram = self.types.T @ self.types / self.rows.size
        values = np.linalg.eigvalsh(gram)
        return float(values[-1] / values[0]) if values[0] > 0 else float("inf")

    def too_few(self) -> Bools:
        """Types ``(K,)`` without twenty units, of ten clusters if there are some, in both arms."""
        found = np.zeros(self.n_types, dtype=bool)
        for arm in (0.0, 1.0):
            rows = self.treatment == arm
            assigned = self.assigned[rows]
            found |= np.bincount(assigned, minlength=self.n_types) < LEAST_PER_ARM
            if self.clusters is not None:
                pairs = np.unique(self.clusters[rows] * self.n_types + assigned)
                found |= np.bincount(pairs % self.n_types, minlength=self.n_types) < LEAST_APART
        return found

    @property
    def fewness(self) -> str:
        """What :meth:`too_few` finds, in words."""
        words = f"fewer than {LEAST_PER_ARM} treated or control units"
        if self.clusters is None:
            return words
        return f"{words}, or such units in fewer than {LEAST_APART} of {self.cluster_name!r},"


def honest_effect(
    found: Evaluation, estimand: str, *, contrast: tuple[str, ...] = ("1 vs 0",), **facts: Any
) -> EffectResult:
    """Averages of scores, with standard errors clustered by place where places are shared.

    Parameters
    ----------
    found : Evaluation
    estimand : {"clusters", "soft", "ate", "calibration"}
        ``"clusters"``: mean score by most probable type, for the types with at least twenty units
        in each arm, of ten places or groups if errors are clustered by them. ``"soft"``: least
        squares of scores on type probabilities. ``"ate"``: mean score. ``"calibration"``: mean
        score, and the slope of scores on predictions, which is one if these are right and zero if
        they say nothing.
    contrast : tuple of str
        Levels of the treatment that are compared, from the first entry.
    **facts
        Fields of the result.

    Raises
    ------
    IdentificationError
        ``"clusters"``: no type has enough units. ``"soft"``: types are not separated (condition
        number above 30). ``"calibration"``: the predictions do not vary.
    """
    check_choice("estimand", estimand, ESTIMANDS)
    terms, solution = _solved(found, estimand)
    return result_of(
        found,
        terms,
        solution,
        estimand={"clusters": "gate", "soft": "gate"}.get(estimand, estimand),
        contrast=() if estimand == "calibration" else contrast[:1] * len(terms),
        **facts,
    )


def result_of(
    found: Evaluation, terms: Sequence[str], solution: Solution, **facts: Any
) -> EffectResult:
    """Estimates from scores, with errors clustered by place where places are shared."""
    clustered = found.clusters is not None
    return effect_from_solutions(
        [solution],
        terms=terms,
        clusters=(found.clusters,) if found.clusters is not None else (),
        cluster_names=(found.cluster_name,) if clustered else (),
        cov_type="clustered" if clustered else "robust",
        **facts,
    )


def regressed(found: Evaluation, basis: Floats) -> Solution:
    """Least squares of the scores on ``(n, k)`` columns."""
    columns = basis[:, None]
    return solve_linear(LinearScore(columns, columns, found.score[:, None]))[0]


def _solved(found: Evaluation, estimand: str) -> tuple[tuple[str, ...], Solution]:
    if estimand == "calibration":
        one = np.zeros(found.rows.size, dtype=np.int64)
        solution = calibration(found.score[:, None], found.cate[:, None], one)
        return ("average effect", "slope"), solution
    terms, basis = _basis(found, estimand)
    return terms, regressed(found, basis)


def _basis(found: Evaluation, estimand: str) -> tuple[tuple[str, ...], Floats]:
    n = found.rows.size
    if estimand == "ate":
        return ("average effect",), np.ones((n, 1))
    names = tuple(f"cluster {number + 1}" for number in range(found.n_types))
    if estimand == "soft":
        condition = found.condition()
        if condition > MOST_CONDITION:
            raise IdentificationError(
                f"the types are not separated on the evaluation rows (condition number "
                f"{condition:.0f}, above {MOST_CONDITION:.0f}): their effects cannot be told "
                "apart. Fewer clusters may do; read estimate('ate')."
            )
        return names, found.types
    enough = np.flatnonzero(~found.too_few())
    if not enough.size:
        raise IdentificationError(
            f"every cluster has {found.fewness} among the {n} evaluation rows; use fewer clusters "
            "or more data."
        )
    within = (found.assigned[:, None] == enough).astype(np.float64)
    return tuple(names[number] for number in enough), within


def quartile_effect(found: Evaluation, **facts: Any) -> EffectResult:
    """Mean score by quartile of the predicted effect.

    Quartiles are cut between distinct predictions: equal ones go where the middle of their ranks
    lies, whatever the order of the rows. Those with too few units are left out, with a warning.

    Raises
    ------
    IdentificationError
        If the predictions do not vary, or no quartile has enough units.
    """
    if np.ptp(found.cate) == 0.0:
        raise IdentificationError(
            "the predicted effects do not vary between evaluation rows: there are no quartiles of "
            "them. Read estimate('ate')."
        )
    quarter = (4.0 * (rankdata(found.cate) - 1.0) / found.rows.size).astype(np.int64)
    split = replace(found, types=np.eye(4)[quarter])
    with collect_warnings() as caught:
        _warn_of_quartiles(split)
    result = honest_effect(split, "clusters", **facts)
    terms = tuple(term.replace("cluster", "quartile") for term in result.terms)
    return replace(result, terms=terms, warnings=(*result.warnings, *caught))


def _warn_of_quartiles(found: Evaluation) -> None:
    few = np.flatnonzero(found.too_few()) + 1
    if few.size:
        warn(
            f"quartiles left out, with {found.fewness.rstrip(',')}: {', '.join(map(str, few))}. "
            "Many rows have the same predicted effect, or there are few rows; read "
            "estimate('calibration').",
            CausalKitWarning,
        )


def checked_agreement(found: Evaluation, n_train: int) -> dict[str, float]:
    """Mean predicted effect beside the honest average, with a warning if they are far apart.

    Parameters
    ----------
    found : Evaluation
    n_train : int
        Rows of the training, whose error of the mean effect is that of the evaluation scaled to
        their number; of rows apart if that is more, since a model does not level out within blocks
        what their average does.

    Returns
    -------
    dict
        ``predicted``, ``honest`` and ``std_error`` of their difference.
    """
    less = replace(found, score=found.cate - found.score)
    facts: dict[str, Any] = {"estimator": "agreement", "outcome": "effect", "treatment": ()}
    apart = honest_effect(less, "ate", **facts)
    alone = honest_effect(replace(less, clusters=None), "ate", **facts)
    gap, held = float(apart.estimates[0]), float(apart.std_errors[0])
    learned = max(held, float(alone.std_errors[0])) * np.sqrt(found.rows.size / n_train)
    error = float(np.hypot(held, learned))
    predicted, honest = float(found.cate.mean()), float(found.score.mean())
    if are_apart(gap, error):
        warn(
            f"the predicted effects of the evaluation rows average {predicted:.3g}, and their "
            f"honest average is {honest:.3g}: {abs(gap) / error:.1f} standard errors apart. "
            "Predicted effects are off for all places alike, so read the honest ones. If the "
            "probability of treatment differed between blocks, name these as strata when building "
            "the data, and pass propensity=.",
            CausalKitWarning,
        )
    return {"predicted": predicted, "honest": honest, "std_error": error}


def are_apart(gap: float, error: float) -> bool:
    """Whether mean predicted effect and honest average differ by more than chance."""
    return abs(gap) > MOST_APART * error


def effect_spread(posteriors: Sequence[Posterior], correlation: float) -> pd.DataFrame:
    """Mean and standard deviation of single units' effects by cluster, pooled over draws.

    Raises
    ------
    ArgumentError
        If the correlation lies outside [−1, 1], or the outcome is 0/1.
    """
    if not -1.0 <= check_number("cross_world_corr", correlation) <= 1.0:
        raise ArgumentError(f"cross_world_corr must lie in [-1, 1], got {correlation!r}.")
    if posteriors[0].model.likelihood == "bernoulli":
        raise ArgumentError("effects of single units on a 0/1 outcome have no such spread.")
    tau = np.concatenate([posterior.effects() for posterior in posteriors])
    noise = np.concatenate([posterior.noise() for posterior in posteriors])
    control, treated = noise[:, :1], noise[:, 1:]
    variance = control**2 + treated**2 - 2.0 * correlation * control * treated
    return pd.DataFrame(
        {
            "cluster": [f"cluster {number + 1}" for number in range(tau.shape[1])],
            "mean": tau.mean(axis=0),
            "sd": np.sqrt(variance.mean(axis=0) + tau.var(axis=0)),
        }
    )

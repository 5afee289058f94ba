"""Average effects of arms against a baseline arm, by doubly robust scores."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.heterogeneity import check_group_arms
from causalkit.heterogeneity.calibration import calibration, joined
from causalkit.inference.arm_means import IN_ARMS, arm_means, freedom_by_arm, normalised
from causalkit.inference.solve import Solution, solve_linear
from causalkit.scores import LinearScore
from causalkit.transtee.actions import action_frame, encode_actions
from causalkit.transtee.by_row import ByRow, outcomes_of_arms, propensities_of_arms
from causalkit.transtee.crossfit import Split
from causalkit.transtee.model import Asked
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.points import place_of_arm
from causalkit.transtee.propensities import arm_chances, clipped, warn_if_few_count
from causalkit.transtee.repeated_splits import Averages
from causalkit.typing import Floats, Ints

ASSUMES = ("Assumes no unmeasured confounding given the covariates, and overlap.",)
CALIBRATION = (
    "Slope: of the doubly robust scores on effects predicted by networks that did not see the row, "
    "within folds. One where predicted differences between rows are right on average, zero where "
    "they say nothing.",
)
Groups = tuple[Floats, tuple[str, ...]]


def arm_averages(
    split: Split,
    *,
    learner: Any,
    estimand: str,
    baseline: Any,
    groups: Groups | None,
    clusters: Sequence[Ints],
) -> Averages:
    """Effects of the other arms: names, estimates with influence values, facts of the result.

    Parameters
    ----------
    estimand : {"ate", "att", "atc", "gate", "calibration"}
        Over everyone, those who received the arm, those who received the baseline, each group, or
        how far predicted effects hold.
    baseline : level or None
        None: the first.
    groups : ((n, g) array, tuple of str) or None
        Indicators of the groups of ``"gate"``, and their names.
    clusters : sequence of (n,) int arrays
        That errors are summed by.

    Raises
    ------
    ArgumentError
        If the baseline is no arm.
    IdentificationError
        If predicted effects do not vary, for their calibration, a group has no row of an arm, or
        one row or cluster carries an arm.
    """
    coding, coded = split.coding, split.coded
    code = coding.actions
    column = code.columns[0]
    levels = code.levels[column]
    base = 0 if baseline is None else place_of_arm(code, baseline, name="baseline")
    others = [place for place in range(len(levels)) if place != base]
    arm = coded.actions.arms[:, 0]
    if groups is not None:
        check_group_arms(*groups, arm, [*map(str, levels)], multiplicity=coded.multiplicity)
    mu, fold, partial = _predicted(split)
    effects = mu[:, others] - mu[:, [base]]
    found, learned = arm_chances(coding, coded, split.settings, split.folds, learner)
    weight = mean_weight(coded)
    errors: dict[str, Any] = {"clusters": clusters, "multiplicity": coded.multiplicity}
    given: dict[str, Any] = {"mu": mu, "chances": found, "names": levels, "weight": weight}
    pairs = [(place, base) for place in others]
    if estimand in ("att", "atc"):
        solution, counts = _among(coded.y, arm, pairs, target=estimand, **given, **errors)
    else:
        within = None if estimand == "calibration" else groups or _everyone(coded.n)
        solution, counts = _over_rows(coded.y, arm, pairs, within, fold, **given, **errors)
    # As columns of a matrix are called: two arms of 0 and 1 need no level.
    named = set(levels) != {0, 1}
    terms = tuple(f"{column}={levels[place]}" if named else column for place in others)
    words = tuple(f"{levels[place]} vs {levels[base]}" for place in others)
    facts: dict[str, Any] = {
        "n_together": 1,
        "leverage": IN_ARMS,
        "df_by_term": freedom_by_arm(solution.influence, arm, counts, **errors),
        "notes": ASSUMES,
        "contrast": words,
        "by_row": ByRow(
            coded.y,
            fold,
            outcomes_of_arms(mu, arm, code.arms) | propensities_of_arms(found, code.arms),
            partial,
            {term: effects[:, [k]] for k, term in enumerate(terms)},
        ),
        "diagnostics": {
            "range of propensities": (float(found.min()), float(found.max())),
            "propensity": learned,
        },
    }
    if estimand == "ate":
        means = np.average(mu, axis=0, weights=weight)
        facts["diagnostics"]["plug-in"] = {
            term: float(means[place] - means[base])
            for term, place in zip(terms, others, strict=True)
        }
    if estimand == "calibration":
        terms = tuple(f"{term}: {part}" for term in terms for part in ("average effect", "slope"))
        facts |= {
            "n_together": 2,
            "notes": (*ASSUMES, *CALIBRATION),
            "contrast": ("",) * len(terms),
        }
    if groups is not None:
        names, several = groups[1], len(terms) > 1
        facts["contrast"] = tuple(word for word in words for _ in names)
        terms = tuple(f"{term}, {name}" if several else name for term in terms for name in names)
    return terms, solution, facts


def _predicted(split: Split) -> tuple[Floats, Ints, bool]:
    """μ(X, k) of every arm ``(n, K)`` by networks out of fold, and the fold of each row.

    Also whether their training was interrupted.
    """
    code, coded = split.coding.actions, split.coded
    levels = code.levels[code.columns[0]]
    mu, fold = np.empty((coded.n, len(levels))), np.empty(coded.n, dtype=np.int64)
    actions = [encode_actions(code, action_frame(code, level, 1)) for level in levels]
    networks = split.networks()
    for number, (model, test) in enumerate(networks):
        mu[test] = model.averaged(Asked(coded.covariates.rows(test)), actions)
        fold[test] = number
    return mu, fold, any(model.partial for model, _ in networks)


def _everyone(n: int) -> Groups:
    return np.ones((n, 1)), ("everyone",)


def _over_rows(
    y: Floats,
    arm: Ints,
    pairs: Sequence[tuple[int, int]],
    within: Groups | None,
    fold: Ints,
    *,
    mu: Floats,
    chances: Floats,
    names: Sequence[Any],
    weight: Floats | None,
    **errors: Any,
) -> tuple[Solution, Floats]:
    """Effects of arms in groups, or without these how far predicted ones hold.

    Beside them what each row counts for in the mean of its arm ``(n, k)``, up to a factor.
    """
    multiplicity = errors["multiplicity"]
    chances = clipped(chances, arm, weight=weight, multiplicity=multiplicity)
    for place, level in enumerate(names):
        warn_if_few_count(1.0 / chances[:, place], arm == place, level, multiplicity=multiplicity)
    own, base = np.array(pairs).T

    def contrasts(inside: Floats | None) -> Iterator[Floats]:
        """Scores ``(n, k)`` of the effects in a mean of these weights, and their leverage."""
        found = arm_means(y, arm, mu=mu, propensity=chances, weight=inside, **errors)
        return (part[:, own] - part[:, base] for part in found)

    counts = (1.0 if weight is None else weight) / chances[np.arange(y.size), arm]
    if within is not None:
        return _within(contrasts, *within, weight), counts[:, None] * np.tile(within[0], own.size)
    effects = mu[:, own] - mu[:, base]
    apart = np.abs(effects - np.average(effects, axis=0, weights=weight))
    loads = np.stack([np.ones(apart.shape), apart], axis=2).reshape(y.size, -1)
    scores, leverage = contrasts(weight)
    slopes = calibration(scores, effects, fold, weight=weight, leverage=leverage)
    return slopes, counts[:, None] * loads


def _among(
    y: Floats, arm: Ints, pairs: Sequence[tuple[int, int]], *, weight: Floats | None, **how: Any
) -> tuple[Solution, Floats]:
    """Effects among those of one arm of each pair, and what rows count for in their arms."""
    scores, counts = zip(
        *(_score_among(y, arm, pair, weight=weight, **how) for pair in pairs), strict=True
    )
    solutions = [one for score in scores for one in solve_linear(score, weights=weight)]
    return joined(solutions), np.column_stack(counts)


def _within(
    contrasts: Callable[[Floats], Iterable[Floats]],
    groups: Floats,
    names: Sequence[str],
    weight: Floats | None,
) -> Solution:
    """Means of the contrasts in groups, of indicators ``(n, g)``: all of the first contrast first.

    Every group has inverse propensities with a mean of one in its own arms: with that of everybody,
    what networks get wrong of the group would be multiplied by its own mean.
    """
    found = []
    for indicator, name in zip(groups.T, names, strict=True):
        basis = indicator[:, None, None]
        try:
            parts = contrasts(indicator if weight is None else weight * indicator)
        except IdentificationError as error:
            raise IdentificationError(f"{name}: {error}") from error
        both = zip(*(part.T[:, :, None] for part in parts), strict=True)
        scores = [LinearScore(basis, basis, *one) for one in both]
        found.append([one for score in scores for one in solve_linear(score, weights=weight)])
    return joined([one for by_group in zip(*found, strict=True) for one in by_group])


def _score_among(
    y: Floats,
    arm: Ints,
    pair: tuple[int, int],
    *,
    mu: Floats,
    chances: Floats,
    target: Any,
    names: Sequence[Any],
    weight: Floats | None = None,
    clusters: Sequence[Ints] = (),
    multiplicity: Floats | None = None,
) -> tuple[LinearScore, Floats]:
    """Score of an arm against the baseline among those who received one of both, 0 for others.

    Beside it what each row counts for ``(n,)`` in the mean of its arm.

    Only the ratio of the two propensities counts there, that of a treatment with these two arms,
    and it is what is kept away from 0: two arms may both be rare, and no less alike for that.
    Those who did not receive the arm that is averaged over are weighted by that ratio, normalised
    so that they count for as much as those who did. Both means have the leverage of their rows.
    """
    own, other = pair if target == "att" else pair[::-1]
    rows = np.flatnonzero((arm == own) | (arm == other))
    among = arm[rows] == own
    counts, times = (None if one is None else one[rows] for one in (weight, multiplicity))
    both = chances[rows][:, [other, own]]
    both = clipped(
        both / both.sum(axis=1, keepdims=True),
        among.astype(np.int64),
        weight=counts,
        multiplicity=times,
    )
    ratio = np.where(among, 0.0, both[:, 1] / both[:, 0])
    warn_if_few_count(ratio, ~among, names[other], multiplicity=times)
    how: dict[str, Any] = {
        "weight": counts,
        "clusters": [codes[rows] for codes in clusters],
        "multiplicity": times,
    }
    residual = y[rows] - mu[rows, other]
    mean, moved, by_ratio = normalised(residual, ratio, **how)
    _, _, by_own = normalised(residual, among.astype(np.float64), **how)
    share = np.average(among, weights=counts)
    sign = 1.0 if target == "att" else -1.0
    regressor, response, leverage, counted = np.zeros((4, y.size, 1))
    counted[rows, 0] = (among + ratio) * (1.0 if counts is None else counts)
    regressor[rows, 0] = among
    response[rows, 0] = (among * (residual - mean) - share * moved) * sign
    leverage[rows, 0] = share * (by_own - by_ratio) * sign
    score = LinearScore(np.ones((y.size, 1, 1)), regressor[:, :, None], response, leverage)
    return score, counted[:, 0]

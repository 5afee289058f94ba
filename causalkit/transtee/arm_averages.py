"""Average effects of arms against a baseline arm, by doubly robust scores."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from causalkit.errors import IdentificationError
from causalkit.heterogeneity import check_group_arms
from causalkit.heterogeneity.calibration import calibration, joined
from causalkit.inference.arm_means import IN_ARMS, arm_means, normalised
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
    # As columns of a matrix are called: two arms of 0 and 1 need no level.
    named = set(levels) != {0, 1}
    terms = tuple(f"{column}={levels[place]}" if named else column for place in others)
    words = tuple(f"{levels[place]} vs {levels[base]}" for place in others)
    facts: dict[str, Any] = {
        "n_together": 1,
        "leverage": IN_ARMS,
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
    weight = mean_weight(coded)
    counted: dict[str, Any] = {"weight": weight, "multiplicity": coded.multiplicity}
    errors: dict[str, Any] = {"clusters": clusters, "multiplicity": coded.multiplicity}
    if estimand in ("att", "atc"):
        given: dict[str, Any] = {"mu": mu, "chances": found, "names": levels, "weight": weight}
        by = [
            _score_among(coded.y, arm, (place, base), target=estimand, **given, **errors)
            for place in others
        ]
        return terms, _solved(by, weight), facts
    chances = clipped(found, arm, **counted)
    for place, level in enumerate(levels):
        warn_if_few_count(
            1.0 / chances[:, place], arm == place, level, multiplicity=coded.multiplicity
        )

    def contrasts(inside: Floats | None) -> Iterator[Floats]:
        """Scores ``(n, k)`` of the effects in a mean of these weights, and their leverage."""
        found = arm_means(coded.y, arm, mu=mu, propensity=chances, weight=inside, **errors)
        return (part[:, others] - part[:, [base]] for part in found)

    if estimand == "calibration":
        told = ("average effect", "slope")
        facts |= {
            "n_together": len(told),
            "notes": (*ASSUMES, *CALIBRATION),
            "contrast": ("",) * len(told) * len(terms),
        }
        scores, leverage = contrasts(weight)
        return (
            tuple(f"{term}: {part}" for term in terms for part in told),
            calibration(scores, effects, fold, weight=weight, leverage=leverage),
            facts,
        )
    if estimand == "gate":
        assert groups is not None
        basis, names = groups
        facts["contrast"] = tuple(word for word in words for _ in names)
        several = len(terms) > 1
        return (
            tuple(f"{term}, {name}" if several else name for term in terms for name in names),
            _within(contrasts, basis, names, weight),
            facts,
        )
    plug_in = dict(zip(terms, np.average(effects, axis=0, weights=weight), strict=True))
    facts["diagnostics"]["plug-in"] = {term: float(value) for term, value in plug_in.items()}
    return terms, _within(contrasts, np.ones((coded.n, 1)), ("everyone",), weight), facts


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


def _solved(scores: list[LinearScore], weight: Floats | None) -> Solution:
    return joined([one for score in scores for one in solve_linear(score, weights=weight)])


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
) -> LinearScore:
    """Score of an arm against the baseline among those who received one of both, 0 for others.

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
    regressor, response, leverage = np.zeros((3, y.size, 1))
    regressor[rows, 0] = among
    response[rows, 0] = (among * (residual - mean) - share * moved) * sign
    leverage[rows, 0] = share * (by_own - by_ratio) * sign
    return LinearScore(np.ones((y.size, 1, 1)), regressor[:, :, None], response, leverage)

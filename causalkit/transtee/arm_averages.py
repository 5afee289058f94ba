"""Average effects of arms against a baseline arm, by doubly robust scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.heterogeneity import check_group_arms
from causalkit.heterogeneity.calibration import calibration, joined
from causalkit.inference.solve import Solution, solve_linear
from causalkit.scores import LinearScore, arm_means, normalised
from causalkit.transtee.actions import action_frame, encode_actions
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

    Raises
    ------
    ArgumentError
        If the baseline is no arm.
    IdentificationError
        If predicted effects do not vary, for their calibration, or a group has no row of an arm.
    """
    coding, coded = split.coding, split.coded
    code = coding.actions
    column = code.columns[0]
    levels = code.levels[column]
    base = 0 if baseline is None else place_of_arm(code, baseline, name="baseline")
    others = [place for place in range(len(levels)) if place != base]
    arm = coded.actions.arms[:, 0]
    if groups is not None:
        told = [str(level) for level in levels]
        check_group_arms(*groups, arm, told, multiplicity=coded.multiplicity)
    mu, fold = np.empty((coded.n, len(levels))), np.empty(coded.n, dtype=np.int64)
    actions = [encode_actions(code, action_frame(code, level, 1)) for level in levels]
    for number, (model, test) in enumerate(split.networks()):
        mu[test] = model.averaged(Asked(coded.covariates.rows(test)), actions)
        fold[test] = number
    found, learned = arm_chances(coding, coded, split.settings, split.folds, learner)
    # As columns of a matrix are called: two arms of 0 and 1 need no level.
    named = set(levels) != {0, 1}
    terms = tuple(f"{column}={levels[place]}" if named else column for place in others)
    words = tuple(f"{levels[place]} vs {levels[base]}" for place in others)
    facts: dict[str, Any] = {
        "n_together": 1,
        "notes": ASSUMES,
        "contrast": words,
        "diagnostics": {
            "range of propensities": (float(found.min()), float(found.max())),
            "propensity": learned,
        },
    }
    weight = mean_weight(coded)
    counted: dict[str, Any] = {"weight": weight, "multiplicity": coded.multiplicity}
    if estimand in ("att", "atc"):
        given: dict[str, Any] = {"mu": mu, "chances": found, "names": levels, **counted}
        by = [
            _score_among(coded.y, arm, (place, base), target=estimand, **given) for place in others
        ]
        return terms, _solved(by, weight), facts
    chances = clipped(found, arm, **counted)
    for place, level in enumerate(levels):
        warn_if_few_count(
            1.0 / chances[:, place], arm == place, level, multiplicity=coded.multiplicity
        )
    scores = arm_means(coded.y, arm, mu=mu, propensity=chances, weight=weight)
    contrasts, effects = scores[:, others] - scores[:, [base]], mu[:, others] - mu[:, [base]]
    if estimand == "calibration":
        parts = ("average effect", "slope")
        facts |= {
            "n_together": len(parts),
            "notes": (*ASSUMES, *CALIBRATION),
            "contrast": ("",) * len(parts) * len(terms),
        }
        return (
            tuple(f"{term}: {part}" for term in terms for part in parts),
            calibration(contrasts, effects, fold, weight=weight),
            facts,
        )
    if estimand == "gate":
        assert groups is not None
        basis, names = groups
        facts["contrast"] = tuple(word for word in words for _ in names)
        several = len(terms) > 1
        return (
            tuple(f"{term}, {name}" if several else name for term in terms for name in names),
            _solved(_within(contrasts, basis), weight),
            facts,
        )
    plug_in = dict(zip(terms, np.average(effects, axis=0, weights=weight), strict=True))
    facts["diagnostics"]["plug-in"] = {term: float(value) for term, value in plug_in.items()}
    return terms, _solved(_within(contrasts, np.ones((coded.n, 1))), weight), facts


def _within(contrasts: Floats, groups: Floats) -> list[LinearScore]:
    """Scores of the mean of every contrast ``(n, k)`` in every group, of indicators ``(n, g)``."""
    basis = groups[:, None]
    return [LinearScore(basis, basis, one[:, None]) for one in contrasts.T]


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
    multiplicity: Floats | None = None,
) -> LinearScore:
    """Score of an arm against the baseline among those who received one of both, 0 for others.

    Only the ratio of the two propensities counts there, that of a treatment with these two arms,
    and it is what is kept away from 0: two arms may both be rare, and no less alike for that.
    Those who did not receive the arm that is averaged over are weighted by that ratio, normalised
    so that they count for as much as those who did.
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
    residual = y[rows] - mu[rows, other]
    share, mean = normalised(residual, ratio, counts)
    share *= np.average(among, weights=counts)
    sign = 1.0 if target == "att" else -1.0
    regressor, response = np.zeros((2, y.size, 1))
    regressor[rows, 0] = among
    response[rows, 0] = (among - share) * (residual - mean) * sign
    return LinearScore(np.ones((y.size, 1, 1)), regressor[:, :, None], response)

"""What the design of a trial says about outcomes: columns of the baseline for blocks.

Blocks that were treated with different probabilities and have different outcomes look like an
effect to whatever does not know them. Two columns tell of them:

- the propensity e, where it varies. Least squares of the treatment on a constant and e leaves
  T − e, which no function of the blocks moves: a linear e is enough, whatever the outcomes of the
  blocks, and nothing has to be estimated for it.
- a shrunken mean by stratum of what e leaves of the outcome, learned from other places. It takes
  noise from effects, and carries what is not linear in e where the model is not least squares. One
  column, since an indicator for each of many strata would be more than the rows can bear. Where no
  strata are declared and e varies, those of about one e are one. So are small blocks with a set
  number of treated units, whose mean other rows of the same block would give away with the
  treatment (:mod:`~causalkit.images.small_blocks`).

References
----------
Rosenbaum & Rubin (1983). The central role of the propensity score. Biometrika 70.
Henderson (1953), method 1, for the variance between strata. Biometrics 9.
"""

from dataclasses import replace

import numpy as np

from causalkit.images.assignment import propensity_strata
from causalkit.images.splits import Parts, fold_number
from causalkit.images.units import Units
from causalkit.rng import seed_of
from causalkit.typing import Floats, Ints

_FOLDS = 5
_SAME = 1e-9


def with_blocks(units: Units, parts: Parts, *, seed: int) -> Units:
    """Units whose baseline knows blocks and propensities.

    Rows of the evaluation get what the others say of their stratum, and those what other places
    among them say. Nothing is added where there are no strata and one propensity.

    Parameters
    ----------
    units : Units
    parts : Parts
    seed : int
    """
    varies = bool(np.ptp(units.propensity) > _SAME)
    strata = units.strata
    if strata is None and varies:
        strata = propensity_strata(units.propensity)
    if strata is None:
        return units
    columns = [_centred(units.propensity)] if varies else []
    by_stratum = _by_stratum(units, strata, parts, seed=seed)
    if np.ptp(by_stratum[parts.train]) > _SAME:
        columns.append(by_stratum)
    return replace(units, design=np.stack(columns, axis=1)) if columns else units


def _centred(values: Floats) -> Floats:
    return np.asarray(values - values.mean())


def _by_stratum(units: Units, strata: Ints, parts: Parts, *, seed: int) -> Floats:
    from sklearn.model_selection import GroupKFold

    known = np.sort(np.concatenate([parts.train, parts.select]))
    found = np.zeros(units.n)
    found[parts.evaluate] = stratum_means(units, strata, known)[strata[parts.evaluate]]
    groups = units.groups[known]
    n_folds = fold_number(groups, _FOLDS)
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed_of(seed, "design folds"))
    for kept, held in folds.split(known, groups=groups):
        found[known[held]] = stratum_means(units, strata, known[kept])[strata[known[held]]]
    return found


def stratum_means(units: Units, strata: Ints, rows: Ints) -> Floats:
    """How far outcomes of each stratum lie above the line in T and e, shrunken to it ``(J,)``.

    A stratum keeps s² / (s² + σ² / n) of its mean residual, with s² the variance between strata
    and σ² that within: the best linear prediction. One without any of the rows has 0.

    Parameters
    ----------
    units : Units
    strata : (n,) int array
    rows : array of int
        Rows that may be learned from.
    """
    y, t, e = (values[rows] for values in (units.outcome, units.treatment, units.propensity))
    line = np.stack([np.ones(rows.size), t, e - e.mean()], axis=1)
    residual = y - line @ np.linalg.lstsq(line, y, rcond=None)[0]
    codes, size = strata[rows], int(strata.max()) + 1
    counts = np.bincount(codes, minlength=size)
    means = np.bincount(codes, residual, size) / np.maximum(counts, 1)
    n, n_strata = rows.size, int((counts > 0).sum())
    if not 1 < n_strata < n:
        return np.zeros(size)
    within = float(((residual - means[codes]) ** 2).sum()) / (n - n_strata)
    between = float((counts * means**2).sum()) - (n_strata - 1) * within
    variance = max(0.0, between / (n - float((counts**2).sum()) / n))
    if variance == 0.0:
        return np.zeros(size)
    return np.asarray(means * variance / (variance + within / np.maximum(counts, 1)))

"""Whether a panel can identify what is asked of it, checked before anything is fitted."""

import numpy as np

from causalkit.data import CausalData
from causalkit.data.candidate import is_number, numbers
from causalkit.data.checks_fit import twins
from causalkit.data.leaks import same_up_to_scale
from causalkit.data.panel import demean
from causalkit.errors import (
    ArgumentError,
    DataError,
    IdentificationError,
    IdentificationWarning,
    SplitWarning,
)
from causalkit.inference.variance import cluster_sums
from causalkit.nuisance import Folds
from causalkit.nuisance.learners import plan
from causalkit.panel.approaches import WITHIN_BASED
from causalkit.panel.mundlak import unit_moments
from causalkit.panel.sample import PanelSample
from causalkit.panel.settings import Settings
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_FEW_ROWS = 10  # fewer may be equal by chance
_NO_RANK = 1e-10  # share of the variance of a combination of columns that is rounding


def check_columns(data: CausalData, sample: PanelSample, settings: Settings) -> None:
    """Refuse instruments that the model would not use, and columns that are another one."""
    if data.roles.instruments and settings.model != "iv":
        raise ArgumentError(
            f"the data name instruments ({', '.join(data.roles.instruments)}), which "
            f'model="{settings.model}" does not use; set model="iv", or take them out with '
            "data.with_roles(instruments=())."
        )
    problems = list(twins(data, sample.rows))
    if problems:
        raise DataError(problems)
    if settings.approach in WITHIN_BASED and data.roles.time is not None:
        _warn_of_lagged_outcome(data)


def _warn_of_lagged_outcome(data: CausalData) -> None:
    """Warn where a covariate is the outcome one period before, whose unit mean holds the errors."""
    outcome = data.roles.outcome[0]
    before = data.lag(outcome).to_numpy()
    if np.isfinite(before).sum() < _FEW_ROWS:
        return
    frame = data.frame
    for name in data.roles.covariates:
        if is_number(frame[name]) and same_up_to_scale(numbers(frame[name]), before):
            warn(
                f"covariate {name!r} is the outcome of the period before: its unit mean and its "
                "changes contain the errors of other periods, which may bias the estimate however "
                "many units there are (Nickell 1981). Leave it out, or use a dynamic panel "
                "estimator.",
                IdentificationWarning,
            )


def check_variation(sample: PanelSample, settings: Settings) -> None:
    """Refuse panels without the variation within units that the approach rests on."""
    if sample.n_units < 2:
        raise IdentificationError(
            f"the data hold {sample.n_units} unit; a panel estimate needs at least two. Check that "
            "`unit` names the panel unit."
        )
    if settings.approach in WITHIN_BASED and (sample.lengths() == 1).all():
        raise IdentificationError(
            "every unit is seen once, so nothing varies within units; check that `unit` names the "
            'panel unit and not the row, or use approach="pooled".'
        )
    for what, values, names in (
        ("treatment", sample.d, sample.treatment_names),
        ("instrument", sample.z, sample.instrument_names),
    ):
        if settings.approach in WITHIN_BASED:
            _check_within(what, values, names, sample, settings)
        if names:
            _check_rank(what, values, names, sample, settings)


def _check_within(
    what: str, values: Floats, names: tuple[str, ...], sample: PanelSample, settings: Settings
) -> None:
    varies = unit_moments(values, None, values.shape[1], sample.unit, sample.weights).varies
    for column in np.flatnonzero(~varies):
        raise IdentificationError(
            f"{what} {names[column]!r} never varies within a unit, so "
            f'approach="{settings.approach}" cannot separate it from unit heterogeneity; '
            'approach="pooled" compares across units.'
        )


def _check_rank(
    what: str, values: Floats, names: tuple[str, ...], sample: PanelSample, settings: Settings
) -> None:
    """Refuse columns that effects of units and periods determine, alone or with each other.

    A learner that shrinks would share one effect among them at random.
    """
    within = settings.approach in WITHIN_BASED
    unit = sample.unit if within else np.zeros_like(sample.unit)
    left = demean(values, unit)
    size = np.linalg.norm(left, axis=0)
    gram = left.T @ left
    if settings.period_dummies and sample.period is not None:
        gram = gram - _of_periods(left, unit, sample.period_code)
    size = np.where(size > 0, size, 1.0)
    shares, directions = np.linalg.eigh(gram / np.outer(size, size))
    if shares[0] > _NO_RANK:
        return
    among = [name for name, part in zip(names, directions[:, 0], strict=True) if abs(part) > 1e-4]
    effects = ["a constant", *(["unit effects"] if within else [])]
    effects += ["period effects"] if settings.period_dummies else []
    listed = " or ".join(filter(None, (", ".join(effects[:-1]), effects[-1])))
    if len(among) == 1:
        raise IdentificationError(
            f"{what} {among[0]!r} is determined by {listed}, so that nothing of it is left to "
            "compare. Name another, or leave these effects out."
        )
    raise IdentificationError(
        f"{what}s {', '.join(map(repr, among))} add up to {listed}, as dummies of all categories "
        "do, so they cannot be told apart. Leave one of them out; it is the reference."
    )


def _of_periods(values: Floats, unit: Ints, period: Ints) -> Floats:
    """Cross-products of the part of demeaned values that period dummies explain."""
    n_periods = int(period.max()) + 1
    cells = np.bincount(unit * n_periods + period, minlength=(int(unit[-1]) + 1) * n_periods)
    counts = cells.reshape(-1, n_periods).astype(np.float64)
    dummies = np.diag(counts.sum(axis=0)) - counts.T @ (counts / counts.sum(axis=1, keepdims=True))
    sums = cluster_sums(values, period)
    return np.asarray(sums.T @ np.linalg.pinv(dummies, rcond=1e-10, hermitian=True) @ sums)


def check_folds(sample: PanelSample, folds: Folds, settings: Settings) -> None:
    """Refuse dummies that training never sees; warn where nothing is held out."""
    named = (settings.learners.outcome, settings.learners.treatment)
    if folds.n_folds == 1:
        if any(learner != "linear" for learner in named):
            warn(
                "n_folds=1 fits and predicts the same rows; with any learner but 'linear' the "
                "estimate is biased by overfitting. Use n_folds=5.",
                SplitWarning,
            )
        return
    if settings.approach == "dummies":
        mend = (
            "Keep a row of every unit in training, and leave out units that are seen once; or use "
            'approach="cre".'
        )
        _check_trained("unit", sample.unit, sample, folds, 'approach="dummies"', mend)
    if settings.period_dummies and sample.period is not None:
        who = f'time_effects="{settings.options.time_effects}"'
        mend = (
            'Keep every period in training, or use time_effects="means" with an approach that '
            'keeps levels, such as "cre"; periods with hardly a row can be left out of the data.'
        )
        _check_trained("period", sample.period, sample, folds, who, mend)


def _check_trained(
    what: str, codes: Ints, sample: PanelSample, folds: Folds, who: str, mend: str
) -> None:
    """Refuse folds that test a unit or period without having trained on any row of it."""
    for repeat in range(folds.n_rep):
        for train, test in folds.splits(repeat):
            unseen = np.setdiff1d(codes[test], codes[train])
            if unseen.size:
                row = int(sample.rows[test][codes[test] == unseen[0]][0])
                raise ArgumentError(
                    f"{who} cannot predict {what}s that its training folds never saw "
                    f"({unseen.size} here; the first is the {what} of row {row}). {mend}"
                )


def check_missing(sample: PanelSample, data: CausalData, settings: Settings) -> None:
    """Refuse missing covariates that reach a learner that cannot take them."""
    if data.missing != "native" or not np.isnan(sample.x).any():
        return
    learners = settings.learners
    gaps = np.flatnonzero(np.isnan(sample.x).any(axis=0))
    names = ", ".join(repr(sample.covariate_names[j]) for j in gaps[:5])
    used = [learners.outcome, learners.treatment]
    used += [learners.instrument] if settings.model == "iv" else []
    for learner in used:
        if isinstance(learner, str) and learner != "auto" and plan(learner, "mean").penalties:
            raise ArgumentError(
                f'missing="native" passes the missing values of {names} to the learner, and '
                f"{learner!r} cannot take them; use learner='auto' or 'boosting', or "
                "missing='indicator'."
            )

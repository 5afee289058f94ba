"""Whether a panel can identify what is asked of it, checked before anything is fitted."""

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, IdentificationError, SplitWarning
from causalkit.nuisance import Folds
from causalkit.nuisance.learners import plan
from causalkit.panel.approaches import WITHIN_BASED
from causalkit.panel.mundlak import unit_moments
from causalkit.panel.sample import PanelSample
from causalkit.panel.settings import Settings
from causalkit.typing import Floats, Ints
from causalkit.warn import warn


def check_instruments(data: CausalData, settings: Settings) -> None:
    """Refuse instruments that the model would not use."""
    if data.roles.instruments and settings.model != "iv":
        raise ArgumentError(
            f"the data name instruments ({', '.join(data.roles.instruments)}), which "
            f'model="{settings.model}" does not use; set model="iv", or take them out with '
            "data.with_roles(instruments=())."
        )


def check_variation(sample: PanelSample, settings: Settings) -> None:
    """Refuse panels without the variation within units that the approach rests on."""
    if sample.n_units < 2:
        raise IdentificationError(
            f"the data hold {sample.n_units} unit; a panel estimate needs at least two. Check that "
            "`unit` names the panel unit."
        )
    if settings.approach not in WITHIN_BASED:
        return
    if (sample.lengths() == 1).all():
        raise IdentificationError(
            "every unit is seen once, so nothing varies within units; check that `unit` names the "
            'panel unit and not the row, or use approach="pooled".'
        )
    _check_within("treatment", sample.d, sample.treatment_names, sample, settings)
    _check_within("instrument", sample.z, sample.instrument_names, sample, settings)


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
        mend = 'Use split="observation", or approach="cre".'
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

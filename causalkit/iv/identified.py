"""Whether the data can identify an effect with an instrument that may be invalid."""

import numpy as np

from causalkit.data import CausalData
from causalkit.data.checks_fit import twins
from causalkit.errors import (
    ArgumentError,
    DataError,
    IdentificationError,
    IdentificationWarning,
    Problem,
)
from causalkit.iv.sample import IVSample, weighted_rows
from causalkit.iv.settings import Settings
from causalkit.nuisance import Folds
from causalkit.nuisance.learners import takes_missing
from causalkit.typing import Bools
from causalkit.warn import warn

FEW_ROWS = 50
_TOO_FEW_ROWS = 5
ONE_SIDED = (
    "the treatment is constant where {arm} (one-sided non-compliance): the variance of the "
    "treatment and its covariance with the outcome are zero there, and the assumption that the "
    "unmeasured confounder acts on the treatment alike in both arms then means that it does not "
    "act at all. The estimate rests on no unmeasured confounding of the treatment where it "
    "varies, and only does without the exclusion restriction."
)


def check_instruments(data: CausalData) -> None:
    """Refuse instruments that do not vary, or that are another column; so for the treatment."""
    kept = weighted_rows(data)
    z = data.matrix("instruments")[kept]
    problems = [
        Problem(
            "E17-rank",
            f"instrument {name!r} has the single value {values[0]:g}; it moves nothing. "
            "Name another, or check the rows that were kept and have weight.",
            name,
        )
        for name, values in zip(data.matrix_names("instruments"), z.T, strict=True)
        if np.ptp(values) == 0
    ]
    problems += twins(data, kept)
    if problems:
        raise DataError(problems)


def check_missing(data: CausalData, sample: IVSample, settings: Settings) -> None:
    """Refuse missing covariates that no model of some nuisance can take.

    A candidate that cannot take them is left out as others are that fail, if one is left that can.
    """
    if not np.isnan(sample.x).any():
        return
    kept = data.frame.iloc[sample.rows]
    columns = [name for name in data.roles.covariates if kept[name].isna().any()]
    listed = ", ".join(map(repr, columns[:5]))
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    seen = f"covariates are missing in some rows ({listed}{more})"
    if settings.method == "parametric":
        raise ArgumentError(
            f"{seen}, which method='parametric' cannot take; use missing='drop' when building the "
            "data, or method='debiased'."
        )
    if data.missing != "native":
        return
    for name, candidates in settings.candidates.items():
        if not any(takes_missing(learner) for _, learner in candidates):
            labels = " or ".join(repr(label) for label, _ in candidates)
            raise ArgumentError(
                f"{seen}, and {labels} for the {name} cannot take them; use learners='auto' or "
                "'boosting', or missing='indicator' or an imputer when building the data."
            )


def check_cells(sample: IVSample) -> Bools:
    """Counts by arm; returns for each arm whether the treatment is constant there.

    Raises
    ------
    DataError
        If a combination of instrument and treatment has fewer than five rows, but some.
    """
    one_sided = np.zeros(2, dtype=bool)
    if not sample.binary_instrument:
        return one_sided
    z = sample.z[:, 0]
    for arm in (0, 1):
        inside = z == arm
        where = f"{sample.instrument_names[0]} is {sample.levels[0, arm]:g}"
        if np.ptp(sample.a[inside]) == 0:
            one_sided[arm] = True
            warn(ONE_SIDED.format(arm=where), IdentificationWarning)
        if sample.binary_treatment and not one_sided[arm]:
            _check_counts(sample, inside, where)
    if one_sided.all():
        raise IdentificationError(
            f"the treatment {sample.treatment_name!r} is constant in both arms of the instrument, "
            "so that nothing is left to compare."
        )
    return one_sided


def _check_counts(sample: IVSample, inside: Bools, where: str) -> None:
    counts = {level: sample.count(inside & (sample.a == level)) for level in (0, 1)}
    level = min(counts, key=lambda key: counts[key])
    rows = "row has" if counts[level] == 1 else "rows have"
    seen = f"{counts[level]} {rows} {sample.treatment_name} = {level} where {where}"
    if counts[level] < _TOO_FEW_ROWS:
        raise DataError(
            Problem(
                "E11-single-arm-fold",
                f"only {seen} (and {counts[1 - level]} the other value), too few to learn a "
                "probability in every training fold. Merge rare levels, or collect more.",
                sample.treatment_name,
            )
        )
    if counts[level] < FEW_ROWS:
        warn(f"only {seen}; regressions by arm are uncertain there.", IdentificationWarning)


def check_clusters(sample: IVSample) -> None:
    """Refuse dependence of all rows on each other, which no variance can be taken from."""
    if any(codes.max() == 0 for codes in sample.clusters):
        raise DataError(
            Problem(
                "E18-few-clusters",
                f"all {sample.n} rows belong to one cluster, so that no standard error can be "
                "taken. Name finer clusters, or none if rows are independent.",
            )
        )


def check_folds(sample: IVSample, folds: Folds, constant: Bools) -> None:
    """Refuse splits that leave a training fold without an arm, or an arm without a treatment.

    ``constant`` are the arms in which the treatment never varies.
    """
    if not sample.binary_instrument:
        return
    z, a, name = sample.z[:, 0], sample.a, sample.instrument_names[0]
    for repeat in range(folds.n_rep):
        for fold, (train, _) in enumerate(folds.splits(repeat)):
            where = f"in the training rows of fold {fold} of repeat {repeat}"
            if np.ptp(z[train]) == 0:
                value = sample.levels[0, int(z[train][0])]
                raise _single(f"instrument {name!r}", value, where, "the instrument", name)
            for arm in np.flatnonzero(~constant) if sample.binary_treatment else ():
                inside = a[train[z[train] == arm]]
                if np.ptp(inside) == 0:
                    what = f"treatment {sample.treatment_name!r}"
                    where = f"where {name} is {sample.levels[0, arm]:g}, {where}"
                    raise _single(what, inside[0], where, "both", sample.treatment_name)


def _single(what: str, value: float, where: str, by: str, column: str) -> DataError:
    return DataError(
        Problem(
            "E11-single-arm-fold",
            f"{what} has the single value {value:g} {where}; use fewer folds, or folds stratified "
            f"by {by}.",
            column,
        )
    )

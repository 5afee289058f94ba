"""One fit of InvalidIV: sample → splits → nuisances → influence function → result."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from causalkit.data import CausalData
from causalkit.data.missing import training_fold_imputer
from causalkit.data.source import Source
from causalkit.errors import (
    ArgumentError,
    DroppedRowsWarning,
    IdentificationError,
    OverlapWarning,
    SplitWarning,
)
from causalkit.inference.variance import warn_if_few
from causalkit.iv.candidates import Selection, fit_selective
from causalkit.iv.general import fit_general
from causalkit.iv.identified import (
    check_cells,
    check_clusters,
    check_folds,
    check_instruments,
    check_missing,
)
from causalkit.iv.nuisances import Fitted, fit_binary
from causalkit.iv.result import IVFit, inference_of
from causalkit.iv.sample import IVSample, iv_sample
from causalkit.iv.settings import Settings
from causalkit.iv.strength import strength, warn_if_weak, weak_robust
from causalkit.iv.terms import fit_working_models
from causalkit.iv.views import covariate_sight, joint_sight
from causalkit.nuisance import Folds, draw_folds, external_folds
from causalkit.nuisance.fitter import Fitter
from causalkit.nuisance.folds import ExternalFolds, units_torn_apart
from causalkit.nuisance.given import placed_folds, placed_predictions
from causalkit.progress import teller
from causalkit.typing import Bools, Floats
from causalkit.warn import warn

_FEW_LEFT_OUT = 0.01  # the summary counts them; more are worth a warning
_GIVEN = (
    "instrument",
    "treatment:0",
    "treatment:1",
    "outcome:0",
    "outcome:1",
    "product:0",
    "product:1",
    "effect",
    "confounding",
)
_GIVEN_VARIANCES = ("variance:0", "variance:1")  # of a treatment that is not 0/1


def fit_iv(
    data: CausalData,
    settings: Settings,
    *,
    folds: ExternalFolds | None = None,
    predictions: Mapping[str, Floats] | None = None,
) -> IVFit:
    """Fit one model on one data set.

    Parameters
    ----------
    data : CausalData
        With its roles checked by the caller.
    settings : Settings
    folds : list or None
        Explicit folds.
    predictions : mapping or None
        Predictions from elsewhere, in the data's row order.
    """
    check_instruments(data)
    sample = iv_sample(data)
    if settings.method != "debiased" and not sample.binary_instrument:
        raise ArgumentError(
            f"method={settings.method!r} needs one binary instrument, and the data have "
            f"{', '.join(sample.instrument_names)} with other values; method='debiased' takes "
            "several, with many levels or continuous."
        )
    check_clusters(sample)
    constant = check_cells(sample)
    if predictions is None:  # they may leave nothing to learn
        check_missing(data, sample, settings)
    elif settings.method != "debiased" or not sample.binary_instrument:
        raise ArgumentError(
            "predictions from elsewhere belong to method='debiased' with one binary instrument."
        )
    if settings.method == "parametric":
        if folds is not None:
            raise ArgumentError(
                "method='parametric' fits all rows at once and has no folds; leave out folds=."
            )
        return _parametric(data, sample, settings, constant)
    splits = _splits(sample, settings, folds, len(data))
    check_folds(sample, splits, constant)
    fitter = Fitter(
        seed=settings.seed,
        weights=sample.weights,
        n_jobs=settings.n_jobs,
        imputer=training_fold_imputer(data.missing),
        store_models=settings.store_models,
        progress=teller(settings.progress, "nuisances", unit="fit"),
        given=_given(predictions, sample, len(data), splits.n_rep),
    )
    sight = covariate_sight(sample, settings.basis, settings.seed)
    least = sample.least_delta_v(settings.trim_delta_v)
    selected: Selection | None = None
    if settings.method == "selective":
        fitted, selected = fit_selective(sample, sight, splits, fitter, settings, constant=constant)
    elif sample.binary_instrument:
        fitted = fit_binary(
            sample,
            sight,
            splits,
            fitter,
            settings.learners,
            constant=constant,
            clip=settings.clip,
            least_delta_v=least,
            effect_loss=settings.effect_loss,
            calibrate=settings.calibrate,
        )
    else:
        joint = joint_sight(sample, settings.basis, settings.seed)
        fitted = fit_general(
            sample,
            sight,
            joint,
            splits,
            fitter,
            settings.learners,
            least_delta_v=least,
            calibrate=settings.calibrate,
        )
    return _assembled(data, sample, settings, fitted, splits, selected, sight.notes)


def _given(
    predictions: Mapping[str, Floats] | None, sample: IVSample, n_data: int, n_rep: int
) -> dict[str, Floats]:
    """Predictions from elsewhere, in the order of the sample, one column per repeat."""
    known = _GIVEN if sample.binary_treatment else (*_GIVEN, *_GIVEN_VARIANCES)
    given = placed_predictions(predictions, sample.rows, known=known, n=n_data, n_rep=n_rep)
    shares = ("treatment:0", "treatment:1") if sample.binary_treatment else ()
    for name in ("instrument", *shares):
        _check_range(given, name, sample, most=1.0, what="a probability", mend="from 0 to 1")
    for name in _GIVEN_VARIANCES:
        _check_range(given, name, sample, most=np.inf, what="a variance", mend="of at least 0")
    return given


def _check_range(
    given: Mapping[str, Floats], name: str, sample: IVSample, *, most: float, what: str, mend: str
) -> None:
    """Refuse predictions below zero or above the most that they can be."""
    values = given.get(name, np.zeros((sample.n, 1)))
    outside: Bools = (values < 0.0) | (values > most)
    wrong = np.flatnonzero(outside.any(axis=1))
    if wrong.size:
        row = wrong[np.argmin(sample.rows[wrong])]
        raise ArgumentError(
            f"the prediction for {name!r} is {what}, and at row {sample.rows[row]} it is "
            f"{values[row, np.argmax(outside[row])]:.4g}; give values {mend}."
        )


def _splits(
    sample: IVSample, settings: Settings, folds: ExternalFolds | None, n_data: int
) -> Folds:
    """Folds by row, or by the coarsest cluster where rows are dependent."""
    keys = sample.keys
    if folds is None:
        drawn = draw_folds(
            keys,
            rule=sample.split,
            n_folds=settings.n_folds,
            n_rep=settings.n_rep,
            seed=settings.seed,
        )
    else:
        together = {} if keys.unit is None else {"cluster": keys.unit}
        placed = placed_folds(folds, sample.rows, together, who="InvalidIV", n=n_data)
        drawn = external_folds(placed, keys, seed=settings.seed)
    whole = [repeat for repeat, test in enumerate(drawn.test) if len(test) == 1]
    if whole and settings.method == "selective":
        raise ArgumentError(
            f"repeat {whole[0]} of the folds has one fold, and method='selective' judges "
            "candidates on rows that they did not train on; give two folds or more."
        )
    several = sample.clusters if len(sample.clusters) > 1 else ()
    if any(units_torn_apart(drawn, codes).size for codes in several):
        warn(
            "clusters are not nested, and folds keep those of one column together only: rows of "
            "one cluster of another are in training and test folds at once, and nuisances may have "
            "learned from rows that depend on those they predict.",
            SplitWarning,
        )
    return drawn


def _parametric(data: CausalData, sample: IVSample, settings: Settings, constant: Bools) -> IVFit:
    if constant.any():
        raise IdentificationError(
            f"method='parametric' fits one model of {sample.treatment_name!r} to both arms of "
            f"{sample.instrument_names[0]!r}, and it is constant in one; use method='debiased' or "
            "'selective'."
        )
    fitted, solved = fit_working_models(sample, settings)
    found = _assembled(data, sample, settings, fitted, None, None, ())
    return replace(found, solved={name: [solution] for name, solution in solved.items()})


def _assembled(
    data: CausalData,
    sample: IVSample,
    settings: Settings,
    fitted: Fitted,
    folds: Folds | None,
    selected: Selection | None,
    notes: tuple[str, ...],
) -> IVFit:
    """Trim, measure strength, warn."""
    if fitted.clipped > 0:
        warn(
            f"[E19-overlap] {fitted.clipped:.1%} of the propensities of "
            f"{', '.join(sample.instrument_names)} lie outside [{settings.clip:g}, "
            f"{1 - settings.clip:g}] and were moved to the bound; effects there rest on "
            "extrapolation. Leave out the rows, or covariates that determine the instrument.",
            OverlapWarning,
        )
    hats = fitted.hats
    least = sample.least_delta_v(settings.trim_delta_v)
    used = fitted.population
    if used is None:
        used = np.asarray((np.abs(hats.delta_v) >= least).all(axis=1))
    every = np.ones(sample.n, dtype=bool)
    inference = inference_of(sample, settings, every)
    products, instruments = fitted.products, fitted.instruments
    if instruments is None:
        instruments = products.instrument[:, :1]
    found = strength(sample, products, hats, instruments=instruments, inference=inference)
    accepted = weak_robust(products, inference, null=0.0, level=0.95)
    warn_if_weak(found, accepted, sample.instrument_names)
    if sample.share(used) < 1.0 - _FEW_LEFT_OUT:
        left = "that of the other rows" if used.any() else "not available"
        warn(
            f"{sample.count(~used)} of {sample.count(every)} rows have |ΔV| below {least:.3g} and "
            f"are left out: the average effect is {left}. estimate('variance-weighted') uses all.",
            DroppedRowsWarning,
        )
    warn_if_few(inference.clusters)
    return IVFit(sample, fitted, folds, least, used, {}, selected, found, Source.of(data), notes)

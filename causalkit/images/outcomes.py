"""The outcome on the scale of the model, and whether its shape suits the likelihood."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit
from scipy.stats import kurtosis, norm, skew

from causalkit.errors import ArgumentError, CausalKitWarning, DataError, Problem
from causalkit.images.splits import Parts, fold_number
from causalkit.images.units import Units
from causalkit.rng import seed_of
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_MOST_SKEW, _MOST_KURTOSIS = 1.0, 3.0
_ENDS = (0.02, 0.98)
_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Standardised arrays over all rows.

    Attributes
    ----------
    outcome, treatment : (n,) arrays
    covariates : (n, p + q) array
        Of the baseline, the q of the design last.
    n_design : int
        q.
    groups : (n,) int array
        Rows that belong together: of one image, twin, cluster or block.
    centre, scale : float
        Of the outcome: control mean, and standard deviation within arms, of the training rows.
    difference : float
        Difference in means of the training rows in these units; of logits if the outcome is 0/1.
        Rows weigh by their propensities where these or strata are in the design.
    """

    outcome: Floats
    treatment: Floats
    covariates: Floats
    n_design: int
    groups: Ints
    centre: float
    scale: float
    difference: float


def standard_outcome(units: Units, train: Ints, covariates: Floats, likelihood: str) -> Design:
    """Centre by the control mean and scale by the deviation within arms, of the training rows."""
    y, t = units.outcome[train], units.treatment[train]
    n_design = 0 if units.design is None else int(units.design.shape[1])
    treated, control = y[t == 1.0], y[t == 0.0]
    means = _means_by_arm(units, train)
    if likelihood == "bernoulli":
        shares = np.clip(means, *_ENDS)
        gap = float(logit(shares[0]) - logit(shares[1]))
        return Design(
            units.outcome, units.treatment, covariates, n_design, units.groups, 0.0, 1.0, gap
        )
    centre = float(control.mean())
    within = np.concatenate([treated - treated.mean(), control - centre])
    scale = float(within.std())
    return Design(
        outcome=(units.outcome - centre) / scale,
        treatment=units.treatment,
        covariates=covariates,
        n_design=n_design,
        groups=units.groups,
        centre=centre,
        scale=scale,
        difference=float((means[0] - means[1]) / scale),
    )


def _means_by_arm(units: Units, rows: Ints) -> tuple[float, float]:
    """Mean outcome of the treated and of the controls, of one mix of blocks."""
    y, t, e = (values[rows] for values in (units.outcome, units.treatment, units.propensity))
    if units.design is None:
        return float(y[t == 1.0].mean()), float(y[t == 0.0].mean())
    return (
        float(np.average(y, weights=t / e)),
        float(np.average(y, weights=(1.0 - t) / (1.0 - e))),
    )


def arm_score(units: Units, parts: Parts, likelihood: str) -> float:
    """Mean log density of the selection rows by the arm alone, standardised outcome.

    A mean, and a standard deviation if the outcome is not 0/1, for each arm of the training rows:
    what a model that has seen images should not fall below.
    """
    design = standard_outcome(units, parts.train, np.empty((units.outcome.size, 0)), likelihood)
    total = 0.0
    for arm in (0.0, 1.0):
        train, select = (
            design.outcome[rows][design.treatment[rows] == arm]
            for rows in (parts.train, parts.select)
        )
        if likelihood == "bernoulli":
            share = np.clip(train.mean(), *_ENDS)
            total += float(np.where(select == 1.0, np.log(share), np.log1p(-share)).sum())
        else:
            total += float(norm.logpdf(select, train.mean(), train.std()).sum())
    return total / parts.select.size


def orthogonalised(units: Units, parts: Parts, likelihood: str, *, seed: int) -> Units:
    """Units whose outcome lacks what covariates predict of it, by models of other places.

    The prediction does not know the treatment, so that effects stay what they were, and types are
    looked for, and honest effects averaged, in less noise. Rows of the evaluation are predicted
    from the others, which are predicted from each other.

    Parameters
    ----------
    units : Units
    parts : Parts
    likelihood : str
    seed : int

    Raises
    ------
    ArgumentError
        If there are no covariates, or the outcome is 0/1.
    DataError
        If training and selection rows are of one group.

    References
    ----------
    Jerzak, Johansson & Daoud (2023), CLeaR, PMLR 213.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import GroupKFold, cross_val_predict

    if likelihood == "bernoulli":
        raise ArgumentError(
            "orthogonalize=True leaves residuals, and likelihood='bernoulli' needs zeros and ones; "
            "leave out one of the two."
        )
    if not units.baseline.shape[1]:
        raise ArgumentError(
            "orthogonalize=True takes from the outcome what covariates predict, and there are no "
            "covariates that vary beside the features; leave it out."
        )
    rows = np.sort(np.concatenate([parts.train, parts.select]))
    x, y = units.baseline, units.outcome.copy()
    learner = HistGradientBoostingRegressor(random_state=seed_of(seed, "orthogonalize"))
    groups = units.groups[rows]
    n_folds = fold_number(groups, _FOLDS)
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed_of(seed, "orthogonal folds"))
    within = cross_val_predict(learner, x[rows], y[rows], groups=groups, cv=folds)
    beyond = learner.fit(x[rows], y[rows]).predict(x[parts.evaluate])
    y[rows] -= within
    y[parts.evaluate] -= beyond
    return replace(units, outcome=y)


def check_outcome(y: Floats, t: Floats, likelihood: str) -> None:
    """Refuse outcomes that the likelihood cannot have.

    Raises
    ------
    DataError
        If the outcome is 0/1 and the likelihood is not Bernoulli, or the other way round; or the
        outcome does not vary within the arms.
    """
    binary = bool(np.isin(y, (0.0, 1.0)).all())
    if binary and likelihood != "bernoulli":
        message = f"the outcome is 0/1 and likelihood={likelihood!r}; use likelihood='bernoulli'."
        raise DataError(Problem("E03-non-numeric", message))
    if likelihood == "bernoulli":
        if not binary:
            odd = y[~np.isin(y, (0.0, 1.0))][0]
            message = (
                f"likelihood='bernoulli' needs an outcome of zeros and ones, and it holds {odd:g}; "
                "use likelihood='student_t'."
            )
            raise DataError(Problem("E03-non-numeric", message))
        return
    control = y[t == 0.0]
    if control.std() == 0.0 or y[t == 1.0].std() == 0.0:
        message = "the outcome is constant within an arm of the training rows."
        raise DataError(Problem("E10-constant-outcome", message))


def warn_of_shape(residuals: Floats) -> dict[str, float]:
    """Warn of noise whose shape misleads a mixture, from outcomes of controls less their means.

    Only the shape of the treated outcomes tells effects and type probabilities apart, so that
    skewed noise looks like a type with a large effect.

    Returns
    -------
    dict
        ``skew`` and excess ``kurtosis``.
    """
    found = {"skew": float(skew(residuals)), "kurtosis": float(kurtosis(residuals))}
    if is_misshapen(found):
        warn(
            f"what is left of the outcomes of the controls is skewed ({found['skew']:.1f}) "
            f"or heavy-tailed (excess kurtosis {found['kurtosis']:.1f}). A mixture takes a long "
            "tail for a type: trust the honest effects, and consider transforming the outcome "
            "(student_t mends tails, not skew).",
            CausalKitWarning,
        )
    return found


def is_misshapen(found: Mapping[str, float]) -> bool:
    """Whether skew or kurtosis of residuals mislead a mixture."""
    return abs(found["skew"]) > _MOST_SKEW or found["kurtosis"] > _MOST_KURTOSIS

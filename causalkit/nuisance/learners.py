"""Named learners, and what may be passed in place of a name.

A weight of k counts like k copies of the row in the penalised learners, from scales to the loss
that chooses the penalty. Boosting agrees with that but for rounding and for what LightGBM does by
row: quantile bins of a feature with more values than bins, and the least number of rows in a leaf,
which it guesses from the leaf's weight. Forests draw rows and count those of a leaf, and a pipeline
or search of scikit-learn scales and scores, unweighted.
"""

from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    IdentificationError,
    check_choice,
)
from causalkit.nuisance.boosting import Boosting, from_sklearn
from causalkit.rng import seed_of
from causalkit.typing import Bools, Floats, Ints, Learner

Kind = Literal["mean", "probability"]

LEARNERS = {
    "auto": "the best of lasso, ridge and boosting by cross-validated loss in each training fold; "
    "boosting alone where covariates are missing; and a relaxed lasso with products of which the "
    "others would get too many",
    "linear": "least squares, or logistic regression without penalty",
    "ridge": "ridge on standardised features, penalty by cross-validation",
    "lasso": "lasso on standardised features, penalty by cross-validation",
    "boosting": "LightGBM gradient boosting, rounds by cross-validated loss",
    "forest": "random forest of 500 trees, at least 5 rows a leaf",
}

PENALTIES = ("linear", "ridge", "lasso")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a learner is fitted.

    Attributes
    ----------
    label : str
        For tables: the name, or the class of the object.
    penalties : tuple of str
        Penalised candidates: least squares, or logistic regression for a probability.
    boosting : Boosting or None
        Boosting candidate.
    models : tuple of (str, object)
        scikit-learn candidates, cloned for each fit.
    own_terms : bool
        Whether boosting and models make powers and interactions by themselves, so that the compact
        features serve them best.
    wide : bool
        Whether a relaxed lasso on the wide features, where there are any, is a candidate.
    """

    label: str
    penalties: tuple[str, ...] = ()
    boosting: Boosting | None = None
    models: tuple[tuple[str, Any], ...] = ()
    own_terms: bool = False
    wide: bool = False


def plan(learner: str | Learner, kind: Kind, *, argument: str = "learner") -> Plan:
    """Resolve a name or an object into a plan.

    Parameters
    ----------
    learner : str or scikit-learn estimator
        One of :data:`LEARNERS`, or an object with ``fit`` and ``predict``.
    kind : {"mean", "probability"}
        What is predicted: a conditional mean or the probability of a binary target.
    argument : str
        Name of the argument that the user set, for messages.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the name is unknown, a class is passed in place of an instance, ``fit`` or ``predict``
        is missing, or a regressor is asked for a probability.
    """
    if isinstance(learner, str):
        check_choice(argument, learner, LEARNERS)
        return _named(learner, kind)
    return _object(learner, kind, argument)


def _named(name: str, kind: Kind) -> Plan:
    if name == "boosting":
        return Plan(name, boosting=Boosting.of(kind), own_terms=True)
    if name == "forest":
        return Plan(name, models=((name, _forest(kind)),), own_terms=True)
    if name == "auto":
        candidates = ("lasso", "ridge")
        wide = kind == "mean"
        boosting = Boosting.of(kind)
        return Plan(name, penalties=candidates, boosting=boosting, own_terms=True, wide=wide)
    return Plan(name, penalties=(name,))


def _forest(kind: Kind) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    forest = RandomForestRegressor if kind == "mean" else RandomForestClassifier
    return forest(n_estimators=500, min_samples_leaf=5)


def _object(learner: Any, kind: Kind, argument: str) -> Plan:
    if isinstance(learner, type):
        raise ArgumentTypeError(
            f"{argument} is the class {learner.__name__}; pass an instance: {learner.__name__}()."
        )
    for method in ("fit", "predict"):
        if not _has(learner, method):
            raise ArgumentTypeError(
                f"{argument} is a {type(learner).__name__} without {method}(); pass a "
                f"scikit-learn estimator or one of: {', '.join(sorted(LEARNERS))}."
            )
    name = type(learner).__name__
    if not hasattr(learner, "get_params") or not hasattr(learner, "__sklearn_tags__"):
        raise ArgumentTypeError(
            f"{argument} is a {name}, which has fit() and predict() but is no scikit-learn "
            "estimator, so it cannot be cloned for each fold; derive it from "
            "sklearn.base.BaseEstimator."
        )
    if kind == "probability" and not _has(learner, "predict_proba"):
        raise ArgumentError(
            f"{argument}={name}() predicts no probabilities, which are needed here; pass a "
            "classifier with predict_proba(), or a named learner."
        )
    if kind == "mean" and is_classifier(learner):
        raise ArgumentError(
            f"{argument}={name}() is a classifier, and this nuisance is the mean of a variable "
            "that is not 0/1 here; pass a regressor."
        )
    lightgbm_class = "LGBMRegressor" if kind == "mean" else "LGBMClassifier"
    ours = type(learner).__module__ == "lightgbm.sklearn" and name == lightgbm_class
    # A loss of its own, or weights of classes, only its own fit() knows how to take.
    if ours and learner.objective is None and learner.class_weight is None:
        return Plan(name, boosting=from_sklearn(learner))
    return Plan(name, models=((name, learner),))


def _has(learner: Any, method: str) -> bool:
    """Whether a learner has a method; a stack hides those of a last learner that is the default."""
    unnamed = getattr(learner, "final_estimator", learner) is None
    return callable(getattr(type(learner) if unnamed else learner, method, None))


def is_classifier(learner: Any) -> bool:
    """Whether an object predicts classes; names adapt to what is asked of them."""
    from sklearn.base import is_classifier as sklearn_is_classifier

    if isinstance(learner, type) or not hasattr(learner, "__sklearn_tags__"):
        return False
    return bool(sklearn_is_classifier(learner))


def fit_model(
    model: Any,
    features: Floats,
    target: Floats,
    *,
    weights: Floats | None,
    inner: Ints,
    seed: int,
) -> Any:
    """Clone, seed and fit a scikit-learn model; its own tuning uses the given inner folds.

    Parameters
    ----------
    model : estimator
        Never changed.
    features, target : (m, p) and (m,) arrays
        Training rows.
    weights : (m,) array or None
        Row weights.
    inner : (m,) int array
        Inner fold of each row. Any nested ``cv`` parameter that is None, a number or a splitter
        that needs groups becomes these folds, so that tuning is grouped like the outer split.
    seed : int
        Given to nested ``random_state`` parameters that are None.
    """
    from sklearn.base import clone

    fitted = seeded(clone(model), seed)
    cv = {
        name: inner_splits(inner)
        for name, value in fitted.get_params(deep=True).items()
        if name.rsplit("__", 1)[-1] == "cv"
        and (value is None or isinstance(value, int) or _needs_groups(value))
    }
    fitted.set_params(**cv)
    more = {} if weights is None else {_weight_argument(fitted): weights}
    if is_classifier(fitted) and np.unique(target).size < 2:
        raise IdentificationError(
            f"a training fold holds the single class {target[0]:g}, from which "
            f"{type(model).__name__} can learn no probability; use fewer folds, or a regression "
            "learner."
        )
    return fitted.fit(features, target, **more)


def _needs_groups(splitter: Any) -> bool:
    """Whether a splitter of scikit-learn asks for the groups of rows, which fits do not pass on."""
    routing = getattr(splitter, "get_metadata_routing", None)
    return routing is not None and routing().split.requests.get("groups") is True


def seeded(model: Any, seed: int) -> Any:
    """The same scikit-learn object, every random state in it that was None set from a seed.

    Also those of splitters that shuffle, which hide theirs from ``get_params``.
    """
    settings = {}
    for name, value in model.get_params(deep=True).items():
        if name.rsplit("__", 1)[-1] == "random_state" and value is None:
            settings[name] = seed_of(seed, name)
        elif hasattr(value, "split") and getattr(value, "random_state", 0) is None:
            splitter = copy(value)
            splitter.random_state = seed_of(seed, name)
            settings[name] = splitter
    return model.set_params(**settings)


def takes_missing(learner: str | Learner) -> bool:
    """Whether a learner, or a candidate behind its name, takes features with missing values."""
    from sklearn.utils import get_tags

    if not isinstance(learner, str):
        return bool(get_tags(learner).input_tags.allow_nan)
    found = _named(learner, "mean")
    able = all(takes_missing(model) for _, model in found.models)
    return found.boosting is not None or (not found.penalties and able)


def refuse_missing(model: Any, features: Floats) -> None:
    """Raise if rows, in training or in test, are missing values that a model does not take."""
    from sklearn.utils import get_tags

    if not get_tags(model).input_tags.allow_nan and np.isnan(features).any():
        missing = np.flatnonzero(np.isnan(features).any(axis=0))
        raise missing_refused(type(model).__name__, missing)


def missing_refused(learner: str, columns: Ints) -> ArgumentError:
    """Error for missing values in some columns, by position, of a learner's features."""
    shown = ", ".join(str(column) for column in columns[:5])
    more = f" and {columns.size - 5} more" if columns.size > 5 else ""
    return ArgumentError(
        f"covariates are missing in some rows, which {learner} does not take (feature columns "
        f"{shown}{more}, counted from 0); use missing='indicator' or an imputer when building the "
        "data, or a learner that takes them, such as 'boosting' or 'auto'."
    )


def inner_splits(inner: Ints) -> list[tuple[Ints, Ints]]:
    """Training and validation positions of each inner fold that has rows."""
    folds = np.unique(inner)
    return [(np.flatnonzero(inner != f), np.flatnonzero(inner == f)) for f in folds]


def _weight_argument(model: Any) -> str:
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    prefix, last = "", model
    while isinstance(last, Pipeline):
        step, last = last.steps[-1]
        prefix += f"{step}__"
    # None stands for a default, such as a tree of AdaBoostRegressor, which takes weights.
    inside = getattr(last, "estimator", None)
    inside = last if inside is None else inside
    if not has_fit_parameter(inside, "sample_weight"):
        raise ArgumentError(
            f"the data have weights, which {type(last).__name__}.fit() does not take; use a "
            "learner whose fit() has sample_weight, or drop the weights."
        )
    return f"{prefix}sample_weight"


def predict_model(model: Any, features: Floats, kind: Kind) -> Floats:
    """Conditional means, or probabilities of the larger class, ``(m,)``.

    Raises
    ------
    ArgumentError
        If there is not one prediction for each row.
    IdentificationError
        If a classifier knows one class only.
    """
    if kind == "probability":
        chances = np.asarray(model.predict_proba(features), dtype=np.float64)
        if chances.shape[1] != 2:
            raise IdentificationError(
                f"{type(model).__name__} saw {chances.shape[1]} class in a training fold, where a "
                "probability needs both; use fewer folds, or a regression learner."
            )
        predicted = np.asarray(chances[:, 1])
    else:
        predicted = np.asarray(model.predict(features), dtype=np.float64).reshape(-1)
    if predicted.size != features.shape[0]:
        raise ArgumentError(
            f"{type(model).__name__} predicted {predicted.size} values for {features.shape[0]} "
            "rows; a learner predicts one number for each row."
        )
    return predicted


def check_binary(target: Floats, name: str, rows: Bools | None = None) -> None:
    """Refuse to model the probability of a target that is not 0/1."""
    values = np.unique(target if rows is None else target[rows])
    if not np.isin(values, (0.0, 1.0)).all():
        raise ArgumentError(
            f"a classifier was given for {name}, which takes values other than 0 and 1 "
            f"(such as {values[~np.isin(values, (0.0, 1.0))][0]:g}); use a regression learner."
        )

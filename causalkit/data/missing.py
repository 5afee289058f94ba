"""Policies for missing covariates. Whatever is imputed is imputed inside training folds."""

from typing import Any

from causalkit.errors import ArgumentError, ArgumentTypeError, unknown_name

POLICIES = ("raise", "drop", "indicator", "native")


def check_policy(policy: Any) -> Any:
    """Return a policy name or a scikit-learn imputer; raise for anything else."""
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise unknown_name("missing", policy, POLICIES)
        return policy
    if isinstance(policy, type) or not callable(getattr(policy, "fit_transform", None)):
        raise ArgumentTypeError(
            f"missing must be one of {', '.join(POLICIES)} or a scikit-learn imputer instance, "
            f"got {policy!r}."
        )
    return policy


def keeps_missing(policy: Any) -> bool:
    """Whether missing covariates stay in the data for the estimator."""
    return policy not in ("raise", "drop")


def training_fold_imputer(policy: Any) -> Any:
    """Transformer to fit inside each training fold, or None if nothing is imputed.

    Imputing before splitting would leak held-out rows into training.
    """
    if not isinstance(policy, str):
        return policy
    if policy != "indicator":
        return None
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="median", add_indicator=True)


def check_on_duplicate(on_duplicate: str) -> str:
    """Return how repeated (unit, time) rows are treated."""
    if on_duplicate not in ("raise", "mean"):
        raise ArgumentError(
            f"on_duplicate must be 'raise' or 'mean', got {on_duplicate!r}; 'mean' averages "
            "repeated (unit, time) rows."
        )
    return on_duplicate

"""Checks that need more than the table: arrays, folds, clusters, propensities, an estimator."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from causalkit.data.roles import Requires
from causalkit.errors import DataError, Problem
from causalkit.typing import Floats

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData

MAX_NAN_PIXELS = 0.05
_FEW = 20


def image_keys(data: "CausalData") -> Iterator[Problem]:
    """E14: rows without an image, or images without a row; E15: unusable pixels."""
    if data.arrays is None:
        return
    for name in (*data.roles.image, *data.roles.sequence):
        if name not in data.arrays:
            known = ", ".join(map(str, data.arrays.data_vars))
            message = f"the arrays have no variable {name!r}. Known: {known}."
            yield Problem("E01-missing-column", message, name)
            continue
        array = data.arrays[name]
        if "obs" not in array.dims or array.sizes["obs"] != len(data):
            have = array.sizes.get("obs", 0)
            message = (
                f"{name!r} has {have} entries along 'obs' for {len(data)} rows; select the rows "
                "that have an image, or add the images to the store."
            )
            yield Problem("E14-image-key-mismatch", message, name)
            continue
        if array.chunks is None and np.issubdtype(array.dtype, np.floating):
            share = float((~np.isfinite(array.values)).mean())
            if share > MAX_NAN_PIXELS:
                message = (
                    f"{share:.1%} of the values of {name!r} are not finite (at most "
                    f"{MAX_NAN_PIXELS:.0%}); mask or fill clouds and borders first."
                )
                yield Problem("E15-image-nonfinite", message, name)


def unmet(data: "CausalData", requires: Requires, by: str) -> Iterator[Problem]:
    """What an estimator needs and the data lack."""
    roles = data.roles
    for role in requires.roles:
        if not roles.columns(role):
            message = (
                f"{by} needs the role {role!r}; name its column when building the data: "
                f'CausalData.from_frame(..., {role}="...").'
            )
            yield Problem("E01-missing-column", message, role)
    for name, kind in zip(roles.treatment, roles.kinds, strict=True):
        if kind not in requires.treatment_kinds:
            message = (
                f"{by} takes a treatment that is {' or '.join(requires.treatment_kinds)}; {name!r} "
                f"is {kind}. Recode it, or pass kinds=... if the kind was inferred wrongly."
            )
            yield Problem("E03-non-numeric", message, name)
    limits = (("outcome", requires.max_outcomes), ("treatment", requires.max_treatments))
    for role, limit in limits:
        columns = roles.columns(role)
        if limit is not None and len(columns) > limit:
            message = (
                f"{by} takes {limit} {role}(s), got {len(columns)}: {', '.join(columns)}; choose "
                "with data.with_roles(...)."
            )
            yield Problem("E02-duplicate-role", message, columns[limit])
    if roles.weight_kind is not None and roles.weight_kind not in requires.weight_kinds:
        message = (
            f"{by} does not honour {roles.weight_kind} weights (only "
            f"{', '.join(requires.weight_kinds)}); drop them with data.with_roles(weights=None)."
        )
        yield Problem("E16-weights", message, roles.weights)
    if not requires.allows_nan and data.missing in ("raise", "drop", "native"):
        for name in roles.covariates:
            if data.missing == "native":
                break
            gone = data.frame[name].isna().to_numpy()
            if gone.any():
                rows = np.flatnonzero(gone)
                message = (
                    f"column {name!r} is missing in {rows.size} rows and {by} takes no missing "
                    "covariates; set missing= when building the data."
                )
                yield Problem("E07-nan-covariate", message, name, tuple(map(int, rows[:10])))


def single_arm_fold(d: Floats, *, fold: int) -> str | None:
    """E11: message if the training rows of a fold hold a single treatment arm."""
    arms, counts = np.unique(d, return_counts=True)
    if arms.size > 1:
        return None
    return (
        f"[E11-single-arm-fold] the training rows of fold {fold} hold one arm only ({arms[0]:g}: "
        f"{int(counts[0])} rows); use fewer folds, or folds stratified by treatment."
    )


def few_clusters(n_clusters: int) -> str | None:
    """E18: message if there are too few clusters for cluster-robust inference."""
    if n_clusters >= _FEW:
        return None
    return (
        f"[E18-few-clusters] {n_clusters} clusters: cluster-robust standard errors are unreliable "
        f'below {_FEW}; use bootstrap(kind="wild").'
    )


def overlap(propensity: Floats, eps: float) -> str | None:
    """E19: message if propensities leave [eps, 1 − eps]."""
    outside = (propensity < eps) | (propensity > 1.0 - eps)
    if not outside.any():
        return None
    return (
        f"[E19-overlap] {outside.mean():.1%} of propensities lie outside [{eps:g}, {1 - eps:g}] "
        f"({int(outside.sum())} rows); effects there rest on extrapolation."
    )


def raise_all(problems: Iterator[Problem]) -> None:
    """Raise once with every finding."""
    found = list(problems)
    if found:
        raise DataError(found)

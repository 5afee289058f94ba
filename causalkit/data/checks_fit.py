"""Checks that need more than the table: folds, clusters, propensities, images, an estimator.

Plain functions on arrays, which estimators call; E14, E15 and the needs of an estimator take data.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import plain
from causalkit.data.doses import arms_without_dose, rows_without_dose
from causalkit.data.leaks import same_up_to_scale
from causalkit.data.roles import Requires, Roles
from causalkit.errors import CausalKitWarning, DataError, Problem
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data.dataset import CausalData

MAX_NAN_PIXELS = 0.05


def single_arm_fold(d: Floats, *, fold: int) -> str | None:
    """E11: message if the training rows of a fold hold a single treatment arm.

    Parameters
    ----------
    d : (n_train,) array
        Treatment of the training rows.
    fold : int
        Number of the fold.
    """
    arms, counts = np.unique(d, return_counts=True)
    if arms.size > 1:
        return None
    held = f"{plural(int(counts[0]), 'row')} with {arms[0]:g}" if arms.size else "no rows"
    return (
        f"[E11-single-arm-fold] the training rows of fold {fold} hold one arm only ({held}); use "
        "fewer folds, or folds stratified by the treatment of the unit."
    )


def twins(data: "CausalData", rows: Ints) -> Iterator[Problem]:
    """E20: a treatment is the outcome, or an instrument another column, up to scale and shift.

    Parameters
    ----------
    data : CausalData
    rows : (m,) int array
        Rows that count.
    """
    outcomes, treatments = (list(_columns(data, role, rows)) for role in ("outcome", "treatment"))
    for name, values in treatments:
        if (twin := _twin(values, outcomes)) is not None:
            message = (
                f"treatment {name!r} is the same as the outcome {twin!r} up to scale, so its "
                "effect is arithmetic. Name another outcome or treatment."
            )
            yield Problem("E20-leak", message, name)
    # Rows of all covariates are a copy of them.
    if not data.roles.instruments:
        return
    named = [*treatments, *outcomes, *_columns(data, "covariates", rows)]
    for name, values in _columns(data, "instruments", rows):
        if (twin := _twin(values, named)) is not None:
            message = (
                f"instrument {name!r} is the same as {twin!r} up to scale; an instrument "
                "must vary given the treatment, the covariates and other instruments, and may "
                "not be the outcome. Leave one of them out."
            )
            yield Problem("E20-leak", message, name)
        named.append((name, values))


def _twin(values: Floats, named: Sequence[tuple[str, Floats]]) -> str | None:
    """First of some columns that has the same values up to scale and shift."""
    return next((name for name, column in named if same_up_to_scale(column, values)), None)


def _columns(data: "CausalData", role: str, rows: Ints) -> Iterator[tuple[str, Floats]]:
    """Names and values of the columns of a role; single precision stays: it tells of rounding."""
    types = data.frame.dtypes
    for name, values in zip(data.matrix_names(role), data.matrix(role)[rows].T, strict=True):
        single = types.get(name) == np.float32
        yield name, values.astype(np.float32) if single else values


def overlap(propensity: Floats, eps: float) -> str | None:
    """E19: message if estimated propensities ``(n,)`` leave [eps, 1 − eps]; nothing is clipped."""
    outside = (propensity < eps) | (propensity > 1.0 - eps)
    if not outside.any():
        return None
    return (
        f"[E19-overlap] {outside.mean():.1%} of propensities ({int(outside.sum())} rows) lie "
        f"outside [{eps:g}, {1 - eps:g}]; effects there rest on extrapolation. Trim these rows, or "
        "choose an estimand with overlap."
    )


def unit_in_clusters(
    unit: Ints, cluster: Ints, *, labels: Any = None, column: str | None = None
) -> Problem | None:
    """E13: problem if a unit lies in several clusters.

    Splits by unit keep clusters whole only if every unit lies in one of them.

    Parameters
    ----------
    unit, cluster : (n,) int arrays
        Codes 0..G-1.
    labels : (G,) array, optional
        Labels of the units, for the message.
    column : str, optional
        Name of the cluster column.
    """
    anchor = np.empty(int(unit.max()) + 1 if unit.size else 0, dtype=np.int64)
    anchor[unit] = cluster
    torn = np.unique(unit[cluster != anchor[unit]])
    if not torn.size:
        return None
    first = int(torn[0])
    shown = first if labels is None else np.asarray(labels)[first : first + 1].tolist()[0]
    count = np.unique(cluster[unit == first]).size
    message = (
        f"{plural(torn.size, 'unit')} {'lies' if torn.size == 1 else 'lie'} in several clusters "
        f"{column or 'named'!r} (first: {shown!r} in {count}). Give each unit one cluster, or do "
        "not claim nesting (nested=False) and split by cluster."
    )
    rows = tuple(np.flatnonzero(unit == first)[:10].tolist())
    return Problem("E13-unit-split-across-clusters", message, column, rows)


def plural(count: int, noun: str) -> str:
    """Count with its noun."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def match_keys(
    arrays: "xr.Dataset", keys: Any, column: str | None = None
) -> tuple[Ints, list[Problem]]:
    """Position in ``arrays`` of each row ``(n,)``, and E14 if keys do not match.

    Parameters
    ----------
    arrays : xarray.Dataset
        With dimension ``obs``; a coordinate of that name holds the join key. Without one, entries
        follow the rows.
    keys : (n,) array
        Key of each row.
    column : str, optional
        Where keys come from, if they are not the numbers of the rows; for messages.
    """
    n, size = len(keys), arrays.sizes.get("obs", 0)
    if "obs" not in arrays.coords:
        if n == size:
            return np.arange(n), []
        message = (
            f"the arrays have {size} entries along 'obs' for {plural(n, 'row')}; give them an "
            "'obs' coordinate with the key of each row, or select the matching entries."
        )
        return np.empty(0, dtype=np.int64), [Problem("E14-image-key-mismatch", message)]
    have = pd.Index(arrays["obs"].values)
    if n == size and have.equals(pd.Index(keys)):
        return np.arange(n), []
    if have.has_duplicates:
        again = have[have.duplicated()][:3].tolist()
        message = f"the 'obs' coordinate repeats keys ({again}); give each entry its own key."
        return np.empty(0, dtype=np.int64), [Problem("E14-image-key-mismatch", message)]
    place = have.get_indexer(pd.Index(keys))
    wanted = pd.unique(pd.Series(np.asarray(keys)[place < 0]))
    spare = have[~np.isin(np.arange(size), place)]
    if not len(wanted) and not len(spare):
        return place, []
    of_rows = "row numbers" if column is None else f"values of {column!r}"
    bare = "" if n != size else ", or, where entries follow the rows, arrays.drop_vars('obs')"
    message = (
        f"{len(wanted)} {of_rows} have no entry in the arrays{_some(wanted)} and {len(spare)} "
        f"entries have no row{_some(spare)}. Drop what has no partner from either side, or add "
        f"it{bare}."
    )
    rows = tuple(np.flatnonzero(place < 0)[:10].tolist())
    return place, [Problem("E14-image-key-mismatch", message, column, rows)]


def _some(keys: Any) -> str:
    return f" (first: {', '.join(repr(plain(key)) for key in keys[:3])})" if len(keys) else ""


def array_problems(
    arrays: "xr.Dataset", roles: Roles, *, max_nan_pixels: float = MAX_NAN_PIXELS
) -> Iterator[Problem]:
    """E01 for absent variables, E15 for images of which too much is not finite.

    Images that are not in memory are not read for this; estimators count when they read them.
    """
    for name in (*roles.image, *roles.sequence):
        shared = roles.image_key is not None and name in roles.image
        if name not in arrays or not (shared or "obs" in arrays[name].dims):
            known = ", ".join(str(v) for v in arrays.data_vars if "obs" in arrays[v].dims)
            message = f"the arrays have no variable {name!r} with dimension 'obs'. Known: {known}."
            yield Problem("E01-missing-column", message, name)
    for name, share in nonfinite_shares(arrays, roles).items():
        if share > max_nan_pixels:
            yield gaps_problem(name, share, max_nan_pixels)


def gaps_problem(name: str, share: float, most: float) -> Problem:
    """E15 for images that lack more of their values than may be missing."""
    message = (
        f"{share:.1%} of the values of {name!r} are missing or infinite, and at most {most:.0%} "
        "may be; fill clouds and borders, or let more be missing: "
        "CausalData.from_frame(..., max_nan_pixels=...)."
    )
    return Problem("E15-image-nonfinite", message, name)


def nonfinite_shares(arrays: "xr.Dataset", roles: Roles) -> dict[str, float]:
    """Share of values that are not finite, for images in memory that have some."""
    shares: dict[str, float] = {}
    for name in roles.image:
        # xarray tells only here whether .values would read a store.
        if name not in arrays or not arrays[name].variable._in_memory:
            continue
        values = arrays[name].values
        if values.dtype.kind == "f" and values.size:
            share = 1.0 - float(np.isfinite(values).mean())
            if share > 0:
                shares[name] = share
    return shares


_FEW_ARMS = 10
_UNREAD = {
    "text": "make numbers of them with ck.embed_texts, a sequence or covariates",
    "sequence": "TransTEE reads them; or summarise them in covariates",
    "graph": "TransTEE reads it; or summarise it in covariates",
    "instruments": "InvalidIV and PanelDML(model='iv') read them",
    "image": "estimators of causalkit.images read them; or summarise them in covariates",
    "strata": "name a category of the blocks among the covariates",
}


def check_needs(data: "CausalData", requires: Requires, by: str) -> None:
    """Refuse data that lack what an estimator needs; warn of what it does not read.

    Raises
    ------
    DataError
        With every problem.
    """
    problems = list(_unmet(data, requires, by))
    if problems:
        raise DataError(problems)
    for role, mend in _UNREAD.items():
        names = data.roles.columns(role)
        # A sequence beside texts is what was made of them.
        told = role == "text" and "sequence" in requires.reads and data.roles.sequence
        if names and role not in (*requires.reads, *requires.roles) and not told:
            warn(
                f"{by} does not read {role} {', '.join(map(repr, names))}: it estimates as if "
                f"that were not there. If it matters, {mend}; if not, drop it with "
                f"data.with_roles({role}=None).",
                CausalKitWarning,
            )


def _unmet(data: "CausalData", requires: Requires, by: str) -> Iterator[Problem]:
    """What an estimator needs and the data lack."""
    roles = data.roles
    for role in requires.roles:
        if not roles.columns(role):
            message = (
                f"{by} needs the role {role!r}; name its column when building the data: "
                f'CausalData.from_frame(..., {role}="...").'
            )
            yield Problem("E01-missing-column", message, role)
    yield from _wrong_kinds(data, requires, by)
    limits = (("outcome", requires.max_outcomes), ("treatment", requires.max_treatments))
    for role, limit in limits:
        columns = roles.columns(role)
        if limit is not None and len(columns) > limit:
            message = (
                f"{by} takes {plural(limit, role)}, got {len(columns)}: {', '.join(columns)}; "
                f"choose with data.with_roles({role}=...)."
            )
            yield Problem("E02-duplicate-role", message, columns[limit])
    if roles.weight_kind is not None and roles.weight_kind not in requires.weight_kinds:
        taken = (
            f"only {', '.join(requires.weight_kinds)}" if requires.weight_kinds else "it has none"
        )
        message = (
            f"{by} does not honour {roles.weight_kind} weights ({taken}); leave them out with "
            "data.with_roles(weights=None, weight_kind=None)."
        )
        yield Problem("E16-weights", message, roles.weights)
    if not requires.allows_no_dose:
        yield from _no_dose(data, requires, by)
    # Under the other policies missing covariates are what the user asked to keep.
    if not requires.allows_nan and data.missing in ("raise", "drop"):
        yield from _gaps(data.frame, roles.covariates, by)


def _wrong_kinds(data: "CausalData", requires: Requires, by: str) -> Iterator[Problem]:
    for name, kind in zip(data.roles.treatment, data.roles.kinds, strict=True):
        if kind in requires.treatment_kinds:
            continue
        mend = "Recode it, or pass kinds=... if the kind was inferred wrongly."
        two_arms = requires.treatment_kinds == ("binary",) and kind != "structured"
        arms = sorted(map(plain, data.frame[name].dropna().unique())) if two_arms else []
        if 2 < len(arms) <= _FEW_ARMS:
            mend = (
                f"Its values are {', '.join(map(repr, arms))}: if they are arms, compare two at a "
                f"time, data.filter(data.frame[{name!r}].isin({arms[:2]!r}))"
                ".with_roles(kinds='binary')."
            )
        message = (
            f"{by} takes a treatment that is {' or '.join(requires.treatment_kinds)}; {name!r} is "
            f"{kind}. {mend}"
        )
        yield Problem("E24-treatment-kind", message, name)


def _no_dose(data: "CausalData", requires: Requires, by: str) -> Iterator[Problem]:
    """E05: arms without a dose, for an estimator that needs one in every row."""
    without = rows_without_dose(data.frame, data.roles)
    # Who takes no doses at all has been told so by the kind.
    if "dose" not in requires.treatment_kinds or not without.any():
        return
    name = data.roles.treatment[1]
    rows = np.flatnonzero(without)
    listed = ", ".join(map(repr, arms_without_dose(data.frame, data.roles)))
    message = (
        f"{by} needs a dose in every row, and {name!r} is missing in {plural(rows.size, 'row')} "
        f"(first: {int(rows[0])}), those of arm {listed}; TransTEE takes arms without a dose, or "
        f"leave them out with data.filter(data.frame[{name!r}].notna())."
    )
    yield Problem("E05-nan-treatment", message, name, tuple(rows[:10].tolist()))


def _gaps(frame: pd.DataFrame, names: Sequence[str], by: str) -> Iterator[Problem]:
    for name in names:
        gone = frame[name].isna().to_numpy()
        if gone.any():
            rows = np.flatnonzero(gone)
            message = (
                f"column {name!r} is missing in {plural(rows.size, 'row')} (first: {int(rows[0])}) "
                f"and {by} takes no missing covariates; set missing= when building the data."
            )
            yield Problem("E07-nan-covariate", message, name, tuple(rows[:10].tolist()))

"""Constructors of CausalData from tables and arrays."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.checks import Candidate, check
from causalkit.data.dataset import CausalData
from causalkit.data.missing import check_on_duplicate, check_policy
from causalkit.data.roles import TREATMENT_KINDS, Roles, WeightKind
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError, Problem, check_choice

if TYPE_CHECKING:
    import xarray as xr

Columns = str | Sequence[str]
_SINGLE = ("unit", "time", "weights", "strata", "graph", "weight_kind")


def role_columns(role: str, value: Any) -> Any:
    """Columns of a role as the tuple, or the name, that :class:`Roles` holds."""
    if role in _SINGLE:
        if value is not None and not isinstance(value, str):
            raise ArgumentTypeError(f"{role} must be one column name, got {value!r}.")
        return value
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def from_frame(
    df: Any,
    *,
    outcome: Columns,
    treatment: Columns,
    covariates: Columns = (),
    modifiers: Columns = (),
    instruments: Columns = (),
    unit: str | None = None,
    time: str | None = None,
    cluster: Columns | None = None,
    weights: str | None = None,
    weight_kind: WeightKind | None = None,
    strata: str | None = None,
    text: Columns = (),
    extra: Columns = (),
    kinds: Columns | None = None,
    missing: Any = "raise",
    on_duplicate: str = "raise",
    freq: str | int | float | None = None,
    nested: bool = False,
    truth: Truth | None = None,
) -> CausalData:
    """Data from a pandas, polars or pyarrow table.

    Parameters
    ----------
    df : DataFrame, LazyFrame or Table
        Anything narwhals reads. Row labels are ignored; a pandas MultiIndex must be reset first.
    outcome, treatment, covariates, modifiers, instruments : str or list of str
        Columns by role.
    unit, time : str, optional
        Panel index.
    cluster : str or list of str, optional
        One or two columns.
    weights, weight_kind : str, optional
        ``weight_kind`` is ``"sampling"``, ``"frequency"`` or ``"precision"``.
    strata, text, extra : str or list of str, optional
    kinds : str or list of str, optional
        Kind of each treatment, where the inferred one is wrong.
    missing : {"raise", "drop", "indicator", "native"} or imputer, default "raise"
        ``"drop"`` leaves out and counts rows with anything missing; ``"indicator"`` imputes the
        median with a flag, inside training folds; ``"native"`` leaves them to the learner.
    on_duplicate : {"raise", "mean"}, default "raise"
        ``"mean"`` averages rows that repeat a (unit, time) pair.
    freq : str or number, optional
        Calendar step of ``time``.
    nested : bool, default False
        Claim that every unit lies in one cluster, and check it.
    truth : Truth, optional
        For simulated data.

    Raises
    ------
    DataError
        Once, with every problem found.
    """
    listed = {
        "outcome": outcome,
        "treatment": treatment,
        "covariates": covariates,
        "modifiers": modifiers,
        "instruments": instruments,
        "cluster": cluster,
        "text": text,
        "extra": extra,
        "kinds": kinds,
        "unit": unit,
        "time": time,
        "weights": weights,
        "strata": strata,
        "weight_kind": weight_kind,
    }
    roles = Roles(**{role: role_columns(role, value) for role, value in listed.items()})
    if len(roles.cluster) > 2:
        raise ArgumentError(f"at most two cluster columns are supported, got {roles.cluster}.")
    return checked(
        to_pandas(df, roles),
        roles,
        missing=missing,
        on_duplicate=on_duplicate,
        freq=freq,
        nested=nested,
        truth=truth,
    )


def to_pandas(df: Any, roles: Roles | None = None) -> pd.DataFrame:
    """Columns that have a role, as a pandas table with a plain index."""
    import narwhals as nw

    if isinstance(df, pd.DataFrame):
        if isinstance(df.index, pd.MultiIndex):
            names = ", ".join(str(name) for name in df.index.names)
            raise ArgumentError(
                f"the frame has a MultiIndex ({names}); row labels are ignored here, so make them "
                "columns first: df.reset_index()."
            )
        known = [name for name in (roles.all_columns() if roles else df.columns) if name in df]
        return df[known].reset_index(drop=True)
    try:
        native = nw.from_native(df)
    except TypeError as error:
        raise ArgumentTypeError(
            f"expected a pandas, polars or pyarrow table, got {type(df).__name__}; for arrays use "
            "CausalData.from_arrays."
        ) from error
    if isinstance(native, nw.LazyFrame):
        names = native.collect_schema().names()
        wanted = [name for name in names if roles is None or name in roles.all_columns()]
        native = native.select(wanted).collect()
    else:
        wanted = [name for name in native.columns if roles is None or name in roles.all_columns()]
        native = native.select(wanted)
    return native.to_pandas().reset_index(drop=True)


def checked(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    missing: Any = "raise",
    on_duplicate: str = "raise",
    freq: str | int | float | None = None,
    nested: bool = False,
    truth: Truth | None = None,
) -> CausalData:
    """Run the checks, apply the policies for missing values and repeats, infer treatment kinds."""
    policy = check_policy(missing)
    check_on_duplicate(on_duplicate)
    check(Candidate(frame, roles, policy, on_duplicate, nested))
    dropped: dict[str, int] = {}
    ids: tuple[Any, ...] = ()
    if isinstance(policy, str) and policy == "drop":
        frame, dropped, ids = _drop_missing(frame, roles)
        check(Candidate(frame, roles, "raise", on_duplicate, nested))
    if on_duplicate == "mean":
        frame, merged = _average_repeats(frame, roles)
        dropped |= {"repeats of a (unit, time) pair averaged": merged} if merged else {}
    kinds = roles.kinds or tuple(infer_kind(frame[name]) for name in roles.treatment)
    if len(kinds) != len(roles.treatment):
        raise ArgumentError(
            f"kinds names {len(kinds)} kinds for {len(roles.treatment)} treatments; give one each."
        )
    for kind in kinds:
        check_choice("treatment kind", kind, TREATMENT_KINDS)
    return CausalData(
        held=_as_numbers(frame, roles),
        roles=_with_kinds(roles, kinds),
        truth=truth,
        missing=policy,
        dropped=dropped,
        dropped_ids=ids,
        freq=freq,
    )


def _with_kinds(roles: Roles, kinds: tuple[str, ...]) -> Roles:
    from dataclasses import replace

    return replace(roles, kinds=kinds)


def infer_kind(values: "pd.Series[Any]") -> str:
    """Kind of a treatment: two values are binary, category levels multi, numbers continuous."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        levels = values.cat.remove_unused_categories().cat.categories
        return "binary" if len(levels) == 2 else "multi"
    if pd.api.types.is_bool_dtype(values):
        return "binary"
    spread = values.iloc[:: max(len(values) // 1000, 1)].dropna().unique()
    if len(spread) > 2:
        return "continuous"
    found = values.dropna().unique()
    return "binary" if len(found) == 2 and set(found.tolist()) == {0, 1} else "continuous"


def _as_numbers(frame: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Two-level categorical treatments stay categories; nothing else changes type."""
    return frame[list(roles.all_columns())]


def _drop_missing(
    frame: pd.DataFrame, roles: Roles
) -> tuple[pd.DataFrame, dict[str, int], tuple[Any, ...]]:
    """Rows without missing values in any role but extra, with counts and identities of the rest."""
    gone = np.zeros(len(frame), dtype=bool)
    dropped: dict[str, int] = {}
    for role, columns in roles.named().items():
        if role in ("extra", "text"):
            continue
        for name in columns:
            here = frame[name].isna().to_numpy() & ~gone
            if here.any():
                dropped[f"missing {name}"] = int(here.sum())
                gone |= here
    if not gone.any():
        return frame, {}, ()
    keys = [name for name in (roles.unit, roles.time) if name is not None]
    if keys:
        ids = tuple(tuple(row) for row in frame.loc[gone, keys].itertuples(index=False, name=None))
    else:
        ids = tuple(int(row) for row in np.flatnonzero(gone))
    return frame[~gone].reset_index(drop=True), dropped, ids


def _average_repeats(frame: pd.DataFrame, roles: Roles) -> tuple[pd.DataFrame, int]:
    """One row per (unit, time): means of numbers, the common value of everything else."""
    if roles.unit is None or roles.time is None:
        raise ArgumentError("on_duplicate='mean' averages (unit, time) repeats; name both columns.")
    keys = [roles.unit, roles.time]
    merged = int(frame.duplicated(keys).sum())
    if merged == 0:
        return frame, 0
    groups = frame.groupby(keys, sort=False, observed=True)
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if name in keys:
            continue
        if pd.api.types.is_numeric_dtype(frame[name]):
            columns[name] = groups[name].mean()
            continue
        counts = groups[name].nunique(dropna=False)
        if (counts > 1).any():
            where = counts[counts > 1].index[0]
            raise DataError(
                Problem(
                    "E12-duplicate-unit-time",
                    f"column {name!r} has several values for (unit, time) {where!r}, which cannot "
                    "be averaged; make it numeric or choose one row.",
                    name,
                )
            )
        columns[name] = groups[name].first()
    return pd.DataFrame(columns).reset_index()[list(frame.columns)], merged


def from_arrays(
    outcome: Any,
    treatment: Any,
    *,
    covariates: Any = None,
    instruments: Any = None,
    unit: Any = None,
    time: Any = None,
    names: Sequence[str] | None = None,
    **arguments: Any,
) -> CausalData:
    """Data from arrays.

    Parameters
    ----------
    outcome, treatment : (n,) or (n, k) arrays
        Named ``y`` and ``d`` (``d1``, ``d2``, ... if there are several).
    covariates, instruments : (n, p), (n, L) arrays, optional
        Named ``x1``, ... and ``z1``, ...
    unit, time : (n,) arrays, optional
    names : sequence of str, optional
        Names of the covariates.
    **arguments
        Options of :meth:`CausalData.from_frame`.
    """
    columns: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    parts = (("outcome", "y", outcome), ("treatment", "d", treatment))
    parts += (("covariates", "x", covariates), ("instruments", "z", instruments))
    n = np.shape(outcome)[0]
    for role, letter, values in parts:
        if values is None:
            continue
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[0] != n:
            raise ArgumentError(f"{role} has shape {array.shape}; expected {n} rows.")
        single = array.shape[1] == 1 and role in ("outcome", "treatment")
        made = [letter] if single else [f"{letter}{j + 1}" for j in range(array.shape[1])]
        made = list(names) if role == "covariates" and names is not None else made
        if len(made) != array.shape[1]:
            raise ArgumentError(f"names has {len(made)} entries for {array.shape[1]} covariates.")
        columns |= {name: array[:, j] for j, name in enumerate(made)}
        roles[role] = made
    for role, values in (("unit", unit), ("time", time)):
        if values is not None:
            columns[role] = np.asarray(values)
            roles[role] = role
    return from_frame(pd.DataFrame(columns), **roles, **arguments)


def from_xarray(
    dataset: "xr.Dataset",
    *,
    outcome: Columns,
    treatment: Columns,
    image: Columns = (),
    sequence: Columns = (),
    **arguments: Any,
) -> CausalData:
    """Data from an xarray Dataset with dimension ``obs``.

    Parameters
    ----------
    dataset : xarray.Dataset
        One-dimensional variables over ``obs`` become columns.
    outcome, treatment : str or list of str
    image, sequence : str or list of str
        Variables with more dimensions, kept lazy.
    **arguments
        Options of :meth:`CausalData.from_frame`.
    """
    from dataclasses import replace

    if "obs" not in dataset.dims:
        raise ArgumentError(
            f"the dataset has dimensions {', '.join(map(str, dataset.dims))} but no 'obs'; rename "
            "its row dimension: dataset.rename(name='obs')."
        )
    flat = [name for name in dataset.variables if dataset[name].dims == ("obs",)]
    frame = pd.DataFrame({str(name): dataset[name].values for name in flat if name != "obs"})
    images, sequences = role_columns("image", image), role_columns("sequence", sequence)
    data = from_frame(frame, outcome=outcome, treatment=treatment, **arguments)
    if len(data) != dataset.sizes["obs"]:
        raise ArgumentError(
            "rows with images cannot be dropped or merged at construction; clean the dataset "
            "first, or use data.filter(...)."
        )
    arrays = dataset[[*images, *sequences]] if images or sequences else None
    return replace(data, roles=replace(data.roles, image=images, sequence=sequences), arrays=arrays)


def like(data: CausalData, df: Any, *, on_new_levels: str) -> CausalData:
    """Encode another table as ``data`` were: same formula, same category levels."""
    from dataclasses import replace

    check_choice("on_new_levels", on_new_levels, ("raise", "baseline", "nan"))
    if data.spec is not None:
        frame = data.spec.encode(to_pandas(df), on_new_levels=on_new_levels)
    else:
        frame = to_pandas(df, data.roles)
    held = data.frame
    for name in frame.columns:
        if name in held and isinstance(held[name].dtype, pd.CategoricalDtype):
            frame[name] = match_levels(frame[name], held[name].dtype.categories, on_new_levels)
    missing = data.missing if on_new_levels != "nan" else "native"
    made = checked(frame, data.roles, missing=missing, freq=data.freq)
    return replace(made, spec=data.spec)


def match_levels(values: "pd.Series[Any]", levels: pd.Index, on_new_levels: str) -> Any:
    """Category with known levels; others raise, become the first level, or missing."""
    new = sorted({str(v) for v in values.dropna().unique()} - {str(v) for v in levels})
    if new and on_new_levels == "raise":
        raise DataError(
            Problem(
                "E03-non-numeric",
                f"column {values.name!r} has levels that the data do not have: {', '.join(new)}. "
                "Use on_new_levels='baseline' or 'nan' to go on.",
                str(values.name),
            )
        )
    known = (
        values.where(values.isin(levels) | values.isna(), levels[0])
        if (new and on_new_levels == "baseline")
        else values
    )
    return pd.Categorical(known, categories=levels)

"""Other views of data: some rows, more columns, other roles. Each is a new object."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.admit import Policy, admit, rows_of
from causalkit.data.alignment import in_row_order
from causalkit.data.candidate import plain
from causalkit.data.kinds import as_declared
from causalkit.data.roles import (
    Roles,
    fits_kind,
    infer_kind,
    kinds_by_treatment,
    role_columns,
    with_kinds,
)
from causalkit.data.truth import truth_of_rows
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.typing import Ints

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData


def subset(data: "CausalData", rows: Any) -> "CausalData":
    """Some rows, not checked again."""
    if isinstance(rows, pd.Series) and pd.api.types.is_bool_dtype(rows):
        rows = in_row_order(data, rows, what="the mask")
    index = positions(rows, data.n)
    return replace(
        data,
        frame=data.frame.iloc[index].reset_index(drop=True),
        arrays=rows_of(data.arrays, index),
        truth=truth_of_rows(data.truth, index),
        labels=None if data.labels is None else data.labels[index],
    )


def keep_where(data: "CausalData", keep: Any) -> "CausalData":
    """Rows where a condition holds, checked as a sample of its own."""
    if isinstance(keep, str):
        mask = _evaluated(data.frame, keep)
    else:
        mask = keep(data.frame) if callable(keep) else in_row_order(data, keep, what="the mask")
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (data.n,):
        raise ArgumentError(
            f"filter needs true or false for each of {data.n} rows, got {mask.dtype} of shape "
            f"{mask.shape}."
        )
    kept = rebuilt(subset(data, mask))
    # Three arms of which two are left are binary.
    found = with_kinds(replace(kept.roles, kinds=()), kept.frame).kinds
    pairs = zip(kept.roles.kinds, found, strict=True)
    kinds = tuple(new if (old, new) == ("multi", "binary") else old for old, new in pairs)
    return replace(kept, roles=replace(kept.roles, kinds=kinds))


def _evaluated(frame: pd.DataFrame, keep: str) -> Any:
    # Two numbers declared binary are levels, and "d > 0" is still a question about numbers.
    numbers = {name: as_declared(values, "continuous") for name, values in frame.items()}
    try:
        return pd.DataFrame(numbers).eval(keep)
    except Exception as error:
        raise ArgumentError(
            f"filter cannot evaluate {keep!r}: {error}; columns: {', '.join(map(str, frame))}."
        ) from error


def assign(data: "CausalData", columns: Mapping[str, Any]) -> "CausalData":
    """More columns, or other values of some."""
    frame, found = data.frame, dict[Any, Any]()
    for name, given in columns.items():
        if callable(given):
            frame, found = _with_columns(frame, found), {}
            made = given(frame)
        else:
            made = in_row_order(data, given, what=f"column {name!r}")
        values: Any = made.array if isinstance(made, pd.Series) else made
        if np.ndim(values) > 0 and len(values) != data.n:
            raise ArgumentError(
                f"column {name!r} has {len(values)} values for {data.n} rows; give one each."
            )
        found[name] = pd.DataFrame(index=frame.index).assign(**{name: values})[name]
    frame = _with_columns(frame, found)
    known = data.roles.all_columns()
    new = tuple(name for name in columns if name not in known)
    kinds = dict(zip(data.roles.treatment, data.roles.kinds, strict=True))
    for name in (name for name in data.roles.treatment if name in columns):
        if data.roles.inferred:
            kinds[name] = infer_kind(frame[name])
        elif not fits_kind(frame[name], kinds[name]):
            raise _other_kind(frame[name], kinds[name], data.roles)
    roles = replace(data.roles, extra=(*data.roles.extra, *new), kinds=tuple(kinds.values()))
    return rebuilt(data, frame, roles)


def _with_columns(frame: pd.DataFrame, columns: Mapping[Any, Any]) -> pd.DataFrame:
    """Frame with some columns, all at once: one by one each would be a pass over all others."""
    both = dict(frame.items()) | dict(columns)
    return pd.DataFrame(both, index=frame.index, copy=False)


def _other_kind(values: "pd.Series[Any]", kind: str, roles: Roles) -> ArgumentError:
    """Error for new values of a treatment that its declared kind does not allow."""
    seen = [plain(value) for value in values.dropna().unique()]
    listed = ", ".join(map(repr, seen[:3])) + (", ..." if len(seen) > 3 else "")
    return ArgumentError(
        f"treatment {str(values.name)!r} was declared {kind}, and its {len(seen)} new values are "
        f"not: {listed}. Assign others, or let the kinds follow the values: "
        f"data.with_roles(treatment={list(roles.treatment)}).assign({values.name}=...); declare "
        "others after that with .with_roles(kinds=...)."
    )


def with_roles(data: "CausalData", roles: Mapping[str, Any]) -> "CausalData":
    """Other roles of the columns; those left without one become extra."""
    changed: dict[str, Any] = {"extra": (), "kinds": data.roles.kinds}
    if "treatment" in roles:
        changed["kinds"] = ()
    if "treatment" in roles or "kinds" in roles:
        changed["inferred"] = False
    changed |= {name: role_columns(name, value) for name, value in roles.items() if name != "kinds"}
    if "kinds" in roles:
        treatment = changed.get("treatment", data.roles.treatment)
        changed["kinds"] = kinds_by_treatment(roles["kinds"], treatment)
    base = replace(data.roles, **changed)
    left = [name for name in data.frame.columns if name not in base.all_columns()]
    return rebuilt(data, roles=replace(base, extra=(*base.extra, *left)))


def rebuilt(
    data: "CausalData", frame: pd.DataFrame | None = None, roles: Roles | None = None
) -> "CausalData":
    """Data admitted again, after columns or roles changed."""
    roles = data.roles if roles is None else roles
    # Arrays follow the rows already and were checked when they came.
    flat = replace(roles, image=(), sequence=())
    policy = Policy(missing=data.missing, freq=data.freq)
    passed = admit(data.frame if frame is None else frame, flat, policy)
    made = data if passed.rows is None else subset(data, passed.rows)
    return replace(
        made,
        frame=passed.frame,
        roles=replace(roles, kinds=passed.roles.kinds, inferred=passed.roles.inferred),
        dropped=dict(Counter(data.dropped) + Counter(passed.dropped)),
        dropped_ids=(*data.dropped_ids, *passed.dropped_ids),
    )


def positions(rows: Any, n: int) -> Ints:
    """Row positions behind an index, a slice or a mask."""
    if isinstance(rows, slice):
        return np.arange(n)[rows]
    index = np.asarray(rows)
    if index.dtype == bool:
        if index.shape != (n,):
            raise ArgumentError(f"the mask has shape {index.shape}; expected ({n},).")
        return np.flatnonzero(index)
    index = index.astype(np.int64) if index.size == 0 else index
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise ArgumentTypeError(
            f"rows must be positions or true/false, got {index.dtype} of shape {index.shape}."
        )
    if index.size and not (-n <= index.min() and index.max() < n):
        raise ArgumentError(f"rows reach from {index.min()} to {index.max()}; the data have {n}.")
    return index.astype(np.int64)

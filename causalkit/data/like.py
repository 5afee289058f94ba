"""Further rows, encoded as those of a data set were."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.data.admit import Policy
from causalkit.data.build import arrays_given, built, parted
from causalkit.data.candidate import NUMERIC_ROLES
from causalkit.data.checks import ENCODING, raise_any
from causalkit.data.dataset import CausalData
from causalkit.data.doses import other_doses
from causalkit.data.intake import column_names, row_labels, to_pandas
from causalkit.data.levels import match_levels
from causalkit.data.like_arrays import arrays_like
from causalkit.data.like_tables import tables_like
from causalkit.data.missing import keeps_missing
from causalkit.data.roles import FRAME_ROLES, Roles
from causalkit.errors import ArgumentError, DroppedRowsWarning, Problem, check_choice
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr


def like(
    data: CausalData,
    df: Any,
    *,
    arrays: "xr.Dataset | Mapping[str, xr.DataArray] | None" = None,
    tables: Mapping[str, Any] | None = None,
    on_new_levels: str = "raise",
    max_nan_pixels: float | None = None,
) -> CausalData:
    """Encode another table as ``data`` were: same formula, same category levels.

    Parameters
    ----------
    data : CausalData
    df : DataFrame, LazyFrame, Table or xarray.Dataset
        Needs the covariates and modifiers; outcome, treatment and the rest may be absent, as for
        effects at new covariates. A dataset is read as by
        :func:`causalkit.data.build.from_xarray`, with its images and sequences.
    arrays : xarray.Dataset, or mapping of str to DataArray, optional
        Images and sequences of these rows, by the names that ``data`` have for them. Without them
        the new data have none, which an estimator refuses that reads them.
    tables : mapping of str to DataFrame or table, optional
        Graphs of these rows, by the names of the tables of ``data``; or other items of a structured
        treatment, which are those of ``data`` by default.
    on_new_levels : {"raise", "baseline", "nan"}, default "raise"
        What a category level becomes that ``data`` do not have: an error, the first level, or
        missing. Identifiers and extra columns may have new ones.
    max_nan_pixels : float, optional
        Largest share of image values that may be missing; default that of ``data``.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not as described.
    DataError
        With every problem found: also arrays of another shape and tables with other columns than
        those of ``data``, and rows without an array or a graph.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "g": ["a", "b", "c"]})
    >>> data = CausalData.from_formula("y ~ d | C(g)", frame)
    >>> data.like(pd.DataFrame({"g": ["c", "a"]})).matrix("covariates").tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    check_choice("on_new_levels", on_new_levels, ("raise", "baseline", "nan"))
    df, given = _rows_and_arrays(data.roles, df, arrays)
    known = column_names(df)
    if data.spec is not None:
        frame = data.spec.table_like(df, data.roles, on_new_levels=on_new_levels)
    else:
        frame = to_pandas(df, data.roles.all_columns())
    problems: list[Problem] = []
    found = None if given is None else arrays_like(data, given, known, problems)
    kept = tables_like(data, frame, tables, problems)
    raise_any(problems)
    roles = _present(data.roles, frame, found, kept)
    numeric = [name for role in NUMERIC_ROLES for name in roles.columns(role)]
    # New units have new names; only where those of time stand among the others matters.
    names = {*roles.all_columns()} - {*numeric, roles.time}
    frame, levels = match_levels(frame, data.frame, on_new_levels, numeric=numeric, names=names)
    missing = data.missing
    if on_new_levels == "nan" and not keeps_missing(missing):
        missing = "native"
    limit = data.max_nan_pixels if max_nan_pixels is None else max_nan_pixels
    policy = Policy(missing=missing, freq=data.freq, max_nan_pixels=limit)
    made = built(
        frame,
        roles,
        policy,
        known=known,
        arrays=found,
        checks=ENCODING,
        tables=kept,
        spec=data.spec,
        labels=row_labels(df, "raise"),
    )
    raise_any(other_doses(data, made.frame, made.roles))
    if made.dropped:
        why = "; ".join(f"{count}: {reason}" for reason, count in made.dropped.items())
        warn(
            f"{len(frame) - len(made)} of the {len(frame)} new rows are left out ({why}), as "
            f"missing='drop' of the data says: predictions are of the {len(made)} others, in their "
            "order. Fill in what is missing, or leave these rows out before.",
            DroppedRowsWarning,
        )
    # Levels that do not occur among the new rows still have their columns.
    return replace(made, frame=made.frame.astype({c: t for c, t in levels.items() if c in frame}))


def _rows_and_arrays(roles: Roles, df: Any, arrays: Any) -> "tuple[Any, xr.Dataset | None]":
    """Table of the rows, and their images and sequences if there are some."""
    named = (*roles.image, *roles.sequence)
    # Asked so, a table needs no import of xarray.
    if hasattr(df, "data_vars"):
        if arrays is not None:
            raise ArgumentError("a dataset brings its arrays along; leave out arrays=.")
        df, found = parted(df, roles.image, roles.sequence)
        return df, found if any(name in found for name in named) else None
    if arrays is None:
        return df, None
    if not named:
        raise ArgumentError(
            "arrays=... has no role: the data have neither image nor sequence. Leave it out, or "
            'build the data with it: CausalData.from_frame(..., sequence="...", arrays=...).'
        )
    return df, arrays_given(arrays)


def _present(
    roles: Roles,
    frame: pd.DataFrame,
    arrays: "xr.Dataset | None",
    tables: Mapping[str, pd.DataFrame],
) -> Roles:
    """Roles without what new rows lack, save covariates and modifiers."""
    kept: dict[str, Any] = {
        role: tuple(name for name in roles.columns(role) if arrays is not None and name in arrays)
        for role in ("image", "sequence")
    }
    kept["graph"] = roles.graph if roles.graph in tables else None
    for role in FRAME_ROLES:
        if role not in ("covariates", "modifiers"):
            found = tuple(name for name in roles.columns(role) if name in frame)
            single = getattr(roles, role) is None or isinstance(getattr(roles, role), str)
            kept[role] = (found[0] if found else None) if single else found
    if arrays is not None:
        # Images that rows share are found by the key, whose absence is an error.
        kept["image_key"] = roles.image_key if kept["image"] else None
    if kept["weights"] is None:
        kept["weight_kind"] = None
    pairs = zip(roles.treatment, roles.kinds, strict=True)
    kept["kinds"] = tuple(kind for name, kind in pairs if name in frame)
    return replace(roles, **kept)

"""Constructors of CausalData from tables and xarray."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.data.admit import Policy, admit
from causalkit.data.calendar import Freq
from causalkit.data.checks import VALUES, Check, absent_column
from causalkit.data.checks_fit import MAX_NAN_PIXELS
from causalkit.data.dataset import CausalData
from causalkit.data.intake import column_names, row_labels, to_pandas
from causalkit.data.roles import Roles, WeightKind, kinds_by_treatment, role_columns
from causalkit.data.table_names import check_arrays_named, check_table_names
from causalkit.data.truth import Truth, truth_of_rows
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError

if TYPE_CHECKING:
    import xarray as xr

Columns = str | Sequence[str]


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
    image: Columns = (),
    image_key: str | None = None,
    sequence: Columns = (),
    graph: str | None = None,
    kinds: Columns | Mapping[str, str] | None = None,
    arrays: "xr.Dataset | Mapping[str, xr.DataArray] | None" = None,
    tables: Mapping[str, Any] | None = None,
    truth: Truth | None = None,
    name: str | None = None,
    missing: Any = "raise",
    on_duplicate: str = "raise",
    freq: Freq = None,
    nested: bool = False,
    max_nan_pixels: float = MAX_NAN_PIXELS,
) -> CausalData:
    """Data from a pandas, polars or pyarrow table, or whatever else narwhals reads.

    Parameters
    ----------
    df : DataFrame, LazyFrame, Table or relation
        Row labels only find values that come later by row, such as groups; a pandas MultiIndex
        must be reset first. Columns are shared with a
        pandas frame, not copied, and later changes of it are not seen.
    outcome, treatment : str or list of str
        Outcomes are numbers. A treatment is numbers, booleans, text or a category; of two levels
        the second counts as treated: in sorted order of text, in the category's own order of a
        pandas categorical or a polars Enum.
    covariates, modifiers, instruments : str or list of str, optional
        Numbers, booleans or categories. Modifiers are what effects may vary with; none by default,
        where `EmbeddingEffectClusters` takes the covariates.
    unit, time : str, optional
        Panel index. Time is numbers, dates, periods or an ordered category.
    cluster : str or list of str, optional
        One or two columns within which errors may be dependent.
    weights, weight_kind : str, optional
        ``"sampling"`` is inverse inclusion probability, ``"frequency"`` counts identical rows,
        ``"precision"`` is inverse variance: fits are weighted by it, and averages over rows by
        `TransTEE` are not; `PanelDML` and `InvalidIV` weight their moments by it as by the others.
    strata, text, extra : str or list of str, optional
        Randomisation blocks, text columns, and columns that go along unused.
    image, sequence : str or list of str, optional
        Variables of ``arrays``.
    image_key : str, optional
        Column that says which image each row has, where rows may share images. The image variables
        then have, in place of ``obs``, a dimension of their own with the keys as its coordinate.
    graph : str, optional
        Name of an edge table in ``tables``.
    kinds : str, list of str, or mapping of treatment to str, optional
        Kind of each treatment (``"binary"``, ``"multi"``, ``"continuous"``, ``"dose"``,
        ``"structured"``), where the inferred one is wrong: numbers are continuous unless all are 0
        or 1, categories, text and booleans are binary with two levels and multi with more. Two
        numbers that are declared ``"binary"`` are arms, the larger one treated. ``("multi",
        "dose")`` is an arm with an amount; arms that take none have a missing amount in all of
        their rows.
    arrays : xarray.Dataset, or mapping of str to DataArray, optional
        Images and sequences, lazy or in memory, with dimension ``obs`` first, whose coordinate of
        that name holds the unit, or the row number if there is no unit. A numpy array needs names
        for its dimensions: ``xr.DataArray(pixels, dims=("obs", "band", "y", "x"))``.
    tables : mapping of str to DataFrame or table, optional
        As ``df``: ``<column>_edges`` and ``<column>_nodes`` of a graph, or what describes the items
        of a structured treatment: ``<treatment>_vectors``, ``_steps``, or ``_nodes`` with
        ``_edges``. A table of another name is refused, as nothing would read it.
    truth : Truth, optional
        For simulated data.
    name : str, optional
    missing : {"raise", "drop", "indicator", "native"} or scikit-learn imputer, default "raise"
        ``"drop"`` leaves out and counts rows with anything missing. ``"indicator"`` imputes
        covariates by median or mode with a flag, an imputer as it does, both inside training
        folds; ``"native"`` leaves them to the learner. Under these three, too, rows without
        outcome, treatment, instrument, identifier or weight are left out and counted.
    on_duplicate : {"raise", "mean"}, default "raise"
        ``"mean"`` averages rows that repeat a (unit, time) pair; with ``missing="raise"`` a value
        that only some of them have is an error.
    freq : str or number, optional
        Calendar step of ``time``, such as ``"M"`` for dates or 5 for five-year waves.
    nested : bool, default False
        Claim that every unit lies in one cluster, and check it.
    max_nan_pixels : float, default 0.05
        Largest share of image values that may be missing. Images in memory are counted here, and
        below it a mask goes along; those of a store when an estimator first reads them.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not as described.
    DataError
        Once, with every problem found.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": ["no", "yes", "yes"]})
    >>> from_frame(frame, outcome="y", treatment="d").column("treatment").tolist()
    [0.0, 1.0, 1.0]
    """
    listed: dict[str, Any] = {
        "outcome": outcome,
        "treatment": treatment,
        "covariates": covariates,
        "modifiers": modifiers,
        "instruments": instruments,
        "unit": unit,
        "time": time,
        "cluster": cluster,
        "weights": weights,
        "weight_kind": weight_kind,
        "strata": strata,
        "text": text,
        "extra": extra,
        "image": image,
        "image_key": image_key,
        "sequence": sequence,
        "graph": graph,
    }
    found = {role: role_columns(role, value) for role, value in listed.items()}
    roles = Roles(**found, kinds=kinds_by_treatment(kinds, found["treatment"]))
    for role in ("outcome", "treatment"):
        if not roles.columns(role):
            raise ArgumentError(f"name at least one {role} column: {role}=...")
    beside = tables_given(tables, graph)
    check_table_names(beside, roles)
    found_arrays = None if arrays is None else arrays_given(arrays)
    check_arrays_named(() if found_arrays is None else found_arrays.data_vars, roles)
    policy = Policy(
        missing=missing,
        on_duplicate=on_duplicate,
        freq=freq,
        nested=nested,
        max_nan_pixels=max_nan_pixels,
    )
    return built(
        to_pandas(df, roles.all_columns()),
        roles,
        policy,
        known=column_names(df),
        arrays=found_arrays,
        tables=beside,
        truth=truth,
        name=name,
        labels=row_labels(df, on_duplicate),
    )


def arrays_given(arrays: Any) -> "xr.Dataset":
    """Arrays that belong together as one dataset, without guesses at what dimensions mean."""
    import xarray as xr

    if isinstance(arrays, xr.Dataset):
        return arrays
    if isinstance(arrays, xr.DataArray):
        raise ArgumentTypeError(
            "arrays must be an xarray Dataset, got a DataArray; give it the name of its role: "
            f"arrays.to_dataset(name={str(arrays.name or 'image')!r})."
        )
    if not isinstance(arrays, Mapping):
        raise ArgumentTypeError(
            "arrays must be an xarray Dataset, or a mapping of names to DataArrays, got "
            f"{type(arrays).__name__}."
        )
    for name, values in arrays.items():
        if not isinstance(values, xr.DataArray):
            raise ArgumentTypeError(
                f"arrays[{name!r}] is a {type(values).__name__}, whose dimensions have no names; "
                'say which is which, as xr.DataArray(values, dims=("obs", "step", "feature")) does '
                'for a sequence; images have ("obs", "band", "y", "x"), and "time" before "band" '
                "where they are sequences."
            )
    try:
        named = [values.rename(name) for name, values in arrays.items()]
        found: xr.Dataset = xr.merge(named, join="exact", combine_attrs="drop_conflicts")
    except ValueError as error:
        raise ArgumentError(f"the arrays do not fit together: {error}") from error
    return found


def tables_given(
    tables: Mapping[str, Any] | None, graph: str | None = None
) -> dict[str, pd.DataFrame]:
    """Tables beside the data as pandas frames, that of the graph among them.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        With the name of what is no table.
    DataError
        If there is no table of that name for the graph.
    """
    found = {}
    for name, table in (tables or {}).items():
        try:
            found[name] = to_pandas(table)
        except (ArgumentError, ArgumentTypeError) as error:
            raise type(error)(f"tables[{name!r}]: {error}") from error
    if graph is not None and graph not in found:
        raise DataError(absent_column(graph, "graph, among the tables", list(found)))
    return found


def built(
    frame: pd.DataFrame,
    roles: Roles,
    policy: Policy,
    *,
    known: Sequence[str] | None = None,
    arrays: "xr.Dataset | None" = None,
    truth: Truth | None = None,
    checks: tuple[Check, ...] = VALUES,
    labels: "pd.Index[Any] | None" = None,
    **facts: Any,
) -> CausalData:
    """Data from a pandas frame with a plain index, once it is admitted.

    Parameters
    ----------
    frame : DataFrame
    roles : Roles
    policy : Policy
    known : sequence of str, optional
        Columns of the table that the user gave, for messages.
    arrays, truth, checks
        As in :func:`causalkit.data.admit.admit`.
    labels : Index, optional
        Row labels of the table.
    **facts
        Further attributes of the data.
    """
    passed = admit(frame, roles, policy, arrays=arrays, checks=checks, known=known)
    data = CausalData(
        frame=passed.frame,
        roles=passed.roles,
        arrays=passed.arrays,
        truth=truth if passed.rows is None else truth_of_rows(truth, passed.rows),
        missing=policy.missing,
        dropped=passed.dropped,
        dropped_ids=passed.dropped_ids,
        freq=policy.freq,
        max_nan_pixels=policy.max_nan_pixels,
        labels=labels if labels is None or passed.rows is None else labels[passed.rows],
        _admitted=True,
        **facts,
    )
    data._memo.update(passed.memo)
    return data


def from_xarray(ds: "xr.Dataset", **arguments: Any) -> CausalData:
    """Data from an xarray Dataset with dimension ``obs``.

    Parameters
    ----------
    ds : xarray.Dataset
        Variables over ``obs`` alone become columns, also the coordinate ``obs`` itself; those
        named as ``image`` or ``sequence`` stay arrays, lazy if they are.
    **arguments
        Roles and options of :func:`from_frame`.

    Raises
    ------
    ArgumentError
        If there is no dimension ``obs``.
    DataError
        Once, with every problem found.
    """
    named = [role_columns(role, arguments.get(role)) for role in ("image", "sequence")]
    frame, arrays = parted(ds, *named)
    return from_frame(frame, arrays=arrays if any(named) else None, **arguments)


def parted(
    ds: "xr.Dataset", image: Sequence[str], sequence: Sequence[str]
) -> "tuple[pd.DataFrame, xr.Dataset]":
    """Columns of a dataset, and its images and sequences with the masks of these.

    Raises
    ------
    ArgumentError
        If there is no dimension ``obs``.
    """
    if "obs" not in ds.dims:
        raise ArgumentError(
            f"the dataset has dimensions {', '.join(map(str, ds.dims))} but no 'obs'; rename its "
            "row dimension: ds.rename(name='obs')."
        )
    wanted = [*image, *sequence, *(f"{name}_mask" for name in sequence)]
    columns = {str(name): ds[name].values for name in ds.variables if ds[name].dims == ("obs",)}
    found = ds[[name for name in wanted if name in ds]]
    return pd.DataFrame(columns), found.drop_vars("obs", errors="ignore")

"""From a data set to the covariate arrays of the network; columns are found by name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import DataError, Problem
from causalkit.transtee.covariate_graphs import (
    SUFFIX,
    GraphCode,
    Graphs,
    graph_code,
    graph_column,
    graphs_of,
)
from causalkit.transtee.shapes import TableShape
from causalkit.typing import Bools, Floats, Ints, Singles

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True)
class CovariateCode:
    """Which columns are what, as learned from the training data.

    Attributes
    ----------
    numeric : tuple of str
    levels : mapping of str to tuple
        Levels of each categorical column, in order.
    native_missing : bool
    sequences : mapping of str to (length, features)
    graph : GraphCode, optional
    """

    numeric: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    native_missing: bool
    sequences: dict[str, tuple[int, int]]
    graph: GraphCode | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """One name per token of the table."""
        return (*self.numeric, *self.levels)

    @property
    def shape(self) -> TableShape:
        """What the network needs to know."""
        return TableShape(
            n_numeric=len(self.numeric),
            levels=tuple(len(levels) for levels in self.levels.values()),
            native_missing=self.native_missing,
            sequences=tuple(self.sequences.values()),
            node_features=0 if self.graph is None else self.graph.n_features,
            edge_types=0 if self.graph is None else self.graph.n_types,
        )


@dataclass(frozen=True, slots=True)
class Covariates:
    """Arrays of the covariates of n rows.

    Attributes
    ----------
    numeric : (n, p) array
        In the user's units; NaN where missing.
    codes : (n, c) int array
        Levels of categories from 1; 0 is unknown or missing.
    sequences : tuple of (n, L, f) float32 arrays
    masks : tuple of (n, L) bool arrays
    graphs : Graphs or None
    """

    numeric: Floats
    codes: Ints
    sequences: tuple[Singles, ...] = ()
    masks: tuple[Bools, ...] = ()
    graphs: Graphs | None = None

    def arrays(self) -> tuple[Any, ...]:
        """All arrays that there are."""
        graphs = self.graphs
        own = () if graphs is None else (graphs.nodes, graphs.mask, graphs.edges)
        return (self.numeric, self.codes, *self.sequences, *self.masks, *own)

    def rows(self, chosen: Ints | slice) -> "Covariates":
        """Some rows."""
        return Covariates(
            self.numeric[chosen],
            self.codes[chosen],
            tuple(values[chosen] for values in self.sequences),
            tuple(mask[chosen] for mask in self.masks),
            None if self.graphs is None else self.graphs.rows(chosen),
        )


def covariate_code(data: CausalData) -> CovariateCode:
    """Learn the coding of the covariates from training data.

    Raises
    ------
    DataError
        If there is neither a covariate nor a sequence nor a graph, or values are missing and the
        data say that they are to be filled in.
    """
    _check_policy(data)
    numeric: list[str] = []
    levels: dict[str, tuple[str, ...]] = {}
    frame = data.frame
    for name in columns_of(data):
        column = frame[name]
        if _is_category(column):
            seen = column.dropna()
            values = seen.cat.categories if hasattr(seen, "cat") else sorted(seen.unique(), key=str)
            levels[name] = tuple(str(value) for value in values)
        else:
            numeric.append(name)
    sequences = {name: _sizes(_steps(data, name)) for name in data.roles.sequence}
    owner = graph_column(data)
    graph = None if owner is None else graph_code(data, owner)
    if not numeric and not levels and not sequences and graph is None:
        raise DataError(
            Problem(
                "E01-missing-column",
                "TransTEE needs covariates, a sequence or a graph; name them: "
                "CausalData.from_frame(..., covariates=[...]).",
            )
        )
    return CovariateCode(tuple(numeric), levels, data.missing == "native", sequences, graph)


def columns_of(data: CausalData) -> tuple[str, ...]:
    """Covariates, and modifiers that are none: effects may vary with both."""
    return tuple(dict.fromkeys((*data.roles.covariates, *data.roles.modifiers)))


def _check_policy(data: CausalData) -> None:
    """Refuse to fill in missing values, which would be done on training rows alone."""
    frame = data.frame
    holes = [name for name in columns_of(data) if frame[name].isna().any()]
    if holes and data.missing != "native":
        name, policy = holes[0], data.missing
        row = int(np.flatnonzero(frame[name].isna())[0])
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"{name!r} is missing in row {row}, and missing={policy!r} is not what networks "
                "can do: they learn from missing values as they are. Build the data with "
                'missing="native" or "drop".',
                name,
                (row,),
            )
        )


def encode_covariates(code: CovariateCode, data: CausalData) -> Covariates:
    """Arrays of a data set in the coding of the training data.

    Raises
    ------
    DataError
        If columns are missing, have another type, or hold a level never seen in training.
    """
    _check_columns(code, data)
    problems: list[Problem] = []
    frame = data.frame
    codes = [_codes(frame[name], name, levels, problems) for name, levels in code.levels.items()]
    if problems:
        raise DataError(problems)
    numeric = np.empty((len(data), len(code.numeric)))
    for j, name in enumerate(code.numeric):
        numeric[:, j] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    _check_holes(code, numeric)
    steps = [_known_steps(data, name, sizes) for name, sizes in code.sequences.items()]
    return Covariates(
        numeric=numeric,
        codes=np.column_stack(codes) if codes else np.zeros((len(data), 0), dtype=np.int64),
        sequences=tuple(values for values, _ in steps),
        masks=tuple(mask for _, mask in steps),
        graphs=None if code.graph is None else graphs_of(data, code.graph),
    )


def _check_holes(code: CovariateCode, numeric: Floats) -> None:
    """Refuse missing values where the training data had said that there are none."""
    hole = first_hole(code, numeric)
    if code.native_missing or hole is None:
        return
    name, row = hole
    raise DataError(
        Problem(
            "E07-nan-covariate",
            f"{name!r} is missing in row {row}, and the network was trained on data without "
            'missing values; train it on data built with missing="native".',
            name,
        )
    )


def first_hole(code: CovariateCode, numeric: Floats) -> tuple[str, int] | None:
    """Column and row of the first missing value, if there is one."""
    holes = np.argwhere(np.isnan(numeric))
    return (code.numeric[int(holes[0, 1])], int(holes[0, 0])) if len(holes) else None


def _is_category(column: "pd.Series[Any]") -> bool:
    kind = column.dtype
    return isinstance(kind, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)
    )


def _check_columns(code: CovariateCode, data: CausalData) -> None:
    present = (*columns_of(data), *data.roles.sequence, *_graph_name(data))
    wanted = (*code.names, *code.sequences, *(() if code.graph is None else (code.graph.column,)))
    absent = [name for name in wanted if name not in present]
    if absent:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"the network was trained on {', '.join(wanted)}, and these data lack "
                f"{', '.join(absent)} (they have {', '.join(present)}). Build them with "
                f"training_data.like(df{_brought(code, absent)}).",
                absent[0],
            )
        )
    frame = data.frame
    changed = [name for name in code.numeric if _is_category(frame[name])]
    changed += [name for name in code.levels if not _is_category(frame[name])]
    if changed:
        name = changed[0]
        raise DataError(
            Problem(
                "E03-non-numeric",
                f"{name!r} was {'a number' if name in code.numeric else 'a category'} in training "
                f"and is {frame[name].dtype} here; convert the column.",
                name,
            )
        )


def _brought(code: CovariateCode, absent: list[str]) -> str:
    """What ``like`` is to be given beside the table, as its user would write it."""
    sequences = [f"{name!r}: ..." for name in code.sequences if name in absent]
    words = f", arrays={{{', '.join(sequences)}}}" if sequences else ""
    if code.graph is not None and code.graph.column in absent:
        column = code.graph.column
        words += f", tables={{'{column}_nodes': ..., '{column}{SUFFIX}': ...}}"
    return words


def _codes(
    column: "pd.Series[Any]", name: str, levels: tuple[str, ...], problems: list[Problem]
) -> Ints:
    place = {level: position + 1 for position, level in enumerate(levels)}
    number, distinct = pd.factorize(column)
    text = list(map(str, distinct.astype(object)))
    unseen = sorted(set(text) - place.keys())
    if unseen:
        problems.append(
            Problem(
                "E25-unknown-level",
                f"{name!r} has levels never seen in training: {', '.join(unseen[:5])} (known: "
                f"{', '.join(levels[:10])}). Encode the rows with training_data.like(df, "
                "on_new_levels='nan'), which makes them unknown.",
                name,
            )
        )
    # The number of what is missing is -1: the last.
    return np.array([*(place.get(level, 0) for level in text), 0], dtype=np.int64)[number]


def _steps(data: CausalData, name: str) -> tuple[Singles, Bools]:
    """Values ``(n, L, f)`` of a sequence and the mask of its steps, NaN steps being padding."""
    arrays: xr.Dataset = data.arrays  # type: ignore[assignment]  # a sequence role implies arrays
    values = np.asarray(_in_order(arrays[name]).values, dtype=np.float32)
    values = values.reshape(len(data), values.shape[1], -1)
    there: Bools = np.asarray(~np.isnan(values).all(axis=2))
    if f"{name}_mask" in arrays:
        there = there & np.asarray(_in_order(arrays[f"{name}_mask"]).values, dtype=bool)
    empty = np.flatnonzero(~there.any(axis=1))
    if empty.size:
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"sequence {name!r} has no step in {empty.size} rows (first: row {empty[0]}); "
                "leave those rows out, or give them one step.",
                name,
                tuple(int(row) for row in empty[:10]),
            )
        )
    _check_finite(name, values, there)
    return np.where(there[:, :, None], values, np.float32(0.0)), there


def _in_order(values: "xr.DataArray") -> "xr.DataArray":
    """Rows, steps, features: by the names of the dimensions, or in their order without any."""
    dims = values.dims
    steps = [dim for dim in ("step", "time") if dim in dims][:1]
    return values.transpose("obs", *steps, ..., *(dim for dim in ("feature",) if dim in dims))


def _check_finite(name: str, values: Singles, there: Bools) -> None:
    """Refuse steps that are there, of which a feature is missing or infinite."""
    for wrong, code, words, mend in (
        (np.isnan(values), "E07-nan-covariate", "missing", "fill it in"),
        (np.isinf(values), "E08-inf", "infinite", "make it finite"),
    ):
        places = np.argwhere(wrong.any(axis=2) & there)
        if len(places):
            row, step = places[0].tolist()
            feature = int(np.flatnonzero(wrong[row, step])[0])
            raise DataError(
                Problem(
                    code,
                    f"feature {feature} of sequence {name!r} is {words} in {len(places)} steps "
                    f"(first: row {row}, step {step}); {mend}, or make the whole step NaN, which "
                    "is padding.",
                    name,
                    tuple(np.unique(places[:, 0])[:10].tolist()),
                )
            )


def _graph_name(data: CausalData) -> tuple[str, ...]:
    column = graph_column(data)
    return () if column is None else (column,)


def _known_steps(data: CausalData, name: str, sizes: tuple[int, int]) -> tuple[Singles, Bools]:
    """Steps of a sequence, padded to the length that it had in training, or longer."""
    values, there = _steps(data, name)
    length, n_features = sizes
    if values.shape[2] != n_features:
        raise DataError(
            Problem(
                "E03-non-numeric",
                f"steps of sequence {name!r} had {n_features} features in training and have "
                f"{values.shape[2]} here.",
                name,
            )
        )
    short = max(0, length - values.shape[1])
    keep = length if not there[:, length:].any() else values.shape[1]
    return (
        np.pad(values, ((0, 0), (0, short), (0, 0)))[:, :keep],
        np.pad(there, ((0, 0), (0, short)))[:, :keep],
    )


def check_steps(code: CovariateCode, covariates: Covariates) -> None:
    """Refuse steps later than those of training, for networks that learn their positions.

    Raises
    ------
    DataError
        With the first row that has some.
    """
    for (name, (length, _)), mask in zip(code.sequences.items(), covariates.masks, strict=True):
        late = np.flatnonzero(mask[:, length:].any(axis=1))
        if late.size:
            last = int(np.flatnonzero(mask[late[0]])[-1]) + 1
            raise DataError(
                Problem(
                    "E03-non-numeric",
                    f"sequence {name!r} had at most {length} steps in training, and {late.size} "
                    f"rows have more (first: row {late[0]} with {last}); nothing was learned about "
                    "later steps. Shorten them, or train on sequences of that length.",
                    name,
                    tuple(int(row) for row in late[:10]),
                )
            )


def _sizes(steps: tuple[Singles, Bools]) -> tuple[int, int]:
    return steps[0].shape[1], steps[0].shape[2]

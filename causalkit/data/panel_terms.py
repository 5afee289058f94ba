"""Group means as columns, Mundlak terms, lags: panel arithmetic on data with roles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_number, numbers
from causalkit.data.checks import absent_column
from causalkit.data.encode import encode
from causalkit.data.panel import adjacent, leave_out_means, period_shares, unit_means, varies_within
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData


def group_means(
    data: "CausalData", cols: str | Sequence[str], *, by: str, include_time: bool, leave_out: bool
) -> pd.DataFrame:
    """Means of columns within groups, one row per row of the data; missing ones are skipped.

    Weights are honoured, so that frequency weights give the means of the expanded rows.

    Parameters
    ----------
    data : CausalData
    cols : str or list of str
        Columns of numbers or categories (means of their indicators).
    by : str
        Role whose groups are meant.
    include_time : bool
        Also the group means of period dummies, which two-way Mundlak terms of an unbalanced panel
        need.
    leave_out : bool
        Leave the row itself out of its mean.

    Returns
    -------
    DataFrame
        Columns ``"<col>_mean"``, in the unit of the column.
    """
    names = known_columns(data, cols)
    codes, weights = data.codes(by), data.weights()
    values, shown = encode(data.frame, names, np.dtype(np.float64))
    if leave_out:
        means = leave_out_means(values, codes, weights=weights)
    else:
        means = unit_means(values, codes, weights=weights)[codes]
    out = pd.DataFrame(means, columns=[f"{name}_mean" for name in shown])
    return pd.concat([out, _period_shares(data, by)], axis=1) if include_time else out


def _period_shares(data: "CausalData", by: str) -> pd.DataFrame:
    """Group means of the period dummies, without the first period."""
    codes = data.codes(by)
    shares = period_shares(codes, data.codes("time"), weights=data.weights())
    names = [f"{data.roles.time}={_label(label)}_mean" for label in data.levels("time")[1:]]
    return pd.DataFrame(shares[codes, 1:], columns=names)


def _label(label: Any) -> str:
    return str(label.item() if isinstance(label, np.generic) and label.dtype.kind != "M" else label)


def with_mundlak(data: "CausalData", cols: str | Sequence[str]) -> "CausalData":
    """Add unit means as covariates, over the rows that are held now.

    Parameters
    ----------
    data : CausalData
    cols : "auto" or list of str
        ``"auto"`` takes every covariate and treatment that varies within units.

    References
    ----------
    Mundlak, Y. (1978). On the pooling of time series and cross section data. Econometrica 46.
    """
    chosen = [*data.roles.covariates, *data.roles.treatment] if cols == "auto" else cols
    means = data.group_means(chosen)
    if isinstance(cols, str) and cols == "auto":
        values, _ = encode(data.frame, chosen, np.dtype(np.float64))
        means = means.loc[:, varies_within(values, data.codes("unit"))]
    taken = list(means.columns.intersection(data.frame.columns))
    if taken:
        raise ArgumentError(
            f"the data have a column {taken[0]!r} already; leave it out of cols, or rename it."
        )
    added = data.assign(**{str(name): means[name] for name in means})
    return added.with_roles(covariates=(*data.roles.covariates, *map(str, means)))


def lag(data: "CausalData", col: str, k: int) -> "pd.Series[Any]":
    """Value of a column ``k`` calendar periods before, missing where there is none."""
    if not isinstance(col, str):
        raise ArgumentTypeError(
            f"col must be the name of one column, got {col!r}; call once for each."
        )
    (name,) = known_columns(data, col)
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ArgumentTypeError(
            f"k must be a whole number of periods, negative for later ones, got {k!r}."
        )
    rows, before = adjacent(data.codes("unit"), data.periods(), gap=k)
    values = data.frame[name]
    if is_number(values):
        out = np.full(data.n, np.nan)
        out[rows] = numbers(values)[before]
        return pd.Series(out, name=f"{name}_lag{k}")
    place = np.full(data.n, -1, dtype=np.int64)
    place[rows] = before
    return pd.Series(values.array.take(place, allow_fill=True), name=f"{name}_lag{k}")


def diff(data: "CausalData", col: str) -> "pd.Series[float]":
    """Change of a numeric column since the period before; missing where there is a gap."""
    before = lag(data, col, 1).to_numpy()
    if not is_number(data.frame[col]):
        raise ArgumentError(
            f"column {col!r} holds {data.frame[col].dtype} values, which have no differences; use "
            "lag(...) and compare."
        )
    return pd.Series(numbers(data.frame[col]) - before, name=f"{col}_diff")


def known_columns(data: "CausalData", cols: str | Sequence[str]) -> list[str]:
    """Names of columns that the data have; raise E01 for any other."""
    names = [cols] if isinstance(cols, str) else list(cols)
    known = list(data.frame.columns)
    absent = [
        absent_column(name, "a column of the data", known) for name in names if name not in known
    ]
    if absent:
        raise DataError(absent)
    return names

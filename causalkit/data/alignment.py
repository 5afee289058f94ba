"""Values by row that come in a pandas object: which row of the data each belongs to."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData

_MEND = "if it is in the row order of the data, pass it without labels: .to_numpy()"


def in_row_order(data: "CausalData", values: Any, *, what: str) -> Any:
    """Values in the row order of the data, with rows numbered from 0 if they are a pandas object.

    Labels decide where the data know those of the table that they were made of. Rows numbered from
    0, in order, and as many as the data have, are those of ``data.frame``, unless all of these
    numbers are labels of the table too, in another order. Labels that repeat tell no rows apart;
    values with the same repeated labels in the same order are taken by position, whatever order
    rows of one label are in. Arrays and lists have no labels and stay as they are, and so does what
    has another number of rows and is not found by label.

    Parameters
    ----------
    data : CausalData
    values : Series, DataFrame or array-like
    what : str
        Name of the argument.

    Raises
    ------
    ArgumentError
        If labels do not say which row each value belongs to.
    """
    if not isinstance(values, pd.Series | pd.DataFrame):
        return values
    numbers = pd.RangeIndex(data.n)
    labels = numbers if data.labels is None else data.labels
    given = values.index
    if given.equals(labels):
        return values.reset_index(drop=True)
    known = data.labels is not None and labels.is_unique and given.is_unique
    found = known and bool(labels.isin(given).all())
    numbered = given.equals(numbers)
    if found and not numbered:
        return values.iloc[given.get_indexer(labels)].reset_index(drop=True)
    if not found and (numbered or len(values) != data.n):
        return values.reset_index(drop=True)
    if numbered:
        seen = "rows numbered from 0, which may be those of data.frame or labels of the table"
    else:
        seen = f"row labels ({_some(given)}) that are not those of the data ({_some(labels)})"
    raise ArgumentError(
        f"{what} has {seen}; give it the index of the table that the data were made of, or, "
        f"{_MEND}."
    )


def check_one_order(**given: Any) -> None:
    """Refuse pandas objects with the same row labels in different orders.

    Parameters
    ----------
    **given : array-like
        By name of the argument; what has no labels is taken by position.

    Raises
    ------
    ArgumentError
    """
    labelled = {
        name: values.index
        for name, values in given.items()
        if isinstance(values, pd.Series | pd.DataFrame)
    }
    for (first, other), (name, labels) in combinations(labelled.items(), 2):
        if len(other) != len(labels) or other.equals(labels) or not labels.is_unique:
            continue
        if bool(labels.isin(other).all()):
            raise ArgumentError(
                f"{first} and {name} have the same row labels in another order "
                f"({_some(other)}; {_some(labels)}); sort them alike, such as with "
                f"{name}.loc[{first}.index], or {_MEND.replace('the data', first)}."
            )


def _some(labels: Any) -> str:
    return ", ".join(map(repr, labels[:3].tolist())) + (", ..." if len(labels) > 3 else "")

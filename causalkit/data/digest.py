"""A fingerprint of data: equal for equal content, whatever the process or the machine."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData


def content_digest(data: "CausalData") -> str:
    """SHA-256 of roles, policies, columns, tables and arrays; the truth is left out.

    Arrays that are not in memory count by name, type and shape only. Rows in another order, or
    numbers in another type, are other content.
    """
    seal = _of_tables(data)
    if data.arrays is not None:
        for key in sorted(map(str, data.arrays.variables)):
            variable = data.arrays[key].variable
            seal.update(repr((key, variable.dims, variable.shape, str(variable.dtype))).encode())
            if variable._in_memory:
                seal.update(_bytes(np.asarray(variable.values)))
    return seal.hexdigest()


def table_digest(data: "CausalData") -> str:
    """SHA-256 of roles, policies, columns and tables: equal wherever arrays are kept."""
    return _of_tables(data).hexdigest()


def _of_tables(data: "CausalData") -> "hashlib._Hash":
    seal = hashlib.sha256()
    seal.update(repr((data.roles, str(data.missing), data.freq)).encode())
    _add_frame(seal, data.frame)
    for name, table in sorted(data.tables.items()):
        seal.update(name.encode())
        _add_frame(seal, table)
    return seal


def _add_frame(seal: Any, frame: pd.DataFrame) -> None:
    seal.update(repr([(str(name), _type(frame[name])) for name in frame]).encode())
    # Hashing releases the interpreter lock, so columns go side by side.
    with ThreadPoolExecutor(max_workers=4) as pool:
        for part in pool.map(_column, (frame[name] for name in frame)):
            seal.update(part)


def _type(values: "pd.Series[Any]") -> str:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return f"category {dtype.ordered} {list(map(str, dtype.categories))}"
    return str(dtype)


def _column(values: "pd.Series[Any]") -> bytes:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufbMm":
        return hashlib.sha256(_bytes(values.to_numpy())).digest()
    try:
        hashed = pd.util.hash_pandas_object(values, index=False).to_numpy()
    except TypeError:  # lists of tokens and the like, which have no hash
        hashed = pd.util.hash_pandas_object(values.map(repr), index=False).to_numpy()
    return hashlib.sha256(_bytes(hashed)).digest()


def _bytes(values: Any) -> Any:
    if values.dtype.kind in "OUST":
        return "\x00".join(map(str, values.ravel().tolist())).encode()
    return np.ascontiguousarray(values).view(np.uint8).ravel().data

"""Summary as a labelled array."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr


def to_xarray(summary: pd.DataFrame) -> "xr.Dataset":
    """Summary as a Dataset with dimensions (parameters..., estimator, estimand, measure).

    Parameters
    ----------
    summary : DataFrame
        As :func:`summarise` returns it. The generator is a dimension if there are several.

    Returns
    -------
    Dataset
        ``value``, ``mcse`` (NaN where there is no such cell) and ``n_ok`` (0 there).
    """
    import xarray as xr

    columns = list(summary.columns)
    dims = columns[: columns.index("measure") + 1]
    if summary["generator"].nunique() <= 1:
        dims.remove("generator")
    codes, coords = [], {}
    for name in dims:
        # Parameters in their natural order, the rest in that of the study.
        is_param = name not in ("generator", "estimator", "measure")
        sort = is_param and not summary[name].map(type).nunique() > 1
        place, labels = pd.factorize(summary[name], sort=sort, use_na_sentinel=False)
        codes.append(place)
        coords[name] = np.asarray(labels)
    shape = [len(coords[name]) for name in dims]
    at = tuple(codes)
    variables: dict[str, Any] = {}
    for name, empty in (("value", np.nan), ("mcse", np.nan), ("n_ok", 0)):
        values = np.full(shape, empty)
        values[at] = summary[name].to_numpy()
        variables[name] = (dims, values)
    return xr.Dataset(variables, coords=coords)

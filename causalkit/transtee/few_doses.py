"""Doses that take a few values only: arms by mistake, or doses between which nothing was seen."""

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import CausalKitWarning
from causalkit.typing import Floats
from causalkit.warn import warn

FEW = 10
_ROWS_EACH = 5


def values_given(doses: Floats) -> Floats | None:
    """Different doses in order if they are at most ten, with five rows each on average; or None."""
    values = np.unique(doses[~np.isnan(doses)])
    return values if values.size <= min(FEW, doses.size // _ROWS_EACH) else None


def warn_of_arms_as_doses(data: CausalData) -> None:
    """Warn of a treatment with a few numbers whose kind was not declared: it is taken as a dose."""
    if not data.roles.inferred:
        return
    for name, kind in zip(data.roles.treatment, data.roles.kinds, strict=True):
        if kind != "continuous":
            continue
        numbers = pd.to_numeric(data.frame[name]).to_numpy(dtype=np.float64)
        values = values_given(numbers)
        if values is not None:
            warn(
                f"treatment {name!r} has only the values {_listed(values)} and is taken as a dose, "
                "so that outcomes between them are learned too. If they are arms, give "
                "kinds='multi' (or 'binary' for two) with the roles; if they are doses, "
                "kinds='dose' says so and ends this warning.",
                CausalKitWarning,
            )


def warn_between(asked: Floats, doses: Floats, of: str) -> None:
    """Warn of averages at doses that nobody received, where a few values only were given.

    Parameters
    ----------
    asked : (k,) array
    doses : (n,) array
        Of the rows that received the arm.
    of : str
        Which arm, for the message.
    """
    values = values_given(doses)
    if values is None:
        return
    # Doses are kept in single precision.
    near = np.isclose(asked[:, None], values, rtol=1e-6, atol=1e-6 * np.abs(values).max())
    between = asked[~near.any(axis=1)]
    if between.size:
        warn(
            f"no row received the dose {_listed(between)}{of}; those given are {_listed(values)}. "
            "The average there is read off a curve through its neighbours, and the interval holds "
            "only if the curve is as smooth as that. Ask at doses that were given.",
            CausalKitWarning,
        )


def _listed(values: Floats) -> str:
    return ", ".join(f"{value:.7g}" for value in values)

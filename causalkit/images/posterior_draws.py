"""Draws of the posterior with names for their dimensions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalkit.images.members import Member
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr


def draws_of(members: "Sequence[Member]") -> "xr.Dataset":
    """Effects and noise of every draw by chain, or member of the ensemble.

    Parameters
    ----------
    members : sequence of Member

    Returns
    -------
    Dataset
        ``effect`` ``(chain, draw, cluster)`` and, unless the outcome is 0/1, ``noise`` ``(chain,
        draw, cell)``.
    """
    import xarray as xr

    model = members[0].posterior.model
    clusters = [f"cluster {number + 1}" for number in range(model.n_types)]
    sampling = members[0].sampling
    chains = len(members) if sampling is None else sampling["n_chains"]

    def by_chain(values: Sequence[Floats]) -> Floats:
        return np.concatenate(values).reshape(chains, -1, values[0].shape[1])

    found = {
        "effect": (
            ("chain", "draw", "cluster"),
            by_chain([member.posterior.effects() for member in members]),
        )
    }
    if model.likelihood != "bernoulli":
        noise = by_chain([member.posterior.noise() for member in members])
        found["noise"] = (("chain", "draw", "cell"), noise)
    draws = found["effect"][1].shape[1]
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), "cluster": clusters}
    cells = {"cell": ["control", *(f"treated, {name}" for name in clusters)]}
    return xr.Dataset(found, coords=coords | (cells if "noise" in found else {}))

"""Where training of the linear level of the outcome starts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from causalkit.transtee.families import STANDARDISED
from causalkit.typing import Ints

if TYPE_CHECKING:
    from torch import Tensor

    from causalkit.transtee.objective import Network
    from causalkit.transtee.store import Scales, Store

# Of the variance of a covariate; only so that covariates may be multiples of each other.
RIDGE = 1e-6
LEAST = 1e-6  # of the spread of the outcome; what a level leaves below is rounding


def start_level(
    flat: "Tensor", network: "Network", store: "Store", scales: "Scales", rows: Sequence[Ints]
) -> "Scales":
    """Put least squares of the outcome on covariates, over each member's rows, into ``flat``.

    The outcome is then measured in spreads of what the level leaves: where that is little, the
    network would otherwise have to say it in its last digits. The level is trained on with all
    else; families without a standardised outcome start at zero.

    Parameters
    ----------
    flat : (M, P) tensor
        Changed in place.
    rows : sequence of (n,) int arrays
        Training rows of every member.

    Returns
    -------
    Scales
        With the spread of the outcome around its level.
    """
    import torch

    if "level.weight" not in network.layout.blocks or network.family not in STANDARDISED:
        return scales
    assert store.y is not None
    level, spread = network.layout.unpack(flat)["level.weight"], scales.y_spread.clone()
    for member, own in enumerate(rows):
        index = torch.as_tensor(own, device=flat.device)
        one = scales.kept(torch.tensor([member], device=flat.device))
        x = store.rows(index[None], one).numeric[0].double()
        y = (store.y[index] - one.y_centre).double()
        weighted = x if store.weight is None else x * store.weight[index].double()[:, None]
        ridge = RIDGE * weighted.square().mean() * len(own) * torch.eye(x.shape[1]).to(x)
        slopes = torch.linalg.solve(weighted.T @ x + ridge, weighted.T @ y)
        left = (y - x @ slopes).std(correction=0)
        if left > LEAST * one.y_spread[0]:
            spread[member] = left
        level[member, :, 0] = slopes / spread[member]
    return replace(scales, y_spread=spread)

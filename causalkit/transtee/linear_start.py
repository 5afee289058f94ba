"""Where the linear part of networks of structured treatments starts: at a ridge regression.

Covariates often move the outcome by far more than treatments do. A network that has to learn both
from nothing is trained on the first, by steps that are too long for the second.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from causalkit.transtee.families import STANDARDISED
from causalkit.typing import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from causalkit.transtee.coding import Coded
    from causalkit.transtee.objective import Network
    from causalkit.transtee.scales import Scales
    from causalkit.transtee.stack import Member

_PENALTIES = np.logspace(-4, 2, 13)
# A share of the outcome's spread: what an outcome that is all but linear leaves is no unit to count
# in.
_LEAST_LEFT = 1e-3


def with_linear_start(
    flat: "Tensor",
    network: "Network",
    scales: "Scales",
    data: "Sequence[Coded]",
    members: "Sequence[Member]",
) -> "Scales":
    """Start the level of every member at a fit to its training rows, in ``flat (M, size)``.

    Returns
    -------
    Scales
        Outcomes are counted in units of what the level leaves of them. Without a linear part, or
        with outcomes that are not standardised, nothing is changed.
    """
    import torch

    if "linear.level" not in network.layout.blocks or network.family not in STANDARDISED:
        return scales
    level = network.layout.unpack(flat)["linear.level"]
    origin, centre, spread = (
        getattr(scales, name).cpu().numpy().astype(np.float64)
        for name in ("origin", "centre", "spread")
    )
    left = scales.y_spread.clone()
    for place, member in enumerate(members):
        one, rows = data[member.data], member.train
        x = (one.covariates.numeric[rows] - origin[place] - centre[place]) / spread[place]
        weight = None if one.weight is None else one.weight[rows]
        found, remains = linear_start(np.nan_to_num(x), one.y[rows], weight)
        left[place] = remains or left[place]
        level[place] = torch.as_tensor(found) / left[place]
    return replace(scales, y_spread=left)


def linear_start(x: Floats, y: Floats, weight: Floats | None) -> tuple[Floats, float]:
    """Slopes ``(p,)`` of y on standardised covariates ``(n, p)``, and the spread that they leave.

    The penalty has the least error of rows that are left out one by one, and what is left is that
    error: residuals of rows that were fitted would be near zero with as many covariates as rows.
    Slopes that leave no less than the mean does are zero.
    """
    from sklearn.linear_model import RidgeCV

    weight = None if weight is None else weight / weight.mean()
    deviation = float(np.sqrt(np.cov(y, aweights=weight, ddof=0)))
    fit = RidgeCV(alphas=len(y) * _PENALTIES).fit(x, y, sample_weight=weight)
    left = float(np.sqrt(-fit.best_score_))
    if not left < deviation:
        return np.zeros(x.shape[1]), deviation
    return fit.coef_, max(left, _LEAST_LEFT * deviation)

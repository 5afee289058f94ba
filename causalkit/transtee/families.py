"""Outcome families: loss on the scale of the network, and back to the user's units."""

from typing import TYPE_CHECKING

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.typing import Floats

if TYPE_CHECKING:
    from torch import Tensor

FAMILIES = ("gaussian", "huber", "bernoulli", "poisson")
STANDARDISED = ("gaussian", "huber")
_RANGES = {"bernoulli": (0.0, 1.0, "between 0 and 1"), "poisson": (0.0, np.inf, "of at least 0")}


def check_outcome(family: str, y: Floats) -> None:
    """Refuse outcomes ``(n,)`` that the family cannot have.

    Raises
    ------
    ArgumentError
        With the first row that has one.
    """
    low, high, words = _RANGES.get(family, (-np.inf, np.inf, ""))
    bad = np.flatnonzero((y < low) | (y > high))
    if bad.size:
        raise ArgumentError(
            f"outcome={family!r} is for outcomes {words}, and {bad.size} rows have others (first: "
            f"row {bad[0]} with {y[bad[0]]:.4g}); use outcome='gaussian' or 'huber'."
        )


def outcome_loss(family: str, out: "Tensor", y: "Tensor") -> "Tensor":
    """Loss of every row; ``y`` is standardised for the families that are.

    Parameters
    ----------
    family : {"gaussian", "huber", "bernoulli", "poisson"}
        Squared error, Huber's loss with bend 1, and the negative log-likelihoods of a logit and of
        a log link without their constants.
    out, y : tensors of one shape
    """
    from torch.nn import functional as F

    if family == "gaussian":
        return (out - y) ** 2
    if family == "huber":
        return F.huber_loss(out, y, reduction="none")
    if family == "bernoulli":
        return F.binary_cross_entropy_with_logits(out, y, reduction="none")
    return out.exp() - y * out


def mean_outcome(family: str, out: "Tensor", centre: "Tensor", spread: "Tensor") -> "Tensor":
    """E[Y | X, A] in the user's units; ``centre`` and ``spread`` broadcast over the output."""
    if family == "bernoulli":
        return out.sigmoid()
    if family == "poisson":
        return out.exp()
    return out * spread + centre

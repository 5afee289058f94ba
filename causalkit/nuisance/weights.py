"""Sampling weights as learners take them."""

from causalkit.typing import Floats


def of_mean_one(weights: Floats) -> Floats:
    """Weights ``(n,)`` with a mean of one over the rows that have any.

    What they add up to says nothing of how many rows there are; penalties take it for that.
    """
    scaled: Floats = weights / weights[weights > 0.0].mean()
    return scaled

"""Average treatment effects with an instrument that may affect the outcome directly."""

from causalkit.iv.estimator import InvalidIV

__all__ = ["InvalidIV"]

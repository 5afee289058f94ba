"""Transformers for treatment effects: binary, multi-arm, continuous, dosage, structured."""

from causalkit.transtee.estimator import TransTEE as TransTEE

__all__ = ["TransTEE"]

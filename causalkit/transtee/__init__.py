"""Transformers for treatment effects: binary, multi-arm, continuous, dosage, structured."""

from causalkit.transtee.estimator import TransTEE as TransTEE
from causalkit.transtee.texts import embed_texts as embed_texts

__all__ = ["TransTEE", "embed_texts"]

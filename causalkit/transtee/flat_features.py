"""Covariates as one table of numbers, for models that know no tokens."""

import numpy as np

from causalkit.transtee.covariates import Covariates
from causalkit.typing import Floats


def means_of(covariates: Covariates) -> Floats:
    """Mean ``(q,)`` of every numeric covariate where it is there; 0 where it never is."""
    there = ~np.isnan(covariates.numeric)
    total = np.where(there, covariates.numeric, 0.0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.maximum(there.sum(axis=0), 1))


def flat_features(
    covariates: Covariates, levels: tuple[int, ...], fill: Floats | None = None
) -> Floats:
    """Covariates ``(n, p)`` for a model of a table.

    Missing numbers are those of ``fill``, by default the means of these rows, levels are
    indicators, sequences their mean step and graphs their mean node.
    """
    fill = means_of(covariates) if fill is None else fill
    numeric = covariates.numeric.astype(np.float64)
    numeric = np.where(np.isnan(numeric), fill, numeric)
    parts = [numeric]
    for column, count in enumerate(levels):
        parts.append((covariates.codes[:, [column]] == np.arange(1, count + 1)).astype(np.float64))
    seen = [*zip(covariates.sequences, covariates.masks, strict=True)]
    if covariates.graphs is not None:
        seen.append((covariates.graphs.nodes, covariates.graphs.mask))
    for steps, mask in seen:
        total = (steps * mask[..., None]).sum(axis=1, dtype=np.float64)
        parts.append(total / mask.sum(axis=1, keepdims=True))
    return np.hstack(parts)

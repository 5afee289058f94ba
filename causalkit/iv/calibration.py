"""Calibrated predictions of quantities that are divided by: ΔV(L), and β(L) = ΔC(L)/ΔV(L).

A flexible learner of ΔV has values near zero by chance alone, and their inverses give the average
effect heavy tails. Held-out data say how much of a prediction's variation is real: the slope of its
best linear predictor (Chernozhukov, Demirer, Duflo & Fernández-Val 2025, Econometrica 93, section
3). Two coefficients cost nothing to first order, and tend to (mean, 1) where the prediction is
right. Where the treatment is constant in one arm, ΔV is one variance, no difference, and stays.
"""

import numpy as np

from causalkit.iv.sample import IVSample
from causalkit.typing import Floats


def calibrated(sample: IVSample, hats: Floats, target: Floats, swing: Floats) -> Floats:
    """Level and slope of out-of-fold predictions, from target = swing·(level + slope·centred hats).

    Parameters
    ----------
    sample : IVSample
        For its weights.
    hats : (n, n_rep) array
        Predictions, of rows that their models did not see.
    target : (n, n_rep) array
        With mean swing·truth given the covariates and the instrument.
    swing : (n, n_rep) array

    Returns
    -------
    (n, n_rep) array
        Level plus slope times the centred predictions, with a slope in [0, 1].
    """
    centred = hats - sample.mean(hats)
    moved = swing * centred

    def moment(left: Floats, right: Floats) -> Floats:
        return sample.mean(left * right)

    square, cross, spread = moment(swing, swing), moment(swing, moved), moment(moved, moved)
    level, tilt = moment(swing, target), moment(moved, target)
    determinant = square * spread - cross**2
    flat = determinant <= 1e-12 * square * np.maximum(spread, 1e-300)
    slope = np.where(flat, 0.0, (square * tilt - cross * level) / np.where(flat, 1.0, determinant))
    slope = np.clip(slope, 0.0, 1.0)
    return np.asarray((level - slope * cross) / np.maximum(square, 1e-300) + slope * centred)

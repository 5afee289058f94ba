"""Normalised doubly robust averages in closed form, and influence as what a row's weight does."""

import numpy as np


def mean_outcome(y, received, mu, chance, weight):
    """Mean of μ, plus the mean of residuals of an arm by inverse propensities."""
    return np.average(mu, weights=weight) + np.average(y - mu, weights=weight * received / chance)


def effect_among(y, own, other, mu, ratio, weight):
    """Effect among those of one arm: their residuals on μ of the other, less that arm's."""
    left = y - mu
    return np.average(left, weights=weight * own) - np.average(left, weights=weight * other * ratio)


def influence(estimate, weight, step=1e-5):
    """n dθ/dw_i for weights of mean one: what sums to the error of θ at first order."""
    share = weight / weight.mean()
    moves = step * np.eye(weight.size)
    slopes = [(estimate(share + move) - estimate(share - move)) / (2 * step) for move in moves]
    return weight.size * share * np.array(slopes)

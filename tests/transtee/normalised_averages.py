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


def left_out(estimate, weight, codes):
    """By how much an estimate exceeds that without a cluster ``(G,)``, nuisances as they are."""
    without = [estimate(np.where(codes == code, 0.0, weight)) for code in range(codes.max() + 1)]
    return estimate(weight) - np.array(without)

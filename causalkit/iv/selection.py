r"""Selective machine learning: which candidate for each nuisance, judged by the estimate itself.

Multiple robustness says that if the members of a sufficient set M are right, exchanging the other
nuisances leaves the functional where it is. So a combination of candidates is judged by how far the
estimate moves when all nuisances outside M run through their candidates, for each of

    M1 = {π, μ},  M2 = {π, βρ, ω},  M3 = {βρ, μ},  M4 = {βρ, ω}.

With θ_s(k) the estimate of combination k on split s, the pseudo-risk of k for M is

    max over k' that agree with k on M of  mean_s (θ_s(k') − θ_s(k))²;

``"minimax"`` takes the worst M, ``"mixed-minimax"`` the sum over M (Cui & Tchetgen Tchetgen 2019,
for doubly robust functionals; that these two extend to four sets in this way is our reading). What
sampling noise adds to a squared change is subtracted: the variance of the change over blocks.

Candidates are fitted once per fold. The influence function is a sum of products of functions of
few nuisances, so that all combinations come from a few matrix products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from causalkit.typing import Bools, Floats, Ints

AXES = ("instrument", "treatment", "outcome", "effect")
# Sets whose being right makes the estimate right, by axis: π, μ, ω, (β, ρ).
SUFFICIENT: dict[str, tuple[int, ...]] = {"M1": (0, 1), "M2": (0, 2, 3), "M3": (1, 3), "M4": (2, 3)}
N_BLOCKS = 50
_CHUNK = 4096  # rows at once: their products stay in cache

Criterion = Literal["minimax", "mixed-minimax"]
CRITERIA = get_args(Criterion)
Choice = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Out-of-fold predictions of all candidates in one repeat, ``(K, n)`` by nuisance.

    Attributes
    ----------
    pi : instrument candidates: P(Z = 1 | L), inside (0, 1)
    mu, delta_v : treatment candidates: E[A | Z, L] and ΔV(L), not zero
    eta, exposure : outcome candidates: E[Y | Z, L] and E[A | Z, L] by the same learner, so that
        ω = η − β · exposure whatever β
    beta, rho : effect candidates
    """

    pi: Floats
    mu: Floats
    delta_v: Floats
    eta: Floats
    exposure: Floats
    beta: Floats
    rho: Floats

    @property
    def shape(self) -> Choice:
        """Number of candidates of each nuisance."""
        return len(self.pi), len(self.mu), len(self.eta), len(self.beta)


def block_sums(
    y: Floats,
    a: Floats,
    z: Floats,
    hats: Predictions,
    *,
    block: Ints,
    n_blocks: int,
    weights: Floats | None = None,
    kept: Bools | None = None,
) -> Floats:
    """Contribution of each block of rows to the estimate of every combination.

    Parameters
    ----------
    y, a, z : (n,) arrays
    hats : Predictions
    block : (n,) int array
        0..n_blocks − 1.
    n_blocks : int
    weights : (n,) array, optional
    kept : (n,) bool array, optional
        Rows averaged over.

    Returns
    -------
    (n_blocks, K_π, K_μ, K_ω, K_β) array
        Their sum over blocks is the estimate.
    """
    w = np.ones(y.size) if weights is None else weights
    if kept is not None:
        w = np.where(kept, w, 0.0)
    total = np.zeros((n_blocks, *hats.shape))
    order = np.argsort(block, kind="stable")
    bounds = np.searchsorted(block[order], np.arange(n_blocks + 1))
    for index in range(n_blocks):
        for start in range(bounds[index], bounds[index + 1], _CHUNK):
            rows = order[start : min(start + _CHUNK, bounds[index + 1])]
            total[index] += _sums(y[rows], a[rows], z[rows], w[rows], hats, rows)
    return np.asarray(total / w.sum())


def block_weights(
    block: Ints, *, n_blocks: int, weights: Floats | None = None, kept: Bools | None = None
) -> Floats:
    """Weight of the rows averaged over in each block, ``(n_blocks,)`` with mean one."""
    w = np.ones(block.size) if weights is None else weights
    total = np.bincount(block, w if kept is None else np.where(kept, w, 0.0), n_blocks)
    return np.asarray(total / total.mean())


def _sums(y: Floats, a: Floats, z: Floats, w: Floats, hats: Predictions, rows: Ints) -> Floats:
    """Weighted sums of the influence function over some rows, for every combination."""
    n_pi, n_mu, n_omega, n_beta = hats.shape
    received = np.where(z == 1.0, hats.pi[:, rows], 1.0 - hats.pi[:, rows])
    turn = (w * (2.0 * z - 1.0) / received)[:, None] / hats.delta_v[None, :, rows]
    moved = (turn * (a - hats.mu[:, rows])).reshape(n_pi * n_mu, -1)
    turn = turn.reshape(n_pi * n_mu, -1)
    beta, rho = hats.beta[:, rows], hats.rho[:, rows]
    by_outcome = moved @ (y - hats.eta[:, rows]).T
    exposed = (beta[None] * (a - hats.exposure[:, rows])[:, None]).reshape(n_omega * n_beta, -1)
    by_effect = (moved @ exposed.T).reshape(n_pi, n_mu, n_omega, n_beta)
    by_rho = (turn @ rho.T).reshape(n_pi, n_mu, 1, n_beta)
    by_outcome = by_outcome.reshape(n_pi, n_mu, n_omega, 1)
    return np.asarray(beta @ w + by_outcome - by_effect - by_rho)


@dataclass(frozen=True, slots=True)
class PseudoRisks:
    """Pseudo-risk of every combination, ``(K_π, K_μ, K_ω, K_β)`` by sufficient set.

    Attributes
    ----------
    raw : mapping of set to array
        Largest mean squared change over the splits of all repeats.
    corrected : mapping of set to array
        Less what sampling noise adds; at least zero.
    """

    raw: dict[str, Floats]
    corrected: dict[str, Floats]

    def criterion(self, name: Criterion, *, raw: bool = False) -> Floats:
        """Worst set, or sum over sets."""
        stacked = np.stack(list((self.raw if raw else self.corrected).values()))
        return np.asarray(stacked.max(axis=0) if name == "minimax" else stacked.sum(axis=0))


@dataclass(frozen=True, slots=True)
class Contributions:
    """Parts of the estimate of every combination that come from folds and from blocks of rows.

    Attributes
    ----------
    by_fold : tuple over repeats of (n_folds, K_π, K_μ, K_ω, K_β) arrays
        Estimates of the folds: their mean is the estimate of the repeat.
    by_block : (n_blocks, K_π, K_μ, K_ω, K_β) array
        Over all folds, averaged over repeats; the blocks are the same in every repeat, and the
        mean over them is the estimate.
    block_weight : (n_blocks,) array or None
        Weight of the rows of each block, with mean one; None where blocks weigh the same.
    """

    by_fold: tuple[Floats, ...]
    by_block: Floats
    block_weight: Floats | None = None

    @property
    def estimates(self) -> Floats:
        """Estimate of every combination."""
        return np.asarray(self.by_block.mean(axis=0))


def pseudo_risks(parts: Contributions) -> PseudoRisks:
    """Pseudo-risks: raw ones from the folds of all repeats; corrected ones from blocks."""
    raw, corrected = {}, {}
    splits = np.concatenate(parts.by_fold)
    for name, members in SUFFICIENT.items():
        raw[name] = _raw(splits, members)
        corrected[name] = _corrected(parts.by_block, members, parts.block_weight)
    return PseudoRisks(raw, corrected)


def _raw(by_fold: Floats, members: tuple[int, ...]) -> Floats:
    """Largest mean squared change over the folds, within the class of each combination."""
    classes, back = _classes(by_fold, members)
    return back(_square_changes(classes).max(axis=2) / len(by_fold))


def _corrected(
    by_block: Floats, members: tuple[int, ...], block_weight: Floats | None = None
) -> Floats:
    """Largest squared change of the estimate less the variance of the change; at least zero."""
    classes, back = _classes(by_block, members)
    n_blocks = len(by_block)
    mean = classes.mean(axis=2, keepdims=True)
    share = 1.0 if block_weight is None else block_weight
    noise = _square_changes(classes - mean * share) / (n_blocks * (n_blocks - 1))
    return back(np.maximum((_square_changes(mean) - noise).max(axis=2), 0.0))


def _classes(values: Floats, members: tuple[int, ...]) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Combinations by class, ``(n_classes, n_members, S)``, and the way back to their axes.

    A class holds the combinations that agree on the members of a sufficient set.
    """
    shape = values.shape[1:]
    order = [*members, *(axis for axis in range(4) if axis not in members)]
    n_classes = int(np.prod([shape[axis] for axis in members]))
    moved = np.moveaxis(values, [1 + axis for axis in order], range(1, 5))
    classes = moved.reshape(len(values), n_classes, -1).transpose(1, 2, 0)

    def back(found: Floats) -> Floats:
        wide = found.reshape([shape[axis] for axis in order])
        return np.asarray(wide.transpose([order.index(axis) for axis in range(4)]))

    # Around the first member of each class, so that squares do not drown the changes.
    return classes - classes[:, :1], back


def _square_changes(classes: Floats) -> Floats:
    """Sum over the last axis of squared differences between all members of each class."""
    squares = np.einsum("fvs,fvs->fv", classes, classes)
    cross = classes @ classes.transpose(0, 2, 1)
    changes: Floats = np.maximum(squares[:, :, None] + squares[:, None, :] - 2.0 * cross, 0.0)
    return changes


def choose(risks: PseudoRisks, criterion: Criterion) -> Choice:
    """Combination with the smallest corrected criterion; ties go to the smaller raw one."""
    best = risks.criterion(criterion)
    ties = best <= best.min() + 1e-12 * max(float(best.max()), 1e-300)
    raw = np.where(ties, risks.criterion(criterion, raw=True), np.inf)
    chosen = np.unravel_index(int(np.argmin(raw)), raw.shape)
    return tuple(int(index) for index in chosen)  # type: ignore[return-value]


def soft_weights(risks: PseudoRisks, criterion: Criterion, variance: float) -> Floats:
    """Weights of all combinations that fall with the pseudo-risk in units of the variance."""
    risk = risks.criterion(criterion)
    weights = np.exp(-(risk - risk.min()) / (2.0 * max(variance, 1e-300)))
    return np.asarray(weights / weights.sum())


def smoothed(
    by_block: Floats, criterion: Criterion, block_weight: Floats | None = None
) -> tuple[float, Floats]:
    """Soft-min estimate over all combinations, and its weights.

    The weight of a combination falls with its pseudo-risk in units of the estimates' variance.
    """
    share = np.ones(len(by_block)) if block_weight is None else block_weight
    risks = PseudoRisks(
        {}, {name: _corrected(by_block, members, share) for name, members in SUFFICIENT.items()}
    )
    estimates = by_block.mean(axis=0)
    # An estimate is a ratio of sums: a block's size alone, at the same effect, is no noise.
    left = by_block - np.multiply.outer(share, estimates)
    spread = (left**2).sum(axis=0) / (len(by_block) * (len(by_block) - 1))
    weights = soft_weights(risks, criterion, float(np.median(spread)))
    return float((weights * estimates).sum()), weights


def smoothed_variance(
    by_block: Floats,
    criterion: Criterion,
    *,
    rng: np.random.Generator,
    block_weight: Floats | None = None,
    n_boot: int = 200,
) -> float:
    """Variance of the soft-min estimate by a multiplier bootstrap of the whole selection.

    Every draw gives each block an exponential weight with mean one, divides by the weight that
    rows then have, and selects anew.
    """
    share = np.ones(len(by_block)) if block_weight is None else block_weight
    draws = np.empty(n_boot)
    for draw in range(n_boot):
        weight = rng.exponential(size=len(by_block))
        weight /= (weight * share).mean()
        moved = by_block * weight[:, None, None, None, None]
        draws[draw] = smoothed(moved, criterion, weight * share)[0]
    return float(draws.var(ddof=1))


def random_blocks(groups: Ints, *, rng: np.random.Generator) -> Ints:
    """Block of each row, at random but with the rows of a group together.

    Parameters
    ----------
    groups : (n,) int array
        Cluster of each row, or the row itself, from 0.
    rng : Generator
    """
    n_groups = int(groups.max()) + 1
    return np.asarray((rng.permutation(n_groups) % min(N_BLOCKS, n_groups))[groups])

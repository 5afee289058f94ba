"""Networks that TransTEE is compared with: TARNet, Dragonnet, DRNet and VCNet, in stacks.

All have a feed-forward representation r(x), and heads. They differ in how an action chooses the
weights of a head: by arm (TARNet, Dragonnet), by arm and stratum of the dose (DRNet), or by arm and
smoothly in the dose (VCNet). Shapes: M members, B rows, G actions, K heads, d width.

References
----------
Shalit, Johansson & Sontag (2017), ICML, figure 1 (TARNet). Shi, Blei & Veitch (2019), NeurIPS,
equations 2.2 and 3.2 (Dragonnet). Schwab et al. (2020), AAAI, figure 1 (DRNet). Nie, Ye, Liu &
Nicolae (2021), ICLR, section 3 (VCNet).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.dose_tokens import takes_dose
from causalkit.transtee.families import outcome_loss
from causalkit.transtee.layout import apply_linear
from causalkit.transtee.networks import (
    Actions,
    Drop,
    Memory,
    Params,
    Rows,
    dropped,
    wide_columns,
)
from causalkit.transtee.shapes import NetShape

if TYPE_CHECKING:
    from torch import Tensor

LEAST_PROPENSITY = 0.01
_LEAST_HEIGHT = 1e-12


def encode(p: Params, shape: NetShape, rows: Rows, *, drop: Drop | None = None) -> Memory:
    """Representation of a batch of rows, as a memory of one token."""
    import torch

    parts = [wide_columns(shape.table, rows)]
    seen = [*zip(rows.sequences, rows.masks, strict=True)]
    if rows.graph is not None:
        seen.append((rows.graph.nodes, rows.graph.mask))
    for steps, mask in seen:
        weight = mask[..., None].to(steps.dtype)
        parts.append((steps * weight).sum(dim=2) / weight.sum(dim=2).clamp(min=1.0))
    r = torch.cat(parts, dim=-1)
    baseline = _of(shape)
    for layer in range(baseline.n_layers):
        r = dropped(_bend(baseline)(apply_linear(p, f"body{layer}", r)), drop)
    return Memory(r[:, :, None])


def decode(
    p: Params, shape: NetShape, memory: Memory, actions: Actions, *, drop: Drop | None = None
) -> "Tensor":
    """Output ``(M, B, G)`` of every row under every action, on the scale of the network."""
    baseline = _of(shape)
    assert actions.arms is not None
    arms = actions.arms[..., 0]
    doses = None
    if any(shape.actions.dosed) and actions.doses is not None:
        doses = actions.doses[..., 0]
    r = memory.tokens[:, :, 0]
    if baseline.name == "vcnet" and doses is not None:
        out = _varying_heads(p, baseline, r, doses, drop)
    else:
        out = _heads(p, baseline, r, doses, drop)
    chosen = arms
    if doses is not None and baseline.n_strata > 1:
        chosen = arms * baseline.n_strata + stratum(doses, baseline.n_strata)
    # One action may be asked of all rows, and heads without a dose answer all actions at once.
    n_rows, n_actions = max(out.shape[2], chosen.shape[1]), chosen.shape[2]
    out = out.expand(-1, -1, n_rows, n_actions)
    return out.gather(1, chosen.expand(-1, n_rows, -1)[:, None])[:, 0]


def own_loss(
    p: Params,
    shape: NetShape,
    memory: Memory,
    actions: Actions,
    out: "Tensor",
    y: "Tensor",
    family: str,
) -> "Tensor":
    """Training loss ``(M, B)`` beside that of the outcome.

    Parameters
    ----------
    actions : Actions
        As received, G = 1.
    out, y : (M, B) tensors
        Output under what was received, and the outcome, on the scale of the network.
    """
    import torch

    baseline = _of(shape)
    assert actions.arms is not None
    r, arms = memory.tokens[:, :, 0].float(), actions.arms[:, :, 0, 0]
    if baseline.name == "dragonnet":
        return _dragonnet_loss(p, baseline, r, arms, out, y, family)
    if baseline.name == "vcnet" and actions.doses is not None:
        logits = apply_linear(p, "density", r)
        logits = logits.view(*logits.shape[:2], -1, baseline.n_cells + 1)
        index = arms[..., None, None].expand(*arms.shape, 1, baseline.n_cells + 1)
        own = logits.gather(2, index)[:, :, 0]
        loss = -baseline.treatment_weight * log_density(own, actions.doses[:, :, 0, 0])
        return torch.where(takes_dose(shape.actions, arms), loss, 0.0)
    return out.new_zeros(out.shape)


def _dragonnet_loss(
    p: Params,
    baseline: Baseline,
    r: "Tensor",
    arms: "Tensor",
    out: "Tensor",
    y: "Tensor",
    family: str,
) -> "Tensor":
    """α times the cross-entropy of the arm, plus β times the loss of the tilted outcome.

    The tilt is ε h with h = t/g − (1 − t)/(1 − g); its score in ε is the efficient influence
    function of the average effect. Shi, Blei & Veitch (2019), equations 2.2 and 3.2; g is kept
    within [0.01, 0.99].
    """
    logits = apply_linear(p, "propensity", r)
    log_share = logits.log_softmax(dim=-1).gather(2, arms[..., None])[..., 0]
    received = log_share.exp().clamp(LEAST_PROPENSITY, 1.0 - LEAST_PROPENSITY)
    tilt = p["targeted"] * (2.0 * arms - 1.0) / received
    targeted = baseline.targeted_weight * outcome_loss(family, out + tilt, y)
    return targeted - baseline.treatment_weight * log_share


def _heads(
    p: Params, baseline: Baseline, r: "Tensor", doses: "Tensor | None", drop: Drop | None
) -> "Tensor":
    """Outputs ``(M, K, B, G)`` of all heads; G is 1 without doses, which are inputs here."""
    hidden = r[:, None, :, None]
    for layer in range(baseline.n_head_layers + 1):
        hidden = _every_head(p, f"head{layer}", hidden)
        if doses is not None and f"head{layer}.dose" in p:
            hidden = hidden + doses[:, None, ..., None] * p[f"head{layer}.dose"][:, :, None, None]
        if layer < baseline.n_head_layers:
            hidden = _dropped_rows(_bend(baseline)(hidden), drop)
    return hidden[..., 0]


def _varying_heads(
    p: Params, baseline: Baseline, r: "Tensor", doses: "Tensor", drop: Drop | None
) -> "Tensor":
    """Outputs ``(M, K, B, G)`` of heads with weights Σ_l a_l φ_l(dose)."""
    basis = power_basis(doses, baseline.degree, baseline.n_knots)[:, None]
    hidden = r[:, None, :, None]
    for layer in range(baseline.n_head_layers + 1):
        parts = _every_head(p, f"head{layer}", hidden)
        parts = parts.view(*parts.shape[:-1], baseline.n_basis, -1)
        if parts.shape[3] == 1:
            # One product for all doses of a row: the layer below does not know the dose.
            hidden = basis @ parts[:, :, :, 0]
        else:
            hidden = (basis[..., None, :] @ parts)[..., 0, :]
        if layer < baseline.n_head_layers:
            hidden = _dropped_rows(_bend(baseline)(hidden), drop)
    return hidden[..., 0]


def _every_head(p: Params, name: str, x: "Tensor") -> "Tensor":
    """Linear map of ``(M, K or 1, B, G, n_in)`` by the weights of every head."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    flat = x.reshape(*x.shape[:2], -1, x.shape[-1]) @ weight + bias[:, :, None]
    return flat.view(*flat.shape[:2], *x.shape[2:4], -1)


def power_basis(doses: "Tensor", degree: int, n_knots: int) -> "Tensor":
    """Truncated powers 1, t, …, t^p, (t − κ₁)₊^p, …, on a last axis; knots at j/(n + 1).

    Nie et al. (2021), section 3.1, with degree 2 and knots 1/3 and 2/3.
    """
    import torch

    plain = [doses**power for power in range(degree + 1)]
    bent = [(doses - k / (n_knots + 1)).clamp(min=0.0) ** degree for k in range(1, n_knots + 1)]
    return torch.stack([*plain, *bent], dim=-1)


def stratum(doses: "Tensor", n_strata: int) -> "Tensor":
    """Part of [0, 1] that a dose lies in; doses beyond it belong to the outermost."""
    return (doses * n_strata).floor().clamp(0, n_strata - 1).long()


def log_density(logits: "Tensor", doses: "Tensor") -> "Tensor":
    """Log of a density on [0, 1] that is linear between the points of a grid.

    Parameters
    ----------
    logits : (..., C + 1) tensor
        Logarithms of its heights at j/C, up to a constant.
    doses : (...) tensor

    References
    ----------
    Nie et al. (2021), section 3.1; heights are scaled so that the area is one exactly.
    """
    n_cells = logits.shape[-1] - 1
    heights = logits.softmax(dim=-1)
    area = (1.0 - 0.5 * (heights[..., 0] + heights[..., -1])) / n_cells
    place = doses.clamp(0.0, 1.0) * n_cells
    left = place.floor().clamp(max=n_cells - 1)
    index = left.long()[..., None]
    low, high = heights.gather(-1, index)[..., 0], heights.gather(-1, index + 1)[..., 0]
    height = low + (place - left) * (high - low)
    return height.clamp(min=_LEAST_HEIGHT).log() - area.clamp(min=_LEAST_HEIGHT).log()


def _of(shape: NetShape) -> Baseline:
    assert shape.baseline is not None
    return shape.baseline


def _bend(baseline: Baseline) -> "Callable[[Tensor], Tensor]":
    """ReLU in VCNet, ELU elsewhere, as in the papers."""
    from torch.nn.functional import elu, relu

    return relu if baseline.name == "vcnet" else elu


def _dropped_rows(x: "Tensor", drop: Drop | None) -> "Tensor":
    """Dropout of ``(M, K, B, ...)``; it takes the second axis for rows."""
    return x if drop is None else drop(x.transpose(1, 2)).transpose(1, 2)

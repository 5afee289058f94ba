"""Treatment models that the representation is trained against: TR and PTR.

``min_θ max_φ L_y(θ) − λ L_π(θ, φ)``: a model φ predicts the treatment from the mean encoder token
r, and the network is pushed to make it fail. TR predicts a point, PTR a density. Zhang et al.
(2022), section on treatment regularisation; r from the encoder's output, the ramp, the clipped
gradient and how φ is fitted (:mod:`causalkit.transtee.adversary`) are ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalkit.transtee.dose_tokens import takes_dose
from causalkit.transtee.layout import Layout, Parameter
from causalkit.transtee.networks import Actions
from causalkit.transtee.shapes import ActionShape

if TYPE_CHECKING:
    from torch import Tensor

DENSITIES = ("gaussian", "mixture", "beta")
REGULARIZERS = (None, "tr", "ptr")
HIDDEN = 50
N_MIXED = 5
LEAST_SD = 1e-3
MOST_CONCENTRATED = 10.0  # logarithm
UNIFORM_VARIANCE = 1.0 / 12.0
RAMP = 0.2
JUDGED = 0.9
_PARTS = 2**40  # of a weight of one


@dataclass(frozen=True, slots=True)
class TreatmentModel:
    """From r and 50 hidden units to what describes the treatment, by a linear map.

    Attributes
    ----------
    actions : ActionShape
    width : int
        Of r.
    kind : {"tr", "ptr"}
    density : {"gaussian", "mixture", "beta"}
        Of a dose, for PTR.
    """

    actions: ActionShape
    width: int
    kind: str
    density: str = "gaussian"

    @property
    def n_dose(self) -> int:
        """Outputs that describe one dose."""
        if self.kind == "tr":
            return 1
        return {"gaussian": 2, "mixture": 3 * N_MIXED, "beta": 2}[self.density]

    @property
    def n_classes(self) -> int:
        """Arms, and "nothing"."""
        return self.actions.n_arms + 1

    @property
    def layout(self) -> Layout:
        """Scales of r, hidden units, and a map to classes of every slot and doses of every arm."""
        out = self.actions.n_slots * self.n_classes * (1 + self.n_dose)
        return Layout(
            {
                "centre": Parameter((self.width,)),
                "spread": Parameter((self.width,), scale=1.0),
                "hidden.weight": Parameter(
                    (self.width, HIDDEN), "normal", 1.0 / math.sqrt(self.width)
                ),
                "hidden.bias": Parameter((HIDDEN,), "normal", 1.0),
                "out.weight": Parameter((1 + self.width + HIDDEN, out)),
            }
        )

    def features(self, phi: "Mapping[str, Tensor]", r: "Tensor") -> "Tensor":
        """One, r on its scales and the hidden units, ``(M, B, 1 + d + 50)``."""
        import torch

        from causalkit.transtee.products import member_products

        z = (r - phi["centre"][:, None]) / phi["spread"][:, None]
        hidden = member_products(z, phi["hidden.weight"], phi["hidden.bias"]).relu()
        return torch.cat([torch.ones_like(z[..., :1]), z, hidden], dim=-1)

    def loss(self, phi: "Mapping[str, Tensor]", r: "Tensor", actions: Actions) -> "Tensor":
        """L_π of every row ``(M, B)``, from representations ``(M, B, d)``."""
        from causalkit.transtee.products import member_products

        out = member_products(self.features(phi, r), phi["out.weight"])
        return self.loss_of(out, actions)

    def loss_of(self, out: "Tensor", actions: Actions) -> "Tensor":
        """Cross-entropy of arms, plus the loss of doses given arms, ``(M, B)``.

        Parameters
        ----------
        out : (M, B, k) tensor
            Outputs of the linear map.
        actions : Actions
            As received, G = 1.
        """
        import torch
        from torch.nn.functional import cross_entropy

        assert actions.arms is not None
        arms = actions.arms[:, :, 0]
        slots = self.actions.n_slots
        out = out.view(*out.shape[:2], slots, self.n_classes, 1 + self.n_dose)
        total = out.new_zeros(out.shape[:2])
        # A dose alone is always there; an arm alone, beside a structured treatment, need not be.
        if slots > 1 or self.actions.dosed != (True,):
            flat = cross_entropy(
                out[..., 0].reshape(-1, self.n_classes), arms.reshape(-1), reduction="none"
            )
            total = total + flat.view(arms.shape).sum(dim=-1)
        if any(self.actions.dosed) and actions.doses is not None:
            dosed = takes_dose(self.actions, arms)
            index = arms[..., None, None].expand(*arms.shape, 1, 1 + self.n_dose)
            about = out.gather(3, index)[..., 0, 1:]
            each = dose_loss(self.kind, self.density, about, actions.doses[:, :, 0])
            total = total + torch.where(dosed, each, 0.0).sum(dim=-1)
        return total


def dose_loss(kind: str, density: str, about: "Tensor", dose: "Tensor") -> "Tensor":
    """Loss of doses of any shape; ``about`` has one more axis, of what describes them.

    TR: (t − m)² in units of the variance of a uniform dose, beside an outcome loss of order one.
    Gaussian: (t − m)²/(2 s²) + log s, which is −log N(t; m, s²) less ½ log 2π.
    """
    import torch
    from torch.nn.functional import softplus

    if kind == "tr":
        return (dose - about[..., 0]) ** 2 / UNIFORM_VARIANCE
    if density == "gaussian":
        sd = softplus(about[..., 1]) + LEAST_SD
        return (dose - about[..., 0]) ** 2 / (2.0 * sd**2) + sd.log()
    if density == "mixture":
        share, mean, raw = about.view(*about.shape[:-1], 3, N_MIXED).unbind(-2)
        sd = softplus(raw) + LEAST_SD
        log_density = -((dose[..., None] - mean) ** 2) / (2.0 * sd**2) - sd.log()
        return -torch.logsumexp(share.log_softmax(dim=-1) + log_density, dim=-1)
    # By mean and concentration, which are learned apart; the two exponents are not.
    mean, size = about[..., 0].sigmoid(), about[..., 1].clamp(max=MOST_CONCENTRATED).exp()
    alpha, beta = mean * size + LEAST_SD, (1.0 - mean) * size + LEAST_SD
    inside = dose.clamp(1e-4, 1.0 - 1e-4)
    norm = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
    return norm - (alpha - 1.0) * inside.log() - (beta - 1.0) * (1.0 - inside).log()


def hsic(left: "Tensor", right: "Tensor", weight: "Tensor") -> "Tensor":
    """Normalised Hilbert–Schmidt criterion ``(M,)`` of ``(M, B, d)`` and ``(M, B, e)``.

    Gaussian kernels with the median squared distance for bandwidth; 0 if independent, at most 1.
    Means, median and sums count rows by their weights ``(M, B)``, which sum to one.
    Gretton, Bousquet, Smola & Schölkopf (2005), ALT.
    """
    pairs = weight[:, :, None] * weight[:, None]
    kernels = [_centred_kernel(values, weight, pairs) for values in (left, right)]
    product = (pairs * kernels[0] * kernels[1]).sum(dim=(1, 2))
    sizes = [(pairs * kernel**2).sum(dim=(1, 2)).clamp(min=1e-12) for kernel in kernels]
    return product / (sizes[0] * sizes[1]).sqrt()


def _centred_kernel(values: "Tensor", weight: "Tensor", pairs: "Tensor") -> "Tensor":
    import torch

    square = torch.cdist(values, values) ** 2
    # By sorting: a median by rows has no deterministic kernel on a GPU.
    ordered, order = square.detach().flatten(1).sort(dim=1)
    # In whole numbers sums are exact, and deterministic on a GPU as well.
    parts = (pairs * _PARTS).round().long().flatten(1).gather(1, order).cumsum(dim=1)
    half = (2 * parts < parts[:, -1:]).sum(dim=1, keepdim=True)
    middle = ordered.gather(1, half).clamp(min=1e-12)
    kernel = (-square / (2.0 * middle[:, :, None])).exp()
    kernel = kernel - (weight[:, :, None] * kernel).sum(dim=1, keepdim=True)
    return kernel - (weight[:, None] * kernel).sum(dim=2, keepdim=True)


def ramp(progress: float) -> float:
    """Share of λ in force: from 0 to 1 over the first fifth of all steps."""
    return min(1.0, progress / RAMP)


def first_judged(max_epochs: int) -> int:
    """First epoch among which the best is chosen.

    Network and treatment model go round each other until the learning rate is small; what an
    earlier epoch has forgotten the next may remember.
    """
    return min(math.ceil(JUDGED * max_epochs), max_epochs - 1)

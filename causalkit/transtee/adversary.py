"""The treatment models that networks are trained against, each the best reply to its network.

A model that follows by gradients lags behind: the network hides the treatment where the model has
not looked yet, brings it back when it does, and forgets nothing. So the hidden layer is random and
fixed, and the output layer is fitted anew for every batch, by damped Newton steps on what the
network made of the last few batches. Zhang et al. (2022) take gradient steps for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from causalkit.rng import seed_of
from causalkit.transtee.regulariser import TreatmentModel
from causalkit.transtee.settings import Settings
from causalkit.transtee.shapes import NetShape

if TYPE_CHECKING:
    from torch import Tensor

    from causalkit.transtee.networks import Actions
    from causalkit.transtee.stack import Member

N_BATCHES = 4
RIDGE = 0.03
_LEAST_CURVATURE = 1e-3
_LEAST_RIDGE = 1e-6


@dataclass(slots=True)
class Adversary:
    """The treatment models of all members, of which some still train.

    Attributes
    ----------
    model : TreatmentModel
    flat : (M, P) tensor
        Changed in place.
    seen : (M, K B, d) tensor
        Representations of the last K batches of B rows, changed in place.
    rows : (M, K B) integer tensor
        Whose they are, likewise.
    weight : float
        λ.
    steps : int
        Newton steps per batch.
    places : (A,) integer tensor
        Members that train.
    n_batches : int
        Batches seen so far.
    """

    model: TreatmentModel
    flat: "Tensor"
    seen: "Tensor"
    rows: "Tensor"
    weight: float
    steps: int
    places: "Tensor"
    n_batches: int = 0

    @classmethod
    def of(
        cls, model: TreatmentModel, flat: "Tensor", *, batch: int, weight: float, steps: int
    ) -> "Adversary":
        """Treatment models that have seen nothing."""
        import torch

        m, device = len(flat), flat.device
        return cls(
            model,
            flat,
            torch.zeros(m, N_BATCHES * batch, model.width, dtype=torch.float32, device=device),
            torch.zeros(m, N_BATCHES * batch, dtype=torch.int64, device=device),
            weight,
            steps,
            torch.arange(m, device=device),
        )

    def kept(self, members: "Tensor") -> "Adversary":
        """Of some of the members that train."""
        return replace(self, places=self.places[members])

    def parameters(self) -> "dict[str, Tensor]":
        """Blocks of the members that train."""
        return self.model.layout.unpack(self.flat[self.places])

    def remember(self, r: "Tensor", rows: "Tensor") -> "tuple[Tensor, Tensor]":
        """Put a batch in the place of the oldest.

        Parameters
        ----------
        r : (A, B, d) tensor
        rows : (A, B) integer tensor

        Returns
        -------
        representations, rows : tensors ``(A, k B, ...)`` of the k batches that are kept
        """
        size = r.shape[1]
        start = self.n_batches % N_BATCHES * size
        # What a diverged network said is forgotten when training goes back, but not from here.
        self.seen[self.places, start : start + size] = r.float().nan_to_num(0.0, 0.0, 0.0)
        self.rows[self.places, start : start + size] = rows
        self.n_batches += 1
        held = min(self.n_batches, N_BATCHES) * size
        return self.seen[self.places, :held], self.rows[self.places, :held]

    def learn(self, r: "Tensor", actions: "Actions", weight: "Tensor") -> None:
        """Fit the output layers to rows ``(A, n)``, from where they are.

        Every step divides by the products of the features and by the mean square of the derivative
        of each output, which is its curvature where the loss is a negative logarithm of a density;
        a step that does not lessen the penalised loss is cut to a quarter.

        Parameters
        ----------
        r : (A, n, d) tensor
        actions : Actions
        weight : (A, n) tensor
            Summing to one for each member.
        """
        import torch

        from causalkit.transtee.products import member_inverses, member_products

        phi = self.parameters()
        phi["centre"], phi["spread"] = r.mean(dim=1), r.std(dim=1) + 1e-6
        features = self.model.features(phi, r)
        across = features.transpose(1, 2).contiguous()
        ridge = features.new_full((features.shape[2], 1), RIDGE)
        ridge[0] = 0.0
        gram = member_products(across * weight[:, None], features)
        inverse = member_inverses(gram + torch.diag(ridge[:, 0] + _LEAST_RIDGE))
        out = phi["out.weight"]
        loss, slope = self._slope(member_products(features, out), actions, weight)
        size = torch.ones_like(loss)
        for _ in range(self.steps):
            curvature = (slope**2 / weight[..., None].clamp(min=1e-12)).sum(dim=1, keepdim=True)
            curvature = curvature.clamp(min=_LEAST_CURVATURE)
            fall = member_products(across, slope) / curvature + ridge * out
            tried = out - size[:, None, None] * member_products(inverse, fall)
            new_loss, new_slope = self._slope(member_products(features, tried), actions, weight)
            paid, new_paid = (
                0.5 * (ridge * curvature * one**2).sum(dim=(1, 2)) for one in (out, tried)
            )
            better = new_loss + new_paid < loss + paid
            pick = better[:, None, None]
            out, slope = torch.where(pick, tried, out), torch.where(pick, new_slope, slope)
            loss = torch.where(better, new_loss, loss)
            size = torch.where(better, (2.0 * size).clamp(max=1.0), 0.25 * size)
        phi["out.weight"] = out
        self.flat[self.places] = self.model.layout.pack(phi)

    def _slope(
        self, out: "Tensor", actions: "Actions", weight: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Weighted loss ``(A,)`` and its derivative by the outputs ``(A, n, k)``."""
        import torch

        with torch.enable_grad():
            out = out.detach().requires_grad_()
            loss = (self.model.loss_of(out, actions) * weight).sum(dim=1)
            (slope,) = torch.autograd.grad(loss.sum(), out)
        return loss.detach(), slope


def first_parameters(model: TreatmentModel, seeds: list[int]) -> "Tensor":
    """Random hidden layers, and output layers that say nothing, ``(M, P)``."""
    import torch

    return model.layout.initial([torch.Generator().manual_seed(seed) for seed in seeds])


def adversary_of(
    shape: NetShape, settings: Settings, members: "Sequence[Member]", device: Any
) -> Adversary | None:
    """Treatment models, if there is a regulariser and a treatment to predict."""
    if settings.regularizer is None or not shape.actions.n_slots:
        return None
    model = TreatmentModel(shape.actions, shape.width, settings.regularizer, settings.density)
    seeds = [seed_of(member.seed, "adversary") for member in members]
    return Adversary.of(
        model,
        first_parameters(model, seeds).to(device),
        batch=settings.plan.rows_per_batch(members[0].train.size),
        weight=settings.regularizer_weight,
        steps=settings.adversary_steps,
    )

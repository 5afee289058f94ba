"""Objective of TransTEE: factual outcome loss, and a treatment model trained against it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from causalkit.rng import seed_of
from causalkit.transtee import baseline_networks
from causalkit.transtee.adversary import Adversary
from causalkit.transtee.compiled import compiled
from causalkit.transtee.device_rows import Store
from causalkit.transtee.families import STANDARDISED, outcome_loss
from causalkit.transtee.items import ItemScales, Library
from causalkit.transtee.layout import Layout
from causalkit.transtee.multihead import Looked
from causalkit.transtee.networks import (
    Actions,
    Drop,
    Memory,
    Rows,
    decode,
    encode,
    fold_decoder,
)
from causalkit.transtee.own_modules import OwnModule
from causalkit.transtee.regulariser import hsic, ramp
from causalkit.transtee.scales import Scales
from causalkit.transtee.shapes import NetShape
from causalkit.transtee.unknown import with_mean_levels

if TYPE_CHECKING:
    from torch import Tensor

MEMBER_BUDGET = 2**28


@dataclass(frozen=True, slots=True)
class Network:
    """A shape with its layout, the outcome family, and what encodes items and sequences.

    With ``compile`` encoder and decoder go through torch.compile.
    """

    shape: NetShape
    layout: Layout
    family: str
    library: Library | None = None
    item_scales: ItemScales | None = None
    action_encoder: OwnModule | None = None
    covariate_encoder: OwnModule | None = None
    compile: bool = False

    def kept(self, members: Any) -> "Network":
        """The same for some members."""
        if self.item_scales is None:
            return self
        return replace(self, item_scales=self.item_scales.kept(members))

    def parameters(self, flat: "Tensor", holes: "Tensor | None" = None) -> "dict[str, Tensor]":
        """Parameters for new rows, where ``holes`` says which columns had some in training."""
        p = self.layout.unpack(flat)
        if holes is not None:
            with_mean_levels(p, self.shape.table, holes)
        return p

    def for_prediction(self, flat: "Tensor", holes: "Tensor | None" = None) -> "dict[str, Tensor]":
        """The same, for many actions per row."""
        p = self.parameters(flat, holes)
        if self.shape.baseline is None:
            fold_decoder(p, self.shape)
        return p

    def items(
        self,
        p: "dict[str, Tensor]",
        library: Library | None = None,
        *,
        some: "Tensor | None" = None,
    ) -> "Tensor | None":
        """Tokens ``(M, U, d)`` of every item of a library, or of some places in it."""
        library = self.library if library is None else library
        if library is None or self.item_scales is None:
            return None
        own, width = self.action_encoder, self.shape.width
        return library.encode(p, self.item_scales, items=some, own=own, width=width)

    def encode(
        self,
        p: "dict[str, Tensor]",
        rows: Rows,
        *,
        drop: Drop | None = None,
        looked: Looked | None = None,
    ) -> Memory:
        """Memory of a batch of rows."""
        if self.shape.baseline is not None:
            return baseline_networks.encode(p, self.shape, rows, drop=drop)
        run = compiled(encode) if self.compile else encode
        return run(p, self.shape, rows, drop=drop, looked=looked, own=self.covariate_encoder)

    def decode(
        self,
        p: "dict[str, Tensor]",
        memory: Memory,
        actions: Actions,
        *,
        drop: Drop | None = None,
        looked: Looked | None = None,
    ) -> "Tensor":
        """Output ``(M, B, G)`` of every row under every action."""
        if self.shape.baseline is not None:
            return baseline_networks.decode(p, self.shape, memory, actions, drop=drop)
        run = compiled(decode) if self.compile else decode
        return run(p, self.shape, memory, actions, drop=drop, looked=looked)


@dataclass(slots=True)
class NetObjective:
    """Loss and gradient of a stack of networks; see :class:`causalkit.transtee.training.Objective`.

    Attributes
    ----------
    network : Network
    store : Store
    scales : Scales
    valid : (M, V) integer tensor
        Validation rows.
    seeds : sequence of int
        One per member, for dropout.
    adversary : Adversary or None
        Of arms and doses.
    hsic_weight : float
        λ of a structured treatment.
    autocast : dtype or None
        Lower precision of the forward pass.
    """

    network: Network
    store: Store
    scales: Scales
    valid: "Tensor"
    seeds: Sequence[int]
    adversary: Adversary | None = None
    hsic_weight: float = 0.0
    autocast: Any = None
    _strength: float = 0.0
    _drop: Drop | None = None

    @property
    def apart(self) -> bool:
        """Whether threads may each train some of the members.

        A module of the user holds the parameters of one network at a time.
        """
        return not (self.network.action_encoder or self.network.covariate_encoder)

    def part(self, members: "Tensor") -> "NetObjective":
        """Some members, for a thread of their own during one epoch."""
        adversary = None if self.adversary is None else replace(self.adversary)
        return replace(self, adversary=adversary).kept(members)

    def joined(self, parts: "Sequence[NetObjective]") -> None:
        """Take over what the parts have counted."""
        if self.adversary is not None and parts[0].adversary is not None:
            self.adversary.n_batches = parts[0].adversary.n_batches

    def undone(self) -> None:
        """Let the treatment model forget what it has seen, which may be what broke the epoch."""
        if self.adversary is not None:
            self.adversary.n_batches = 0

    def kept(self, members: "Tensor") -> "NetObjective":
        """The same for some members."""
        if len(members) == len(self.seeds):
            return self
        places = members.cpu().tolist()
        return replace(
            self,
            network=self.network.kept(members),
            scales=self.scales.kept(members),
            valid=self.valid[members],
            seeds=[self.seeds[m] for m in places],
            adversary=None if self.adversary is None else self.adversary.kept(members),
        )

    def start_epoch(self, epoch: int, progress: float) -> None:
        """Set the strength of regularisation and the dropout streams of this epoch."""
        self._strength = ramp(progress)
        rate = self.network.shape.dropout
        self._drop = _dropout(rate, self.seeds, epoch, self.store.numeric.device) if rate else None

    def gradient(self, flat: "Tensor", rows: "Tensor") -> "tuple[Tensor, Tensor]":
        """Training loss ``(M,)`` and gradient ``(M, P)``; the adversarial part has norm ≤ 1."""
        import torch

        with torch.enable_grad():
            flat = flat.detach().requires_grad_()
            each, memory, actions = self._forward(flat, rows, self._drop)
            loss = self._weighted(each, rows)
            penalty = self._penalty(memory, actions, rows)
            (gradient,) = torch.autograd.grad(loss.sum(), flat, retain_graph=penalty is not None)
            if penalty is not None:
                (push,) = torch.autograd.grad(penalty.sum(), flat)
                size = push.norm(dim=1, keepdim=True).clamp(min=1.0)
                gradient = gradient + push / size
        return loss.detach(), gradient

    def validation(self, flat: "Tensor") -> "Tensor":
        """Factual outcome loss ``(M,)`` on the validation rows."""
        import torch

        n_nodes = 0 if self.store.graphs is None else self.store.graphs.mask.shape[1]
        # By the memory of one member: its pieces are the same, whoever else is in the stack.
        size = self.network.shape.rows_at_once(1, n_nodes, 1, MEMBER_BUDGET)
        with torch.no_grad():
            pieces = [
                self._forward(flat, rows, None)[0] for rows in torch.split(self.valid, size, dim=1)
            ]
            return self._weighted(torch.cat(pieces, dim=1), self.valid)

    def largest_outcome(self) -> float:
        """Largest |y| over all rows, in the user's units."""
        import torch

        assert self.store.y is not None
        ends = torch.stack([self.store.y.min(), self.store.y.max()]).cpu().double()
        return float((ends[:, None] + self.scales.y_origin.cpu().double()).abs().max())

    def _forward(
        self, flat: "Tensor", rows: "Tensor", drop: Drop | None
    ) -> "tuple[Tensor, Memory, Actions]":
        """Loss ``(M, B)`` and memory of every row, and what it received."""
        import torch

        network, scales = self.network, self.scales
        p = network.layout.unpack(flat)
        with torch.autocast(flat.device.type, self.autocast, enabled=self.autocast is not None):
            memory = network.encode(p, self.store.rows(rows, scales), drop=drop)
            actions = self.store.actions(rows, scales)
            if self.store.items is not None:
                actions = replace(actions, items=self._items(p, self.store.items[rows]))
            out = network.decode(p, memory, actions, drop=drop)[:, :, 0]
        assert self.store.y is not None
        y = self.store.y[rows]
        if network.family in STANDARDISED:
            y = (y - scales.y_centre[:, None]) / scales.y_spread[:, None]
        each = outcome_loss(network.family, out.float(), y)
        if network.shape.baseline is not None and torch.is_grad_enabled():
            # Validation is by the outcome alone, whatever else is learned.
            each = each + baseline_networks.own_loss(
                p, network.shape, memory, actions, out.float(), y, network.family
            )
        return each, memory, actions

    def _items(self, p: "dict[str, Tensor]", codes: "Tensor") -> "Tensor":
        """Tokens ``(M, B, 1, d)`` of the items of rows, each item encoded once.

        Where there are more items than rows, those of no row are left out. On a processor that is
        for every member by itself, whose numbers then depend on nobody else in the stack.
        """
        import torch

        library, together = self.network.library, len(codes)
        if codes.device.type == "cpu":
            together = 1
        if library is None or len(library) <= together * codes.shape[1]:
            return _of_rows(self.network.items(p), codes)
        found = []
        for start in range(0, len(codes), together):
            members = slice(start, start + together)
            some, places = torch.unique(codes[members], return_inverse=True)
            mine = {name: values[members] for name, values in p.items()}
            items = self.network.kept(members).items(mine, some=some)
            found.append(_of_rows(items, places))
        return torch.cat(found)

    def _weighted(self, each: "Tensor", rows: "Tensor") -> "Tensor":
        """Weighted mean over rows, ``(M,)``."""
        if self.store.weight is None:
            return each.mean(dim=1)
        return (each * self._weights(rows)).sum(dim=1)

    def _weights(self, rows: "Tensor") -> "Tensor":
        """Weights ``(M, B)`` of rows, summing to one for each member."""
        import torch

        if self.store.weight is None:
            share = 1.0 / rows.shape[1]
            return torch.full(rows.shape, share, dtype=torch.float32, device=rows.device)
        weight = self.store.weight[rows]
        return weight / weight.sum(dim=1, keepdim=True)

    def _penalty(self, memory: Memory, actions: Actions, rows: "Tensor") -> "Tensor | None":
        """λ HSIC of a structured treatment, less λ L_π of arms and doses, ``(M,)``."""
        if not self.hsic_weight and self.adversary is None:
            return None
        # Squared distances in half precision would round kernels away.
        r = memory.pooled().float()
        total = r.new_zeros(len(r))
        if self.hsic_weight and actions.items is not None:
            items = actions.items[:, :, 0].detach().float()
            total += self.hsic_weight * self._strength * hsic(r, items, self._weights(rows))
        if self.adversary is not None:
            seen, held = self.adversary.remember(r.detach(), rows)
            weight = self._weights(held)
            self.adversary.learn(seen, self.store.actions(held, self.scales), weight)
            each = self.adversary.model.loss(self.adversary.parameters(), r, actions)
            total -= self.adversary.weight * self._strength * self._weighted(each, rows)
        return total


def _of_rows(items: "Tensor | None", places: "Tensor") -> "Tensor":
    """Tokens ``(M, B, 1, d)`` of items ``(M, U, d)`` at places ``(M, B)``."""
    import torch

    assert items is not None
    members = torch.arange(len(items), device=items.device)[:, None]
    return items[members, places][:, :, None]


def _dropout(rate: float, seeds: Sequence[int], epoch: int, device: Any) -> Drop:
    """Dropout in which every member has a stream of its own."""
    import torch

    generators = [
        torch.Generator(device=device).manual_seed(seed_of(seed, "dropout", epoch))
        for seed in seeds
    ]

    def drop(x: "Tensor") -> "Tensor":
        if x.shape[1] == 1:
            return x
        kept = torch.stack(
            [
                torch.rand(x.shape[1:], generator=g, dtype=torch.float32, device=x.device) >= rate
                for g in generators
            ]
        )
        return x * kept / (1.0 - rate)

    return drop

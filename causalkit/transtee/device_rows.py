"""All rows on the device once, as tensors from which batches are taken."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.covariate_graphs import GraphStore
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.networks import Actions, Rows
from causalkit.transtee.scales import Scales
from causalkit.typing import Floats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Store:
    """Covariates, actions, outcomes and weights of all rows, as tensors with leading axis N."""

    numeric: "Tensor"
    missing: "Tensor | None"
    codes: "Tensor | None"
    sequences: "tuple[Tensor, ...]"
    masks: "tuple[Tensor, ...]"
    arms: "Tensor | None" = None
    doses: "Tensor | None" = None
    active: "Tensor | None" = None
    items: "Tensor | None" = None
    y: "Tensor | None" = None
    weight: "Tensor | None" = None
    graphs: GraphStore | None = None

    def rows(self, index: "Tensor", scales: Scales) -> Rows:
        """Standardised covariates of rows ``(M, B)``, or ``(1, B)`` for every member."""
        import torch

        numeric = (self.numeric[index] - scales.centre[:, None]) / scales.spread[:, None]
        missing = None
        if self.missing is not None:
            missing = self.missing[index].expand(numeric.shape)
            numeric = torch.where(missing, 0.0, numeric)
        return Rows(
            numeric=numeric,
            missing=missing,
            codes=None if self.codes is None else self.codes[index].expand(len(numeric), -1, -1),
            sequences=self._steps(index, scales),
            masks=tuple(mask[index].expand(len(numeric), -1, -1) for mask in self.masks),
            graph=None
            if self.graphs is None
            else self.graphs.rows(index, scales.node_centre, scales.node_spread),
        )

    def _steps(self, index: "Tensor", scales: Scales) -> "tuple[Tensor, ...]":
        """Sequences of rows, standardised if there are scales for them."""
        import torch

        found = [values[index].expand(len(scales.low), -1, -1, -1) for values in self.sequences]
        if scales.step_centre.shape[1] == 0:
            return tuple(found)
        sizes = [values.shape[-1] for values in found]
        scaled = zip(
            found,
            torch.split(scales.step_centre[:, None, None], sizes, dim=-1),
            torch.split(scales.step_spread[:, None, None], sizes, dim=-1),
            strict=True,
        )
        return tuple((values - centre) / spread for values, centre, spread in scaled)

    def actions(self, index: "Tensor", scales: Scales) -> Actions:
        """What each row ``(M, B)`` received, as one action (G = 1)."""
        if self.arms is None or self.doses is None or self.active is None:
            return Actions()
        members = len(scales.low)
        index = index.expand(members, -1)
        return scaled_actions(
            self.arms[index][:, :, None],
            self.doses[index][:, :, None],
            self.active[index][:, :, None],
            scales,
        )


def scaled_actions(arms: "Tensor", doses: "Tensor", active: "Tensor", scales: Scales) -> Actions:
    """Actions with doses on the range of their arm; all tensors ``(M, B, G, m)``."""
    import torch

    members = torch.arange(len(scales.low), device=arms.device).view(-1, 1, 1, 1)
    low, width = scales.low[members, arms], scales.width[members, arms]
    return Actions(
        arms=arms,
        doses=(doses - low) / width,
        active=active if arms.shape[-1] > 1 else None,
    )


def make_store(
    covariates: Covariates,
    device: Any,
    *,
    actions: ActionArrays | None = None,
    y: Floats | None = None,
    weight: Floats | None = None,
) -> Store:
    """Tensors of a data set on a device; numbers as seen from their origin."""
    import torch

    def put(values: Any, dtype: Any = torch.float32) -> "Tensor":
        return torch.as_tensor(np.array(values), dtype=dtype, device=device)

    holes = np.isnan(covariates.numeric)
    store = Store(
        numeric=put(np.where(holes, 0.0, covariates.numeric)),
        missing=put(holes, torch.bool) if holes.any() else None,
        codes=put(covariates.codes, torch.int64) if covariates.codes.shape[1] else None,
        sequences=tuple(put(values) for values in covariates.sequences),
        masks=tuple(put(mask, torch.bool) for mask in covariates.masks),
        y=None if y is None else put(y),
        weight=None if weight is None else put(weight),
        graphs=None if covariates.graphs is None else GraphStore.of(covariates.graphs, device),
    )
    if actions is None:
        return store
    return replace(
        store,
        arms=put(actions.arms, torch.int64) if actions.arms.shape[1] else None,
        doses=put(actions.doses) if actions.arms.shape[1] else None,
        active=put(actions.active, torch.bool) if actions.arms.shape[1] else None,
        items=None if actions.items is None else put(actions.items, torch.int64),
    )

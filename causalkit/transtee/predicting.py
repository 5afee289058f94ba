"""Outputs of trained networks for rows and actions, in pieces that fit a memory budget."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.device_rows import make_store, scaled_actions
from causalkit.transtee.families import mean_outcome
from causalkit.transtee.items import Library
from causalkit.transtee.multihead import Looked
from causalkit.transtee.networks import Actions, Memory
from causalkit.transtee.scales import Scales
from causalkit.transtee.stack import Stack
from causalkit.typing import Floats

if TYPE_CHECKING:
    from torch import Tensor

MEMORY_BUDGET = 2**30
# A piece whose tensors stay near a processor's caches takes two thirds of the time of a large one.
NEAR = 2**25


def mean_outcomes(
    stacks: Sequence[Stack],
    covariates: Covariates,
    actions: Sequence[ActionArrays],
    *,
    library: Library | None = None,
    memory_budget: int = MEMORY_BUDGET,
    reduce: Callable[[Floats], Floats] | None = None,
) -> Floats:
    """E[Y | X, A] by every network for every row under every action.

    Parameters
    ----------
    stacks : sequence of Stack
    covariates : Covariates
        n rows.
    actions : sequence of ActionArrays
        G of them, each with one action for everyone or one for each row.
    library : Library, optional
        Of structured treatments, if not that of the training data.
    memory_budget : int
        Bytes that a piece may use beside the data and the result.
    reduce : callable, optional
        Applied to each piece ``(M, rows, G)``; what it returns is joined along its rows (axis 1).

    Returns
    -------
    (M, n, G) array
        Members in the order of the stacks.
    """
    n, budget = len(covariates.numeric), memory_budget // len(stacks)
    size = min(
        _rows_at_once(stack, covariates, len(actions), _near(stack, budget)) for stack in stacks
    )
    answers = [_answers(stack, actions, library) for stack in stacks]
    pieces = []
    for start in range(0, n, size):
        rows = slice(start, min(n, start + size))
        some = covariates.rows(rows)
        values = np.concatenate([answer(some, rows) for answer in answers])
        pieces.append(values if reduce is None else reduce(values))
    return np.concatenate(pieces, axis=1)


def _answers(
    stack: Stack, actions: Sequence[ActionArrays], library: Library | None
) -> Callable[[Covariates, slice], Floats]:
    """Function from covariates of some rows, and their places, to outcomes ``(M, rows, G)``.

    Inference mode ends before anything is handed back: it belongs to the whole thread.
    """
    import torch

    device, network, scales = stack.flat.device, stack.network, stack.scales
    with torch.inference_mode():
        p = network.for_prediction(stack.flat, scales.holes)
        items = network.items(p, library)
        shared = all(len(action) == 1 for action in actions)
        grid = _joined_actions(actions, slice(None), scales, items, device) if shared else None

    y_origin = scales.y_origin.cpu().numpy().astype(np.float64)[:, None, None]

    def answer(covariates: Covariates, rows: slice) -> Floats:
        with torch.inference_mode():
            memory = network.encode(p, _all_rows(covariates, scales))
            asked = grid
            if asked is None:
                asked = _joined_actions(actions, rows, scales, items, device)
            out = network.decode(p, memory, asked)
            centre, spread = scales.y_centre[:, None, None], scales.y_spread[:, None, None]
            made = mean_outcome(network.family, out, centre, spread).cpu().numpy()
            return np.asarray(made.astype(np.float64) + y_origin)

    return answer


def _rows_at_once(stack: Stack, covariates: Covariates, n_actions: int, budget: int) -> int:
    """Rows of a piece of one stack."""
    n_nodes = 0 if covariates.graphs is None else covariates.graphs.mask.shape[1]
    return stack.network.shape.rows_at_once(len(stack.members), n_nodes, n_actions, budget)


def _near(stack: Stack, budget: int) -> int:
    """The budget, or on a processor what stays near its caches."""
    return min(budget, NEAR) if stack.flat.device.type == "cpu" else budget


def _all_rows(covariates: Covariates, scales: Scales) -> Any:
    """Covariates of every row, for every member."""
    import torch

    device = scales.centre.device
    origin = scales.origin[0].cpu().numpy().astype(np.float64)
    store = make_store(replace(covariates, numeric=covariates.numeric - origin), device)
    index = torch.arange(len(store.numeric), device=device)[None]
    return store.rows(index, scales)


def _joined_actions(
    actions: Sequence[ActionArrays],
    rows: Any,
    scales: Scales,
    items: "Tensor | None",
    device: Any,
) -> Actions:
    """Actions ``(M, B or 1, G, m)`` of some rows."""
    import torch

    members = len(scales.low)
    chosen = [action if len(action) == 1 else action.rows(rows) for action in actions]
    length = max(len(one) for one in chosen)

    def wide(name: str, dtype: Any) -> "Tensor":
        parts = [
            np.broadcast_to(values, (length, *values.shape[1:]))
            for values in (getattr(one, name) for one in chosen)
        ]
        joined = torch.as_tensor(np.stack(parts, axis=1), dtype=dtype, device=device)
        return joined[None].expand(members, *joined.shape)

    found = Actions()
    if chosen[0].arms.shape[1]:
        found = scaled_actions(
            wide("arms", torch.int64),
            wide("doses", torch.float32),
            wide("active", torch.bool),
            scales,
        )
    if items is None:
        return found
    codes = wide("items", torch.int64)
    index = torch.arange(members, device=device)[:, None, None]
    return replace(found, items=items[index, codes])


def attention_weights(
    stack: Stack,
    covariates: Covariates,
    action: ActionArrays,
    library: Library | None,
) -> dict[str, Floats]:
    """Attention weights ``(M, n, heads, queries, tokens)`` of every block, by its name."""
    import torch

    network, scales, device = stack.network, stack.scales, stack.flat.device
    if network.shape.baseline is not None:
        raise ArgumentError(f"{network.shape.baseline.name} has no attention to show.")
    size = _rows_at_once(stack, covariates, 1, MEMORY_BUDGET)
    pieces: dict[str, list[Floats]] = {}
    with torch.inference_mode():
        p = network.parameters(stack.flat, scales.holes)
        items = network.items(p, library)
        for start in range(0, len(covariates.numeric), size):
            rows = slice(start, start + size)
            looked = Looked()
            memory = network.encode(p, _all_rows(covariates.rows(rows), scales), looked=looked)
            asked = _joined_actions([action], rows, scales, items, device)
            network.decode(p, memory, asked, looked=looked)
            for name, weights in looked.weights.items():
                pieces.setdefault(name, []).append(weights.cpu().numpy())
    return {name: np.concatenate(found, axis=1) for name, found in pieces.items()}


def representation(
    stack: Stack, covariates: Covariates, *, memory_budget: int = MEMORY_BUDGET
) -> Floats:
    """Mean encoder token ``(M, n, d)`` of every row."""
    import torch

    size = _rows_at_once(stack, covariates, 1, _near(stack, memory_budget))
    pieces = []
    with torch.inference_mode():
        p = stack.network.parameters(stack.flat, stack.scales.holes)
        for start in range(0, len(covariates.numeric), size):
            some = covariates.rows(slice(start, start + size))
            memory: Memory = stack.network.encode(p, _all_rows(some, stack.scales))
            pieces.append(memory.pooled().cpu().numpy())
    return np.concatenate(pieces, axis=1)

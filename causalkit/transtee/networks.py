"""The network: covariate tokens, an encoder over them, and actions that ask the memory.

Every function takes the parameters of M members as a mapping of names to tensors ``(M, ...)`` and
returns tensors with that leading axis. Shapes: M members, B rows, S tokens, G actions, m tokens per
action, d width. Actions of one row never see each other: m tokens attend within one action, and
then to the memory.

Zhang, Zhang, Lipton, Li & Xing (2022), arXiv:2202.01336; one token per covariate with weights of
its own, an encoder without norms, a pre-norm decoder and a normalised last layer are ours. Under
structured treatments the outcome has a linear part in the covariates, some scores of which the
treatment weighs: the product effect of Kaddour, Zhu, Liu, Kusner & Silva (2021), arXiv:2106.01939.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from causalkit.transtee.covariate_graphs import GraphRows, graph_tokens
from causalkit.transtee.dose_tokens import dose_token, rows_of
from causalkit.transtee.layout import apply_linear, apply_norm, fold_norm
from causalkit.transtee.messages import passed_messages
from causalkit.transtee.multihead import Looked, attention, self_attention
from causalkit.transtee.own_modules import OwnModule
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape

if TYPE_CHECKING:
    from torch import Tensor

Params = Mapping[str, "Tensor"]
Drop = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Covariates of a batch, as tensors ``(M, B, ...)``.

    Attributes
    ----------
    numeric : (M, B, p) tensor
        Standardised; zero where missing.
    missing : (M, B, p) bool tensor or None
    codes : (M, B, c) integer tensor or None
    sequences : tuple of (M, B, L, f) tensors
    masks : tuple of (M, B, L) bool tensors
        True where a step is there.
    graph : GraphRows or None
    """

    numeric: "Tensor"
    missing: "Tensor | None" = None
    codes: "Tensor | None" = None
    sequences: "tuple[Tensor, ...]" = ()
    masks: "tuple[Tensor, ...]" = ()
    graph: GraphRows | None = None


@dataclass(frozen=True, slots=True)
class Actions:
    """Actions of a batch, ``(M, B, G, m)``; B is 1 where every row is asked the same.

    Attributes
    ----------
    arms : integer tensor or None
        Row of the table of arms.
    doses : tensor or None
        In [0, 1] on the range of the arm.
    active : bool tensor or None
        Whether the slot holds an arm; the first slot is always active.
    items : (M, B, G, d) tensor or None
        Encoded structured treatments.
    """

    arms: "Tensor | None" = None
    doses: "Tensor | None" = None
    active: "Tensor | None" = None
    items: "Tensor | None" = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the encoder leaves.

    Attributes
    ----------
    tokens : (M, B, S, d) tensor
    mask : (M, B, S) bool tensor or None
        Which tokens are there.
    numeric : (M, B, p) tensor or None
        Numeric covariates, as the linear part of the outcome takes them.
    """

    tokens: "Tensor"
    mask: "Tensor | None" = None
    numeric: "Tensor | None" = None

    def pooled(self) -> "Tensor":
        """Mean token ``(M, B, d)``: the representation that the treatment model sees."""
        if self.mask is None:
            return self.tokens.mean(dim=2)
        weight = self.mask[..., None].to(self.tokens.dtype)
        return (self.tokens * weight).sum(dim=2) / weight.sum(dim=2)


def encode(
    p: Params,
    shape: NetShape,
    rows: Rows,
    *,
    drop: Drop | None = None,
    looked: Looked | None = None,
    own: OwnModule | None = None,
) -> Memory:
    """Memory of a batch of rows; ``own`` encodes its sequence, if there is such an encoder."""
    tokens, mask = _tokens(p, shape, rows, own)
    for layer in range(shape.n_encoder_layers):
        name = f"encoder{layer}"
        change = self_attention(p, f"{name}.attention", tokens, mask, shape.n_heads, looked)
        tokens = tokens + dropped(change, drop)
        tokens = tokens + dropped(_feed_forward(p, f"{name}.feed", tokens), drop)
    if "memory.scale" in p:
        tokens = apply_norm(p, "memory", tokens)
    return Memory(tokens, mask, rows.numeric)


def decode(
    p: Params,
    shape: NetShape,
    memory: Memory,
    actions: Actions,
    *,
    drop: Drop | None = None,
    looked: Looked | None = None,
) -> "Tensor":
    """Output ``(M, B, G)`` of every row under every action, on the scale of the network."""
    tokens = action_tokens(p, shape.actions, actions)
    for layer in range(shape.n_decoder_layers):
        name = f"decoder{layer}"
        normed = apply_norm(p, f"{name}.within.norm", tokens)
        change = _within(p, f"{name}.within", normed, actions.active, shape.n_heads)
        tokens = tokens + dropped(change, drop)
        normed = apply_norm(p, f"{name}.across.norm", tokens)
        change = _across(p, f"{name}.across", normed, memory, shape.n_heads, looked)
        tokens = tokens + dropped(change, drop)
        normed = apply_norm(p, f"{name}.feed.norm", tokens)
        tokens = tokens + dropped(_feed_forward(p, f"{name}.feed", normed), drop)
    pooled = _pooled(tokens, actions.active)
    out = apply_linear(p, "head.out", apply_norm(p, "head.norm", pooled))[..., 0]
    if "linear.level" not in p or memory.numeric is None or actions.items is None:
        return out
    return out + _linear_part(p, actions.items, memory.numeric)


def fold_decoder(p: "dict[str, Tensor]", shape: NetShape) -> None:
    """Fold the norms that :func:`decode` takes of every row under every action."""
    for layer in range(shape.n_decoder_layers):
        fold_norm(p, f"decoder{layer}.feed.norm", f"decoder{layer}.feed.in")
    fold_norm(p, "head.norm", "head.out")


def _linear_part(p: Params, items: "Tensor", numeric: "Tensor") -> "Tensor":
    """Part ``(M, B, G)`` that is linear in covariates ``(M, B, p)``, by tokens of treatments.

    The same level under all treatments, and scores of the covariates that treatments
    ``(M, B or 1, G, d)`` weigh.
    """
    from causalkit.transtee.products import member_products

    level = member_products(numeric, p["linear.level"][:, :, None])
    scores = member_products(numeric, p["linear.scores"])
    weights = apply_linear(p, "linear.weights", items)
    if weights.shape[1] == 1:
        return level + member_products(scores, weights[:, 0].transpose(1, 2))
    return level + (weights * scores[:, :, None]).sum(dim=-1)


def action_tokens(p: Params, shape: ActionShape, actions: Actions) -> "Tensor":
    """Tokens ``(M, B, G, m, d)`` of a batch of actions."""
    import torch

    found = []
    if actions.arms is not None:
        tokens = rows_of(p["arm"], actions.arms)
        if actions.doses is not None and "dose.in.weight" in p:
            tokens = tokens + dose_token(p, shape, actions.arms, actions.doses)
        found.append(tokens)
    if actions.items is not None:
        found.append(actions.items[:, :, :, None])
    return found[0] if len(found) == 1 else torch.cat(found, dim=3)


def encode_vectors(p: Params, features: "Tensor") -> "Tensor":
    """Tokens ``(M, U, d)`` of treatments that are vectors ``(M, U, f)``."""
    from torch.nn.functional import gelu

    return apply_linear(p, "item.out", gelu(apply_linear(p, "item.in", features)))


def encode_sequences(p: Params, steps: "Tensor", mask: "Tensor") -> "Tensor":
    """Tokens ``(M, U, d)`` of treatments that are sequences ``(M, U, L, f)``, masked ``(U, L)``.

    A step is known by its place as well, before anything is summed: the same steps in another order
    are another treatment.
    """
    from torch.nn.functional import gelu

    position = p["item.position"][:, None, : steps.shape[2]]
    encoded = apply_linear(p, "item.out", gelu(apply_linear(p, "item.in", steps) + position))
    weight = mask[None, :, :, None].to(encoded.dtype)
    return (encoded * weight).sum(dim=2) / weight.sum(dim=2)


def graph_matrices(
    edges: "Tensor", owner: "Tensor", n_graphs: int, types: "Tensor | None" = None, n_types: int = 0
) -> "tuple[Tensor, Tensor]":
    """Sparse matrices: sums over neighbours ``(N, N)``, means over graphs ``(n_graphs, N)``.

    With types of edges the first is ``(N, R·N)``: a matrix for each type, one beside the other.

    Parameters
    ----------
    edges : (2, E) integer tensor
        Source and target, each direction on its own.
    owner : (N,) integer tensor
        Graph of each node.
    n_graphs : int
    types : (E,) integer tensor, optional
    n_types : int
    """
    import torch

    n = len(owner)
    share = 1.0 / torch.bincount(owner, minlength=n_graphs).clamp(min=1)[owner]
    nodes = torch.arange(n, device=owner.device)
    ones = torch.ones(edges.shape[1], device=owner.device)
    source, target = edges if types is None else (types * n + edges[0], edges[1])
    near = torch.sparse_coo_tensor(torch.stack([target, source]), ones, (n, max(1, n_types) * n))
    mean = torch.sparse_coo_tensor(torch.stack([owner, nodes]), share, (n_graphs, n))
    return near.to_sparse_csr(), mean.to_sparse_csr()


def encode_graphs(p: Params, nodes: "Tensor", near: "Tensor", mean: "Tensor") -> "Tensor":
    """Tokens ``(M, n_graphs, d)`` of graphs: sums over neighbours, three rounds, then the mean.

    Parameters
    ----------
    nodes : (M, N, f) tensor
    near, mean : sparse tensors
        Of :func:`graph_matrices`.
    """
    hidden = passed_messages(p, "item", nodes, partial(_summed, near))
    return apply_linear(p, "item.out", _summed(mean, hidden))


def _summed(matrix: "Tensor", x: "Tensor") -> "Tensor":
    """Sparse matrix ``(K, N)`` times each member's ``(N, d)``, all members in one product."""
    import torch

    members, n, d = x.shape
    wide = x.transpose(0, 1).reshape(n, members * d)
    # No sparse product has a lower precision, and sums over many neighbours would feel it.
    with torch.autocast(x.device.type, enabled=False):
        total: Tensor = torch.sparse.mm(matrix, wide.to(matrix.dtype))
    return total.view(-1, members, d).transpose(0, 1)


def _tokens(
    p: Params, shape: NetShape, rows: Rows, own: OwnModule | None
) -> "tuple[Tensor, Tensor | None]":
    """Covariate tokens ``(M, B, S, d)``, and which are there if some may not be."""
    import torch

    found, masks = [], [*rows.masks]
    if shape.bottleneck:
        found.append(_reduced(p, shape, rows))
    else:
        if shape.table.n_numeric:
            tokens = rows.numeric[..., None] * p["table.weight"][:, None] + p["table.bias"][:, None]
            if rows.missing is not None:
                missing = p["table.missing"][:, None]
                tokens = torch.where(rows.missing[..., None], missing, tokens)
            found.append(tokens)
        if rows.codes is not None:
            columns = [
                rows_of(p[f"table.level{c}"], rows.codes[:, :, c])
                for c in range(len(shape.table.levels))
            ]
            found.append(torch.stack(columns, dim=2))
    if own is not None:
        seen = (rows.sequences[0], rows.masks[0])
        tokens = own.tokens(p, seen, width=shape.width, dims=3)
        found.append(apply_norm(p, "own.norm", tokens))
        masks = []
    else:
        for index, steps in enumerate(rows.sequences):
            position = p[f"sequence{index}.position"][:, None, : steps.shape[2]]
            found.append(apply_linear(p, f"sequence{index}", steps) + position)
    if rows.graph is not None:
        found.append(graph_tokens(p, rows.graph))
        masks.append(rows.graph.mask)
    tokens = found[0] if len(found) == 1 else torch.cat(found, dim=2)
    if not masks:
        return tokens, None
    n_first = tokens.shape[2] - sum(mask.shape[2] for mask in masks)
    first = torch.ones_like(masks[0][:, :, :1]).expand(-1, -1, n_first)
    return tokens, torch.cat([first, *masks], dim=2)


def _reduced(p: Params, shape: NetShape, rows: Rows) -> "Tensor":
    """Tokens of a wide table: one linear map of all columns."""
    wide = apply_norm(p, "table.reduce.norm", wide_columns(shape.table, rows))
    flat = apply_linear(p, "table.reduce", wide)
    return flat.view(*flat.shape[:2], shape.bottleneck, shape.width)


def wide_columns(table: TableShape, rows: Rows) -> "Tensor":
    """Table ``(M, B, q)``: values, whether each is missing, and an indicator of every level."""
    import torch
    from torch.nn.functional import one_hot

    parts = [rows.numeric]
    if table.native_missing:
        missing = rows.missing if rows.missing is not None else torch.zeros_like(rows.numeric)
        parts.append(missing.to(rows.numeric.dtype))
    for column, levels in enumerate(table.levels):
        assert rows.codes is not None
        parts.append(one_hot(rows.codes[:, :, column], levels + 1).to(rows.numeric.dtype))
    return torch.cat(parts, dim=-1)


def _within(
    p: Params, name: str, tokens: "Tensor", active: "Tensor | None", n_heads: int
) -> "Tensor":
    """Attention between the tokens of one action."""
    n_members, n_rows, n_actions, m, d = tokens.shape
    if m == 1:
        # Softmax over one token is one.
        value = {"value.weight": p[f"{name}.memory.weight"][:, :, d:]}
        return apply_linear(p, f"{name}.out", apply_linear(value, "value", tokens))
    flat = tokens.reshape(n_members, n_rows * n_actions, m, d)
    mask = None
    if active is not None:
        mask = _padded(active, m).expand(n_members, n_rows, n_actions, m)
        mask = mask.reshape(n_members, n_rows * n_actions, m)
    return self_attention(p, name, flat, mask, n_heads).view(tokens.shape)


def _across(
    p: Params, name: str, tokens: "Tensor", memory: Memory, n_heads: int, looked: Looked | None
) -> "Tensor":
    """Attention of all action tokens to the memory of their row."""
    n_members, n_rows, n_actions, m, d = tokens.shape
    flat = tokens.reshape(n_members, n_rows, n_actions * m, d)
    change = attention(p, name, flat, memory.tokens, memory.mask, n_heads, looked)
    return change.view(n_members, -1, n_actions, m, d)


def _feed_forward(p: Params, name: str, x: "Tensor") -> "Tensor":
    from torch.nn.functional import gelu

    return apply_linear(p, f"{name}.out", gelu(apply_linear(p, f"{name}.in", x)))


def _pooled(tokens: "Tensor", active: "Tensor | None") -> "Tensor":
    """Mean over the tokens of an action that are there, ``(M, B, G, d)``."""
    if tokens.shape[3] == 1:
        return tokens[:, :, :, 0]
    if active is None:
        return tokens.mean(dim=3)
    weight = _padded(active, tokens.shape[3])[..., None].to(tokens.dtype)
    return (tokens * weight).sum(dim=3) / weight.sum(dim=3)


def _padded(active: "Tensor", m: int) -> "Tensor":
    """Mask of m tokens: slots, then structured treatments, which are always there."""
    from torch.nn.functional import pad

    return pad(active, (0, m - active.shape[-1]), value=True)


def dropped(x: "Tensor", drop: Drop | None) -> "Tensor":
    """Dropout, if there is any."""
    return x if drop is None else drop(x)

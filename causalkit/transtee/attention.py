"""What the network looks at, and whether looking there matters."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from causalkit.errors import ArgumentError, check_choice
from causalkit.rng import stream
from causalkit.transtee.actions import ActionArrays, action_axis
from causalkit.transtee.coding import Coded
from causalkit.transtee.covariates import Covariates
from causalkit.transtee.held_out import losses
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.predicting import attention_weights
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr

WHICH = ("cross", "encoder", "rollout")


def has_named_tokens(model: Model) -> bool:
    """Whether every token belongs to a covariate, a step or a node."""
    network = model.stacks[0].network
    return not network.shape.bottleneck and network.covariate_encoder is None


def token_names(model: Model, covariates: Covariates) -> list[str]:
    """One name per token of the memory of these rows.

    Raises
    ------
    ArgumentError
        If the covariates share tokens.
    """
    shape = model.stacks[0].network.shape
    if shape.bottleneck:
        raise ArgumentError(
            f"{shape.table.n_columns} covariates share {shape.bottleneck} tokens (max_tokens), so "
            "that no token belongs to a covariate; use permutation_importance, or raise "
            "max_tokens."
        )
    if model.stacks[0].network.covariate_encoder is not None:
        raise ArgumentError(
            "tokens of a covariate_encoder belong to no step of the sequence; use "
            "permutation_importance for the columns of the table."
        )
    names = list(model.coding.covariates.names)
    for name, (length, _) in model.coding.covariates.sequences.items():
        names += [f"{name}[{step}]" for step in range(length)]
    graph = model.coding.covariates.graph
    if graph is not None and covariates.graphs is not None:
        names += [f"{graph.column}[{node}]" for node in range(covariates.graphs.mask.shape[1])]
    return names


def attention(
    model: Model,
    asked: Asked,
    action: ActionArrays,
    *,
    layer: int,
    which: str,
    average: tuple[str, ...],
) -> "xr.DataArray":
    """Weights by row and covariate, averaged over networks; see :meth:`TransTEE.attention`."""
    import xarray as xr

    check_choice("which", which, WHICH)
    unknown = set(average) - {"head"}
    if unknown:
        raise ArgumentError(f"average may hold 'head' only, got {', '.join(sorted(unknown))}.")
    names = token_names(model, asked.covariates)
    parts = [
        attention_weights(stack, asked.covariates, action, asked.library) for stack in model.stacks
    ]
    blocks = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    encoder = [values for name, values in blocks.items() if name.startswith("encoder")]
    cross = [values for name, values in blocks.items() if name.startswith("decoder")]
    coords: dict[str, Any] = {"obs": np.arange(asked.n), "covariate": names}
    if which == "rollout":
        weights = _rollout(encoder, _picked(cross, layer, which))
        return xr.DataArray(weights, dims=("obs", "covariate"), coords=coords, name="attention")
    chosen = _picked(encoder if which == "encoder" else cross, layer, which).mean(axis=0)
    if which == "encoder":
        dims: tuple[str, ...] = ("obs", "head", "query", "covariate")
        coords = coords | {"query": names}
    else:
        chosen, dims = chosen.mean(axis=2), ("obs", "head", "covariate")
    found = xr.DataArray(chosen, dims=dims, coords=coords, name="attention")
    return found.mean("head") if "head" in average else found


def side_by_side(found: "list[xr.DataArray]", names: list[Any]) -> "xr.DataArray":
    """Weights under several actions, along a dim ``treatment`` after that of the rows."""
    import xarray as xr

    joined: xr.DataArray = xr.concat(found, dim=pd.Index(action_axis(names), name="treatment"))
    return joined.transpose("obs", "treatment", ...)


def _picked(blocks: list[Floats], layer: int, which: str) -> Floats:
    if not -len(blocks) <= layer < len(blocks):
        raise ArgumentError(f"layer={layer} is not there; {which} attention has {len(blocks)}.")
    return blocks[layer]


def _rollout(encoder: list[Floats], cross: Floats) -> Floats:
    """Cross attention through the encoder's residual mixing (Abnar & Zuidema 2020, eq. 1)."""
    mixed = cross.mean(axis=(2, 3))[:, :, None]
    for weights in reversed(encoder):
        step = weights.mean(axis=2)
        mixed = 0.5 * (mixed @ step + mixed)
    return np.asarray(mixed[:, :, 0].mean(axis=0))


def permutation_importance(
    model: Model,
    asked: Asked,
    *,
    family: str,
    coded: Coded,
    treatments: list[ActionArrays],
    baseline: ActionArrays,
    n_repeats: int,
    seed: int,
) -> pd.DataFrame:
    """Change of factual loss and of effects when a covariate is shuffled between rows.

    A sequence or graph is shuffled as a whole; its attention is that of all of its tokens. The
    change of effects is the root of its mean square over rows, by their weights, and treatments.

    Returns
    -------
    DataFrame
        ``covariate, loss_increase, effect_change, attention``; ``attrs["rank_correlation"]`` holds
        Spearman's correlation of attention with each.
    """

    def answers(covariates: Covariates) -> tuple[float, Floats]:
        shuffled = Asked(covariates, asked.library)
        mu = model.averaged(shuffled, [coded.actions, *treatments, baseline])
        loss = np.average(losses(family, mu[:, 0], coded), weights=asked.weight)
        return float(loss), mu[:, 1:-1] - mu[:, -1:]

    attended = _attended(model, asked, treatments)
    base, effect = answers(asked.covariates)
    weight = mean_weight(asked)
    every = None if weight is None else np.broadcast_to(weight[:, None], effect.shape)
    rows: list[dict[str, Any]] = []
    code = model.coding.covariates
    whole = [*code.sequences, *([] if code.graph is None else [code.graph.column])]
    for place, name in enumerate([*code.names, *whole]):
        rises, moves = [], []
        for repeat in range(n_repeats):
            order = stream(seed, "shuffle", place, repeat).permutation(asked.n)
            loss, moved = answers(_shuffled(asked.covariates, place, order))
            rises.append(loss - base)
            moves.append(np.sqrt(np.average((moved - effect) ** 2, weights=every)))
        rows.append(
            {
                "covariate": name,
                "loss_increase": float(np.mean(rises)),
                "effect_change": float(np.mean(moves)),
                "attention": np.nan
                if attended is None
                else _attention_of(name, attended, whole=name in whole),
            }
        )
    frame = pd.DataFrame(rows)
    if attended is not None and len(frame) > 2:
        frame.attrs["rank_correlation"] = {
            name: float(spearmanr(frame["attention"], frame[name]).statistic)
            for name in ("loss_increase", "effect_change")
        }
    return frame


def _attended(model: Model, asked: Asked, treatments: list[ActionArrays]) -> "xr.DataArray | None":
    """Attention to every token, the mean over treatments; None where tokens have no names."""
    if not has_named_tokens(model):
        return None
    every = [
        attention(model, asked, one, layer=-1, which="cross", average=("head",))
        for one in treatments
    ]
    return sum(every[1:], start=every[0]) / len(every)


def _attention_of(name: str, attended: "xr.DataArray", *, whole: bool) -> float:
    """Mean attention of a column, or of all tokens of a sequence or graph, named name[step]."""
    tokens = [
        token
        for token in attended["covariate"].values.tolist()
        if token == name or (whole and token.startswith(f"{name}["))
    ]
    return float(attended.sel(covariate=tokens).sum("covariate").mean())


def _shuffled(covariates: Covariates, place: int, order: Any) -> Covariates:
    """Covariates with one column of the table, one sequence or the graph in another order."""
    numeric, codes, sequences = covariates.numeric, covariates.codes, covariates.sequences
    if place < numeric.shape[1]:
        numeric = numeric.copy()
        numeric[:, place] = numeric[order, place]
        return replace(covariates, numeric=numeric)
    place -= numeric.shape[1]
    if place < codes.shape[1]:
        codes = codes.copy()
        codes[:, place] = codes[order, place]
        return replace(covariates, codes=codes)
    place -= codes.shape[1]
    if place < len(sequences):
        other = covariates.rows(order)
        return replace(
            covariates,
            sequences=(*sequences[:place], other.sequences[place], *sequences[place + 1 :]),
            masks=(*covariates.masks[:place], other.masks[place], *covariates.masks[place + 1 :]),
        )
    assert covariates.graphs is not None
    return replace(covariates, graphs=covariates.graphs.rows(order))

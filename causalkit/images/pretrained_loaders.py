"""Modules with weights made elsewhere: from timm, torchgeo, or a file of the user's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalkit.errors import ArgumentError
from causalkit.optional import require

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 3


def load_weights(module: "nn.Module", path: Any) -> "nn.Module":
    """Read a state dict into a module, all of it and nothing else.

    Files are read weights-only: no code in them is run.

    Raises
    ------
    ArgumentError
        If there is no such file, it holds no state dict, or names or shapes differ.
    """
    import torch

    where = Path(path)
    if not where.is_file():
        raise ArgumentError(f"there is no file of weights {str(path)!r}.")
    try:
        found = torch.load(where, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its readers raise
        raise ArgumentError(
            f"{str(path)!r} cannot be read as weights: {error}. Save them by "
            "torch.save(module.state_dict(), path)."
        ) from error
    state = _state_of(found, path)
    _check_match(module.state_dict(), state, path)
    module.load_state_dict(state, strict=True)
    return module


def _state_of(found: Any, path: Any) -> Mapping[str, "Tensor"]:
    """Tensors by name, also where a checkpoint holds them beside other things."""
    from torch import Tensor

    if isinstance(found, Mapping):
        for name in _WRAPPERS:
            if isinstance(found.get(name), Mapping):
                found = found[name]
                break
    values = found.values() if isinstance(found, Mapping) else [found]
    if not all(isinstance(value, Tensor) for value in values) or not isinstance(found, Mapping):
        raise ArgumentError(
            f"{str(path)!r} holds a {type(found).__name__}, not a state dict; save one by "
            "torch.save(module.state_dict(), path)."
        )
    return found


def _check_match(ours: Mapping[str, "Tensor"], theirs: Mapping[str, "Tensor"], path: Any) -> None:
    shapes = [
        f"{name} is {tuple(theirs[name].shape)} in place of {tuple(value.shape)}"
        for name, value in ours.items()
        if name in theirs and theirs[name].shape != value.shape
    ]
    differs = {
        "absent": [name for name in ours if name not in theirs],
        "not in the module": [name for name in theirs if name not in ours],
        "of another shape": shapes,
    }
    if any(differs.values()):
        told = "; ".join(
            f"{len(names)} {what} (first: {', '.join(names[:_SHOWN])})"
            for what, names in differs.items()
            if names
        )
        raise ArgumentError(
            f"the weights in {str(path)!r} are not those of this module: {told}. Build the module "
            "that they were saved from, with as many bands."
        )


def timm_module(name: str, bands: int, *, pretrained: bool, checkpoint: Any) -> "nn.Module":
    """Encoder of timm without its classifier.

    Raises
    ------
    MissingDependencyError
        If timm is not installed.
    """
    timm = require("timm", package="timm", needed_by=f"ImageEncoder.timm({name!r})")
    made: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, in_chans=bands)
    return made if checkpoint is None else load_weights(made, checkpoint)


def timm_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Mean, deviation and side of the images that the weights of timm were made with."""
    timm = require("timm", package="timm", needed_by=f"ImageEncoder.timm({name!r})")
    found = timm.get_pretrained_cfg(name)
    return tuple(found.mean), tuple(found.std), int(found.input_size[-1])


def _torchgeo_models(name: str) -> Any:
    asked_by = f"ImageEncoder.torchgeo({name!r})"
    return require("torchgeo.models", package="torchgeo", needed_by=asked_by)


def torchgeo_weights(name: str, weights: Any) -> Any:
    """Entry of torchgeo's table of weights, by name or as it is.

    Raises
    ------
    MissingDependencyError
        If torchgeo is not installed.
    """
    models = _torchgeo_models(name)
    return models.get_weight(weights) if isinstance(weights, str) else weights


def torchgeo_bands(entry: Any) -> tuple[str, ...]:
    """Bands of an entry, in the order of its training.

    Raises
    ------
    ArgumentError
        If it does not say.
    """
    bands = dict(getattr(entry, "meta", {})).get("bands")
    if not bands:
        raise ArgumentError(
            f"the weights {entry!s} do not say for which bands they were made; pass bands=."
        )
    return tuple(map(str, bands))


def torchgeo_module(name: str, bands: int, *, entry: Any, path: Any) -> "nn.Module":
    """Encoder of torchgeo without its classifier, with weights of its table or of a file."""
    models = _torchgeo_models(name)
    if path is None:
        made: nn.Module = models.get_model(name, weights=entry, in_chans=bands, num_classes=0)
        return made
    return load_weights(models.get_model(name, weights=None, in_chans=bands, num_classes=0), path)

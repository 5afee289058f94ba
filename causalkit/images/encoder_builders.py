"""What builds the modules of encoders: functions of a module, so that fits can be pickled."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from causalkit.errors import ArgumentError
from causalkit.rng import seed_of


def conv(bands: int, *, width: int) -> Any:
    """Three convolutions."""
    from causalkit.images.networks import ConvEncoder

    return ConvEncoder(bands, width)


def filters(bands: int, *, n_filters: int, size: int) -> Any:
    """One layer of filters that are trained."""
    from causalkit.images.networks import FilterEncoder

    return FilterEncoder(bands, n_filters, size)


def random_filters(bands: int, *, n_filters: int, size: int, seed: int, centred: bool) -> Any:
    """One layer of filters that are drawn."""
    import torch

    from causalkit.images.networks import RandomConv

    generator = torch.Generator().manual_seed(seed_of(seed, "filters"))
    return RandomConv(bands, n_filters, size, generator, centred=centred)


def own(bands: int, *, module: Any, trained: bool) -> Any:
    """Module of the user's own, or what the function makes that is given for one."""
    from torch import nn

    from causalkit.images.pretrained import Flat

    if not isinstance(module, nn.Module):
        return Flat(module(bands))
    try:
        # Every start trains weights of its own, and the user's module keeps its weights, its mode
        # and its device.
        return Flat(deepcopy(module))
    except (RuntimeError, TypeError) as error:
        if trained:
            raise ArgumentError(
                f"a module that is trained is copied for every start, and this one cannot be "
                f"({error}); give a function of the number of bands that makes it."
            ) from error
        return Flat(module)


def from_file(bands: int, *, build: Callable[[int], Any], path: Any) -> Any:
    """Module with weights from a file."""
    from causalkit.images.pretrained_loaders import load_weights

    return load_weights(build(bands), path)


def timm(bands: int, *, name: str, pretrained: bool, checkpoint: Any) -> Any:
    """Encoder of timm."""
    from causalkit.images.pretrained_loaders import timm_module

    return timm_module(name, bands, pretrained=pretrained, checkpoint=checkpoint)


def torchgeo(bands: int, *, name: str, entry: Any, path: Any) -> Any:
    """Encoder of torchgeo."""
    from causalkit.images.pretrained_loaders import torchgeo_module

    return torchgeo_module(name, bands, entry=entry, path=path)

"""What tells one encoder of images from another, when embeddings are found again on disk."""

from typing import TYPE_CHECKING

from causalkit.module_digest import Reader, plain_parts

if TYPE_CHECKING:
    from torch import nn


def encoder_digest(network: "nn.Module", *, weights: bool = True) -> str:
    """Digest of all that tells one encoder from another of the same name.

    What :class:`causalkit.module_digest.Reader` sees: weights, buffers, layers with their
    arguments, source and attributes. Dates of frames are no part.

    Parameters
    ----------
    network : Module
    weights : bool, default True
        Whether what the state dict of the encoder holds is a part. Weights of modules that torch
        does not know of, as those in a plain list, always are: no state dict brings them back.
    """
    return _read(network, weights=weights).digest()


def untold_parts(network: "nn.Module") -> tuple[str, ...]:
    """Attributes of an encoder that its digest does not see into, ``"name (type)"``."""
    return tuple(_read(network, weights=True).untold)


def own_parts(network: "nn.Module") -> dict[str, str]:
    """Layers and plain attributes of the modules of the user's own in an encoder, as text."""
    from causalkit.images.pretrained import Flat

    own = [part.module for part in network.modules() if isinstance(part, Flat)]
    return {name: text for module in own for name, text in plain_parts(module).items()}


def _read(network: "nn.Module", *, weights: bool) -> Reader:
    from causalkit.images.networks import SequenceEncoder, WholeSequenceEncoder

    inner = [part.frame for part in network.modules() if isinstance(part, SequenceEncoder)]
    inner += [part.whole for part in network.modules() if isinstance(part, WholeSequenceEncoder)]
    outer = inner or [network]
    kept = [] if weights else outer
    reader = Reader(lambda part: part.state_dict() if any(part is one for one in kept) else ())
    for part in outer:
        reader.module(part)
    return reader

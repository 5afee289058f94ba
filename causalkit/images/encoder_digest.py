"""What tells one encoder of images from another, when embeddings are found again on disk."""

import hashlib
import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_PLAIN = (int, float, str, tuple)


def encoder_digest(network: "nn.Module") -> str:
    """Digest of all that tells one encoder from another of the same name.

    Weights, buffers, layers with their arguments, and of classes from elsewhere their source and
    plain attributes: a module without weights is known by these alone. Dates of frames are no part.
    """
    import torch

    from causalkit.images.networks import SequenceEncoder

    frames = [part.frame for part in network.modules() if isinstance(part, SequenceEncoder)]
    seal = hashlib.sha256()
    for frame in frames or [network]:
        seal.update(_lasting(frame))
        for name, values in (*frame.named_parameters(), *frame.named_buffers()):
            seal.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            flat = values.detach().cpu().reshape(-1).contiguous()
            seal.update(flat.view(torch.uint8).numpy().tobytes())
        for part in frame.modules():
            if not _is_ours(type(part)):
                plain = {k: v for k, v in vars(part).items() if isinstance(v, _PLAIN)}
                own = (kind for kind in type(part).__mro__ if not _is_ours(kind))
                seal.update(_lasting((sorted(plain.items()), *map(_source, own))))
    return seal.hexdigest()


def _lasting(shown: Any) -> bytes:
    """What ``repr`` says, without addresses in memory, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(shown)).encode()


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "causalkit")


def _source(kind: type) -> str:
    """Source of the functions of a class; their bytecode where it was typed in."""
    parts = []
    for name, function in vars(kind).items():
        if inspect.isfunction(function):
            try:
                parts.append(inspect.getsource(function))
            except OSError:
                parts.append(f"{name} {function.__code__.co_code.hex()}")
    return "\n".join(parts)

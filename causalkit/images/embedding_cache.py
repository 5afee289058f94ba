"""Embeddings that stay on disk, found again by a digest of what they were made from."""

import hashlib
import inspect
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.optional import require
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr
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


def remembered(cache: Any, digest: str) -> "xr.DataArray | None":
    """Embedding at a path, if it has this digest; None, with a warning, if it has another.

    Raises
    ------
    ArgumentError
        If something else is at the path.
    """
    if cache is None or not Path(cache).exists():
        return None
    require("zarr", extra="images", needed_by="embed_images(cache=...)")
    import xarray as xr

    try:
        found: xr.DataArray = xr.open_zarr(cache, chunks=None, consolidated=False)[
            "embedding"
        ].load()
    except (KeyError, ValueError, OSError) as error:
        raise ArgumentError(
            f"cache={str(cache)!r} is there and is no embedding ({error}); choose another path."
        ) from error
    if found.attrs.get("digest") == digest:
        return found
    warn(
        f"the embedding in {str(cache)!r} is of other images, another encoder or other arguments; "
        "it is made again and replaced.",
        CausalKitWarning,
    )
    return None


def kept(cache: Any, embedding: "xr.DataArray") -> "xr.DataArray":
    """The same, written to the path if there is one: whole, or not at all."""
    if cache is None:
        return embedding
    require("zarr", extra="images", needed_by="embed_images(cache=...)")
    path = Path(cache)
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    embedding.to_dataset(name="embedding").to_zarr(part, consolidated=False)
    if path.exists():
        shutil.rmtree(path)
    part.rename(path)
    return embedding

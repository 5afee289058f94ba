"""Networks of encoders for the images of a store: whole ones, sequences included."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError
from causalkit.images.encoders import ImageEncoder
from causalkit.images.networks import SequenceEncoder, WholeSequenceEncoder
from causalkit.images.pretrained import Flat, Resized
from causalkit.images.settings import Temporal


def network_maker(
    encoder: ImageEncoder,
    store: ImageStore,
    *,
    temporal: Temporal,
    extra_bands: int,
    frame_chunk: int,
    recompute: bool,
) -> Callable[[], nn.Module]:
    """Function that builds the encoder of whole images, sequences included.

    Parameters
    ----------
    encoder : ImageEncoder
    store : ImageStore
    temporal : str
        Rule over time; not used by an encoder of whole sequences.
    extra_bands : int
        Bands beyond those of the store: one for the mask.
    frame_chunk, recompute
        As in :class:`~causalkit.images.networks.SequenceEncoder`.
    """
    shape = store.shape
    bands = shape[-3] + extra_bands
    frame_shape = (bands, *shape[-2:])
    if encoder.size is not None:
        frame_shape = (bands, encoder.size, encoder.size)

    if encoder.sequence:
        frame_shape = (shape[0], *frame_shape)

    def make() -> nn.Module:
        frame = encoder.build(bands)
        if isinstance(frame, Flat):
            frame = _measured(frame, frame_shape, encoder, masked=extra_bands > 0)
        if encoder.size is not None:
            frame = Resized(frame, encoder.size)
        if len(shape) == 3:
            return frame  # type: ignore[no-any-return]  # what the user's function built
        if encoder.sequence:
            return WholeSequenceEncoder(frame, frame_chunk=frame_chunk, recompute=recompute)
        return SequenceEncoder(
            frame, temporal, years_of(store), frame_chunk=frame_chunk, recompute=recompute
        )

    return make


def _measured(frame: Flat, shape: tuple[int, ...], encoder: ImageEncoder, *, masked: bool) -> Flat:
    """The module with the length of its vectors, if it takes such images."""
    try:
        return frame.measure(shape)
    except (RuntimeError, AssertionError) as error:
        takes = [part.in_channels for part in frame.modules() if isinstance(part, nn.Conv2d)]
        frames = f"{shape[0]} frames, " if encoder.sequence else ""
        bands = f"{frames}{shape[-3]} bands" + (", one of them nan_policy's mask" if masked else "")
        raise ArgumentError(
            f"the module of encoder {encoder.name!r} cannot take images of {bands}, and "
            f"{shape[-2]} by {shape[-1]} pixels ({error}). "
            + (f"It is made for {takes[0]} bands. " if takes else "")
            + "Select these bands, resize by ImageEncoder.of(..., size=...)"
            + (", or take nan_policy='mean'." if masked else ".")
        ) from error


def years_of(store: ImageStore) -> Tensor:
    """Dates of the frames in years from the first; their numbers where there are no dates."""
    frames = store.shape[0]
    if "time" not in store.pixels.coords:
        return torch.arange(frames, dtype=torch.float32)
    times = store.pixels["time"].values
    if times.dtype.kind == "M":
        days = (times - times[0]) / np.timedelta64(1, "D")
        return torch.as_tensor(days / 365.25, dtype=torch.float32)
    return torch.as_tensor(times.astype(np.float64) - float(times[0]), dtype=torch.float32)

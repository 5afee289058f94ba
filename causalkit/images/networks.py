"""Networks that turn images, and sequences of images, into vectors."""

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from causalkit.errors import ArgumentError
from causalkit.images.settings import Temporal

_GROUPS = 4
_HEADS = 4
_YEARS = (0.25, 64.0)  # shortest and longest wave of the encoding of dates


class ConvEncoder(nn.Module):
    """Three convolutions and global pooling: ``(b, band, y, x)`` to ``(b, 2 width)``.

    Pooled by maximum and by mean, so that a small pattern is not averaged away. Groups are
    normalised within an image; batch statistics would let the arms of a batch leak into it.

    Parameters
    ----------
    bands : int
    width : int, default 32
        Channels of the last two convolutions.
    """

    def __init__(self, bands: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(bands, width // 2, 5, stride=2, padding=2),
            nn.GroupNorm(_GROUPS, width // 2),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.SiLU(),
        )
        self.n_features = 2 * width

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image."""
        return pooled(self.layers(image))


class FilterEncoder(nn.Module):
    """One layer of trained filters: ``(b, band, y, x)`` to ``(b, 2 n_filters)``.

    The best match of each filter in the image, and its mean. Filters stay inside the image.

    Parameters
    ----------
    bands : int
    n_filters : int
    size : int
        Side of a filter.
    """

    def __init__(self, bands: int, n_filters: int, size: int) -> None:
        super().__init__()
        self.filters = nn.Conv2d(bands, n_filters, size)
        self.n_features = 2 * n_filters

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image.

        Raises
        ------
        ArgumentError
            If the image is smaller than a filter.
        """
        check_room(image, self.filters.kernel_size[0], "filters")
        return pooled(self.filters(image))


class RandomConv(nn.Module):
    """Random filters, never trained: ``(b, band, y, x)`` to ``(b, 2 n_filters + band)``.

    Each filter has length one, and mean zero if ``centred``, so that it answers to patterns rather
    than to brightness; means of the bands go along for that. Filters stay inside the image.
    Outcome-free and offline.

    Parameters
    ----------
    bands : int
    n_filters : int
    size : int
        Side of a filter.
    generator : torch.Generator
    centred : bool
    """

    def __init__(
        self,
        bands: int,
        n_filters: int,
        size: int,
        generator: torch.Generator,
        *,
        centred: bool,
    ) -> None:
        super().__init__()
        filters = torch.randn((n_filters, bands, size, size), generator=generator)
        if centred:
            filters = filters - filters.mean(dim=(1, 2, 3), keepdim=True)
        self.register_buffer(
            "filters", filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        )
        self.n_features = 2 * n_filters + bands

    def forward(self, image: Tensor) -> Tensor:
        """Vector of each image.

        Raises
        ------
        ArgumentError
            If the image is smaller than a filter.
        """
        filters = self.get_buffer("filters")
        check_room(image, filters.shape[-1], "random")
        answers = nn.functional.conv2d(image, filters)
        return torch.cat([pooled(answers), image.mean(dim=(-2, -1))], dim=1)


def check_room(image: Tensor, size: int, encoder: str) -> None:
    """Refuse images that are smaller than the filters of an encoder."""
    if min(image.shape[-2:]) < size:
        raise ArgumentError(
            f"images or crops of {image.shape[-2]} by {image.shape[-1]} pixels are smaller than "
            f"filters of {size}; choose smaller ones: ImageEncoder.{encoder}(size=...)."
        )


def pooled(answers: Tensor) -> Tensor:
    """Maximum and mean over places of ``(b, c, y, x)``, ``(b, 2c)``."""
    return torch.cat([answers.amax(dim=(-2, -1)), answers.mean(dim=(-2, -1))], dim=1)


class SequenceEncoder(nn.Module):
    """One encoder for every frame, then a rule over time: ``(b, time, band, y, x)`` to ``(b, d)``.

    Frames that hold NaN have no pixels, and every rule but ``"concat"`` leaves them out.

    Parameters
    ----------
    frame : Module
        Encoder of a frame, with an attribute ``n_features``.
    temporal : {"transformer", "concat", "difference", "variance", "mean", "last"}
        ``"difference"`` is the mean and the mean first difference per year, ``"variance"`` mean
        and variance over time. Only ``"transformer"`` is trained.
    years : (time,) Tensor
        Dates of the frames in years from the first.
    frame_chunk : int
        Frames per call of the encoder, which bounds memory.
    recompute : bool
        Recompute the frames' activations in the backward pass rather than keep them.

    Raises
    ------
    ArgumentError
        If a rule about change is asked of a single frame.
    """

    def __init__(
        self,
        frame: nn.Module,
        temporal: Temporal,
        years: Tensor,
        *,
        frame_chunk: int = 512,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.frame, self.temporal = frame, temporal
        self.frame_chunk, self.recompute = frame_chunk, recompute
        self.register_buffer("years", years)
        width, frames = int(frame.n_features), len(years)  # type: ignore[arg-type]
        if frames < 2 and temporal in ("difference", "variance"):
            raise ArgumentError(
                f"temporal={temporal!r} needs two frames or more, and the images have {frames}; "
                "take it as an image: ds.isel(time=0)."
            )
        times = {"concat": frames, "difference": 2, "variance": 2}.get(temporal, 1)
        self.n_features = times * width
        self.over_time = QueryPooling(width) if temporal == "transformer" else None

    def forward(self, images: Tensor) -> Tensor:
        """Vector of each sequence."""
        there = ~images.isnan().flatten(2).any(dim=2)
        present = None if there.all() else there
        flat = without_gaps(images).flatten(0, 1)
        found = torch.cat([self._encoded(part) for part in torch.split(flat, self.frame_chunk)])
        found = found.reshape(*images.shape[:2], -1)
        if self.over_time is not None:
            pooled_over_time: Tensor = self.over_time(found, self.get_buffer("years"), present)
            return pooled_over_time
        return over_time(found, self.temporal, self.get_buffer("years"), present)

    def _encoded(self, frames: Tensor) -> Tensor:
        return _called(self.frame, frames, recompute=self.recompute)


class WholeSequenceEncoder(nn.Module):
    """A module that takes sequences whole, a few at a time: ``(b, time, band, y, x)``.

    Parameters
    ----------
    whole : Module
        With an attribute ``n_features``.
    frame_chunk : int
        Frames per call, but one sequence at the least.
    recompute : bool
        Recompute activations in the backward pass rather than keep them.
    """

    def __init__(
        self, whole: nn.Module, *, frame_chunk: int = 512, recompute: bool = False
    ) -> None:
        super().__init__()
        self.whole, self.frame_chunk, self.recompute = whole, frame_chunk, recompute
        self.n_features = int(whole.n_features)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Vector of each sequence."""
        together = max(1, self.frame_chunk // images.shape[1])
        parts = torch.split(without_gaps(images), together)
        return torch.cat([_called(self.whole, part, recompute=self.recompute) for part in parts])


def _called(module: nn.Module, images: Tensor, *, recompute: bool) -> Tensor:
    again = recompute and torch.is_grad_enabled()
    found: Tensor = checkpoint(module, images, use_reentrant=False) if again else module(images)
    return found


def without_gaps(images: Tensor) -> Tensor:
    """Frames without pixels as images of the mean of each band, as single missing pixels are."""
    return torch.where(images.isnan(), 0.0, images)


def over_time(found: Tensor, temporal: str, years: Tensor, present: Tensor | None = None) -> Tensor:
    """Aggregate ``(b, time, d)`` by a rule without parameters.

    Parameters
    ----------
    found : (b, time, d) Tensor
    temporal : str
    years : (time,) Tensor
    present : (b, time) Tensor, optional
        Which frames to go by, at least one of each sequence; ``"concat"`` takes all.
    """
    if present is not None and temporal != "concat":
        return _over_some(found, temporal, years, present)
    mean = found.mean(dim=1)
    if temporal == "last":
        return found[:, -1]
    if temporal == "concat":
        return found.flatten(1)
    if temporal == "variance":
        return torch.cat([mean, found.var(dim=1)], dim=1)
    if temporal == "difference":
        steps = (found[:, 1:] - found[:, :-1]) / (years[1:] - years[:-1])[:, None]
        return torch.cat([mean, steps.mean(dim=1)], dim=1)
    return mean


def _over_some(found: Tensor, temporal: str, years: Tensor, present: Tensor) -> Tensor:
    """The same rules over the frames that are there; a single one varies and changes by nothing."""
    weight = present[..., None].to(found.dtype)
    count = weight.sum(dim=1)
    mean = (found * weight).sum(dim=1) / count
    frame = torch.arange(found.shape[1], device=found.device)
    latest = torch.where(present, frame, -1).cummax(dim=1).values
    if temporal == "last":
        return found[torch.arange(found.shape[0], device=found.device), latest[:, -1]]
    if temporal == "variance":
        squares = ((found - mean[:, None]).square() * weight).sum(dim=1)
        return torch.cat([mean, squares / (count - 1.0).clamp(min=1.0)], dim=1)
    if temporal == "difference":
        before, follows = latest[:, :-1].clamp(min=0), present[:, 1:] & (latest[:, :-1] >= 0)
        change = found[:, 1:] - found.gather(1, before[..., None].expand_as(found[:, 1:]))
        steps = change / (years[1:] - years[before])[..., None] * follows[..., None]
        return torch.cat([mean, steps.sum(dim=1) / (count - 1.0).clamp(min=1.0)], dim=1)
    return mean


class BandMoments(nn.Module):
    """Mean and standard deviation of each band: ``(b, [time,] band, y, x)`` to ``(b, 2 band)``.

    Over all pixels and frames as an encoder sees them: a missing pixel is the mean of its band, and
    the mask, where there is one, a band. Frames without pixels are left out.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Means of each image's bands, then their deviations."""
        dims = [dim for dim in range(1, image.dim()) if dim != image.dim() - 3]
        gone = image.isnan().flatten(-3).any(dim=-1)[..., None, None, None]
        average = torch.mean
        if gone.any():
            image, average = image.masked_fill(gone, torch.nan), torch.nanmean
        mean = average(image, dim=dims, keepdim=True)
        sd = average((image - mean).square(), dim=dims).sqrt()
        return torch.cat([mean.flatten(1), sd], dim=1)


class QueryPooling(nn.Module):
    """Transformer layer over time with dates encoded, pooled by a learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = next(h for h in (_HEADS, 2, 1) if width % h == 0)
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(self, found: Tensor, years: Tensor, present: Tensor | None = None) -> Tensor:
        """``(b, time, d)`` to ``(b, d)``, of the frames that are present if not all are."""
        gone = None if present is None else ~present
        dated = found + date_waves(years, found.shape[-1]).to(found.dtype)
        moved = self.layer(dated, src_key_padding_mask=gone)
        query = self.query.expand(found.shape[0], -1, -1)
        answer: Tensor = self.attend(
            query, moved, moved, key_padding_mask=gone, need_weights=False
        )[0][:, 0]
        return answer


def date_waves(years: Tensor, width: int) -> Tensor:
    """Sines and cosines of dates, ``(time, width)``, of wave lengths from months to decades."""
    count = (width + 1) // 2
    shares = torch.arange(count, device=years.device) / max(1, count - 1)
    low, high = _YEARS
    angles = years[:, None] * (2 * math.pi / (low * (high / low) ** shares))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]

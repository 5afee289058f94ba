"""Salience: what in an image speaks for a cluster, by gradients and by occlusion.

    s(M) = d logit p̃_k / dM,   p̃_k = (1 − ε) E[π_k] + ε / K,   ε = .01

with E over posterior draws and members, taken before the derivative; on request averaged over
copies of the image with noise.

Sources: Jerzak, Johansson & Daoud (2023), CLeaR, for the derivative of mean type probabilities;
Smilkov et al. (2017), arXiv:1706.03825, for copies with noise; Zeiler & Fergus (2014), ECCV, for
occlusion.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from causalkit.data.images import ImageStore
from causalkit.data.new_folder import free_folder, new_folder
from causalkit.errors import (
    ArgumentError,
    IdentificationError,
    check_choice,
    check_count,
)
from causalkit.images.batches import Images
from causalkit.images.fitting import Fitted
from causalkit.images.inputs import check_keys
from causalkit.images.mixture import type_log_probs
from causalkit.images.model import Mixture
from causalkit.images.represent import forward, not_finite
from causalkit.inference.arguments import check_number
from causalkit.optional import require
from causalkit.typing import Ints, Singles

if TYPE_CHECKING:
    import xarray as xr

SMOOTHING = 0.01
N_COPIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What of the salience is asked for.

    Attributes
    ----------
    cluster : int
        From 0.
    occlusion : bool
    block : int
        Side of the squares, in pixels.
    segments : None, "blocks", array or DataArray
    at : {"posterior", "mode"}
    n_draws, batch_size : int
    noise : float
        Standard deviation of the noise, in those of each band; 0 for the image as it is.
    seed : int
        Of the noise.
    """

    cluster: int
    occlusion: bool
    block: int
    segments: Any
    at: str
    n_draws: int
    batch_size: int
    noise: float
    seed: int


def cluster_number(cluster: Any, n_clusters: int) -> int:
    """Number from 0 of a cluster given as ``2`` or ``"cluster 2"``; None is the last.

    Raises
    ------
    ArgumentError
        If there is no such cluster.
    IdentificationError
        If there is only one.
    """
    if n_clusters == 1:
        raise IdentificationError(
            "there is one cluster, to which every place belongs: nothing in an image speaks for or "
            "against it."
        )
    if cluster is None:
        return n_clusters - 1
    names = {f"cluster {number + 1}": number for number in range(n_clusters)}
    found = names.get(cluster if isinstance(cluster, str) else f"cluster {cluster}")
    if found is None:
        raise ArgumentError(f"cluster must be one of 1 to {n_clusters}, got {cluster!r}.")
    return found


def salience(fitted: Fitted, store: ImageStore, wish: Wish, *, to_zarr: Any = None) -> "xr.Dataset":
    """Salience of every image that ``store`` has rows for, in the order of the store.

    Parameters
    ----------
    fitted : Fitted
    store : ImageStore
    wish : Wish
    to_zarr : path, optional
        New store that is written batch by batch.

    Raises
    ------
    ArgumentError
        If segments do not fit the images, or something is at the path.
    DataError
        If pixels are missing, and the fit has no rule for that.
    StorageError
        If the store cannot be written.
    """
    import xarray as xr

    for name in ("block", "n_draws", "batch_size"):
        check_count(name, getattr(wish, name), least=1)
    check_choice("at", wish.at, ("posterior", "mode"))
    if check_number("noise", wish.noise) < 0.0:
        raise ArgumentError(f"noise must be at least 0, got {wish.noise}.")
    parts = _batches(fitted, store, wish)
    if to_zarr is None:
        dim = str(store.pixels.dims[0])
        return xr.concat(list(parts), dim=dim, combine_attrs="override")
    return _written(parts, to_zarr, str(store.pixels.dims[0]))


def _batches(fitted: Fitted, store: ImageStore, wish: Wish) -> Iterator["xr.Dataset"]:
    segments = _Segments.of(wish, store)
    views = [_View.of(member, wish, fitted.lens.device) for member in fitted.members]
    images = Images.of(store)
    for positions, raw in images.in_order(store.used(), wish.batch_size):
        wrong = fitted.lens.refused(raw)
        if wrong.any():
            raise not_finite(images, positions[wrong], raw[wrong])
        pixels = fitted.lens.pixels(raw)
        gradient, chance = _asked_gradient(views, pixels, len(store.bands), wish)
        shown = gradient[..., : len(store.bands), :, :]  # a band for missing pixels stays out
        found: dict[str, Any] = {
            "magnitude": torch.linalg.vector_norm(shown, dim=-3),
            "direction": shown.mean(dim=-3),
        }
        found = {name: values.cpu().numpy() for name, values in found.items()}
        if segments is not None:
            found["segment"] = segments.means(found["magnitude"], positions)
        if wish.occlusion:
            found["occlusion"] = _occlusion(views, pixels, chance, len(store.bands), wish)
        yield _dataset(found, chance.cpu().numpy(), positions, fitted, store, wish)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One member: pixels to the mean over its draws of the probability of every type."""

    network: Any
    model: Mixture
    theta: Tensor
    mean: Tensor
    sd: Tensor

    @classmethod
    def of(cls, member: Any, wish: Wish, device: Any) -> "_View":
        posterior = member.posterior.thinned(wish.n_draws)
        member.network.eval()
        theta = posterior.draws if wish.at == "posterior" else member.mode[None]
        arrays = (theta, posterior.mean, posterior.sd)
        put = [torch.as_tensor(part, dtype=torch.float32, device=device) for part in arrays]
        return cls(member.network, posterior.model, *put)

    def types(self, pixels: Tensor) -> Tensor:
        features = (forward(self.network, pixels, None) - self.mean) / self.sd
        return type_log_probs(self.model, self.theta, features).exp().mean(dim=0)


def _types(views: Sequence[_View], pixels: Tensor) -> Tensor:
    return torch.stack([view.types(pixels) for view in views]).mean(dim=0)


def _asked_gradient(
    views: Sequence[_View], pixels: Tensor, n_bands: int, wish: Wish
) -> tuple[Tensor, Tensor]:
    """Derivative at the pixels or its mean about them, and the probability at the pixels."""
    if wish.noise == 0.0:
        return _gradient(views, pixels, wish.cluster)
    total = torch.zeros_like(pixels)
    # Every image gets the same noise, so that neither batch nor order matter.
    generator = torch.Generator().manual_seed(wish.seed)
    for _ in range(N_COPIES):
        drawn = torch.randn(pixels.shape[1:], generator=generator).to(pixels.device)
        drawn[..., n_bands:, :, :] = 0.0  # where pixels are missing stays as it is
        total += _gradient(views, pixels + wish.noise * drawn, wish.cluster)[0]
    with torch.no_grad():
        chance = _types(views, pixels)[:, wish.cluster]
    return total / N_COPIES, chance


def _gradient(views: Sequence[_View], pixels: Tensor, cluster: int) -> tuple[Tensor, Tensor]:
    """Derivative of the smoothed logit by every pixel, and the probability of the cluster."""
    asked = pixels.detach().requires_grad_()
    with torch.enable_grad():
        types = _types(views, asked)
        smoothed = (1.0 - SMOOTHING) * types[:, cluster] + SMOOTHING / types.shape[1]
        # Images do not see each other, so that the sum has each image's own derivative. Asked for
        # the pixels only: parameters keep no gradient.
        (found,) = torch.autograd.grad(torch.logit(smoothed).sum(), asked)
    return found, types[:, cluster].detach()


@torch.no_grad()
def _occlusion(
    views: Sequence[_View], pixels: Tensor, chance: Tensor, n_bands: int, wish: Wish
) -> Singles:
    """Fall of the probability when a square, in all frames, becomes the mean of its bands."""
    height, width = pixels.shape[-2:]
    found = np.empty((pixels.shape[0], height, width), dtype=np.float32)
    for top in range(0, height, wish.block):
        for left in range(0, width, wish.block):
            here = (..., slice(top, top + wish.block), slice(left, left + wish.block))
            covered = pixels.clone()
            covered[..., :n_bands, here[1], here[2]] = 0.0
            fall = chance - _types(views, covered)[:, wish.cluster]
            found[here] = fall.cpu().numpy()[:, None, None]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Segments:
    """Pieces of each image: one array for all images, or one array per image of the store."""

    labels: Any
    place: Ints | None

    @classmethod
    def of(cls, wish: Wish, store: ImageStore) -> "_Segments | None":
        given, shape = wish.segments, store.shape[-2:]
        if given is None:
            return None
        if isinstance(given, str):
            if given != "blocks":
                raise ArgumentError(f"segments must be 'blocks' or an array, got {given!r}.")
            down, across = (np.arange(size) // wish.block for size in shape)
            return cls(down[:, None] * (across[-1] + 1) + across, None)
        labels = given if hasattr(given, "dims") else np.asarray(given)
        dim = str(store.pixels.dims[0])
        if hasattr(labels, "dims"):
            wanted = (dim, "y", "x") if dim in labels.dims else ("y", "x")
            if set(labels.dims) != set(wanted):
                raise ArgumentError(
                    f"segments have the dimensions ({', '.join(map(str, labels.dims))}); expected "
                    f"(y, x) or ({dim}, y, x). Rename them: segments.rename(...)."
                )
            labels = labels.transpose(*wanted)
        if labels.shape[-2:] != shape or labels.ndim not in (2, 3):
            raise ArgumentError(
                f"segments have the shape {labels.shape}; expected (y, x) = {shape}, or "
                f"({dim}, y, x)."
            )
        return cls(labels, None if labels.ndim == 2 else _rows_of(labels, store, dim))

    def means(self, magnitude: Singles, positions: Ints) -> Singles:
        """Mean of ``(b, [time,] y, x)`` over the piece that each pixel lies in."""
        labels = self.labels
        if self.place is not None:
            labels = np.asarray(labels[self.place[positions]])
            if magnitude.ndim == 4:
                labels = labels[:, None]
        wide = np.broadcast_to(np.asarray(labels), magnitude.shape).reshape(
            -1, magnitude.shape[-2] * magnitude.shape[-1]
        )
        known, codes = np.unique(wide, return_inverse=True)
        codes = codes.reshape(wide.shape) + known.size * np.arange(wide.shape[0])[:, None]
        total = np.bincount(codes.ravel(), magnitude.ravel())
        count = np.maximum(np.bincount(codes.ravel()), 1)
        return (total / count)[codes].reshape(magnitude.shape).astype(np.float32)


def _rows_of(labels: Any, store: ImageStore, dim: str) -> Ints:
    """Row of the segments for each image of the store; raises where an image has none."""
    import pandas as pd

    count = labels.shape[0]
    if hasattr(labels, "dims") and dim in labels.coords:
        check_keys(labels[dim].values, "the segments")
        place = pd.Index(labels[dim].values).get_indexer(pd.Index(store.keys))
    elif count == store.n_images:
        place = np.arange(count)
    else:
        raise ArgumentError(
            f"there are segments for {count} images and the store has {store.n_images}; give "
            f"segments a coordinate {dim!r} with the keys of their images."
        )
    lost = place[store.used()] < 0
    if lost.any():
        first = np.asarray(store.keys)[store.used()[lost][:3]].tolist()
        raise ArgumentError(
            f"{int(lost.sum())} images have no segments (first: "
            f"{', '.join(map(repr, first))}); leave them out with images=."
        )
    return np.asarray(place, dtype=np.int64)


def _dataset(
    found: dict[str, Singles],
    chance: Singles,
    positions: Ints,
    fitted: Fitted,
    store: ImageStore,
    wish: Wish,
) -> "xr.Dataset":
    import xarray as xr

    dims = tuple(str(dim) for dim in store.pixels.dims if dim != "band")
    frame = (dims[0], *dims[-2:])
    arrays = {
        name: (dims if values.ndim == len(dims) else frame, values)
        for name, values in found.items()
    }
    arrays["probability"] = ((dims[0],), chance)
    coords: dict[Any, Any] = {dims[0]: np.asarray(store.keys)[positions]}
    for name, coord in store.pixels.coords.items():
        if name != dims[0] and "band" not in coord.dims:
            along = coord.isel({dims[0]: positions}) if dims[0] in coord.dims else coord
            coords[name] = (along.dims, along.values)
    return xr.Dataset(arrays, coords, attrs=_attributes(fitted, store, wish))


def _attributes(fitted: Fitted, store: ImageStore, wish: Wish) -> dict[str, Any]:
    return {
        "image": store.name,
        "cluster": f"cluster {wish.cluster + 1}",
        "scale": "magnitude and direction: change of the logit of the cluster's probability per "
        "standard deviation of a band; times raw_factor, per unit of the band in the store",
        "band": list(store.bands),
        "raw_factor": (1.0 / fitted.lens.bands.sd).tolist(),
        "at": wish.at,
        "smoothing": SMOOTHING,
        "block": wish.block,
        "noise": wish.noise,
    }


def _written(parts: Iterator["xr.Dataset"], to_zarr: Any, dim: str) -> "xr.Dataset":
    """Store with all batches, which gets its name when it is complete."""
    import xarray as xr

    require("zarr", extra="images", needed_by="salience(to_zarr=...)")
    path = free_folder(to_zarr)
    with new_folder(path) as folder:
        for number, part in enumerate(parts):
            more: dict[str, Any] = {"append_dim": dim} if number else {}
            part.to_zarr(folder, zarr_format=2, consolidated=False, **more)
    stored: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    return stored

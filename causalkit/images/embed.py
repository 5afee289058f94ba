"""Embeddings of images by encoders that have not been trained with the effects."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.embedding_store import kept, remembered
from causalkit.data.images import ImageStore
from causalkit.device import PRECISIONS, autocast_type, resolve_device
from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice, check_count, check_flag
from causalkit.images.batches import Images, Lens
from causalkit.images.encoder_digest import encoder_digest, untold_parts
from causalkit.images.encoders import ImageEncoder, resolve_encoder
from causalkit.images.inputs import bare_store
from causalkit.images.settings import TEMPORAL, WIDTH
from causalkit.images.survey import (
    Bands,
    NanPolicy,
    Survey,
    check_pixels,
    check_scale,
    survey,
    warn_of_empty_frames,
)
from causalkit.images.times import check_times, times_of
from causalkit.optional import require

if TYPE_CHECKING:
    import xarray as xr


def embed_images(
    data: Any,
    encoder: str | ImageEncoder = "random",
    *,
    temporal: str = "difference",
    crop_sizes: Sequence[int] | None = None,
    image: str | None = None,
    nan_policy: NanPolicy = "error",
    bands: Any = None,
    treatment_date: Any = None,
    allow_later_frames: bool = False,
    cache: Any = None,
    batch_size: int = 256,
    frame_chunk: int = 512,
    device: str = "auto",
    precision: str = "auto",
    progress: Any = None,
) -> "xr.DataArray":
    """Vector of every image, however many units share it.

    Parameters
    ----------
    data : CausalData, or xarray Dataset or DataArray of images
    encoder : "random" or ImageEncoder, default "random"
    temporal : {"difference", "concat", "variance", "mean", "last"}, default "difference"
        Rule over the frames of sequences, but for an encoder of whole sequences. Frames without
        pixels are left out, but by ``"concat"``.
    crop_sizes : sequence of int, optional
        Sides of centred crops, each encoded; their vectors are joined.
    image : str, optional
        Which image variable, if there are several.
    nan_policy : {"error", "mean", "mask"}, default "error"
        What missing pixels become: an error, the mean of the band, or that and a mask band.
    bands : DataArray, optional
        A former embedding whose means and deviations of the bands are used again, so that a target
        is seen as its source was. Default: those of the images given, or of the encoder.
    treatment_date : date, optional
        Frames must all be earlier.
    allow_later_frames : bool, default False
        Accept frames that are not.
    cache : path, optional
        Zarr store that keeps the result. Read if it is of the same images, encoder and arguments;
        else made again, with a warning.
    batch_size : int, default 256
        Images at a time.
    frame_chunk : int, default 512
        Frames per call of the encoder.
    device : str, default "auto"
    precision : {"auto", "float32", "bf16"}, default "auto"
    progress : None, True or callable

    Returns
    -------
    (place, feature) DataArray
        Keys of the images as coordinate. Attributes say how it was made: ``encoder``,
        ``encoder_digest``, ``outcome_free``, ``trained_on``, ``digest``, ``bands``,
        ``band_mean``, ``band_sd``, ``crop_sizes``, ``temporal``, ``times``, ``nan_policy``, and
        ``empty_frames`` where frames have no pixels.

    Raises
    ------
    ArgumentError, DataError, TrainingError
        If an argument, the images or what the encoder makes of them does not do; says what to
        change.
    StorageError
        If the cache cannot be written.

    Examples
    --------
    >>> import causalkit as ck
    >>> rct = ck.generators.image_rct(0, n_images=60)
    >>> vectors = ck.embed_images(rct, ck.ImageEncoder.random(n_filters=8))
    >>> vectors.sizes["place"], vectors.sizes["feature"], vectors.attrs["outcome_free"]
    (60, 19, True)
    """
    require("torch", extra="deep", needed_by="embed_images")
    check_choice("temporal", temporal, TEMPORAL)
    check_choice("precision", precision, PRECISIONS)
    for name, count in (("batch_size", batch_size), ("frame_chunk", frame_chunk)):
        check_count(name, count, least=1)
    check_flag("allow_later_frames", allow_later_frames)
    maker = _outcome_free(encoder, temporal)
    if isinstance(data, CausalData):
        store = ImageStore.of(data, image)
    else:
        store = bare_store(data, image, needed_by="embed_images", mend="pass image=...")
    maker.check(store)
    check_times(store, treatment_date, allow_later=allow_later_frames)
    crops = _crops(crop_sizes, store)
    images = Images.unread(store)
    seen = survey(store, into=images.held, progress=progress)
    check_pixels(seen, store, nan_policy=nan_policy)
    warn_of_empty_frames(seen, store, sequence=maker.sequence, temporal=temporal)
    how = _How(
        maker, temporal, crops, nan_policy, _statistics(maker, bands, seen, store), frame_chunk
    )
    network = how.network(store)
    if cache is not None:
        _check_told(network, maker)
    where = resolve_device(device)
    lower = autocast_type(precision, where, WIDTH)
    attributes = how.attributes(store, seen, network, lower)
    found = remembered(cache, attributes["digest"], made_of="images", by="embed_images")
    if found is not None:
        return found
    from causalkit.images.represent import represent

    values = represent(
        network.to(where),
        Lens(how.bands, nan_policy, where),
        images,
        seen.positions,
        batch_size=batch_size,
        precision=lower,
    )
    return kept(cache, _labelled(values, store, seen, attributes), by="embed_images")


@dataclass(frozen=True, slots=True, eq=False)
class _How:
    """All that decides what vector an image has."""

    encoder: ImageEncoder
    temporal: Any
    crops: tuple[int, ...]
    nan_policy: str
    bands: Bands
    frame_chunk: int

    def network(self, store: ImageStore) -> Any:
        """Encoder of whole images, whatever is random in it the same every time."""
        import torch

        from causalkit.images.encoder_network import network_maker
        from causalkit.images.pretrained import Crops

        def part(cropped: ImageStore) -> Any:
            make = network_maker(
                self.encoder,
                cropped,
                temporal=self.temporal,
                extra_bands=int(self.nan_policy == "mask"),
                frame_chunk=self.frame_chunk,
                recompute=False,
            )
            return make()

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if not self.crops:
                return part(store)
            return Crops(
                [part(replace(store, pixels=_centre(store.pixels, side))) for side in self.crops],
                self.crops,
            )

    def attributes(
        self, store: ImageStore, seen: Survey, network: Any, lower: Any
    ) -> dict[str, Any]:
        """What the embedding says about itself, and a digest of that and of all pixels."""
        keys = np.asarray(store.keys)[seen.positions].tolist()
        free = self.encoder.trained_on is None
        found: dict[str, Any] = {
            "encoder": self.encoder.name,
            "encoder_digest": encoder_digest(network),
            "outcome_free": free,
            "trained_on": [] if free else list(map(_kept_key, self.encoder.trained_on or ())),
            "bands": list(store.bands),
            "band_mean": self.bands.mean.tolist(),
            "band_sd": self.bands.sd.tolist(),
            "crop_sizes": list(self.crops),
            "temporal": "" if len(store.shape) < 4 or self.encoder.sequence else self.temporal,
            "times": list(times_of(store)),
            "nan_policy": self.nan_policy,
        }
        if seen.empty.any():
            found["empty_frames"] = int(seen.empty.sum())
        whole = repr((found, keys, store.shape, str(lower), seen.digest))
        return found | {"digest": hashlib.sha256(whole.encode()).hexdigest()}


def _outcome_free(encoder: Any, temporal: str) -> ImageEncoder:
    maker = resolve_encoder(encoder)
    if maker.trained:
        raise ArgumentError(
            f"encoder {maker.name!r} is trained with the effects and has no weights of its own; "
            "use 'random' or pretrained weights here, or ck.ImageEffectClusters, which trains it."
        )
    if temporal == "transformer":
        raise ArgumentError(
            "temporal='transformer' is trained with the effects; use 'difference', 'concat', "
            "'variance', 'mean' or 'last' here."
        )
    return maker


def _kept_key(key: Any) -> Any:
    """A key as the attributes of a store can hold it; keys are compared as text."""
    return key if isinstance(key, str | int | float) else str(key)


def _check_told(network: Any, maker: ImageEncoder) -> None:
    untold = untold_parts(network)
    if untold:
        raise ArgumentError(
            f"encoder {maker.name!r} holds {', '.join(untold)}, whose content no digest can tell: "
            "cache= might give the vectors of another; hold numbers, text, arrays, tensors, "
            "lists or functions in its place, or leave out cache=."
        )


def _crops(sizes: Sequence[int] | None, store: ImageStore) -> tuple[int, ...]:
    if sizes is None:
        return ()
    if not isinstance(sizes, Iterable):
        raise ArgumentTypeError(f"crop_sizes must be several sides, such as (32,); got {sizes!r}.")
    sides = tuple(check_count("crop_sizes", side, least=1) for side in sizes)
    least = min(store.shape[-2:])
    if not sides or max(sides) > least:
        raise ArgumentError(
            f"crop_sizes={sides!r} must be sides of crops inside images of {store.shape[-2]} by "
            f"{store.shape[-1]} pixels, at most {least}."
        )
    return sides


def _statistics(encoder: ImageEncoder, bands: Any, seen: Survey, store: ImageStore) -> Bands:
    scale = encoder.scale()
    if scale is not None:
        given = Bands(*scale)
        check_scale(given, seen.bands(seen.positions), store, encoder.name)
        return given
    if bands is None:
        return seen.bands(seen.positions)
    attributes = getattr(bands, "attrs", {})
    if not {"bands", "band_mean", "band_sd"} <= attributes.keys():
        raise ArgumentTypeError("bands must be an embedding of ck.embed_images, or None.")
    if tuple(attributes["bands"]) != store.bands:
        raise ArgumentError(
            f"bands= has statistics of {', '.join(attributes['bands'])}, and the images have "
            f"{', '.join(store.bands)}; select and order them: "
            f"ds.sel(band={store.band_labels(attributes['bands'])})."
        )
    return Bands(np.asarray(attributes["band_mean"]), np.asarray(attributes["band_sd"]))


def _centre(pixels: "xr.DataArray", side: int) -> "xr.DataArray":
    rows, columns = ((pixels.sizes[dim] - side) // 2 for dim in ("y", "x"))
    return pixels.isel(y=slice(rows, rows + side), x=slice(columns, columns + side))


def _labelled(
    values: Any, store: ImageStore, seen: Survey, attributes: dict[str, Any]
) -> "xr.DataArray":
    import xarray as xr

    dim = str(store.pixels.dims[0])
    keys = np.asarray(store.keys)[seen.positions]
    return xr.DataArray(
        values, dims=(dim, "feature"), coords={dim: keys}, name="embedding", attrs=attributes
    )

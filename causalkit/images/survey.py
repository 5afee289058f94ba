"""One look at every image: band statistics, missing pixels, blanks and twins."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from causalkit.data.checks_fit import gaps_problem
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, CausalKitWarning, DataError, Problem, check_choice
from causalkit.images.ahead import ahead
from causalkit.images.far_values import extremes, far_value
from causalkit.progress import teller
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

NanPolicy = Literal["error", "mean", "mask"]
NAN_POLICIES = get_args(NanPolicy)
_MOMENT_PIXELS = 2**21  # at once, in float64 and some copies
_FAR = 10.0  # deviations between the means of images and those that an encoder was made with
_WIDER = 50.0  # ratio of their deviations; bytes and shares of one differ by 255


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What each image holds; statistics of any part follow without reading again.

    Attributes
    ----------
    positions : (m,) int array
        Images looked at, ascending.
    count, mean, squares : (m, band) arrays
        Finite pixels, their mean, and their squared deviations summed.
    n_pixels : int
        Pixels of a band of an image.
    twin : (m,) int array
        The first image with the same pixels: its own number where there is none.
    digest : str
        Of all pixels, in order.
    empty : (m,) int array
        Frames without a finite pixel, of sequences that have other frames.
    ends : (m, 4, band) array
        Of :func:`~causalkit.images.far_values.extremes`.
    """

    positions: Ints
    count: Floats
    mean: Floats
    squares: Floats
    n_pixels: int
    twin: Ints
    digest: str
    empty: Ints
    ends: Floats

    def bands(self, positions: Ints) -> "Bands":
        """Mean and standard deviation of each band over some of the images, in float64."""
        rows = np.searchsorted(self.positions, positions)
        count, mean = self.count[rows], self.mean[rows]
        total = np.maximum(count.sum(axis=0), 1.0)
        centre = (count * mean).sum(axis=0) / total
        squares = self.squares[rows].sum(axis=0) + (count * (mean - centre) ** 2).sum(axis=0)
        return Bands(centre, np.sqrt(squares / total))


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Mean and standard deviation of each band, ``(band,)``, in units of the store."""

    mean: Floats
    sd: Floats


def survey(store: ImageStore, *, into: Any = None, progress: Any = None) -> Survey:
    """Look once at every image that a row has, run by run.

    Parameters
    ----------
    store : ImageStore
    into : (m, ...) array, optional
        Takes the pixels of all these images, in order, so that they need not be read again.
    progress : None, bool or callable
        As everywhere.

    Raises
    ------
    DataError
        If pixels are no real numbers.
    """
    if store.pixels.dtype.kind not in "biuf":
        message = (
            f"pixels of {store.name!r} are of type {store.pixels.dtype}; store real numbers: "
            f'ds.astype("float32").'
        )
        raise DataError(Problem("E03-non-numeric", message, store.name))
    positions = store.used()
    bands = store.pixels.sizes["band"]
    count, mean, squares = (np.zeros((positions.size, bands)) for _ in range(3))
    ends = np.empty((positions.size, 4, bands))
    first: dict[bytes, int] = {}
    twin, empty = (np.zeros(positions.size, dtype=np.int64) for _ in range(2))
    whole = hashlib.blake2b(str(store.pixels.dtype).encode(), digest_size=16)
    total = len(store.runs(positions))
    advance = teller(progress, "reading images", unit="run", total=total)
    at = 0
    for run, pixels in ahead(store.read_runs(positions)):
        here = slice(at, at + run.size)
        if into is not None:
            into[here] = pixels
        count[here], mean[here], squares[here] = _moments(pixels)
        empty[here] = _empty_frames(pixels)
        for row, image in enumerate(pixels):
            seal = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            whole.update(seal)
            ends[at + row] = extremes(image)
            twin[at + row] = first.setdefault(seal, at + row)
        at += run.size
        if advance is not None:
            advance(f"{at} of {positions.size} images")
    n_pixels = int(np.prod(store.shape, dtype=np.int64)) // bands
    return Survey(positions, count, mean, squares, n_pixels, twin, whole.hexdigest(), empty, ends)


def check_pixels(found: Survey, store: ImageStore, *, nan_policy: str) -> None:
    """Refuse images that cannot be used, and warn of blank ones and of twins.

    Raises
    ------
    DataError
        If pixels are missing under ``nan_policy="error"``, or more than the data allow, or a band
        is missing or constant throughout.
    """
    check_choice("nan_policy", nan_policy, NAN_POLICIES)
    problems = list(_band_problems(found, store))
    gone = found.n_pixels - found.count
    share = float(gone.mean()) / found.n_pixels
    if share > store.max_nan_pixels and not problems:
        problems.append(gaps_problem(store.name, share, store.max_nan_pixels))
    if nan_policy == "error" and gone.any() and not problems:
        counts = ", ".join(
            f"{band}: {int(number)}"
            for band, number in zip(store.bands, gone.sum(axis=0), strict=True)
            if number
        )
        ids = _first(store, found.positions[gone.any(axis=1)])
        problems.append(
            Problem(
                "E15-image-nonfinite",
                f"pixels of {store.name!r} are missing or infinite ({counts}; first images: {ids})."
                " Fill them, or pass nan_policy='mean' or 'mask'.",
                store.name,
            )
        )
    if problems:
        raise DataError(problems)
    _warn_of_codes(found, store)
    blank = (found.squares == 0.0).all(axis=1)
    if blank.any():
        warn(
            f"{int(blank.sum())} images of {store.name!r} are constant (first: "
            f"{_first(store, found.positions[blank])}); they tell nothing and may be failed reads.",
            CausalKitWarning,
        )
    again = (found.twin != np.arange(found.twin.size)) & ~blank
    if again.any():
        warn(
            f"{int(again.sum())} images of {store.name!r} have the same pixels as another (first: "
            f"{_first(store, found.positions[again])}); they stay in one part of the split.",
            CausalKitWarning,
        )


def warn_of_empty_frames(
    found: Survey, store: ImageStore, *, sequence: bool, temporal: str
) -> None:
    """Warn of frames without pixels, where nothing can leave them out.

    Parameters
    ----------
    found : Survey
    store : ImageStore
    sequence : bool
        Whether the encoder takes sequences whole.
    temporal : str
        Rule over time, of other encoders.
    """
    some = found.empty > 0
    if not some.any() or not (sequence or temporal == "concat"):
        return
    what = "an encoder of whole sequences" if sequence else "temporal='concat'"
    mend = "fill them in" if sequence else "other rules leave them out"
    warn(
        f"{int(found.empty.sum())} frames of {int(some.sum())} images of {store.name!r} have no "
        f"pixels (first: {_first(store, found.positions[some])}), and {what} takes them for "
        f"images of the mean of each band: {mend}.",
        CausalKitWarning,
    )


def check_bands(bands: Bands, store: ImageStore) -> None:
    """Refuse bands that do not vary over the training images, of which nothing can be learned.

    Raises
    ------
    DataError
    """
    flat = [name for name, sd in zip(store.bands, bands.sd, strict=True) if not sd > 0.0]
    if flat:
        message = (
            f"band {flat[0]!r} of {store.name!r} is constant or missing in every training image; "
            f"leave it out: ds.drop_sel(band={store.band_labels(flat)[0]!r})."
        )
        raise DataError(Problem("E15-image-nonfinite", message, store.name))


def check_scale(given: Bands, found: Bands, store: ImageStore, encoder: str) -> None:
    """Refuse pixels in other units than those that the weights of an encoder were made for.

    Parameters
    ----------
    given : Bands
        What the encoder expects.
    found : Bands
        Of the images.
    store : ImageStore
    encoder : str
        Name.

    Raises
    ------
    ArgumentError
        If the numbers of bands differ, or a band's mean or deviation is far from what is expected.
    """
    if given.mean.size != found.mean.size:
        raise ArgumentError(
            f"encoder {encoder!r} has means of {given.mean.size} bands, and {store.name!r} has "
            f"{found.mean.size}: {', '.join(store.bands)}; give one each."
        )
    shift = np.abs(found.mean - given.mean) > _FAR * given.sd
    spread = np.abs(np.log(found.sd / given.sd)) > np.log(_WIDER)
    if (shift | spread).any():
        band = int(np.flatnonzero(shift | spread)[0])
        raise ArgumentError(
            f"encoder {encoder!r} expects band {store.bands[band]!r} with mean "
            f"{given.mean[band]:.3g} and deviation {given.sd[band]:.3g}, and in {store.name!r} it "
            f"has {found.mean[band]:.3g} and {found.sd[band]:.3g}: other units. Rescale the "
            "pixels, or give mean= and sd= in units of the store."
        )


def _warn_of_codes(found: Survey, store: ImageStore) -> None:
    """Warn of bands in which many pixels share one value far from the others."""
    for number, band in enumerate(store.bands):
        columns = (part[:, number] for part in (found.count, found.mean, found.squares))
        far = far_value(found.ends[:, :, number], *columns)
        if far is not None:
            warn(
                f"{far.share:.1%} of the pixels of {store.name!r} are {far.value:g} in band "
                f"{band!r}, {far.deviations:.0f} standard deviations from all others: it may "
                "stand for missing pixels, and is taken for a shade. If it does, say so and take "
                f"nan_policy='mean' or 'mask': ds[{store.name!r}].attrs['nodata'] = {far.value:g}.",
                CausalKitWarning,
            )
            return


def _band_problems(found: Survey, store: ImageStore) -> Iterator[Problem]:
    whole = found.bands(found.positions)
    if not whole.sd.any():
        message = (
            f"every pixel of {store.name!r} is missing or has the value of its band (the first: "
            f"{whole.mean[0]:g}): the store may be empty, or its chunks gone; read one image to "
            "see."
        )
        yield Problem("E15-image-nonfinite", message, store.name)
        return
    for number, band in enumerate(store.bands):
        if not found.count[:, number].any():
            state = "missing"
        elif whole.sd[number] == 0.0:
            state = "constant"
        else:
            continue
        message = (
            f"band {band!r} of {store.name!r} is {state} in every image; leave it out: "
            f"ds.drop_sel(band={store.band_labels([band])[0]!r})."
        )
        yield Problem("E15-image-nonfinite", message, store.name)


def _moments(pixels: Any) -> tuple[Floats, Floats, Floats]:
    """Count, mean and squared deviations of each image's bands, ``(b, band)``, NaN left out."""
    one = max(1, int(np.prod(pixels.shape[1:], dtype=np.int64)))
    step = max(1, _MOMENT_PIXELS // one)
    parts = [_moments_at_once(pixels[at : at + step]) for at in range(0, pixels.shape[0], step)]
    count, mean, squares = (np.concatenate(part) for part in zip(*parts, strict=True))
    return count, mean, squares


def _moments_at_once(pixels: Any) -> tuple[Floats, Floats, Floats]:
    flat = np.moveaxis(pixels, -3, 1).reshape(pixels.shape[0], pixels.shape[-3], -1)
    values = flat.astype(np.float64)
    finite = np.isfinite(values)
    count = finite.sum(axis=2).astype(np.float64)
    values = np.where(finite, values, 0.0)
    mean = values.sum(axis=2) / np.maximum(count, 1.0)
    squares = (np.where(finite, values - mean[:, :, None], 0.0) ** 2).sum(axis=2)
    return count, mean, squares


def _empty_frames(pixels: Any) -> Any:
    """Frames of each image without a finite pixel; 0 if it has no other."""
    if pixels.ndim < 5 or pixels.dtype.kind != "f":
        return 0
    gone = ~np.isfinite(pixels).any(axis=(-3, -2, -1))
    return np.where(gone.all(axis=1), 0, gone.sum(axis=1))


def _first(store: ImageStore, positions: Ints) -> str:
    return ", ".join(repr(key) for key in np.asarray(store.keys)[positions[:3]].tolist())

"""Images as pictures: which bands are red, green and blue, and how pixels become shades."""

from collections.abc import Sequence

import numpy as np

from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError
from causalkit.typing import Floats, Ints

_STRETCH = (2.0, 98.0)  # percentiles that become black and full


def thumbnails(store: ImageStore, positions: Ints, *, rgb: Sequence[str] | None = None) -> Floats:
    """Pictures of some images, stretched alike to be compared; of a sequence the last.

    Parameters
    ----------
    store : ImageStore
    positions : (b,) int array
    rgb : sequence of one or three str, optional
        Bands to show. Default: the first three; the first where there are fewer.

    Returns
    -------
    (b, y, x, 3) or (b, y, x) array
        In [0, 1]; missing pixels are 0.

    Raises
    ------
    ArgumentError
        If a band is unknown, or there are not one or three.
    """
    chosen = _bands(store, rgb)
    pixels = np.asarray(store.read(positions), dtype=np.float64)
    if pixels.ndim == 5:
        pixels = pixels[:, -1]
    shown = pixels[:, chosen]
    shown = np.where(np.isfinite(shown), shown, np.nan)
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(shown, _STRETCH, axis=(0, 2, 3), keepdims=True)
        shades = (shown - low) / np.where(high > low, high - low, 1.0)
    found = np.clip(np.nan_to_num(shades), 0.0, 1.0)
    return found[:, 0] if len(chosen) == 1 else np.moveaxis(found, 1, -1)


def bands_in_words(store: ImageStore, rgb: Sequence[str] | None = None) -> str:
    """Which bands :func:`thumbnails` shows, for a caption."""
    names = [store.bands[place] for place in _bands(store, rgb)]
    return f"band {names[0]}" if len(names) == 1 else f"{', '.join(names)} as red, green, blue"


def _bands(store: ImageStore, rgb: Sequence[str] | None) -> list[int]:
    known = store.bands
    if rgb is None:
        return [0, 1, 2] if len(known) >= 3 else [0]
    names = [rgb] if isinstance(rgb, str) else list(map(str, rgb))
    lost = [name for name in names if name not in known]
    if lost or len(names) not in (1, 3):
        raise ArgumentError(
            f"rgb must name one or three of the bands {', '.join(known)}; got {names!r}."
        )
    return [known.index(name) for name in names]

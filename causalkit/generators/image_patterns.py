"""Pixels of simulated images: smooth backgrounds, motifs, and the match with a kernel."""

from collections.abc import Sequence

import numpy as np

from causalkit.rng import stream
from causalkit.typing import Floats, Ints, Singles

FILTER = 5  # width of the box that smooths, and of the kernel
MOTIF = 8
STRENGTH = 2.0
BLOCK = 16  # images that are painted together, so that intermediate results stay small


def white(seed: int, images: Ints, shape: Sequence[int]) -> Singles:
    """White noise ``(b, *shape)``, each image from a stream of its own.

    So an image is the same whatever is drawn with it, in whatever order.
    """
    noise = np.empty((len(images), *shape), dtype=np.float32)
    for row, image in enumerate(images):
        stream(seed, int(image)).standard_normal(out=noise[row], dtype=np.float32)
    return noise


def smooth(noise: Singles) -> Singles:
    """Sum of ``(..., y, x)`` over 5 by 5 neighbours, around the edges, divided by 5.

    White noise of variance 1 keeps it: 25 terms that are each divided by 5.
    """
    half = FILTER // 2
    for axis in (-2, -1):
        total = np.zeros_like(noise)
        for step in range(-half, half + 1):
            total += np.roll(noise, step, axis)
        noise = total
    return noise / np.float32(FILTER)


def with_brightness(noise: Singles, brightness: Floats) -> Singles:
    """White noise ``(b, band, y, x)`` whose standardised mean is given, ``(b,)``.

    The mean of white noise is independent of what deviates from it, so that standard normal
    ``brightness`` leaves white noise. Smoothing multiplies the mean by 5 and alters nothing else
    about it.
    """
    pixels = tuple(range(1, noise.ndim))
    wanted = brightness / np.sqrt(np.prod(noise.shape[1:]))
    lift = wanted - noise.mean(axis=pixels, dtype=np.float64)
    return noise + np.expand_dims(lift, pixels).astype(np.float32)


def _motifs() -> tuple[Floats, ...]:
    """Stripes, a ring of radius 3, squares and a cross, with mean 0 and mean square 1."""
    rows, columns = np.indices((MOTIF, MOTIF))
    across, down = columns - (MOTIF - 1) / 2, rows - (MOTIF - 1) / 2
    drawn = (
        columns // 2 % 2,
        np.abs(np.hypot(across, down) - 3.0) < 0.6,
        (rows // 2 + columns // 2) % 2,
        np.minimum(np.abs(across), np.abs(down)) < 1.0,
    )
    return tuple((motif - motif.mean()) / motif.std() for motif in drawn)


# In the order of the types that have them, from the second on. None changes the mean of an image,
# and so none says anything about the outcome without treatment.
MOTIFS = _motifs()


def motif_boxes(types: Ints, corners: Floats, size: int) -> Ints:
    """Boxes ``(m, 4)`` of the motifs: top, left, height, width; -1 for type 0, which has none.

    Parameters
    ----------
    types : (m,) int array
    corners : (m, 2) array
        Uniform numbers that choose the top left corner among those that leave the motif inside.
    size : int
        Height and width of the image.
    """
    corner = np.floor(corners * (size - MOTIF + 1)).astype(np.int64)
    boxes = np.column_stack([corner, np.full_like(corner, MOTIF)])
    boxes[types == 0] = -1
    return boxes


def decoy_corners(order: Floats, boxes: Ints, size: int, count: int) -> Ints:
    """Corners ``(m, count, 2)`` of decoys: cells of a grid that do not touch the motif's box.

    Parameters
    ----------
    order : (m, cells) array
        Uniform numbers; free cells are taken from the smallest.
    boxes : (m, 4) array
        Of :func:`motif_boxes`.
    size, count : int
    """
    steps = MOTIF * np.arange(size // MOTIF)
    cells = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    touched = (np.abs(cells - boxes[:, None, :2]) < MOTIF).all(axis=2) & (boxes[:, :1] >= 0)
    return cells[np.where(touched, np.inf, order).argsort(axis=1)[:, :count]]


def add_motifs(pixels: Singles, types: Ints, boxes: Ints) -> None:
    """Add the motif of each image's type to all its bands, in place."""
    for image in np.flatnonzero(types):
        _add(pixels[image], types[image] - 1, boxes[image, :2])


def add_decoys(pixels: Singles, corners: Ints, kinds: Sequence[int]) -> None:
    """Add motifs of these kinds in turn at the corners ``(b, count, 2)``, in place."""
    for image, own in enumerate(corners):
        for place, corner in enumerate(own):
            _add(pixels[image], kinds[place % len(kinds)], corner)


def _add(image: Singles, kind: int, corner: Ints) -> None:
    top, left = corner
    motif = (STRENGTH * MOTIFS[kind]).astype(np.float32)
    image[:, top : top + MOTIF, left : left + MOTIF] += motif


def _kernel() -> Floats:
    plus = np.zeros((FILTER, FILTER))
    plus[FILTER // 2] = plus[:, FILTER // 2] = 1.0
    plus -= plus.mean()
    return plus / np.linalg.norm(plus)


KERNEL = _kernel()


def kernel_match(pixels: Singles) -> tuple[Floats, Ints]:
    """Best match of a fixed kernel in each image, ``(b,)``, and where, ``(b, 4)``.

    The kernel is a plus of width 5 that sums to 0 and has norm 1; it meets the mean of the bands
    at every position inside the image.
    """
    grey = pixels.mean(axis=1, dtype=np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(grey, KERNEL.shape, axis=(1, 2))
    match = np.einsum("byxij,ij->byx", windows, KERNEL)
    flat = match.reshape(len(match), -1)
    best = flat.argmax(axis=1)
    corner = np.column_stack(np.unravel_index(best, match.shape[1:]))
    boxes = np.column_stack([corner, np.full_like(corner, FILTER)])
    return flat[np.arange(len(flat)), best], boxes

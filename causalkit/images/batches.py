"""Batches of images with all units of each, read and shuffled run by run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalkit.data.images import ImageStore
from causalkit.images.ahead import ahead
from causalkit.images.survey import Bands
from causalkit.typing import Bools, Ints

_BUFFER_RUNS = 8  # runs among which images are mixed, at most
_BUFFER_BYTES = 2**28
HELD_BYTES = 2**30  # images up to this size are read once and kept


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images and the rows that have them.

    Attributes
    ----------
    images : (b,) int array
        Positions in the store.
    pixels : (b, [time,] band, y, x) array
        As stored.
    rows : (r,) int array
        Rows whose image is in the batch.
    inverse : (r,) int array
        Position in ``images`` of each row's image.
    """

    images: Ints
    pixels: Any
    rows: Ints
    inverse: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows by image, for some of the rows.

    Attributes
    ----------
    images : (m,) int array
        Images that the rows have, ascending.
    order : (r,) int array
        Rows sorted by image.
    starts : (m + 1,) int array
        Where the rows of each image begin in ``order``.
    """

    images: Ints
    order: Ints
    starts: Ints

    @classmethod
    def of(cls, store: ImageStore, rows: Ints) -> "Rows":
        """Group ``rows`` ``(r,)`` by image."""
        return cls._by_image(store.of_row[rows], rows)

    @classmethod
    def together(cls, parts: "Sequence[Rows]") -> "Rows":
        """Rows of several parts."""
        image = [np.repeat(part.images, np.diff(part.starts)) for part in parts]
        rows = [part.order for part in parts]
        return cls._by_image(np.concatenate(image), np.concatenate(rows))

    @classmethod
    def _by_image(cls, image: Ints, rows: Ints) -> "Rows":
        order = np.argsort(image, kind="stable")
        images, counts = np.unique(image, return_counts=True)
        return cls(images, rows[order], np.append(0, np.cumsum(counts)))

    def at(self, places: Ints) -> "Rows":
        """Those of the images at some places ``(b,)``, ascending."""
        order, inverse = self.having(self.images[places])
        starts = np.append(0, np.cumsum(np.bincount(inverse, minlength=places.size)))
        return Rows(self.images[places], order, starts)

    def having(self, images: Ints) -> tuple[Ints, Ints]:
        """Rows that have one of ``images`` ``(b,)``, and the place of each row's image there."""
        place = np.searchsorted(self.images, images)
        counts = self.starts[place + 1] - self.starts[place]
        inverse = np.repeat(np.arange(images.size), counts)
        within = np.arange(inverse.size) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.order[self.starts[place][inverse] + within], inverse


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pixels of some images: kept in memory if they are few, else read again in every pass.

    Attributes
    ----------
    store : ImageStore
    held : (m, ...) array or None
        Pixels of the images used, if kept.
    place : (n_images,) int array
        Position in ``held`` of each image of the store.
    """

    store: ImageStore
    held: Any
    place: Ints

    @classmethod
    def of(cls, store: ImageStore, *, most_bytes: int = HELD_BYTES) -> "Images":
        """Images that some row has."""
        images = cls.unread(store, most_bytes=most_bytes)
        if images.held is not None:
            for run, pixels in store.read_runs(store.used()):
                images.held[images.place[run]] = pixels
        return images

    @classmethod
    def unread(cls, store: ImageStore, *, most_bytes: int = HELD_BYTES) -> "Images":
        """Images that some row has, with room for their pixels where they are to be kept."""
        used = store.used()
        place = np.full(store.n_images, -1, dtype=np.int64)
        place[used] = np.arange(used.size)
        size = store.nbytes // max(1, store.n_images) * used.size
        if size > most_bytes:
            return cls(store, None, place)
        native = store.pixels.dtype.newbyteorder("=")
        return cls(store, np.empty((used.size, *store.shape), dtype=native), place)

    def take(self, positions: Ints) -> Any:
        """Pixels of some images, in the order asked for."""
        if self.held is None:
            return self.store.read(positions)
        return self.held[self.place[positions]]

    def in_order(self, positions: Ints, size: int) -> Iterator[tuple[Ints, Any]]:
        """Batches of ``positions``, ascending, up to ``size`` images each."""
        runs = [np.sort(positions)] if self.held is not None else self.store.runs(positions)
        parts = (run[at : at + size] for run in runs for at in range(0, run.size, size))
        yield from ahead((part, self.take(part)) for part in parts)

    def shuffled(
        self, positions: Ints, size: int, rng: np.random.Generator
    ) -> Iterator[tuple[Ints, Any]]:
        """Batches of ``positions`` in random order, each once.

        A store is read run by run, the runs in random order, and images are mixed among several
        of them (eight, or as many as 256 MiB hold), so that neither the order of the store nor its
        chunks decide what is seen together.
        """
        if self.held is not None:
            mixed = rng.permutation(positions)
            for at in range(0, mixed.size, size):
                part = mixed[at : at + size]
                yield part, self.take(part)
            return
        yield from ahead(self._mixed(positions, size, rng))

    def _mixed(
        self, positions: Ints, size: int, rng: np.random.Generator
    ) -> Iterator[tuple[Ints, Any]]:
        runs = self.store.runs(positions)
        one = self.store.nbytes // max(1, self.store.n_images) * self.store.run
        most = max(1, min(_BUFFER_RUNS, _BUFFER_BYTES // max(1, one)))
        waiting: list[tuple[Ints, Any]] = []
        for number, which in enumerate(rng.permutation(len(runs))):
            waiting.append((runs[which], self.store.read(runs[which])))
            last = number == len(runs) - 1
            if len(waiting) < most and not last:
                continue
            images = np.concatenate([part for part, _ in waiting])
            pixels = np.concatenate([part for _, part in waiting])
            waiting.clear()
            mixed = rng.permutation(images.size)
            whole = mixed.size if last else mixed.size - mixed.size % size
            for at in range(0, whole, size):
                chosen = mixed[at : min(at + size, whole)]
                yield images[chosen], pixels[chosen]
            rest = mixed[whole:]
            waiting = [(images[rest], pixels[rest])] if rest.size else []


def batches(
    images: Images, rows: Rows, *, size: int, rng: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Batches of ``size`` images with all their rows, shuffled if there is a generator."""
    source = (
        images.in_order(rows.images, size)
        if rng is None
        else images.shuffled(rows.images, size, rng)
    )
    for positions, pixels in source:
        chosen, inverse = rows.having(positions)
        yield Batch(positions, pixels, chosen, inverse)


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """From stored pixels to what an encoder sees.

    Attributes
    ----------
    bands : Bands
        Mean and standard deviation of each band: of the training images, or those that the weights
        of an encoder were made with. Never those of a target.
    nan_policy : str
    device : torch.device
    """

    bands: Bands
    nan_policy: str
    device: Any

    def pixels(self, raw: Any) -> Any:
        """Pixels as a float32 tensor, each band about its mean in units of its deviation.

        Missing pixels become the mean of their band; under ``"mask"`` a last band says where they
        are. Frames without any, of sequences that have others, are NaN: see :func:`without_gaps`.
        """
        import torch

        # torch wants to own what it is given: read-only memory is copied.
        writable = np.require(raw, requirements=["C", "W"])
        stored = torch.from_numpy(writable).to(self.device, non_blocking=True)
        mean, sd = (
            torch.as_tensor(part, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)
            for part in (self.bands.mean, self.bands.sd)
        )
        found = (stored.to(torch.float32) - mean) / sd
        if self.nan_policy == "error":
            return found
        there = torch.isfinite(found)
        found = torch.where(there, found, torch.zeros_like(found))
        if found.dim() == 5:
            seen = there.flatten(2).any(dim=2)
            gone = ~seen & seen.any(dim=1, keepdim=True)
            found = found.masked_fill(gone[..., None, None, None], torch.nan)
        if self.nan_policy == "mean":
            return found
        missing = (~there).any(dim=-3, keepdim=True).to(torch.float32)
        return torch.cat([found, missing], dim=-3)

    def refused(self, raw: Any) -> Bools:
        """Images ``(b,)`` with missing pixels, for which the policy has no rule."""
        if self.nan_policy != "error" or raw.dtype.kind != "f":
            return np.zeros(raw.shape[0], dtype=bool)
        return np.asarray(~np.isfinite(raw).all(axis=tuple(range(1, raw.ndim))))

"""Whether data passed again are those of a fit: their table, and a few of their images."""

import hashlib
from dataclasses import dataclass

import numpy as np

from causalkit.data import CausalData
from causalkit.data.digest import table_digest
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError
from causalkit.typing import Ints

_LOOKED_AT = 8  # images, which may lie in as many chunks of a store


@dataclass(frozen=True, slots=True)
class Seal:
    """Digests of a table, and of the images of some of its rows, wherever these are kept.

    Attributes
    ----------
    table : str
    images : tuple of str
        Of the images of rows spread evenly from the first to the last.
    """

    table: str
    images: tuple[str, ...]

    @classmethod
    def of(cls, data: CausalData, store: ImageStore) -> "Seal":
        """Of the data of a fit."""
        return cls(table_digest(data), _digests(store, _positions(store)))

    def check(self, data: CausalData, store: ImageStore) -> None:
        """Refuse other data, and say what differs.

        Raises
        ------
        ArgumentError
        """
        if table_digest(data) != self.table:
            raise ArgumentError(
                "the rows, columns or roles of the data passed differ from those that the "
                "estimator was fitted on; pass the same data, or fit again."
            )
        positions = _positions(store)
        found = zip(positions, _digests(store, positions), self.images, strict=True)
        other = [position for position, one, fitted in found if one != fitted]
        if other:
            key = np.asarray(store.keys)[other[:1]].tolist()[0]
            raise ArgumentError(
                f"the images {store.name!r} differ from those that the estimator was fitted on: "
                f"{len(other)} of {positions.size} looked at have other pixels (first: {key!r}). "
                "Pass the images of the fit, in the same units and bands, or fit again."
            )


def _positions(store: ImageStore) -> Ints:
    # By row, so that the order of the images in their store is no matter.
    rows = np.linspace(0, store.of_row.size - 1, _LOOKED_AT).round().astype(np.int64)
    return store.of_row[rows]


def _digests(store: ImageStore, positions: Ints) -> tuple[str, ...]:
    pixels = np.asarray(store.read(positions), dtype=np.float64)
    pixels[np.isnan(pixels)] = np.nan  # of one pattern of bits
    shape = repr(store.shape).encode()
    return tuple(hashlib.sha256(shape + image.tobytes()).hexdigest() for image in pixels)

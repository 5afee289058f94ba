"""Images that predictions are asked for: rows of a data set, or a bare store of places."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError, Problem
from causalkit.images.standard import Standard
from causalkit.images.times import check_times, compare_times, times_of
from causalkit.typing import Floats, Ints

# Dimensions and variables of predictions, whose names places cannot have.
_ANSWERS = (
    "cluster",
    "effect",
    "std_error",
    "conf_low",
    "conf_high",
    "probability",
    "probability_std_error",
    "probability_conf_low",
    "probability_conf_high",
    "assigned",
    "support",
    "extrapolating",
    "units",
)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What images must look like to go into a fitted encoder.

    Attributes
    ----------
    name : str
        Variable.
    bands : tuple of str
    shape : tuple of int
        Of one image.
    times : tuple of str
        Dates of the frames; none for single images.
    crs : str
        Coordinate reference system; empty if the images do not say.
    """

    name: str
    bands: tuple[str, ...]
    shape: tuple[int, ...]
    times: tuple[str, ...]
    crs: str

    @classmethod
    def of(cls, store: ImageStore) -> "Layout":
        """That of the images of a store."""
        return cls(store.name, store.bands, store.shape, times_of(store), _crs(store))

    def check(self, store: ImageStore) -> None:
        """Refuse images with other bands, size, number of frames or reference system.

        Raises
        ------
        DataError
        """
        check_times(store, None, allow_later=True)
        compare_times(self.times, times_of(store), f"the images {store.name!r}")
        differs = [
            f"{what} {theirs} in place of {ours}"
            for what, ours, theirs in (
                ("bands", self.bands, store.bands),
                ("shape", self.shape, store.shape),
            )
            if ours != theirs
        ]
        if differs:
            message = (
                f"the images {store.name!r} differ from those of the fit: {'; '.join(differs)}. "
                "Select the same bands in the same order, and the same size."
            )
            raise DataError(Problem("E14-image-key-mismatch", message, store.name))
        crs = _crs(store)
        if self.crs and crs and crs != self.crs:
            message = (
                f"the images {store.name!r} have the reference system {crs!r} in place of "
                f"{self.crs!r}; reproject them. If their pixels are as large on the ground, as in "
                "two zones of UTM, leave out what says so: attrs['crs'] or spatial_ref."
            )
            raise DataError(Problem("E14-image-key-mismatch", message, store.name))


def _crs(store: ImageStore) -> str:
    """Reference system as an attribute says, or the coordinate that rioxarray adds."""
    named = store.pixels.attrs.get("crs")
    if named is None and "spatial_ref" in store.pixels.coords:
        named = store.pixels["spatial_ref"].attrs.get("crs_wkt")
    return "" if named is None else str(named)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Images to predict for, and the rows that have them.

    Attributes
    ----------
    store : ImageStore
    covariates : (n, p) array
        Standardised as in the fit; zeros where there are no rows.
    has_rows : bool
        Whether predictions are for rows of a data set rather than for images.
    """

    store: ImageStore
    covariates: Floats
    has_rows: bool

    @property
    def images(self) -> Ints:
        """Images that are needed, ascending."""
        return self.store.used()

    @property
    def inverse(self) -> Ints:
        """Position in :attr:`images` of the image of each row."""
        return np.searchsorted(self.images, self.store.of_row)

    @property
    def places(self) -> tuple[Ints, Ints]:
        """Position in :attr:`images` of each place, and the place of each row.

        Places of a data set are its images, each once; of a bare store those that are asked for.
        """
        if self.has_rows:
            return np.arange(self.images.size), self.inverse
        return self.inverse, np.arange(self.inverse.size)

    @property
    def place_labels(self) -> tuple[str, Any]:
        """Dimension and keys of the places."""
        dim = str(self.store.pixels.dims[0])
        check_dimension(dim)
        return dim, np.asarray(self.store.keys)[self.images[self.places[0]]]

    @property
    def labels(self) -> tuple[str, Any]:
        """Dimension and labels of what predictions are for."""
        if self.has_rows:
            return "obs", np.arange(self.store.of_row.size)
        return self.place_labels

    def only(self, keys: Any) -> "Target":
        """Some of the images, by key, without rows: covariates are at their means.

        Raises
        ------
        ArgumentError
            If a key is absent.
        """
        store = restricted(self.store, keys)
        blank = np.zeros((store.of_row.size, self.covariates.shape[1]))
        return Target(store, blank, has_rows=False)


def target_of(given: Any, layout: Layout, covariates: Standard) -> Target:
    """Images and rows behind a data set, an xarray Dataset or a DataArray.

    Raises
    ------
    ArgumentTypeError
        If it is something else.
    DataError
        If bands, size or covariates differ from those of the fit, there are no images, or two have
        one key.
    """
    if isinstance(given, CausalData):
        store = ImageStore.of(given, layout.name)
        layout.check(store)
        return Target(store, covariates.of(given), has_rows=True)
    store = bare_store(given, layout.name, needed_by="a prediction")
    layout.check(store)
    return Target(store, covariates.blank(store.n_images), has_rows=False)


def bare_store(
    given: Any, name: str | None, *, needed_by: str, mend: str = "rename it"
) -> ImageStore:
    """Images without rows, from an xarray Dataset or DataArray.

    Parameters
    ----------
    given : Dataset or DataArray
    name : str or None
        Variable of a dataset, which an array is called too; None is ``"image"``, and an array
        keeps its name.
    needed_by, mend : str
        What asks for images, and what to do where a dataset has none of that name; for messages.

    Raises
    ------
    ArgumentError
        If the dataset has no such variable.
    ArgumentTypeError
        If it is something else.
    DataError
        If the dimensions are not those of images, there are no images, or two have one key.
    """
    import xarray as xr

    if isinstance(given, xr.Dataset):
        wanted = name or "image"
        if wanted not in given:
            known = ", ".join(map(str, given.data_vars))
            raise ArgumentError(
                f"the dataset has no image {wanted!r} (variables: {known}); {mend}."
            )
        given = given[wanted]
    if not isinstance(given, xr.DataArray):
        raise ArgumentTypeError(
            f"{needed_by} needs a CausalData, or an xarray Dataset or DataArray of images; got "
            f"{type(given).__name__}."
        )
    store = ImageStore.bare(given if name is None else given.rename(name))
    check_keys(store.keys, f"the images {store.name!r}")
    return store


def check_dimension(dim: str) -> None:
    """Refuse places along a dimension that has the name of something in the answer.

    Raises
    ------
    ArgumentError
    """
    if dim in _ANSWERS:
        raise ArgumentError(
            f"the places lie along a dimension {dim!r}, which is the name of something else in "
            f"what is returned; rename it: .rename({dim}='place')."
        )


def check_keys(keys: Any, what: str) -> None:
    """Refuse keys of which two are the same, and none at all.

    Raises
    ------
    DataError
    """
    import pandas as pd

    index = pd.Index(keys)
    if not len(index):
        raise DataError(Problem("E14-image-key-mismatch", f"{what} are none; select some."))
    if index.has_duplicates:
        again = index[index.duplicated()].unique()
        message = (
            f"{what} have {len(again)} keys more than once (first: "
            f"{', '.join(map(repr, again[:3].tolist()))}); give each its own."
        )
        raise DataError(Problem("E14-image-key-mismatch", message))


def restricted(store: ImageStore, keys: Any) -> ImageStore:
    """Rows of some images only, by key, in the order given.

    Raises
    ------
    ArgumentError
        If a key is absent, or none is given.
    """
    import pandas as pd

    wanted = np.atleast_1d(np.asarray(keys))
    if not wanted.size:
        raise ArgumentError("images=[] names no image; leave it out for all.")
    place = pd.Index(store.keys).get_indexer(pd.Index(wanted))
    if (place < 0).any():
        first = wanted[place < 0][:3].tolist()
        raise ArgumentError(
            f"{int((place < 0).sum())} images are not in {store.name!r} (first: "
            f"{', '.join(map(repr, first))})."
        )
    return replace(store, of_row=place.astype(np.int64))

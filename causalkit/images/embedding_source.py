"""Vectors that stand for places: columns of the data, or embeddings that are matched by key."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.candidate import plain
from causalkit.data.images import ImageStore
from causalkit.errors import ArgumentError, ArgumentTypeError, DataError, Problem
from causalkit.images.encoded import Levels, columns_of_fit, levels_of
from causalkit.images.inputs import check_dimension, check_keys
from causalkit.images.times import compare_times
from causalkit.typing import Floats, Ints

# What two embeddings must share to be compared; statistics of the bands among them.
SAME = (
    "encoder",
    "encoder_digest",
    "temporal",
    "crop_sizes",
    "nan_policy",
    "bands",
    "band_mean",
    "band_sd",
)
_RUN = 4096
_LIKE_THE_FIT = "ck.embed_images(target, encoder, bands=embeddings_of_the_fit)"


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Features of places and the place of every row.

    Attributes
    ----------
    values : (m, d) array
    keys : (m,) array
    of_row : (n,) int array
        Position in ``values`` of the place of each row.
    dim : str
        Dimension of the places.
    origin : mapping
        How embeddings were made, as far as they say.
    names : tuple of str
        Columns of the data that the features are; none if they are embeddings.
    levels : mapping
        Of these columns, where they are categories.
    """

    values: Floats
    keys: Any
    of_row: Ints
    dim: str
    origin: dict[str, Any]
    names: tuple[str, ...] = ()
    levels: Levels = field(default_factory=dict)

    def store(self) -> ImageStore:
        """The same as a store whose images are vectors, to group rows by."""
        import xarray as xr

        pixels = xr.DataArray(self.values, dims=(self.dim, "feature"), name="embedding")
        return ImageStore("embedding", pixels, self.keys, self.of_row, _RUN)


def vectors_of(data: CausalData, embeddings: Any) -> Vectors:
    """Features of a data set: its modifiers, else its covariates, or embeddings of its images.

    Raises
    ------
    ArgumentError, ArgumentTypeError, DataError
        If there are none, or they do not match the rows, or were trained on these outcomes.
    """
    if embeddings is None:
        return _columns(data, _effect_role(data))
    found = as_vectors(embeddings)
    key = data.roles.image_key or data.roles.unit
    if key is not None and found.keys is not None:
        check_keys(found.keys, "the embeddings")
        wanted = data.frame[key]
    elif found.keys is None and found.values.shape[0] == data.n:
        _check_outcome_free(found.origin, np.arange(data.n))
        return Vectors(found.values, np.arange(data.n), np.arange(data.n), "obs", found.origin)
    else:
        raise ArgumentError(
            f"the embeddings have {found.values.shape[0]} rows and the data {data.n}; give one for "
            "each row in order, or a DataArray whose coordinate holds the keys of the images, with "
            "image_key= naming the column that holds them in the data."
        )
    # By first appearance in the data: in whatever order embeddings come, the split is the same.
    of_row, keys = pd.factorize(wanted)
    place = pd.Index(found.keys).get_indexer(pd.Index(keys))
    if (place < 0).any():
        lost = np.asarray(keys)[place < 0]
        message = (
            f"{lost.size} of {len(keys)} images in {key!r} have no embedding "
            f"(first: {', '.join(map(repr, lost[:3].tolist()))}); embed all images of the data, "
            "and give both keys of one type."
        )
        raise DataError(Problem("E14-image-key-mismatch", message, key))
    _check_outcome_free(found.origin, keys)
    return Vectors(
        found.values[place], np.asarray(keys), of_row.astype(np.int64), found.dim, found.origin
    )


def same_vectors(vectors: Vectors) -> Ints | None:
    """Number of the vector of each row ``(n,)``, equal ones alike: their images are twins.

    None for columns of the data: rows with the same covariates are not the same place.
    """
    if vectors.names:
        return None
    codes = np.unique(vectors.values, axis=0, return_inverse=True)[1].ravel()
    return np.asarray(codes[vectors.of_row], dtype=np.int64)


def as_vectors(embeddings: Any) -> Vectors:
    """Embeddings as they come, each place a row of its own.

    Raises
    ------
    ArgumentTypeError, ArgumentError
    """
    import xarray as xr

    if isinstance(embeddings, xr.DataArray):
        dim = str(embeddings.dims[0])
        keyed = dim in embeddings.coords and dim != "obs"
        keys = embeddings[dim].values if keyed else None
        origin = {str(name): as_lists(value) for name, value in embeddings.attrs.items()}
        values = embeddings.values
    elif isinstance(embeddings, np.ndarray):
        dim, keys, origin, values = "obs", None, {}, embeddings
    else:
        raise ArgumentTypeError(
            "embeddings must be a DataArray of ck.embed_images or an array (images, features), got "
            f"{type(embeddings).__name__}."
        )
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ArgumentError(
            f"embeddings must be finite numbers (images, features), got {values.dtype} of shape "
            f"{values.shape}."
        )
    table = values.astype(np.float64)
    return Vectors(table, keys, np.arange(table.shape[0]), dim, origin)


def embedded_elsewhere() -> ArgumentError:
    """Error for data where a fit to embeddings needs those of the target."""
    return ArgumentError(
        f"this was fitted to embeddings; pass those of the target: effect({_LIKE_THE_FIT})."
    )


def as_lists(value: Any) -> Any:
    """Attribute as lists and numbers of Python, whatever storage made of it."""
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | list | tuple) else value


def _check_outcome_free(origin: dict[str, Any], keys: Any) -> None:
    if not origin.get("outcome_free", True):
        what = f"the encoder {origin.get('encoder')!r} of these embeddings"
        check_not_trained_on(origin.get("trained_on", ()), keys, what)


def check_not_trained_on(trained_on: Iterable[Any], keys: Any, encoder: str) -> None:
    """Refuse an encoder that has seen the outcomes of these places.

    Parameters
    ----------
    trained_on : iterable of keys
        Places of its training; if there are none, it may have seen any.
    keys : (n,) array
        Places of the trial. Compared as text: a file may have made ``"1"`` of 1.
    encoder : str
        For the message.

    Raises
    ------
    ArgumentError
    """
    seen = {str(plain(key)) for key in trained_on}
    shared = [key for key in pd.unique(np.asarray(keys)).tolist() if str(key) in seen]
    if shared or not seen:
        which = f"{len(shared)} of these images" if seen else "images it does not name"
        raise ArgumentError(
            f"{encoder} was trained on the outcomes of {which} (first: "
            f"{', '.join(map(repr, shared[:3])) or 'unknown'}), so that effects would look surer "
            "and larger than they are. Use an encoder that has not seen outcomes, or train it on "
            "other images and name them: ImageEncoder.of(..., trained_on=keys)."
        )


def target_vectors(embeddings: Any, origin: dict[str, Any], width: int) -> Vectors:
    """Embeddings of a target, made as those of the fit.

    Parameters
    ----------
    embeddings : DataArray or array
    origin : mapping
        How those of the fit were made.
    width : int
        Features of those of the fit.

    Raises
    ------
    ArgumentError, ArgumentTypeError, DataError
    """
    found = as_vectors(embeddings)
    check_alike(origin, found.origin)
    check_dimension(found.dim)
    if found.values.shape[1] != width:
        raise ArgumentError(
            f"the embeddings have {found.values.shape[1]} features and those of the fit {width}; "
            "make them by the same encoder and arguments."
        )
    return found


def check_alike(fitted: dict[str, Any], given: dict[str, Any]) -> None:
    """Refuse embeddings that were made in another way than those of the fit.

    Raises
    ------
    ArgumentError
    DataError
        If they are of sequences of another length.
    """
    differs = [name for name in SAME if fitted.get(name) != given.get(name)]
    if differs:
        raise ArgumentError(
            f"these embeddings differ from those of the fit in {', '.join(differs)}; make them by "
            "the same encoder and arguments, with the statistics of the bands of the former: "
            f"{_LIKE_THE_FIT}."
        )
    fitted_times, given_times = (tuple(one.get("times", ())) for one in (fitted, given))
    compare_times(fitted_times, given_times, "the embeddings")


def columns_like(data: CausalData, names: tuple[str, ...], levels: Levels) -> Floats:
    """Columns of the fit ``(n, d)`` in other data, by name.

    Raises
    ------
    DataError
        If one is absent, or has a level that the fit did not have.
    """
    need = "which the effects of the fit vary with; name them as modifiers or covariates"
    return columns_of_fit(data, _effect_role(data), names, levels, need=need)


def _effect_role(data: CausalData) -> str:
    return "modifiers" if data.roles.modifiers else "covariates"


def _columns(data: CausalData, role: str) -> Vectors:
    names = data.matrix_names(role)
    if not names:
        raise ArgumentError(
            "there is nothing that effects could vary with: pass embeddings=ck.embed_images(data), "
            "or name modifiers or covariates when building the data."
        )
    rows = np.arange(data.n)
    values = np.asarray(data.matrix(role))
    return Vectors(values, rows, rows, "obs", {}, names, levels_of(data, role))

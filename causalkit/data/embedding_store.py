"""Embeddings that stay on disk, found again by a digest of what they were made from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalkit.data.new_folder import new_folder
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.optional import require
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr


def remembered(cache: Any, digest: str, *, made_of: str, by: str) -> "xr.DataArray | None":
    """Embedding at a path, if it has this digest; None, with a warning, if it has another.

    Parameters
    ----------
    cache : path or None
    digest : str
    made_of, by : str
        What was embedded and by which function, for messages.

    Raises
    ------
    ArgumentError
        If something else is at the path.
    """
    if cache is None or not Path(cache).exists():
        return None
    require("zarr", extra="images", needed_by=f"{by}(cache=...)")
    import xarray as xr

    try:
        found: xr.DataArray = xr.open_zarr(cache, chunks=None, consolidated=False)[
            "embedding"
        ].load()
    except (KeyError, ValueError, OSError) as error:
        raise ArgumentError(
            f"cache={str(cache)!r} is there and is no embedding ({error}); choose another path."
        ) from error
    if found.attrs.get("digest") == digest:
        return found
    warn(
        f"the embedding in {str(cache)!r} is of other {made_of}, another encoder or other "
        "arguments; it is made again and replaced.",
        CausalKitWarning,
    )
    return None


def kept(cache: Any, embedding: "xr.DataArray", *, by: str) -> "xr.DataArray":
    """The same, written to the path if there is one: whole, or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    if cache is None:
        return embedding
    require("zarr", extra="images", needed_by=f"{by}(cache=...)")
    with new_folder(Path(cache), replace=True) as folder:
        embedding.to_dataset(name="embedding").to_zarr(folder, consolidated=False)
    return embedding

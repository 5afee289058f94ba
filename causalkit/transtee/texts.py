"""Texts as sequences of token embeddings, by an encoder that the user brings."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.data.embedding_store import kept, remembered
from causalkit.errors import ArgumentError, DataError, Problem, check_count
from causalkit.progress import teller
from causalkit.typing import Singles

if TYPE_CHECKING:
    import xarray as xr


def embed_texts(
    texts: Sequence[str],
    encoder: Callable[[list[str]], Any],
    *,
    encoder_name: str | None = None,
    batch_size: int = 64,
    cache: Any = None,
    progress: bool | Callable[[str], None] | None = None,
) -> "xr.DataArray":
    """Token embeddings of texts, every distinct text encoded once.

    The result goes into ``CausalData`` as an array in the role ``sequence``. The encoder is frozen;
    to train one, give its input as the sequence and the module as
    ``TransTEE(covariate_encoder=...)``.

    Parameters
    ----------
    texts : sequence of str
        One per row.
    encoder : callable
        Takes a list of texts and returns, for each, an array ``(tokens, features)`` of numbers;
        numpy arrays or tensors, of as many tokens as each has. Nothing is downloaded here.
    encoder_name : str, optional
        Tells encoders apart in ``cache``, and must be given with it: two callables cannot be
        compared. Name the model and its version.
    batch_size : int, default 64
        Texts per call of the encoder.
    cache : path, optional
        Zarr store that keeps the embedding; read instead of computing while texts and
        ``encoder_name`` are the same.
    progress : None, True or callable

    Returns
    -------
    xarray.DataArray
        Float32, dims ``obs, step, feature``; steps after the last token are NaN.

    Raises
    ------
    DataError
        If a text is missing or is not a string.
    ArgumentError
        If the encoder returns something else, or ``cache`` has no ``encoder_name``.

    References
    ----------
    Zhang, Zhang, Lipton, Li & Xing (2022), arXiv:2202.01336, experiments on text.

    Examples
    --------
    >>> import numpy as np
    >>> import causalkit as ck
    >>> table = np.random.default_rng(0).standard_normal((128, 3))
    >>> found = ck.embed_texts(["no", "yes"], lambda ts: [table[list(t.encode())] for t in ts])
    >>> found.shape
    (2, 3, 3)
    """
    import xarray as xr

    rows = _checked(texts)
    check_count("batch_size", batch_size, least=1)
    if cache is not None and not encoder_name:
        raise ArgumentError(
            "cache needs encoder_name=, such as the model and its version: without it an embedding "
            "by another encoder would be taken for this one's."
        )
    digest = hashlib.sha256(repr((encoder_name, rows)).encode()).hexdigest()
    found = remembered(cache, digest, made_of="texts", by="embed_texts")
    if found is not None:
        return found
    distinct = list(dict.fromkeys(rows))
    starts = range(0, len(distinct), batch_size)
    tell = teller(progress, "embedding texts", unit="batch", total=len(starts))
    tokens: dict[str, Singles] = {}
    for start in starts:
        part = distinct[start : start + batch_size]
        tokens.update(zip(part, _encoded(encoder, part), strict=True))
        if tell is not None:
            tell(f"{len(tokens)} of {len(distinct)} texts")
    embedding = xr.DataArray(
        _padded([tokens[text] for text in rows]),
        dims=("obs", "step", "feature"),
        name="embedding",
        attrs={"digest": digest, "encoder": encoder_name or ""},
    )
    return kept(cache, embedding, by="embed_texts")


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise ArgumentError("texts must be one text per row, got a single string.")
    rows = list(texts)
    bad = [row for row, text in enumerate(rows) if not isinstance(text, str)]
    if bad:
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"{len(bad)} of {len(rows)} texts are no strings; first: {rows[bad[0]]!r} in row "
                f"{bad[0]}. Leave such rows out, or say what a missing text is, such as ''.",
                rows=tuple(bad[:10]),
            )
        )
    if not rows:
        raise ArgumentError("texts is empty.")
    return rows


def _padded(tokens: list[Singles]) -> Singles:
    """Tokens ``(rows, steps, features)``, NaN after the last of each row."""
    sizes = sorted({values.shape[1] for values in tokens})
    if len(sizes) > 1:
        raise ArgumentError(
            f"the encoder returns {sizes[0]} features for one text and {sizes[1]} for another."
        )
    steps = max(len(values) for values in tokens)
    padded = np.full((len(tokens), steps, sizes[0]), np.nan, dtype=np.float32)
    for row, values in enumerate(tokens):
        padded[row, : len(values)] = values
    return padded


def _encoded(encoder: Callable[[list[str]], Any], part: list[str]) -> list[Singles]:
    """Tokens ``(L, features)`` of every text of a batch."""
    made = list(encoder(part))
    if len(made) != len(part):
        raise ArgumentError(f"the encoder returned {len(made)} arrays for {len(part)} texts.")
    found = []
    for text, values in zip(part, made, strict=True):
        if hasattr(values, "detach"):
            values = values.detach().cpu().float()
        array = np.asarray(values, dtype=np.float32)
        if array.ndim != 2 or not array.size:
            raise ArgumentError(
                "the encoder must return an array (tokens, features) for each text, with at least "
                f"one token; got shape {array.shape} for {text[:40]!r}."
            )
        if not np.isfinite(array).all():
            raise ArgumentError(
                f"the encoder returned values that are not finite for {text[:40]!r}."
            )
        found.append(array)
    return found

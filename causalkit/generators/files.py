"""Files of covariates that may not be passed on: found where the user has them, checked, read."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.typing import Floats

NEWS_SOURCE = (
    "3000 articles of the New York Times from the bag-of-words collection of UCI "
    "(https://archive.ics.uci.edu/dataset/164/bag+of+words, docword.nytimes.txt.gz), cut to 498 "
    "words; news_pp.npy lies in dataset/news of "
    "https://github.com/lushleaf/varying-coefficient-net-with-functional-tr"
)
EXPRESSION_SOURCE = (
    "gene expression of 9659 patients of The Cancer Genome Atlas, 4000 genes "
    "(https://www.cancer.gov/tcga); the array 'rnaseq' of the file tcga.p that the authors of "
    "SCIGAN link from https://github.com/ioanabica/SCIGAN, saved with numpy.save"
)
# Identities of these files in the repositories that hold them, as git computes them.
_NEWS_DIGESTS = {
    "news_pp.npy": "git:1fffc7e76086989b3de39d581d3bd092bb8a345f",
    "news_p.csv": "git:a35dfe61aaba7c47a761acd8a8a68ed7810d4f5d",
}


def load_news_counts(path: str, *, checksum: str = "published") -> Floats:
    """Word counts of the News benchmark, from a file that you have.

    Parameters
    ----------
    path : str
        ``news_pp.npy``, ``news_p.csv``, any other file with such a matrix, or the folder of one of
        the two. The counts may not be passed on, so causalkit has no copy; see the error of a
        missing file for where they come from.
    checksum : str, default "published"
        What the file must be: ``"published"`` is the file of that name in the repository of VCNet
        or TransTEE; ``"git:<sha1>"`` or ``"sha256:<hex>"`` is another; ``"any"`` passes all.

    Returns
    -------
    (documents, words) array
        Counts, 3000 by 498 in the published file. Of a table of three columns (document, word,
        count) documents and words come in the order of their numbers.

    Raises
    ------
    ArgumentError
        If there is no such file, it is another one, or it holds no counts.
    """
    file = _found(path, tuple(_NEWS_DIGESTS), name="counts", source=NEWS_SOURCE)
    check_digest(file, checksum, _NEWS_DIGESTS.get(file.name), name="counts")
    values = read_matrix(file, name="counts")
    if file.suffix == ".csv" and values.shape[1] == 3:
        values = _spread(values)
    if (values < 0).any() or (values.sum(axis=1) == 0).any():
        raise ArgumentError(
            f"counts={str(file)!r} must hold nonnegative counts with at least one word in each "
            f"document; the smallest value is {values.min()}, and "
            f"{int((values.sum(axis=1) == 0).sum())} documents are empty."
        )
    return values


def load_expression(path: str, *, checksum: str = "any") -> Floats:
    """Gene expression of the TCGA benchmark, from a file that you have.

    Parameters
    ----------
    path : str
        ``.npy``, ``.npz`` (one array), ``.csv`` or ``.parquet`` with a row per patient, or a folder
        with ``tcga.npy``. Pickles are refused, since reading one may run anything: open ``tcga.p``
        yourself and save its array.
    checksum : str, default "any"
        ``"sha256:<hex>"`` or ``"git:<sha1>"`` of the file, to be sure of it. No published checksum
        is known.

    Returns
    -------
    (patients, genes) array
        As they are in the file, 9659 by 4000 in the published one.

    Raises
    ------
    ArgumentError
        If there is no such file, it is another one, or a gene does not vary.
    """
    file = _found(path, ("tcga.npy",), name="expression", source=EXPRESSION_SOURCE)
    check_digest(file, checksum, None, name="expression")
    values = read_matrix(file, name="expression")
    still = np.flatnonzero(np.ptp(values, axis=0) == 0)
    if still.size:
        raise ArgumentError(
            f"expression={str(file)!r}: {still.size} genes do not vary over the patients (first: "
            f"column {still[0]}), and cannot be scaled; leave them out."
        )
    return values


def read_matrix(file: Path, *, name: str) -> Floats:
    """Finite numbers ``(n, p)`` of a file, by its ending."""
    try:
        if file.suffix == ".npy":
            values = np.load(file, allow_pickle=False)
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                (only,) = arrays.files
                values = arrays[only]
        elif file.suffix == ".parquet":
            values = pd.read_parquet(file).to_numpy()
        elif file.suffix == ".csv":
            values = _table(file)
        else:
            raise ValueError("its name must end in .npy, .npz, .csv or .parquet")
        values = np.asarray(values, dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise ArgumentError(f"{name}={str(file)!r} cannot be read: {error}.") from error
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ArgumentError(
            f"{name}={str(file)!r} must hold finite numbers, a row per unit; got shape "
            f"{values.shape}."
        )
    return values


def _table(file: Path) -> Floats:
    """Numbers of a csv file, whether its first line holds names or numbers."""
    frame = pd.read_csv(file, header=None)
    if not pd.api.types.is_numeric_dtype(frame[0]):
        frame = pd.read_csv(file)
    return np.asarray(frame.to_numpy(), dtype=np.float64)


def _found(path: str, names: tuple[str, ...], *, name: str, source: str) -> Path:
    """The file itself, or the first of the known names in a folder."""
    place = Path(path)
    for candidate in [place / known for known in names] if place.is_dir() else [place]:
        if candidate.is_file():
            return candidate
    wanted = f"a folder with {' or '.join(names)}" if place.is_dir() else "a file"
    raise ArgumentError(
        f"{name}={path!r} is not {wanted}. The data are {source}. They are not part of causalkit; "
        "get them there and give their path."
    )


def check_digest(
    file: Path, wanted: str, known: str | None, *, name: str, parts: Sequence[Path] = ()
) -> None:
    """Raise unless the file, or a folder's ``parts`` one after the other, is what is wanted.

    Parameters
    ----------
    file : Path
    wanted : str
        ``"any"``, ``"published"``, ``"sha256:<hex>"`` or ``"git:<sha1>"``.
    known : str or None
        What was published.
    name : str
        Of the argument, for messages.
    parts : sequence of Path

    Raises
    ------
    ArgumentError
    """
    if wanted == "any":
        return
    if wanted == "published":
        if known is None:
            raise ArgumentError(
                f"no published checksum of a file {file.name!r} is known; pass checksum='any', or "
                "'sha256:<hex>' of the file that you mean."
            )
        wanted = known
    kind, _, told = wanted.partition(":")
    if kind not in ("git", "sha256") or not told:
        raise ArgumentError(
            f"checksum must be 'published', 'any', 'sha256:<hex>' or 'git:<sha1>', got {wanted!r}."
        )
    content = b"".join(part.read_bytes() for part in parts or (file,))
    if kind == "git":
        # Not for safety: it is how git names a file, and the only published name of this one.
        seen = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    else:
        seen = hashlib.sha256(content)
    if seen.hexdigest() != told.lower():
        raise ArgumentError(
            f"{name}={str(file)!r} has checksum {kind}:{seen.hexdigest()}, not {wanted}: it is "
            f"another file. Pass checksum='{kind}:{seen.hexdigest()}' if you mean it."
        )


def _spread(triples: Floats) -> Floats:
    """Matrix of counts from rows (document, word, count)."""
    documents, row = np.unique(triples[:, 0], return_inverse=True)
    words, column = np.unique(triples[:, 1], return_inverse=True)
    counts = np.zeros((documents.size, words.size))
    counts[row, column] = triples[:, 2]
    return counts

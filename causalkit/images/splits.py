"""Parts of the sample: training, selection and evaluation, which share no place."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.groups import joined_groups
from causalkit.errors import ArgumentError, DataError, Problem
from causalkit.inference.arguments import check_number
from causalkit.typing import Floats, Ints

LEAST_IMAGES = 50
_NAMES = ("training", "selection", "evaluation")
_ROUNDING = 2  # groups that a part may have beside its share: one for each arm
_KM_PER_DEGREE = 111.32


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Rows of each part; no image, assignment cluster or spatial block lies in two.

    Attributes
    ----------
    train, select, evaluate : int arrays
        Row numbers, ascending.
    """

    train: Ints
    select: Ints
    evaluate: Ints


def connected(*labels: Any) -> Ints:
    """Groups of rows ``(n,)`` that hang together through any of several labels.

    Rows with one image belong together, as do rows of one assignment cluster; where clusters and
    images overlap, whole chains of them do.
    """
    codes = [np.unique(label, return_inverse=True)[1] for label in labels]
    found = joined_groups(codes)
    # Parts are drawn by the numbers of groups: where several labels join them, of their first rows.
    return found if len(codes) == 1 else pd.factorize(found)[0]


def spatial_blocks(lon: Floats, lat: Floats, km: float) -> Ints:
    """Number of the square block, ``km`` wide, in which each place ``(n,)`` lies.

    Parameters
    ----------
    lon, lat : (n,) arrays
        Degrees.
    km : float
        Width of a block at the mean latitude.

    Raises
    ------
    ArgumentError
        If the width is no positive number.
    """
    if not check_number("spatial_block_km", km) > 0:
        raise ArgumentError(f"spatial_block_km must be positive, got {km!r}.")
    width = km / _KM_PER_DEGREE
    east = np.floor(lon * np.cos(np.deg2rad(lat.mean())) / width).astype(np.int64)
    north = np.floor(lat / width).astype(np.int64)
    pairs = np.stack([east, north], axis=1)
    return np.asarray(np.unique(pairs, axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)


def check_room(groups: Ints, image: Ints, *, shares: tuple[float, float, float]) -> None:
    """Refuse samples of which a part has too few images however it is drawn.

    For before anything costly is done; :func:`split` looks at what was drawn.

    Parameters
    ----------
    groups, image : (n,) int arrays
    shares : (train, select, evaluate)

    Raises
    ------
    ArgumentError, DataError
        As :func:`split`.
    """
    _check_shares(shares)
    rows = np.unique(image, return_index=True)[1]
    held = np.sort(np.bincount(groups[rows]))[::-1]
    most = [int(held[: math.floor(share * held.size) + _ROUNDING].sum()) for share in shares]
    problems = [
        _few(f"the {name} part can have at most", count, shares, rows.size)
        for name, count in zip(_NAMES, most, strict=True)
        if count < LEAST_IMAGES
    ]
    if problems:
        raise DataError(problems)


def split(
    groups: Ints,
    treatment: Floats,
    image: Ints,
    *,
    shares: tuple[float, float, float],
    rng: np.random.Generator,
) -> Parts:
    """Draw the parts by group, treated and control groups each by the same shares.

    Parameters
    ----------
    groups : (n,) int array
        From :func:`connected`.
    treatment : (n,) array
        0 or 1.
    image : (n,) int array
        Image of each row, of which every part needs fifty.
    shares : (train, select, evaluate)
        Of groups; sum to one.
    rng : Generator

    Raises
    ------
    ArgumentError
        If the shares are not positive numbers that sum to one.
    DataError
        If a part has fewer than fifty images, or one arm only.
    """
    _check_shares(shares)
    counts = np.bincount(groups)
    mostly = np.bincount(groups, treatment) / counts > 0.5
    part = np.empty(counts.size, dtype=np.int64)
    for arm in (False, True):
        mine = rng.permutation(np.flatnonzero(mostly == arm))
        cuts = np.rint(np.cumsum(shares[:2]) * mine.size).astype(np.int64)
        for number, chosen in enumerate(np.split(mine, cuts)):
            part[chosen] = number
    of_row = part[groups]
    rows = [np.flatnonzero(of_row == number) for number in range(3)]
    problems = [
        problem
        for name, chosen in zip(_NAMES, rows, strict=True)
        if (problem := _unfit(name, chosen, treatment, image, shares)) is not None
    ]
    if problems:
        raise DataError(problems)
    return Parts(*rows)


def fold_number(groups: Ints, most: int) -> int:
    """Folds for rows of some groups: ``most``, or one for each group where these are fewer.

    Raises
    ------
    DataError
        If there are fewer than two groups: nothing can be learned from the others.
    """
    count = int(np.unique(groups).size)
    if count < 2:
        message = (
            f"the {groups.size} rows that the baseline is learned from belong to {count} group of "
            "places, clusters or blocks, and folds need at least two: take smaller clusters or "
            "blocks, or larger shares of training and selection in split=."
        )
        raise DataError(Problem("E27-few-groups", message))
    return min(most, count)


def _check_shares(shares: Any) -> None:
    if not _are_shares(shares):
        raise ArgumentError(
            f"split must be three positive shares that sum to 1, such as (.5, .1, .4); got "
            f"{shares!r}."
        )


def _are_shares(shares: Any) -> bool:
    try:
        found = np.asarray(shares, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return found.shape == (3,) and bool((found > 0.0).all()) and abs(found.sum() - 1.0) <= 1e-9


def _unfit(
    name: str, rows: Ints, treatment: Floats, image: Ints, shares: tuple[float, float, float]
) -> Problem | None:
    images = np.unique(image[rows]).size
    if images < LEAST_IMAGES:
        return _few(f"the {name} part has", images, shares, np.unique(image).size)
    treated = treatment[rows].mean()
    if treated in (0.0, 1.0):
        message = (
            f"the {name} part has rows of one arm only (treated: {treated:.0%} of {rows.size}); "
            "choose another random_state or larger shares in split=."
        )
        return Problem("E11-single-arm-fold", message)
    return None


def _few(begin: str, images: int, shares: tuple[float, float, float], total: int) -> Problem:
    wider = wider_shares(shares, total)
    mend = "add places" if wider is None else f"take split={wider}, or add places"
    if wider == tuple(shares):  # clusters and blocks hold many images each
        mend = "take smaller clusters or blocks, another random_state, or add places"
    message = (
        f"{begin} {images} distinct images of {total}, fewer than {LEAST_IMAGES}; with "
        f"so few places nothing can be said about what differs between them: {mend}."
    )
    return Problem("E23-few-images", message)


def wider_shares(
    shares: tuple[float, float, float], images: int
) -> tuple[float, float, float] | None:
    """Shares near those given that leave every part fifty of the images; None if none do."""
    least = math.ceil(100.0 * (LEAST_IMAGES + _ROUNDING) / images) / 100.0
    if 3.0 * least > 1.0:
        return None
    raised = np.maximum(np.asarray(shares, dtype=np.float64), least)
    spare = raised - least
    raised -= (raised.sum() - 1.0) * spare / max(spare.sum(), 1e-12)
    found = raised.round(2)
    found[found.argmax()] += 1.0 - found.sum()
    train, select, evaluate = found.round(2).tolist()
    return train, select, evaluate

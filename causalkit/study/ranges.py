"""Replications as ranges, of which both ends are included."""

from collections.abc import Iterable

Range = tuple[int, int]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges sorted; those that overlap or touch become one.

    Examples
    --------
    >>> joined([(30, 39), (0, 9), (10, 19)])
    [(0, 19), (30, 39)]
    """
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def missing(have: Iterable[Range], last: int) -> list[Range]:
    """Ranges of 0, ..., last that no range of ``have`` covers.

    Examples
    --------
    >>> missing([(0, 9), (20, 29)], 34)
    [(10, 19), (30, 34)]
    """
    gaps, start = [], 0
    for first, end in joined(have):
        if first > start:
            gaps.append((start, min(first - 1, last)))
        start = end + 1
        if start > last:
            return gaps
    return [*gaps, (start, last)]


def prefix(have: Iterable[Range]) -> int:
    """Number of replications that are there without a gap, from the first on.

    Examples
    --------
    >>> prefix([(10, 19), (0, 9), (30, 39)])
    20
    """
    return next((last + 1 for first, last in joined(have) if first == 0), 0)

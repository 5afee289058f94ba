"""Parts of a study for machines that share nothing: of its cells, or of its replications."""

from causalkit.errors import ArgumentError, check_count
from causalkit.study.design import Cell
from causalkit.study.ranges import Range

Shard = tuple[int, int]


def parsed(text: str | None, *, option: str) -> Shard | None:
    """``3/10`` as numbers.

    Raises
    ------
    ArgumentError
        If the text is none such.
    """
    if text is None:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.strip().isdecimal() and parts.strip().isdecimal()):
        raise ArgumentError(f"{option}: {text!r} is not part/parts, such as 3/10.")
    return int(part), int(parts)


def cells_of(shard: Shard, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Every ``parts``-th cell from number ``part`` on, counted from 1.

    Raises
    ------
    ArgumentError
        If there is no such part, or no cell in it.
    """
    part, parts = _checked("shard", shard)
    if part > len(cells):
        raise ArgumentError(
            f"shard {part} of {parts} is empty: there are {len(cells)} cells; use at most as many "
            "shards, or share out the replications, --rep-shard 3/10 (rep_shard=(3, 10))."
        )
    return cells[part - 1 :: parts]


def reps_of(shard: Shard, n_reps: int) -> Range:
    """First and last replication of a part; parts differ by one replication at most.

    Raises
    ------
    ArgumentError
        If there is no such part, or no replication in it.

    Examples
    --------
    >>> [reps_of((part, 3), 10) for part in (1, 2, 3)]
    [(0, 2), (3, 5), (6, 9)]
    """
    part, parts = _checked("rep_shard", shard)
    if parts > n_reps:
        raise ArgumentError(f"{n_reps} replications cannot be shared out to {parts} parts.")
    return (part - 1) * n_reps // parts, part * n_reps // parts - 1


def _checked(name: str, shard: Shard) -> Shard:
    part, parts = shard
    check_count(name, part, least=1)
    if check_count(name, parts, least=1) < part:
        raise ArgumentError(f"there is no {name} {part} of {parts}; they are numbered from 1.")
    return part, parts

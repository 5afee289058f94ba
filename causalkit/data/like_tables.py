"""Tables beside further rows: graphs of the rows, and items of a structured treatment."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.build import tables_given
from causalkit.data.candidate import plain
from causalkit.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData


def tables_like(
    data: "CausalData",
    frame: pd.DataFrame,
    given: Mapping[str, Any] | None,
    problems: list[Problem],
) -> dict[str, pd.DataFrame]:
    """Tables of further rows; adds what does not fit.

    A table belongs to the column whose name begins its own. Those of a treatment say what its items
    are, whoever gets them, and stay those of the data unless there are others. Those of another
    column say what rows are: the graphs of other rows that happen to have the same names would be
    taken for theirs, and so they must be given.

    Parameters
    ----------
    data : CausalData
    frame : DataFrame
        Of the rows.
    given : mapping of str to table, optional
    problems : list of Problem
        Findings are added to it.
    """
    found = tables_given(given)
    owners = {name: _owner(name, data) for name in data.tables}
    for name, table in found.items():
        problems += _differences(name, table, data.tables)
    renewed = {owners[name] for name in found if name in owners}
    kept = {}
    for name, owner in owners.items():
        if owner is not None and owner in renewed and name not in found:
            message = (
                f"there is no table {name!r}, which goes with {', '.join(map(repr, found))}; pass "
                "both, an empty one where there is nothing to say."
            )
            problems.append(Problem("E01-missing-column", message, name))
        elif owner in data.roles.treatment and owner not in renewed:
            kept[name] = data.tables[name]
    for owner in sorted(str(one) for one in renewed - {None, *data.roles.treatment}):
        own = [table for name, table in found.items() if owners.get(name) == owner]
        problems += _lost_rows(owner, frame, own)
    return kept | found


def _owner(name: str, data: "CausalData") -> str | None:
    """Column that a table is named after, the longest if there are several."""
    names = [one for one in data.roles.all_columns() if name.startswith(f"{one}_")]
    return max(names, key=len, default=None)


def _differences(
    name: str, table: pd.DataFrame, held: Mapping[str, pd.DataFrame]
) -> Iterator[Problem]:
    if name not in held:
        known = ", ".join(held) or "none"
        hint = did_you_mean(name, list(held), otherwise=f"They have: {known}.")
        yield Problem("E01-missing-column", f"the data have no table {name!r}. {hint}", name)
        return
    absent = [column for column in held[name] if column not in table]
    # Of graphs without an edge, a table without columns says all.
    if absent and len(table):
        message = (
            f"table {name!r} lacks {', '.join(map(str, absent))}, which that of the data has (here "
            f"are {', '.join(map(str, table))}); add what is lacking."
        )
        yield Problem("E01-missing-column", message, name)


def _lost_rows(owner: str, frame: pd.DataFrame, tables: list[pd.DataFrame]) -> Iterator[Problem]:
    """What rows name and no table says."""
    if owner not in frame:
        message = (
            f"there is no column {owner!r}, which says what in the tables a row is; add it to the "
            "table of the rows."
        )
        yield Problem("E01-missing-column", message, owner)
        return
    known = {one for table in tables if owner in table for one in table[owner].unique().tolist()}
    lost = np.flatnonzero([one not in known for one in frame[owner].tolist()])
    if lost.size:
        message = (
            f"{lost.size} rows name something in {owner!r} that the tables lack (first: row "
            f"{lost[0]}, {plain(frame[owner].iloc[lost[0]])!r}); add it to the tables, under names "
            "of the same type, or leave these rows out."
        )
        yield Problem("E07-nan-covariate", message, owner, tuple(lost[:10].tolist()))

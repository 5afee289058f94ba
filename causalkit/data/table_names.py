"""Which tables and arrays beside the data are read, by their names."""

from collections.abc import Iterable

from causalkit.data.roles import Roles
from causalkit.errors import DataError, Problem, did_you_mean

ITEM_TABLES = ("vectors", "steps", "nodes", "edges")
GRAPH_TABLES = ("nodes", "edges")


def check_table_names(names: Iterable[str], roles: Roles) -> None:
    """Refuse tables that nothing would read, such as one whose name is misspelt.

    Parameters
    ----------
    names : iterable of str
        Of the tables.
    roles : Roles

    Raises
    ------
    DataError
        With every such table, and the nearest name that is read.
    """
    read = _read_names(roles)
    problems = [_unread(str(name), roles, read) for name in names if name not in read]
    if problems:
        raise DataError(problems)


def check_arrays_named(names: Iterable[object], roles: Roles) -> None:
    """Refuse arrays that no role names, so that nothing would read them.

    Raises
    ------
    DataError
    """
    given = sorted(map(str, names))
    if not given or roles.image or roles.image_key or roles.sequence:
        return
    message = (
        f"nothing reads the arrays {', '.join(map(repr, given))}: name one, as "
        f"sequence={given[0]!r} or image={given[0]!r}, or leave them out."
    )
    raise DataError(Problem("E01-missing-column", message, given[0]))


def _read_names(roles: Roles) -> list[str]:
    """The table of the role graph with that of its nodes, and those of every treatment."""
    found = [f"{name}_{rest}" for name in roles.treatment for rest in ITEM_TABLES]
    if roles.graph is not None:
        found += [roles.graph, f"{roles.graph.removesuffix('_edges')}_nodes"]
    return found


def _unread(name: str, roles: Roles, read: list[str]) -> Problem:
    columns = [one for one in roles.all_columns() if one not in roles.treatment]
    graphs = {f"{one}_{rest}": one for one in columns for rest in GRAPH_TABLES}
    if name in graphs:
        mend = f"For a graph of every row name it, graph='{graphs[name]}_edges'."
    else:
        mend = did_you_mean(name, [*read, *graphs], otherwise="Rename it, or leave it out.")
    message = (
        f"nothing reads the table {name!r}: tables are <treatment>_vectors, <treatment>_steps, or "
        "<treatment>_nodes with <treatment>_edges, and <column>_nodes with <column>_edges, which "
        f"graph= names; the treatment is {', '.join(roles.treatment)}. {mend}"
    )
    return Problem("E01-missing-column", message, name)

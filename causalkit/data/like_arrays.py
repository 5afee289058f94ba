"""Images and sequences of further rows, which must look like those of the data."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from causalkit.data.candidate import plain
from causalkit.data.checks import absent_column
from causalkit.data.images import key_dimension
from causalkit.errors import Problem

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data.dataset import CausalData

_CODES = {"image": "E14-image-key-mismatch", "sequence": "E03-non-numeric"}


def arrays_like(
    data: "CausalData", given: "xr.Dataset", columns: Sequence[str], problems: list[Problem]
) -> "xr.Dataset":
    """Arrays with the dimensions in the order of those of the data; adds what does not fit.

    Images and sequences of which there are none may be absent, if others are there. Steps may be
    more than in the data: whether a network can read later ones is up to the network.

    Parameters
    ----------
    data : CausalData
    given : Dataset
    columns : sequence of str
        Of the table of the rows.
    problems : list of Problem
        Findings are added to it.
    """
    held = data.arrays
    role_of = {name: role for role in ("image", "sequence") for name in data.roles.columns(role)}
    there = [name for name in role_of if name in given]
    if held is None or not there:
        known = list(map(str, given.data_vars))
        problems += [absent_column(n, f"{r}, among the arrays", known) for n, r in role_of.items()]
        return given
    problems += _unit_problems(data, given, columns)
    turned = {}
    for name in there:
        found = list(_differences(held[name], given[name], role_of[name]))
        if role_of[name] == "sequence" and f"{name}_mask" in held and f"{name}_mask" not in given:
            found.append(_no_mask(name))
        problems += found
        if not found:
            own = _own(held[name], role_of[name])
            turned[name] = given[name].transpose(..., *own)
    return given.assign(turned)


def _unit_problems(
    data: "CausalData", given: "xr.Dataset", columns: Sequence[str]
) -> Iterator[Problem]:
    """E01 where entries are named after units, and the table does not say which unit a row is."""
    unit = data.roles.unit
    if unit is None or unit in columns or "obs" not in given.coords:
        return
    message = (
        f"the arrays say by their coordinate 'obs' which unit an entry is of, such as "
        f"{plain(given['obs'].values[0])!r}, and the table has no column {unit!r}; add it, or, "
        "where entries follow the rows, leave the coordinate out: arrays.drop_vars('obs')."
    )
    yield Problem("E01-missing-column", message, unit)


def _own(values: "xr.DataArray", role: str) -> list[str]:
    """Dimensions within a row, in order."""
    outer = key_dimension(values) if role == "image" else "obs"
    return [str(dim) for dim in values.dims if dim != outer]


def _differences(held: "xr.DataArray", given: "xr.DataArray", role: str) -> Iterator[Problem]:
    """What tells the entries of a variable from those of the data."""
    name, code = str(given.name), _CODES[role]
    if role == "sequence" and "obs" not in given.dims:
        return  # for which every constructor has the same words
    ours, theirs = _own(held, role), _own(given, role)
    if set(ours) != set(theirs):
        message = (
            f"{role} {name!r} has the dimensions {', '.join(theirs) or 'none'} within a row in "
            f"place of {', '.join(ours) or 'none'}; rename or add them as in the data."
        )
        yield Problem(code, message, name)
        return
    fixed = ours[1:] if role == "sequence" else ours
    for dim in fixed:
        here, there = given.sizes[dim], held.sizes[dim]
        told = dim in held.coords and dim in given.coords
        mend = f"arrays.sel({dim}=data.arrays[{dim!r}])" if told else "the same in the same order"
        seen = f"{here} along {dim!r} in place of {there}" if here != there else None
        if seen is None and told and dim not in ("y", "x", "time"):
            labels = zip(
                *([plain(one) for one in a[dim].values] for a in (given, held)), strict=True
            )
            other = [pair for pair in labels if pair[0] != pair[1]]
            seen = f"{dim} {other[0][0]!r} in place of {other[0][1]!r}" if other else None
        if seen is not None:
            yield Problem(code, f"{role} {name!r} has {seen}; select {mend}.", name)


def _no_mask(name: str) -> Problem:
    message = (
        f"'{name}_mask' says in the data which steps of sequence {name!r} are there, and these "
        "arrays have none; add it, or padding is read as steps."
    )
    return Problem("E01-missing-column", message, f"{name}_mask")

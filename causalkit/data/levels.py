"""Category levels of new rows: those that the data have, and what to do about others."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import CausalKitWarning, DataError, Problem
from causalkit.warn import warn

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData

# What an arm without treatment is called.
_CONTROLS = frozenset(
    [
        *("control", "controls", "comparison", "placebo", "sham", "none", "no", "nothing", "off"),
        *("without", "untreated", "not treated", "no treatment", "usual", "usual care"),
    ]
)


def match_levels(
    new: pd.DataFrame,
    held: pd.DataFrame,
    on_new_levels: str,
    *,
    numeric: Collection[str],
    names: Collection[str] = (),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Columns of ``new`` with the category types of ``held``, and those types by column.

    Parameters
    ----------
    new, held : DataFrame
    on_new_levels : str
    numeric : collection of str
        Columns that are read as numbers, as identifiers are not.
    names : collection of str, optional
        Columns whose levels only tell rows apart, as those of a unit: they may be new.

    Raises
    ------
    DataError
        If levels are new and ``on_new_levels`` is ``"raise"``, or a number has become a category.
    """
    types = {
        str(name): dtype
        for name, dtype in held.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype)
    }
    problems = [
        Problem(
            "E03-non-numeric",
            f"column {name!r} is a category here and a number in the data; convert it, for "
            f"example with df[{name!r}].astype({str(dtype)!r}).",
            str(name),
        )
        for name, dtype in held.dtypes.items()
        if name in new
        and name in numeric
        and isinstance(new[name].dtype, pd.CategoricalDtype)
        and pd.api.types.is_numeric_dtype(dtype)
    ]
    changed: dict[str, Any] = {}
    for name, dtype in types.items():
        if name not in new:
            continue
        values, unseen = new[name], unseen_levels(new[name], dtype.categories)
        if len(unseen) and name in names:
            types[name] = dtype = pd.CategoricalDtype(
                [*dtype.categories, *unseen], ordered=bool(dtype.ordered)
            )
        elif len(unseen) and on_new_levels == "raise":
            problems.append(unseen_problem(name, unseen))
        elif len(unseen):
            replaced = dtype.categories[0] if on_new_levels == "baseline" else None
            hit = values.isin(unseen)
            values = values.astype(object).where(~hit, replaced)
        changed[name] = pd.Categorical(values.astype(object), dtype=dtype) if not problems else None
    if problems:
        raise DataError(problems)
    return new.assign(**changed), types


def unseen_levels(values: "pd.Series[Any]", levels: Any) -> Any:
    """Distinct values that are not among the levels, sorted as text; missing ones do not count."""
    found = pd.Series(values.dropna().unique()).astype(object)
    return sorted(found[~found.isin(list(levels))], key=str)


def unseen_problem(name: str, unseen: Any) -> Problem:
    """E25 for levels that the data do not have."""
    shown = ", ".join(repr(level) for level in unseen[:5]) + (", ..." if len(unseen) > 5 else "")
    message = (
        f"column {name!r} has levels that the data do not have: {shown}. Pass "
        "on_new_levels='baseline' to treat them as the first level, or 'nan' as missing."
    )
    return Problem("E25-unknown-level", message, name)


def warn_of_turned_arms(name: str, levels: Any) -> None:
    """Warn where the order of text makes the treated arm of what is called a control.

    Parameters
    ----------
    name : str
        Of the treatment.
    levels : sequence of str
        In sorted order.
    """
    called = [str(level).strip().casefold() in _CONTROLS for level in levels]
    if called == [False, True]:
        first, second = levels
        warn(
            f"treatment {name!r} is text, of which the second level in sorted order counts as "
            f"treated: effects are those of {second!r} against {first!r}. If {second!r} is the "
            f"control, say so: df[{name!r}] = pd.Categorical(df[{name!r}], "
            f"[{second!r}, {first!r}]).",
            CausalKitWarning,
        )


def contrasts(data: "CausalData") -> tuple[str, ...]:
    """What a step of each treatment is: ``"drug vs placebo"``, ``"1 vs 0"`` or ``"dY/dD"``.

    One for each column of ``data.matrix("treatment")``. Categories are in their order, each against
    the first; text is in alphabetical order.
    """
    found: list[str] = []
    for name, kind in zip(data.roles.treatment, data.roles.kinds, strict=True):
        dtype = data.frame[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            first, *others = dtype.categories
            found += [f"{level} vs {first}" for level in others]
        else:
            found.append("1 vs 0" if kind == "binary" else "dY/dD")
    return tuple(found)

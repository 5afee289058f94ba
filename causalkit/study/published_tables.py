"""Published numbers as checked tables: those shipped with the package, and a user's own."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError, did_you_mean, unknown_name
from causalkit.metrics import MEASURES
from causalkit.study.resolve import generator_spec
from causalkit.study.words import is_absent

NEEDED = ("estimator", "measure", "value", "source")
OPTIONAL = ("generator", "estimand", "reps", "mcse", "digits", "precision")
_NUMBERS = ("value", "reps", "mcse", "digits", "precision")
_TEXTS = ("estimator", "measure", "source", "generator", "estimand")


def list_references() -> pd.DataFrame:
    """Published tables that are shipped: name, generator, entries, estimators, measures, source.

    Examples
    --------
    >>> "fp2024_figure4" in list_references()["name"].to_list()
    True
    """
    rows = []
    for name in _shipped():
        table = read_reference(name)
        rows.append(
            {
                "name": name,
                "generator": ", ".join(table["generator"].unique()),
                "entries": len(table),
                "estimators": "; ".join(table["estimator"].unique()),
                "measures": ", ".join(table["measure"].unique()),
                "source": "; ".join(table["source"].unique()),
            }
        )
    return pd.DataFrame(rows)


def read_reference(source: "str | Path | pd.DataFrame") -> pd.DataFrame:
    """Published numbers, one per row, checked.

    Parameters
    ----------
    source : path, str or DataFrame
        A CSV file, the name of a shipped table (:func:`list_references`), or a table. Columns:

        * ``estimator``, ``measure`` (a name in :data:`causalkit.metrics.MEASURES`), ``value``
          and ``source`` (paper, table or figure, page);
        * ``digits``: decimals printed, and ``precision``: largest error of reading a figure, in
          units of the value; one of them at least;
        * ``reps``: replications behind the number, or ``mcse``: its Monte-Carlo standard error;
          one of them at least (``mcse = 0`` for exact values);
        * ``generator`` and ``estimand``, if there are several;
        * any other column is a parameter of the generator (``param_`` before a name that the table
          needs itself); an empty cell means its default.

    Returns
    -------
    DataFrame
        With all of these columns, the parameters first after ``generator``.

    Raises
    ------
    ArgumentError
        If there is no such file or table, a column is missing or unknown, or a value cannot be
        used; the message names the column, the rows and the mend.
    """
    table = _loaded(source)
    name = _told(source)
    table.columns = [str(column).strip() for column in table.columns]
    _check_columns(table, name)
    if table.empty:
        raise ArgumentError(f"{name} has no rows; add the published numbers.")
    for column in _TEXTS:
        table[column] = _text(table.get(column, pd.Series("", index=table.index)))
    for column in _NUMBERS:
        table[column] = _numbers(table, column, name)
    _check_values(table, name)
    params = param_columns(table)
    check_params(table, name)
    order = ["generator", *params, "estimator", "estimand", "measure"]
    _check_once(table, order, name)
    return table[[*order, "value", "reps", "mcse", "digits", "precision", "source"]]


def param_columns(table: pd.DataFrame) -> list[str]:
    """Columns that are parameters of the generator."""
    return [str(name) for name in table.columns if name not in (*NEEDED, *OPTIONAL)]


def own_name(column: str) -> str:
    """Parameter that a column holds: ``param_`` stands before a name that the table needs."""
    return column.removeprefix("param_")


def check_params(table: pd.DataFrame, name: str) -> None:
    """Refuse columns and values that are no parameters of the generator that the rows name."""
    for generator, rows in table.groupby("generator", sort=False):
        known = parameters_of(str(generator)) if generator else None
        if known is None:
            continue
        for column in param_columns(table):
            if own_name(column) not in known and rows[column].notna().any():
                raise _unknown_column(column, known, name, f"parameter of {generator}")


def parameters_of(generator: str) -> dict[str, Any] | None:
    """Parameters of a generator with their defaults; None if the generator cannot be found."""
    try:
        found = generator_spec(generator).parameters
    except ArgumentError:
        return None
    return {name: parameter.default for name, parameter in found.items()}


def given(params: Mapping[Any, Any]) -> dict[str, Any]:
    """Parameters that have a value."""
    return {str(name): value for name, value in params.items() if not is_absent(value)}


# ---- reading -----------------------------------------------------------------------------------


def _shipped() -> list[str]:
    """Names of the shipped tables."""
    folder = files("causalkit.study") / "tables"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv"))


def _told(source: Any) -> str:
    return "the reference" if isinstance(source, pd.DataFrame) else f"reference {str(source)!r}"


def _loaded(source: "str | Path | pd.DataFrame") -> pd.DataFrame:
    """Table as it stands in its source."""
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True)
    if not isinstance(source, str | Path):
        raise ArgumentTypeError(
            f"a reference is a CSV file, the name of a shipped table or a DataFrame, got "
            f"{source!r} ({type(source).__name__})."
        )
    path = Path(source)
    if path.is_file():
        try:
            return pd.read_csv(path, skipinitialspace=True)
        except (ValueError, OSError) as error:
            raise ArgumentError(
                f"reference {str(source)!r} cannot be read as CSV: {error}"
            ) from error
    if path.suffix or path.name != str(source):
        raise ArgumentError(
            f"there is no file {str(source)!r}; shipped tables are named without ending: "
            f"{', '.join(_shipped())}."
        )
    if str(source) not in _shipped():
        raise unknown_name("reference table", str(source), _shipped())
    text = files("causalkit.study") / "tables" / f"{source}.csv"
    with text.open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


# ---- checks ------------------------------------------------------------------------------------


def _check_columns(table: pd.DataFrame, name: str) -> None:
    """Refuse tables that lack a column, or have one that is a misspelt one."""
    known = [*NEEDED, *OPTIONAL]
    absent = [column for column in NEEDED if column not in table]
    if absent:
        near = get_close_matches(absent[0], param_columns(table), n=1)
        hint = f" Rename {near[0]!r}?" if near else ""
        raise ArgumentError(
            f"{name} has no column {', '.join(map(repr, absent))}; columns are "
            f"{', '.join(NEEDED)}, reps or mcse, digits or precision, and the generator's "
            f"parameters.{hint}"
        )
    for column in param_columns(table):
        near = get_close_matches(column.lower(), known, n=1, cutoff=0.8)
        if near and near[0] not in table:
            raise ArgumentError(
                f"{name} has the unknown column {column!r}; did you mean {near[0]!r}? Columns "
                "that are none of the table's own are parameters of the generator."
            )
    for either in (("reps", "mcse"), ("digits", "precision")):
        if not set(either) & set(table.columns):
            raise ArgumentError(
                f"{name} has neither a column {either[0]!r} nor {either[1]!r}; add one of them, "
                "as without it no difference can be judged."
            )
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise ArgumentError(f"{name} has two columns {twice!r}; rename or remove one.")


def _unknown_column(column: str, known: Any, name: str, what: str) -> ArgumentError:
    hint = did_you_mean(column, list(known))
    return ArgumentError(
        f"{name} has the column {column!r}, which is no {what}.{' ' if hint else ''}{hint} Known: "
        f"{', '.join(sorted(known))}."
    )


def _text(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Text without blanks around it; empty where there is none."""
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()


def _numbers(table: pd.DataFrame, column: str, name: str) -> "pd.Series[Any]":
    """Column as numbers, NaN where it is empty or absent."""
    if column not in table:
        return pd.Series(np.nan, index=table.index)
    found = pd.to_numeric(table[column], errors="coerce")
    bad = (found.isna() & table[column].notna()) | np.isinf(found)
    _refuse(bad, table[column], name, "must hold finite numbers, or nothing")
    return found.astype(float)


def _check_values(table: pd.DataFrame, name: str) -> None:
    """Refuse values that no comparison can use."""
    for column in ("estimator", "measure", "source"):
        _refuse(table[column] == "", table[column], name, "must not be empty")
    _refuse(table["value"].isna(), table["value"], name, "must not be empty")
    reps, digits = table["reps"], table["digits"]
    _refuse((reps < 1) | (reps % 1 != 0) & reps.notna(), reps, name, "must be counts from 1")
    _refuse((digits < 0) | (digits % 1 != 0) & digits.notna(), digits, name, "must be counts")
    _refuse(table["mcse"] < 0, table["mcse"], name, "must not be negative")
    _refuse(table["precision"] <= 0, table["precision"], name, "must be positive")
    for one, other in (("reps", "mcse"), ("digits", "precision")):
        lacking = table[one].isna() & table[other].isna()
        _refuse(lacking, table[one], name, f"is empty, and so is {other!r}: give one of them")
    shares = table["measure"].map(lambda m: m in MEASURES and MEASURES[m].kind == "share")
    outside = shares & ((table["value"] < 0) | (table["value"] > 1))
    _refuse(outside, table["value"], name, "must lie in [0, 1] for shares; divide per cents by 100")


def _refuse(bad: "pd.Series[bool]", column: "pd.Series[Any]", name: str, what: str) -> None:
    """Raise if any value is bad: names the column, the first rows and the first value."""
    rows = np.flatnonzero(bad.to_numpy(dtype=bool))
    if rows.size:
        shown = ", ".join(str(row + 1) for row in rows[:5]) + (", ..." if rows.size > 5 else "")
        first = column.astype(object).iloc[rows[0]]
        raise ArgumentError(f"{name}: column {column.name!r} {what}; row {shown}: {first!r}.")


def _check_once(table: pd.DataFrame, key: list[str], name: str) -> None:
    """Refuse two numbers for one thing."""
    twice = table.astype(object).duplicated(key).to_numpy()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        entry = ", ".join(f"{k}={v}" for k, v in given(table.loc[row, key].to_dict()).items() if v)
        raise ArgumentError(f"{name} has two values of {entry} (row {row + 1}); keep one.")

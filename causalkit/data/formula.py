"""Formulas ``outcome ~ treatment | covariates | instruments``, and their replay on new rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from causalkit.data.admit import Policy
from causalkit.data.build import arrays_given, built, tables_given
from causalkit.data.checks import absent_column, several_columns
from causalkit.data.dataset import CausalData
from causalkit.data.intake import column_names, row_labels, to_pandas
from causalkit.data.roles import FRAME_ROLES, Roles, role_columns
from causalkit.data.table_names import check_table_names
from causalkit.data.terms import Term, read_part, split_formula
from causalkit.errors import ArgumentError, DataError

_PARTS = ("outcome", "treatment", "covariates", "instruments")
_OPTIONS = ("missing", "on_duplicate", "freq", "nested", "max_nan_pixels")
_FACTS = ("truth", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaSpec:
    """How the terms of a formula became columns, kept so that new rows are encoded alike.

    Attributes
    ----------
    formula : str
    terms : mapping of role to tuple of Term
        Levels, spline knots and centring are those of the table given first.
    source : DataFrame
        Variables of the formula in that table, from which the terms can be learned again.
    """

    formula: str
    terms: dict[str, tuple[Term, ...]]
    source: pd.DataFrame = field(repr=False)

    def names(self, role: str) -> tuple[str, ...]:
        """Columns that a part of the formula makes."""
        return tuple(name for term in self.terms.get(role, ()) for name in term.names)

    def columns(
        self, frame: pd.DataFrame, roles: Sequence[str] = _PARTS, *, on_new_levels: str = "raise"
    ) -> dict[str, Any]:
        """Columns of some roles for the rows of a frame.

        Raises
        ------
        DataError
            If categories have new levels and ``on_new_levels`` is ``"raise"``.
        """
        made: dict[str, Any] = {}
        for role in roles:
            for term in self.terms.get(role, ()):
                made |= term.encode(frame, on_new_levels)
        return made

    def table_like(self, df: Any, roles: Roles, *, on_new_levels: str) -> pd.DataFrame:
        """Columns of all roles for new rows; parts whose variables are absent are left out.

        Raises
        ------
        DataError
            If variables of the covariates are absent, or levels are new.
        """
        known = column_names(df)
        present: list[str] = []
        for role in _PARTS:
            absent = [
                v for term in self.terms.get(role, ()) for v in term.variables if v not in known
            ]
            if absent and role == "covariates":
                raise DataError([absent_column(v, role, known) for v in dict.fromkeys(absent)])
            if not absent:
                present.append(role)
        frame = to_pandas(df, {*roles.all_columns(), *self.source.columns})
        made = self.columns(frame, present, on_new_levels=on_new_levels)
        kept = {name: frame[name] for name in roles.all_columns() if name in frame}
        return pd.DataFrame(kept | made, index=frame.index)


def from_formula(formula: str, df: Any, **arguments: Any) -> CausalData:
    """Data from ``"outcome ~ treatment | covariates | instruments"``.

    Parameters
    ----------
    formula : str
        Later parts may be left out. Terms as in formulaic: ``C(x)`` for categories, ``bs(x, 4)``
        for splines, ``center(x)``, ``np.log(x)``, ``x1:x2``. Text columns are categories. Outcome
        and treatment are columns, categories or transforms that give one column each.
    df : DataFrame, LazyFrame or Table
    **arguments
        Further roles (``unit``, ``time``, ``cluster``, ``weights``, ...) and options of
        :func:`causalkit.data.build.from_frame`.

    Returns
    -------
    CausalData
        Whose ``like(new_df)`` encodes new rows with the same levels, knots and centring. A missing
        value makes the columns that depend on it missing; what happens then is up to ``missing``.

    Raises
    ------
    ArgumentError
        If the formula cannot be read.
    DataError
        Once, with every problem found.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "g": ["a", "b", "a"]})
    >>> from_formula("y ~ d | C(g)", df).matrix("covariates").ravel().tolist()
    [0.0, 1.0, 0.0]
    """
    parts = split_formula(formula)
    doubled = [role for role in _PARTS if role in arguments]
    if doubled:
        raise ArgumentError(f"the formula names the {doubled[0]}; leave out {doubled[0]}=...")
    options = {name: arguments.pop(name) for name in _OPTIONS if name in arguments}
    facts = {name: arguments.pop(name) for name in _FACTS if name in arguments}
    arrays, tables = arguments.pop("arrays", None), arguments.pop("tables", None)
    facts["arrays"] = None if arrays is None else arrays_given(arrays)
    facts["tables"] = tables_given(tables, arguments.get("graph"))
    roles = Roles(
        outcome=(),
        treatment=(),
        **{role: role_columns(role, value) for role, value in arguments.items()},
    )
    spec, frame = _learn(formula, parts, df, roles)
    made = spec.columns(frame)
    named: dict[str, Any] = {role: spec.names(role) for role in _PARTS}
    raw = [name for role in FRAME_ROLES for name in roles.columns(role)]
    table = pd.DataFrame(
        {name: frame[name] for name in raw if name in frame} | made, index=frame.index
    )
    full = replace(roles, **named)
    check_table_names(facts["tables"], full)
    known = [*column_names(df), *made]
    facts["labels"] = row_labels(df, options.get("on_duplicate", "raise"))
    return built(table, full, Policy(**options), known=known, spec=spec, **facts)


def _learn(
    formula: str, parts: dict[str, str], df: Any, roles: Roles
) -> tuple[FormulaSpec, pd.DataFrame]:
    """Spec of a formula, and the columns of the table that it or a role needs."""
    known = column_names(df)
    variables = {role: read_part(role, text).variables for role, text in parts.items()}
    absent = {v: role for role, names in variables.items() for v in names if v not in known}
    if absent:
        raise DataError([absent_column(v, role, known) for v, role in sorted(absent.items())])
    used = sorted({v for names in variables.values() for v in names})
    twice = [name for name in used if known.count(name) > 1]
    if twice:
        raise DataError([several_columns(name) for name in twice])
    frame = to_pandas(df, {*used, *roles.all_columns()})
    return learned(formula, frame[used]), frame


def learned(formula: str, source: pd.DataFrame) -> FormulaSpec:
    """Spec of a formula whose levels, knots and centring are those of a table.

    Parameters
    ----------
    formula : str
    source : DataFrame
        Variables of the formula, and no others.
    """
    parts = split_formula(formula)
    terms = {role: read_part(role, text).learn(source) for role, text in parts.items()}
    return FormulaSpec(formula=formula, terms=terms, source=source)

"""Terms of a formula: what they need, what columns they make, and how new rows are encoded."""

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.levels import unseen_levels, unseen_problem
from causalkit.errors import ArgumentError, DataError, Problem
from causalkit.optional import require

Made = dict[str, Any]

_BY_COLUMN = ("outcome", "treatment")
_GRAMMAR = 'a formula reads "outcome ~ treatment | covariates | instruments"'


@dataclass(frozen=True, slots=True)
class ColumnTerm:
    """A column as it is, or as a category.

    Attributes
    ----------
    name : str
    category : bool
    """

    name: str
    category: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Columns made."""
        return (self.name,)

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns needed."""
        return (self.name,)

    def encode(self, frame: pd.DataFrame, on_new_levels: str) -> Made:  # noqa: ARG002
        """Column for the rows of a frame; levels are matched with those of the data."""
        values = frame[self.name]
        return {self.name: values.astype("category") if self.category else values}


@dataclass(frozen=True, slots=True)
class MatrixTerm:
    """Columns that formulaic makes, with what it learned from the first table.

    Attributes
    ----------
    names, variables : tuple of str
        Columns made and needed.
    spec : ModelSpec
        Levels, knots, centring.
    levels, base : mapping
        Of variables that enter as categories.
    filler : mapping
        A legal value of each variable, to stand in where it is missing.
    """

    names: tuple[str, ...]
    variables: tuple[str, ...]
    spec: Any = field(repr=False)
    levels: dict[str, Any]
    base: dict[str, Any]
    filler: dict[str, Any]

    def encode(self, frame: pd.DataFrame, on_new_levels: str) -> Made:
        """Columns for the rows of a frame; missing where a variable is.

        Raises
        ------
        DataError
            If a category has new levels and ``on_new_levels`` is ``"raise"``.
        """
        table, gone = self._without_gaps(frame, on_new_levels)
        made = _matrix(self.spec, table)
        for variable, rows in gone.items():
            for position in self.spec.variable_indices.get(variable, ()):
                name = made.columns[position]
                made[name] = made[name].astype(np.float64).where(~rows, np.nan)
        return {name: made[name] for name in self.names}

    def _without_gaps(
        self, frame: pd.DataFrame, on_new_levels: str
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Variables with legal values throughout, and the rows where they stand in."""
        table, gone, problems = dict[str, Any](), dict[str, Any](), list[Problem]()
        for name in self.variables:
            values, rows = frame[name], frame[name].isna()
            unseen = unseen_levels(values, self.levels[name]) if name in self.levels else []
            if len(unseen):
                hit = values.isin(unseen)
                values = values.astype(object)
                if on_new_levels == "raise":
                    problems.append(unseen_problem(name, unseen))
                elif on_new_levels == "baseline":
                    values = values.where(~hit, self.base[name])
                else:
                    rows |= hit
            if isinstance(values.dtype, pd.CategoricalDtype):
                values = values.astype(object)
            if rows.any():
                values, gone[name] = values.where(~rows, self.filler[name]), rows
            table[name] = values
        if problems:
            raise DataError(problems)
        return pd.DataFrame(table, index=frame.index), gone


Term = ColumnTerm | MatrixTerm


@dataclass(frozen=True, slots=True)
class Part:
    """Text of one part of a formula, parsed.

    Attributes
    ----------
    role, text : str
    variables : tuple of str
        Columns needed, sorted.
    pieces : tuple of str
        Its terms, without the intercept.
    """

    role: str
    text: str
    variables: tuple[str, ...]
    pieces: tuple[str, ...]

    def learn(self, frame: pd.DataFrame) -> tuple[Term, ...]:
        """Terms as the rows of a table define them."""
        if self.role not in _BY_COLUMN:
            term = _learned(self.text, self.variables, frame)
            return (term,) if term.names else ()
        return tuple(self._single(piece, frame) for piece in self.pieces)

    def _single(self, piece: str, frame: pd.DataFrame) -> Term:
        bare = piece.strip("`")
        if bare in self.variables:
            return ColumnTerm(bare)
        inner = re.fullmatch(r"C\(\s*`?(.+?)`?\s*\)", piece)
        if inner and inner[1] in self.variables:
            return ColumnTerm(inner[1], category=True)
        term = _learned(f"0 + {piece}", _variables(f"0 + {piece}"), frame)
        if len(term.names) != 1:
            raise ArgumentError(
                f"{self.role} term {piece!r} makes {len(term.names)} columns; use C(...) of a "
                "column, or a transform that gives one column."
            )
        return term


def split_formula(formula: str) -> dict[str, str]:
    """Text of each part by role.

    Raises
    ------
    ArgumentError
        If there is no outcome, no treatment, or too many parts.
    """
    if not isinstance(formula, str):
        raise ArgumentError(f"{_GRAMMAR}, got {formula!r}.")
    sides = _split(formula, "~")
    if len(sides) != 2:
        raise ArgumentError(f"{_GRAMMAR}, with one ~; got {formula!r}.")
    texts = [sides[0], *_split(sides[1], "|")]
    roles = ("outcome", "treatment", "covariates", "instruments")
    if len(texts) > len(roles):
        raise ArgumentError(f"{_GRAMMAR}, with at most three parts after ~; got {formula!r}.")
    parts = {role: text.strip() for role, text in zip(roles, texts, strict=False)}
    for role in _BY_COLUMN:
        if parts.get(role, "") in ("", "0", "1"):
            raise ArgumentError(f"{_GRAMMAR}; {formula!r} names no {role}.")
    return {role: text for role, text in parts.items() if text not in ("", "0", "1")}


def _split(text: str, mark: str) -> list[str]:
    """Pieces between marks that stand outside of brackets and quotes."""
    pieces, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "`'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == mark and not depth and not quote:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def read_part(role: str, text: str) -> Part:
    """Parse one part of a formula.

    Raises
    ------
    ArgumentError
        If formulaic cannot, or a term goes by row position where it should go by calendar.
    """
    parsed = _parsed(text)
    pieces = tuple(str(term) for term in parsed if str(term) != "1")
    if any(re.search(r"\blag\(", piece) for piece in pieces):
        raise ArgumentError(
            f"lag(...) in {text!r} would take the row before, whatever its unit and period; add "
            'the column with data.assign(x_lag=data.lag("x")).'
        )
    return Part(role, text, _variables(text), pieces)


def _parsed(text: str) -> Any:
    formulaic = require("formulaic", extra="", needed_by="CausalData.from_formula")
    try:
        return formulaic.Formula(text)
    except formulaic.errors.FormulaicError as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"cannot read {text!r}: {reason} {_GRAMMAR.capitalize()}.") from error


def _variables(text: str) -> tuple[str, ...]:
    """Columns that a part needs: names in its factors that are neither functions nor numpy.

    formulaic's own list leaves out the first argument of ``bs(x, 4)`` (1.2.2).
    """
    known = require("formulaic.transforms", extra="", needed_by="CausalData.from_formula")
    found: set[str] = set()
    for factor in {factor for term in _parsed(text) for factor in term.factors}:
        if factor.eval_method.value == "lookup":
            found.add(factor.expr)
        elif factor.eval_method.value == "python":
            found |= _names_in(factor.expr) - set(known.TRANSFORMS)
    return tuple(sorted(found))


def _names_in(expression: str) -> set[str]:
    """Names in a Python expression, in which backticks quote names that are no identifiers."""
    quoted = re.findall(r"`(.+?)`", expression)
    plain = re.sub(r"`.+?`", "_quoted_", expression)
    tree = ast.parse(plain, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return (names - {"_quoted_", "True", "False", "None"}) | set(quoted)


def _learned(text: str, variables: tuple[str, ...], frame: pd.DataFrame) -> MatrixTerm:
    """Term whose levels, knots and centring come from the complete rows of a table."""
    table = frame[list(variables)]
    complete = table.notna().all(axis=1) if variables else pd.Series(True, index=frame.index)
    if not complete.any():
        message = f"no row has all of {', '.join(variables)}, which {text!r} needs; check them."
        raise DataError(Problem("E07-nan-covariate", message, variables[0] if variables else None))
    table = table if complete.all() else table[complete]
    spec = _matrix(_parsed(text), table).model_spec
    levels, base = _categories(spec, variables, table)
    return MatrixTerm(
        names=tuple(name for name in spec.column_names if name != "Intercept"),
        variables=variables,
        spec=spec,
        levels=levels,
        base=base,
        filler={name: table[name].iloc[0] for name in variables},
    )


def _categories(
    spec: Any, variables: tuple[str, ...], table: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Levels, and baseline level, of variables whose own values are the levels of a factor."""
    levels: dict[str, Any] = {}
    base: dict[str, Any] = {}
    needs = {factor.expr: set(map(str, used)) for factor, used in spec.factor_variables.items()}
    for expression, (_, state) in spec.encoder_state.items():
        own = needs.get(expression, set()) & set(variables)
        if "categories" not in state or len(own) != 1:
            continue
        (name,) = own
        found = list(state["categories"])
        if not unseen_levels(table[name], found):
            levels[name] = found
            chosen = getattr(state["contrasts"].contrasts, "base", None)
            base[name] = chosen if chosen in found else found[0]
    return levels, base


def _matrix(source: Any, table: pd.DataFrame) -> Any:
    """Design matrix of a formula or spec as a frame."""
    formulaic = require("formulaic", extra="", needed_by="CausalData.from_formula")
    surprise = formulaic.errors.DataMismatchWarning
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", surprise)
            return source.get_model_matrix(table, na_action="ignore", output="pandas")
    except TypeError as error:
        columns = ", ".join(f"{name} ({table[name].dtype})" for name in table)
        raise ArgumentError(
            f"the formula cannot be evaluated on these columns: {error}; columns: {columns}. Make "
            "numbers of dates and other objects, or C(...) in the formula."
        ) from error
    except (formulaic.errors.FormulaicError, surprise) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"the formula cannot be evaluated on these rows: {reason} For values beyond the range "
            "of a spline choose bs(..., extrapolation='clip') or 'extend'."
        ) from error

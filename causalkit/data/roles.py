"""What each column is for, and what an estimator asks of the columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice, unknown_name

WeightKind = Literal["sampling", "frequency", "precision"]
WEIGHT_KINDS = ("sampling", "frequency", "precision")
TREATMENT_KINDS = ("binary", "multi", "continuous", "dose", "structured")
ARMS = ("binary", "multi")
AMOUNTS = ("continuous", "dose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Columns by role. One column has one role.

    The only legal overlaps are modifiers within covariates, a cluster that is the unit, and an
    image key that is either.

    Attributes
    ----------
    outcome, treatment, covariates, modifiers, instruments : tuple of str
        ``modifiers`` is what effects may vary with.
    unit, time : str or None
        Panel index.
    cluster : tuple of str
        None, one or two columns within which errors may be dependent.
    weights : str or None
        Row weights, whose meaning ``weight_kind`` gives.
    strata : str or None
        Randomisation blocks.
    image, sequence : tuple of str
        Variables of ``CausalData.arrays``, whose dimension ``obs`` follows the rows.
    image_key : str or None
        Column that says which image each row has, where several rows may share one: images then
        have a dimension of their own, whose coordinate holds the keys.
    text : tuple of str
        String columns.
    graph : str or None
        Name of an edge table in ``CausalData.tables``.
    extra : tuple of str
        Carried along, ignored by estimators.
    kinds : tuple of str
        One per treatment: ``"binary"``, ``"multi"``, ``"continuous"``, ``"dose"``,
        ``"structured"``. A dose that follows a binary or multi-valued treatment is the amount of
        its arms, and is missing in all rows of an arm that takes none.
    inferred : bool
        Whether ``kinds`` were read off the columns, and so follow them when they change.
    """

    outcome: tuple[str, ...]
    treatment: tuple[str, ...]
    covariates: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    unit: str | None = None
    time: str | None = None
    cluster: tuple[str, ...] = ()
    weights: str | None = None
    weight_kind: WeightKind | None = None
    strata: str | None = None
    image: tuple[str, ...] = ()
    image_key: str | None = None
    sequence: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    graph: str | None = None
    extra: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    # What data are is the same, whoever said it: no part of a comparison or a digest.
    inferred: bool = field(default=False, repr=False, compare=False)

    def columns(self, role: str) -> tuple[str, ...]:
        """Columns of a role, as a tuple whatever the role holds."""
        if role not in ROLE_FIELDS:
            raise unknown_name("role", role, ROLE_FIELDS)
        value = getattr(self, role)
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else tuple(value)

    @property
    def choices(self) -> dict[str, str]:
        """What tables of results say of the weights, if there are any."""
        kind = f" ({self.weight_kind})" if self.weight_kind else ""
        return {} if self.weights is None else {"Weights": f"{self.weights}{kind}"}

    def named(self) -> dict[str, tuple[str, ...]]:
        """Frame columns of every role that has some."""
        found = {role: self.columns(role) for role in FRAME_ROLES}
        return {role: columns for role, columns in found.items() if columns}

    def all_columns(self) -> tuple[str, ...]:
        """Every frame column that has a role, once."""
        names = [name for columns in self.named().values() for name in columns]
        return tuple(dict.fromkeys(names))


ROLE_FIELDS = tuple(f.name for f in fields(Roles) if f.name != "inferred")
_NOT_IN_FRAME = ("weight_kind", "kinds", "image", "sequence", "graph")
FRAME_ROLES = tuple(name for name in ROLE_FIELDS if name not in _NOT_IN_FRAME)
_SINGLE = ("unit", "time", "weights", "strata", "graph", "weight_kind", "image_key")


def role_columns(role: str, value: Any) -> Any:
    """Name, or tuple of names, as :class:`Roles` holds them, from what a user gives."""
    if role not in ROLE_FIELDS:
        raise unknown_name("role", role, ROLE_FIELDS)
    if role in _SINGLE:
        if value is not None and not isinstance(value, str):
            raise ArgumentTypeError(f"{role} must be one column name (text), got {value!r}.")
        return value
    if value is None:
        return ()
    names = (value,) if isinstance(value, str) else value
    if not hasattr(names, "__iter__") or any(not isinstance(name, str) for name in names):
        raise ArgumentTypeError(
            f"{role} must be a column name or a list of column names (text), got {value!r}; name "
            "the columns of the table with df.columns = [...]."
        )
    found = tuple(names)
    if role == "cluster" and len(found) > 2:
        raise ArgumentError(
            f"at most two cluster columns are supported, got {len(found)}: {', '.join(found)}."
        )
    return found


def kinds_by_treatment(kinds: Any, treatment: tuple[str, ...]) -> tuple[str, ...]:
    """Declared kinds in the order of the treatments, also from a mapping of columns to kinds.

    Raises
    ------
    ArgumentError
        If the mapping does not name just the treatments.
    """
    if not isinstance(kinds, Mapping):
        found: tuple[str, ...] = role_columns("kinds", kinds)
        return found
    if set(kinds) != set(treatment):
        raise ArgumentError(
            f"kinds names {', '.join(map(str, kinds)) or 'nothing'}, and the treatments are "
            f"{', '.join(treatment)}; give each of these a kind, and no other column."
        )
    return tuple(kinds[name] for name in treatment)


def infer_kind(values: "pd.Series[Any]") -> str:
    """Kind of a treatment: 0/1 or two levels are binary, more levels multi, numbers continuous."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "multi" if values.nunique() > 2 else "binary"
    if pd.api.types.is_bool_dtype(values):
        return "binary"
    if not pd.api.types.is_numeric_dtype(values):
        return "multi" if values.nunique() > 2 else "binary"
    numbers = values.dropna().to_numpy(dtype=np.float64)
    return "binary" if ((numbers == 0.0) | (numbers == 1.0)).all() else "continuous"


def with_kinds(roles: Roles, frame: pd.DataFrame) -> Roles:
    """Roles whose treatment kinds are as declared, or else inferred from the columns.

    Raises
    ------
    ArgumentError
        If a declared kind is unknown, or there is not one for each treatment.
    """
    kinds = roles.kinds or tuple(infer_kind(frame[name]) for name in roles.treatment)
    if len(kinds) != len(roles.treatment):
        raise ArgumentError(
            f"kinds has {len(kinds)} entries for {len(roles.treatment)} treatments "
            f"({', '.join(roles.treatment)}); give one each."
        )
    for kind in kinds:
        check_choice("treatment kind", kind, TREATMENT_KINDS)
    return replace(roles, kinds=kinds, inferred=roles.inferred or not roles.kinds)


def fits_kind(values: "pd.Series[Any]", kind: str) -> bool:
    """Whether a treatment can be of a kind: two values are binary, whole numbers or few arms.

    Parameters
    ----------
    values : Series
        What is missing does not count.
    kind : str
        One of ``TREATMENT_KINDS``.
    """
    if kind in AMOUNTS:
        return bool(pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))
    seen = values.dropna()
    if kind == "binary":
        return seen.nunique() <= 2
    if kind != "multi" or not pd.api.types.is_float_dtype(seen):
        return True
    numbers = seen.to_numpy(dtype=np.float64)
    return bool((numbers == np.round(numbers)).all()) or seen.nunique() <= len(seen) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Requires:
    """What an estimator needs of the data.

    Attributes
    ----------
    roles : tuple of str
        Roles that must be filled.
    treatment_kinds : tuple of str
        Kinds of treatment that it can estimate.
    allows_nan : bool
        Whether covariates may be missing.
    allows_no_dose : bool
        Whether some arms may take no dose where others take one, so that a dose may be missing.
    weight_kinds : tuple of str
        Kinds of weights that it honours.
    max_outcomes, max_treatments : int or None
        Limits.
    reads : tuple of str
        Of the roles ``"text"``, ``"sequence"``, ``"graph"``, ``"image"``, ``"instruments"`` and
        ``"strata"`` those that it reads.
    """

    roles: tuple[str, ...] = ()
    treatment_kinds: tuple[str, ...] = ("binary", "continuous")
    allows_nan: bool = False
    allows_no_dose: bool = False
    weight_kinds: tuple[str, ...] = WEIGHT_KINDS
    max_outcomes: int = 1
    max_treatments: int | None = None
    reads: tuple[str, ...] = ()

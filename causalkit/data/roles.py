"""What each column is for, and what an estimator asks of the columns."""

from dataclasses import dataclass, fields
from typing import Literal

WeightKind = Literal["sampling", "frequency", "precision"]
WEIGHT_KINDS = ("sampling", "frequency", "precision")
TREATMENT_KINDS = ("binary", "multi", "continuous", "dose", "structured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Columns by role. One column has one role.

    The only legal overlaps are modifiers within covariates and a cluster that is the unit.

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
    text : tuple of str
        String columns.
    graph : str or None
        Name of an edge table in ``CausalData.tables``.
    extra : tuple of str
        Carried along, ignored by estimators.
    kinds : tuple of str
        One per treatment: ``"binary"``, ``"multi"``, ``"continuous"``, ``"dose"``,
        ``"structured"``.
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
    sequence: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    graph: str | None = None
    extra: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def columns(self, role: str) -> tuple[str, ...]:
        """Columns of a role, as a tuple whatever the role holds."""
        value = getattr(self, role)
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else tuple(value)

    def named(self) -> dict[str, tuple[str, ...]]:
        """Frame columns of every role that has some."""
        found = {role: self.columns(role) for role in FRAME_ROLES}
        return {role: columns for role, columns in found.items() if columns}

    def all_columns(self) -> tuple[str, ...]:
        """Every frame column that has a role, once."""
        names = [name for columns in self.named().values() for name in columns]
        return tuple(dict.fromkeys(names))


_NOT_IN_FRAME = ("weight_kind", "kinds", "image", "sequence", "graph")
FRAME_ROLES = tuple(f.name for f in fields(Roles) if f.name not in _NOT_IN_FRAME)


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
    weight_kinds : tuple of str
        Kinds of weights that it honours.
    max_outcomes, max_treatments : int or None
        Limits.
    """

    roles: tuple[str, ...] = ()
    treatment_kinds: tuple[str, ...] = ("binary", "continuous")
    allows_nan: bool = False
    weight_kinds: tuple[str, ...] = WEIGHT_KINDS
    max_outcomes: int = 1
    max_treatments: int | None = None

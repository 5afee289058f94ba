"""Data sets as arrays, in the coding that is learned from the training data."""

from dataclasses import dataclass, replace

import numpy as np

from causalkit.data import CausalData
from causalkit.data.groups import joined_groups
from causalkit.errors import CausalKitWarning, DataError, Problem
from causalkit.transtee.actions import (
    ActionArrays,
    ActionCode,
    action_code,
    check_arm_counts,
    encode_actions,
)
from causalkit.transtee.covariates import (
    CovariateCode,
    Covariates,
    covariate_code,
    encode_covariates,
)
from causalkit.transtee.few_doses import warn_of_arms_as_doses
from causalkit.transtee.items import Library, library_of
from causalkit.transtee.shapes import ActionShape
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_MOST_TOGETHER = 0.25  # share of rows in one group above which a split by groups says little


@dataclass(frozen=True, slots=True)
class Coded:
    """One data set as arrays, in the coding of the training data.

    Attributes
    ----------
    covariates : Covariates
    actions : ActionArrays
    y : (n,) array
    weight : (n,) array or None
    groups : (n,) int array or None
        Units or clusters that a split keeps together.
    code : ActionCode
    weight_kind : str or None
        What the weights mean.
    """

    covariates: Covariates
    actions: ActionArrays
    y: Floats
    weight: Floats | None
    groups: Ints | None
    code: ActionCode
    weight_kind: str | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return self.y.size

    @property
    def doses_taken(self) -> Floats:
        """Doses ``(n, m)`` in the user's units, NaN where the arm takes none."""
        return np.where(self.code.takes_dose(self.actions.arms), self.actions.doses, np.nan)

    @property
    def multiplicity(self) -> Floats | None:
        """How many observations each row stands for, if weights are frequencies."""
        return self.weight if self.weight_kind == "frequency" else None


@dataclass(frozen=True, slots=True)
class Coding:
    """How rows become arrays.

    Attributes
    ----------
    covariates : CovariateCode
    actions : ActionCode
    library : Library or None
    """

    covariates: CovariateCode
    actions: ActionCode
    library: Library | None

    @property
    def item_column(self) -> str:
        """Column of the structured treatment."""
        return self.actions.columns[self.actions.kinds.index("structured")]

    @property
    def action_shape(self) -> ActionShape:
        """What the network needs to know of actions."""
        code, library = self.actions, self.library
        shape = ActionShape(n_arms=len(code.dosed), dosed=code.dosed, n_slots=code.n_slots)
        if library is None:
            return shape
        return replace(
            shape,
            item_kind=library.kind,
            item_features=library.n_features,
            item_steps=library.n_steps,
            edge_types=len(library.types or ()),
        )


def coding_of(data: CausalData) -> Coding:
    """Learn the coding from training data; warns of arms with few rows, and of doses like arms."""
    actions = action_code(data)
    check_arm_counts(actions, data.frame)
    warn_of_arms_as_doses(data)
    structured = [
        name
        for name, kind in zip(actions.columns, actions.kinds, strict=True)
        if kind == "structured"
    ]
    if len(structured) > 1:
        raise DataError(
            Problem(
                "E02-duplicate-role",
                f"one structured treatment is supported, got {', '.join(structured)}.",
                structured[1],
            )
        )
    library = library_of(data, structured[0]) if structured else None
    return Coding(covariate_code(data), actions, library)


def code_data(coding: Coding, data: CausalData) -> Coded:
    """Arrays of a training set."""
    actions = encode_actions(coding.actions, data.frame)
    if coding.library is not None and actions.items is not None:
        items = coding.library.codes(actions.items, coding.item_column)
        actions = replace(actions, items=items)
    return Coded(
        encode_covariates(coding.covariates, data),
        actions,
        data.column("outcome"),
        data.weights(),
        groups_of(data),
        coding.actions,
        data.roles.weight_kind,
    )


def groups_of(data: CausalData) -> Ints | None:
    """Rows that a split keeps together ``(n,)``: those of a unit and of every cluster.

    Where units and clusters cross, so that most rows hang together, the unit alone decides, or the
    first cluster.
    """
    labels = [*data.clusters()]
    if data.roles.unit is not None:
        labels.insert(0, data.codes("unit"))
    if not labels:
        return None
    joined, first = joined_groups(labels), joined_groups(labels[:1])
    if _largest(joined) <= max(_MOST_TOGETHER, _largest(first)):
        return joined
    kept = data.roles.unit or data.roles.cluster[0]
    torn = ", ".join(repr(name) for name in data.roles.cluster if name != kept)
    warn(
        f"[E18-few-clusters] {kept!r} and {torn} cross, so that {_largest(joined):.0%} of the rows "
        "hang together; splits "
        f"keep rows of {kept!r} together and tear those of {torn}.",
        CausalKitWarning,
    )
    return first


def _largest(groups: Ints) -> float:
    """Share of the rows in the largest group."""
    return float(np.bincount(groups).max() / groups.size)

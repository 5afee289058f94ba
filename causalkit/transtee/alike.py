"""What data sets and estimators must share to be trained together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, DataError
from causalkit.transtee.actions import action_code, check_arm_counts
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.edge_types import known_types
from causalkit.transtee.items import library_of

_ALONE = "fit_many trains networks of one shape. Fit it on its own."


def check_estimators(estimators: Sequence[Any]) -> None:
    """Refuse estimators with other arguments than the first, but for the seed.

    Raises
    ------
    ArgumentError
        Naming the arguments.
    """
    first = estimators[0].get_params(deep=False)
    for place, estimator in enumerate(estimators[1:], start=1):
        params = estimator.get_params(deep=False)
        other = [
            name
            for name, value in first.items()
            if name != "random_state" and not _equal(value, params.get(name))
        ]
        if other or type(estimator) is not type(estimators[0]):
            raise ArgumentError(
                f"estimator {place} differs from the first in {', '.join(other) or 'its class'}; "
                "fit_many trains estimators that are equal but for random_state."
            )


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two)
    if hasattr(one, "state_dict") and hasattr(two, "state_dict"):
        import torch

        mine, other = one.state_dict(), two.state_dict()
        same = type(one) is type(two) and mine.keys() == other.keys()
        return same and all(torch.equal(mine[name], other[name]) for name in mine)
    return bool(one == two)


def check_data(datasets: Sequence[CausalData], coding: Coding) -> None:
    """Refuse data sets of other columns, arms or items than the first, which has this coding.

    Raises
    ------
    ArgumentError
        If a data set is not like the first.
    DataError
        If it could not be trained on alone.
    """
    for place, data in enumerate(datasets[1:], start=1):
        _check_roles(datasets[0], data, place)
        try:
            _check_arms(coding, data, place)
            _check_types(coding, data, place)
            _check_items(coding, data, place)
        except DataError as error:
            error.add_note(f"It is data set {place} of fit_many.")
            raise


def _check_roles(first: CausalData, data: CausalData, place: int) -> None:
    one, two = first.roles, data.roles
    for name in ("treatment", "kinds", "covariates", "sequence", "graph"):
        if getattr(one, name) != getattr(two, name):
            raise ArgumentError(
                f"data set {place} has other columns or kinds than the first ({name}); {_ALONE}"
            )
    if (one.weights is None) != (two.weights is None):
        mine, other = ("weights", "none") if one.weights is None else ("no weights", "some")
        raise ArgumentError(
            f"data set {place} has {mine}, and the first has {other}; give all of them weights, "
            "ones where rows count alike, or none."
        )


def _check_arms(coding: Coding, data: CausalData, place: int) -> None:
    """Refuse other levels, in whose terms effects would be named, and arms with too few rows."""
    own = action_code(data)
    for name, levels in coding.actions.levels.items():
        if own.levels[name] != levels:
            here, there = (", ".join(map(repr, some)) for some in (own.levels[name], levels))
            raise ArgumentError(
                f"data set {place} has the levels {here} of {name!r}, and the first has {there}; "
                f"{_ALONE}"
            )
    if own.undosed != coding.actions.undosed:
        here, there = (
            ", ".join(map(repr, some)) or "none" for some in (own.undosed, coding.actions.undosed)
        )
        raise ArgumentError(
            f"in data set {place} the arms without a dose are {here}, and in the first {there}; "
            f"{_ALONE}"
        )
    check_arm_counts(own, data.frame)


def _check_types(coding: Coding, data: CausalData, place: int) -> None:
    """Refuse other types of edges, of which each has parameters."""
    graph, library = coding.covariates.graph, coding.library
    of_columns = {} if graph is None else {graph.column: graph.types}
    if library is not None and library.kind == "graph":
        of_columns[coding.item_column] = library.types
    for column, types in of_columns.items():
        own = known_types(data, column)
        if (own or ()) != (types or ()):
            here, there = (", ".join(map(repr, some or ())) or "no types" for some in (own, types))
            raise ArgumentError(
                f"the edges of the rows of data set {place} have in {column}_edges the types "
                f"{here}, and those of the first {there}; {_ALONE}"
            )


def _check_items(coding: Coding, data: CausalData, place: int) -> None:
    if coding.library is None:
        return
    column = coding.item_column
    table = coding.library.differs_in(library_of(data, column, like=coding.library))
    if table:
        raise ArgumentError(
            f"data set {place} has another table {column}_{table} than the first, and networks "
            "that train together read one. Give all of them all items, or fit it on its own."
        )


def check_lengths(coding: Coding, coded: Sequence[Coded]) -> None:
    """Refuse sequences that are longer than those of the first data set."""
    for place, one in enumerate(coded):
        for (name, (length, _)), mask in zip(
            coding.covariates.sequences.items(), one.covariates.masks, strict=True
        ):
            if mask.shape[1] > length:
                raise ArgumentError(
                    f"data set {place} has {mask.shape[1]} steps in {name!r} and the first has "
                    f"{length}; put the one with the longest sequences first, or fit it on its own."
                )

"""A fitted TransTEE: its coding, its networks, and what they say of rows and actions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.alignment import in_row_order
from causalkit.data.roles import ARMS
from causalkit.errors import ArgumentError, DataError, ExtrapolationWarning, Problem
from causalkit.transtee.actions import (
    ActionArrays,
    action_frame,
    action_name,
    encode_actions,
)
from causalkit.transtee.coding import Coding
from causalkit.transtee.covariates import Covariates, check_steps, encode_covariates
from causalkit.transtee.items import Library, check_item_steps, library_of
from causalkit.transtee.predicting import MEMORY_BUDGET, mean_outcomes
from causalkit.transtee.stack import Stack
from causalkit.transtee.unknown import check_holes
from causalkit.typing import Bools, Floats
from causalkit.warn import warn


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that predictions are asked for.

    Attributes
    ----------
    covariates : Covariates
    library : Library or None
        Structured treatments of these data, which may be new.
    weight : (n,) array or None
        By which averages count the rows.
    weight_kind : str or None
        What those weights mean.
    data : CausalData or None
        What they were taken from, whose row labels those of actions by row go by.
    """

    covariates: Covariates
    library: Library | None = None
    weight: Floats | None = None
    weight_kind: str | None = None
    data: CausalData | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.covariates.numeric)


def by_row(data: CausalData, action: Any) -> Any:
    """An action whose values by row follow the rows of the data, not those of a pandas object.

    Raises
    ------
    ArgumentError
        If labels do not say which row each value belongs to.
    """
    if isinstance(action, tuple):
        return tuple(by_row(data, value) for value in action)
    if isinstance(action, Mapping):
        return {name: by_row(data, value) for name, value in action.items()}
    return in_row_order(data, action, what="treatment")


def outside(doses: Floats, ends: tuple[float, float]) -> Bools:
    """Which doses lie beyond a range, but for rounding."""
    slack = 1e-6 * (ends[1] - ends[0])
    return np.asarray((doses < ends[0] - slack) | (doses > ends[1] + slack))


@dataclass(frozen=True, slots=True)
class Model:
    """Coding and networks.

    Attributes
    ----------
    coding : Coding
    stacks : tuple of Stack
    doses : mapping of arm to (low, high)
        Range of the training doses.
    """

    coding: Coding
    stacks: tuple[Stack, ...]
    doses: dict[str, tuple[float, float]]

    @property
    def n_members(self) -> int:
        """Networks."""
        return sum(len(stack.members) for stack in self.stacks)

    @property
    def n_parameters(self) -> int:
        """Of one network."""
        return self.stacks[0].network.layout.size

    @property
    def partial(self) -> bool:
        """Whether the user ended the training of a network before it was done."""
        return any(stack.partial for stack in self.stacks)

    def history(self) -> pd.DataFrame:
        """``network, epoch, train_loss, validation_loss`` on the scale of the network."""
        parts, first = [], 0
        for stack in self.stacks:
            members = np.arange(first, first + len(stack.members))
            epochs = np.array([epoch for epoch, _, _ in stack.history], dtype=np.int64)
            losses = np.array([pair for _, *pair in stack.history]).reshape(-1, 2, members.size)
            parts.append(
                pd.DataFrame(
                    {
                        "network": np.repeat(members, epochs.size),
                        "epoch": np.tile(epochs, members.size),
                        "train_loss": losses[:, 0].T.ravel(),
                        "validation_loss": losses[:, 1].T.ravel(),
                    }
                )
            )
            first += members.size
        return pd.concat(parts).dropna(ignore_index=True)

    def asked(self, data: CausalData) -> Asked:
        """Arrays of the rows of a data set.

        Raises
        ------
        DataError
            If there are none, or they do not have what those of training had.
        """
        if not len(data):
            raise DataError(Problem("E01-missing-column", "these data have no rows to ask about."))
        library = self.coding.library
        if library is not None:
            column, known = self.coding.item_column, library
            library = library_of(data, column, like=known)
            if self._has_block("item.position"):
                check_item_steps(library, known, column)
        covariates = encode_covariates(self.coding.covariates, data)
        if self._has_block("sequence0.position"):
            check_steps(self.coding.covariates, covariates)
        if self.stacks:
            network, scales = self.stacks[0].network, self.stacks[0].scales
            mixed = bool(network.shape.bottleneck) or network.shape.baseline is not None
            learned = scales.holes[0].cpu().numpy() > 0
            check_holes(self.coding.covariates, covariates, learned, mixed=mixed)
        return Asked(covariates, library, data.weights(), data.roles.weight_kind, data)

    def _has_block(self, name: str) -> bool:
        return any(name in stack.network.layout.blocks for stack in self.stacks)

    def action(self, treatment: Any, asked: Asked) -> ActionArrays:
        """Arrays of one action as a user writes it; warns where a dose was never seen."""
        code = self.coding.actions
        if asked.data is not None:
            treatment = by_row(asked.data, treatment)
        made = self.with_items(encode_actions(code, action_frame(code, treatment, asked.n)), asked)
        self.warn_outside(made)
        return made

    def with_items(self, action: ActionArrays, asked: Asked) -> ActionArrays:
        """Actions whose items, if they have any, are places in the library of the rows asked."""
        if action.items is None or asked.library is None:
            return action
        return replace(action, items=asked.library.codes(action.items, self.coding.item_column))

    def warn_outside(self, action: ActionArrays) -> None:
        """Warn where doses lie outside of the training range."""
        for arm, (name, dosed) in enumerate(
            zip(self.coding.actions.arms, self.coding.actions.dosed, strict=True)
        ):
            if not dosed or name not in self.doses:
                continue
            low, high = self.doses[name]
            doses = action.doses[(action.arms == arm) & action.active]
            beyond = outside(doses, (low, high))
            if beyond.any():
                warn(
                    f"{beyond.mean():.0%} of the doses of {name} lie outside of the "
                    f"{low:.4g} to {high:.4g} seen in training (asked: {doses.min():.4g} to "
                    f"{doses.max():.4g}); outcomes there are extrapolated.",
                    ExtrapolationWarning,
                )

    def outcomes(
        self,
        asked: Asked,
        actions: Sequence[ActionArrays],
        *,
        memory_budget: int = MEMORY_BUDGET,
        reduce: Callable[[Floats], Floats] | None = None,
    ) -> Floats:
        """E[Y | X, A] ``(M, n, G)`` by every network."""
        return mean_outcomes(
            self.stacks,
            asked.covariates,
            actions,
            library=asked.library,
            memory_budget=memory_budget,
            reduce=reduce,
        )

    def averaged(
        self, asked: Asked, actions: Sequence[ActionArrays], *, memory_budget: int = MEMORY_BUDGET
    ) -> Floats:
        """E[Y | X, A] ``(n, G)``, the mean over networks."""

        def mean(values: Floats) -> Floats:
            return np.asarray(values.mean(axis=0, keepdims=True))

        found = self.outcomes(asked, actions, memory_budget=memory_budget, reduce=mean)
        return np.asarray(found[0])

    def listed(self, treatment: Any, asked: Asked) -> tuple[list[Any], list[ActionArrays]]:
        """Names and arrays of several actions, or of one."""
        several = treatment if isinstance(treatment, list) else [treatment]
        if not several:
            raise ArgumentError("treatment is an empty list; name at least one action.")
        return [action_name(one) for one in several], [self.action(one, asked) for one in several]

    def every_arm(self) -> list[Any]:
        """All levels, where one categorical treatment is all that there is.

        Raises
        ------
        ArgumentError
            If it is not.
        """
        code = self.coding.actions
        if code.kind not in ARMS:
            raise ArgumentError(
                f"the treatment is {code.kind}: say under which action, attention(data, "
                "treatment=...)."
            )
        return list(code.labels)

    def contrasts(
        self, treatment: Any, baseline: Any, *, by: str = "effect(data, treatment=..., "
    ) -> tuple[Any, Any]:
        """Actions to compare where the user names none: every level with the first.

        Parameters
        ----------
        treatment, baseline : actions or None
        by : str
            Start of the call in which both are to be named.

        Raises
        ------
        ArgumentError
            If there are no levels to compare.
        """
        code = self.coding.actions
        if code.kind in ARMS:
            levels = list(code.labels)
            baseline = levels[0] if baseline is None else baseline
            if treatment is None:
                if np.ndim(baseline) or isinstance(baseline, Mapping):
                    raise ArgumentError(
                        "without a treatment every level is compared with one baseline, got "
                        f"{type(baseline).__name__}; name the treatment as well."
                    )
                others = [level for level in levels if level != baseline]
                treatment = others[0] if len(others) == 1 else others
        if treatment is None or baseline is None:
            raise ArgumentError(
                f"the treatment is {code.kind}: say what to compare, {by}baseline=...)."
            )
        return treatment, baseline

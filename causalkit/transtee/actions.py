"""From treatments, as users write them, to slots of (arm, dose) and structured items.

Every action is a set of slots, each with an arm and perhaps a dose. A binary or multi-valued
treatment has one slot and an arm for each level; a continuous one has one arm that takes a dose; a
category with an amount has an arm for each level, each with a dose unless it takes none; several
treatments have a slot each, in which "no" is an empty slot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.candidate import plain
from causalkit.data.doses import arms_without_dose, dose_columns
from causalkit.data.roles import AMOUNTS, ARMS
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    CausalKitWarning,
    DataError,
    Problem,
)
from causalkit.transtee.action_columns import amounts, arm_amounts, level_codes
from causalkit.typing import Bools, Floats, Ints
from causalkit.warn import warn


@dataclass(frozen=True, slots=True)
class ActionCode:
    """Treatment columns, their levels, and which slot and arms they have.

    Attributes
    ----------
    columns, kinds : tuple of str
    levels : mapping of str to tuple
        Levels of each categorical treatment, in order; the first is the control.
    paired : bool
        A category with an amount: one slot.
    undosed : tuple
        Levels of such a category that take no amount.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    levels: dict[str, tuple[Any, ...]]
    paired: bool
    undosed: tuple[Any, ...] = ()

    @property
    def kind(self) -> str:
        """One of binary, multi, continuous, dose, several, structured."""
        if self.paired:
            return "dose"
        if len(self.columns) > 1:
            return "structured" if "structured" in self.kinds else "several"
        return "continuous" if self.kinds[0] == "dose" else self.kinds[0]

    @property
    def arms(self) -> tuple[str, ...]:
        """Name of every arm."""
        if self.paired:
            return tuple(map(str, self.labels))
        found: list[str] = []
        for name, kind in zip(self.columns, self.kinds, strict=True):
            if kind in ARMS:
                found += [self._arm(name, level) for level in self._own(name)]
            elif kind in AMOUNTS:
                found.append(name)
        return tuple(found)

    @property
    def labels(self) -> tuple[Any, ...]:
        """Every arm: its level in the data, of any type, or its name where levels are not arms."""
        alone = self.paired or (len(self.columns) == 1 and self.kind in ARMS)
        return self.levels[self.columns[0]] if alone else self.arms

    @property
    def dosed(self) -> tuple[bool, ...]:
        """Whether each arm takes a dose."""
        if self.paired:
            return tuple(level not in self.undosed for level in self.labels)
        found: list[bool] = []
        for name, kind in zip(self.columns, self.kinds, strict=True):
            if kind in ARMS:
                found += [False] * len(self._own(name))
            elif kind in AMOUNTS:
                found.append(True)
        return tuple(found)

    def _arm(self, name: str, level: Any) -> str:
        return str(level) if len(self.columns) == 1 else f"{name}={level}"

    def _own(self, name: str) -> tuple[Any, ...]:
        """Levels that have an arm: of several treatments, the control is an empty slot."""
        return self.levels[name] if self.kind in ARMS else self.levels[name][1:]

    @property
    def n_slots(self) -> int:
        """Slots of an action."""
        if self.paired:
            return 1
        return sum(kind != "structured" for kind in self.kinds)

    def takes_dose(self, arms: Ints) -> Bools:
        """Whether each of some arms takes a dose; "nothing" takes none."""
        return np.array([*self.dosed, False])[arms]


@dataclass(frozen=True, slots=True)
class ActionArrays:
    """Actions of n rows, or one for all (n = 1).

    Attributes
    ----------
    arms : (n, m) int array
    doses : (n, m) float32 array
        In the user's units; 0 where the arm takes none.
    active : (n, m) bool array
        The first slot is active where no other is, and then holds nothing.
    items : (n,) int array or None
        Row of the library of structured treatments.
    """

    arms: Ints
    doses: Floats
    active: Bools
    items: Ints | None = None

    def arrays(self) -> tuple[Any, ...]:
        """All arrays; None where there are no items."""
        return self.arms, self.doses, self.active, self.items

    def rows(self, chosen: Ints | slice) -> "ActionArrays":
        """Some rows."""
        return ActionArrays(
            self.arms[chosen],
            self.doses[chosen],
            self.active[chosen],
            None if self.items is None else self.items[chosen],
        )

    def __len__(self) -> int:
        return len(self.arms) if self.items is None else len(self.items)


def action_code(data: CausalData) -> ActionCode:
    """Learn levels and slots from training data.

    Raises
    ------
    DataError
        If a treatment does not vary, or a combination of kinds is not supported.
    """
    columns, kinds = data.roles.treatment, data.roles.kinds
    levels, problems = {}, []
    for name, kind in zip(columns, kinds, strict=True):
        column = data.frame[name]
        if kind in ARMS:
            values = column.cat.categories if hasattr(column, "cat") else sorted(column.unique())
            levels[name] = tuple(plain(value) for value in values)
        if kind != "structured" and column.nunique() < 2:
            seen = column.dropna()
            value = f"the single value {seen.iloc[0]!r}" if len(seen) else "no value"
            problems.append(
                Problem(
                    "E09-constant-treatment",
                    f"treatment {name!r} has {value}; there is nothing to compare.",
                    name,
                )
            )
    if problems:
        raise DataError(problems)
    paired = dose_columns(data.roles) is not None
    return ActionCode(columns, kinds, levels, paired, arms_without_dose(data.frame, data.roles))


def encode_actions(code: ActionCode, frame: pd.DataFrame) -> ActionArrays:
    """Actions of the rows of a table with the treatment columns.

    Raises
    ------
    DataError
        If a level was never seen in training, an amount is not finite, or an arm that takes none
        has one.
    """
    absent = [name for name in code.columns if name not in frame]
    if absent:
        raise DataError(
            Problem(
                "E01-missing-column",
                f"an action needs {', '.join(code.columns)}; missing: {', '.join(absent)}.",
                absent[0],
            )
        )
    if code.paired:
        arms = level_codes(code.columns[0], frame, code.labels)
        doses = arm_amounts(code.columns[1], frame, code.labels, arms, code.takes_dose(arms))
        return ActionArrays(arms[:, None], doses[:, None], np.ones((len(frame), 1), dtype=bool))
    shape = (len(frame), code.n_slots)
    arms, doses = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    active = np.ones(shape, dtype=bool)
    items, slot, first = None, 0, 0
    for name, kind in zip(code.columns, code.kinds, strict=True):
        if kind == "structured":
            items = frame[name].to_numpy()
            continue
        if kind in AMOUNTS:
            arms[:, slot], doses[:, slot] = first, amounts(name, frame)
            first += 1
        else:
            own = len(code._own(name))
            place = level_codes(name, frame, code.levels[name]) - len(code.levels[name]) + own
            active[:, slot] = place >= 0
            arms[:, slot] = np.where(place >= 0, first + place, len(code.arms))
            first += own
        slot += 1
    if code.n_slots > 1 and items is None:
        # An action without any treatment is one token too: that of nothing.
        active[:, 0] |= ~active.any(axis=1)
    return ActionArrays(arms, doses, active, items)


def at_doses(code: ActionCode, arm: Any, doses: Floats) -> ActionArrays:
    """One arm, or the one continuous treatment, at doses ``(n,)``."""
    place = 0 if code.kind == "continuous" else code.labels.index(arm)
    shape = (doses.size, 1)
    return ActionArrays(
        np.full(shape, place, dtype=np.int64),
        doses[:, None].astype(np.float32),
        np.ones(shape, dtype=bool),
    )


def action_frame(code: ActionCode, action: Any, n: int) -> pd.DataFrame:
    """Table of treatment columns from an action as a user writes it.

    Parameters
    ----------
    code : ActionCode
    action : scalar, tuple, array, mapping or DataFrame
        One action for everyone: a level or dose; ``(arm, dose)``, ``(arm, None)`` where it takes
        none; a value for each of several treatments, as a tuple or mapping. Or one for every row:
        an array ``(n,)`` or ``(n, k)``, a mapping of arrays, or a table.
    n : int
        Rows.

    Returns
    -------
    DataFrame
        One row for everyone, or n.

    Raises
    ------
    ArgumentError
        If the number of values fits neither, or a mapping names what is no treatment.
    """
    k = len(code.columns)
    if isinstance(action, tuple):
        if len(action) != k:
            raise ArgumentError(
                f"an action of {', '.join(code.columns)} has {k} values, got {action!r}."
            )
        action = dict(zip(code.columns, action, strict=True))
    if isinstance(action, Mapping):
        odd = [name for name in map(str, action) if name not in code.columns]
        if odd:
            raise ArgumentError(
                f"an action has the columns {', '.join(code.columns)}, got also "
                f"{', '.join(map(repr, odd))}; leave out, or rename."
            )
    if isinstance(action, pd.DataFrame | Mapping):
        frame = _frame_of({str(name): values for name, values in dict(action).items()})
    else:
        frame = pd.DataFrame(_by_column(code, np.asarray(action)), columns=list(code.columns))
    if len(frame) not in (1, n):
        raise ArgumentError(
            f"an action must be one for everyone or one for each of the {n} rows, got {len(frame)}."
        )
    return frame


def _frame_of(parts: Mapping[str, Any]) -> pd.DataFrame:
    """Table of columns of one length; those with one value have it in every row."""
    columns = {name: np.atleast_1d(np.asarray(values)) for name, values in parts.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    length = max(lengths.values(), default=0)
    deep = [name for name, values in columns.items() if values.ndim > 1]
    if deep or not set(lengths.values()) <= {1, length}:
        seen = ", ".join(f"{name} of shape {values.shape}" for name, values in columns.items())
        raise ArgumentError(
            f"the values of an action must be one for everyone or one for each row, got {seen}."
        )
    return pd.DataFrame({name: np.broadcast_to(v, length) for name, v in columns.items()})


def _by_column(code: ActionCode, values: Any) -> Any:
    """Array ``(1 or n, k)`` of an action that is an array or one value."""
    k, names = len(code.columns), ", ".join(code.columns)
    if values.ndim == 0 and k > 1:
        raise ArgumentError(
            f"an action of {names} has {k} values, got {values.item()!r}; give a tuple in that "
            "order, or a mapping of column to value."
        )
    if values.dtype == object and values.size and isinstance(values.flat[0], list | dict):
        raise ArgumentTypeError(f"an action must be values, got {type(values.flat[0]).__name__}.")
    if k == 1 and values.ndim < 2:
        return values.reshape(-1, 1)
    if values.ndim == 0 or values.ndim > 2 or values.shape[-1] != k:
        raise ArgumentError(
            f"an action of {names} is an array of shape ({k},) for everyone or (rows, {k}), got "
            f"{values.shape}; give a mapping of column to values."
        )
    return values.reshape(-1, k)


def action_name(action: Any) -> Any:
    """How an action is called on an axis: "given" where rows have actions of their own.

    A label or dose is itself, to be selected by; several values are text. A dose that is not taken
    is not named.
    """
    parts = dict(action) if isinstance(action, Mapping) else {}
    parts = {name: value for name, value in parts.items() if not _is_absent(value)}
    if isinstance(action, tuple):
        action = tuple(value for value in action if not _is_absent(value))
    values = action if isinstance(action, tuple) else parts.values() if parts else (action,)
    if any(np.ndim(value) > 0 for value in values):
        return "given"
    if parts:
        return ", ".join(f"{name}={value}" for name, value in parts.items())
    found = [plain(value) for value in values]
    return found[0] if len(found) == 1 else ", ".join(map(str, found))


def action_axis(names: Sequence[Any]) -> Any:
    """Coordinate of several actions, in which each keeps its type."""
    mixed = len({type(name) for name in names}) > 1
    return np.array(names, dtype=object if mixed else None)


def _is_absent(value: Any) -> bool:
    return bool(np.ndim(value) == 0 and pd.isna(value))


def check_arm_counts(code: ActionCode, frame: pd.DataFrame) -> None:
    """Refuse arms with fewer than two rows, and warn of those with fewer than ten.

    Raises
    ------
    DataError
        If an arm has a single row.
    """
    few = []
    for name, levels in code.levels.items():
        rows = {plain(level): int(count) for level, count in frame[name].value_counts().items()}
        for level in levels:
            count = rows.get(level, 0)
            if count < 2:
                raise DataError(
                    Problem(
                        "E11-single-arm-fold",
                        f"arm {level!r} of {name!r} has {count} row(s), too few to train and "
                        "validate on; leave the arm out or merge it with another.",
                        name,
                    )
                )
            if count < 10:
                few.append(f"arm {level!r} of {name!r} has only {count} rows")
    for words in few:
        warn(f"[E11-single-arm-fold] {words}; its outcomes are learned from few.", CausalKitWarning)

"""The action of each row with the largest or smallest mean outcome."""

from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.data.roles import AMOUNTS, ARMS
from causalkit.errors import ArgumentError
from causalkit.transtee.actions import at_doses
from causalkit.transtee.effects import dose_grid, predict
from causalkit.transtee.model import Asked, Model
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr

N_GRID = 65
N_SECTIONS = 3
N_ITEMS = 64
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def best_action(
    model: Model, asked: Asked, *, grid: Any, memory_budget: int, maximise: bool
) -> "xr.Dataset":
    """Action with the largest mean outcome of every row, or the smallest.

    Doses: a grid, then three golden sections of the interval around its best point, all rows at
    once. Dims ``obs``: ``arm`` (if there are arms), ``dose`` (if there are doses; NaN where the arm
    takes none), ``item`` (of a structured treatment), ``outcome``.

    Raises
    ------
    ArgumentError
        If there are several treatments.
    """
    import xarray as xr

    code = model.coding.actions
    sign = 1.0 if maximise else -1.0
    rows = np.arange(asked.n)
    if code.kind in ARMS:
        made = _best_of(model, asked, list(code.labels), "arm", sign)
    elif code.kind == "structured" and len(code.columns) == 1 and asked.library is not None:
        known = [name for name in asked.library.place if name not in asked.library.strange]
        made = _best_of(model, asked, known, "item", sign)
    elif code.kind in AMOUNTS:
        arms = [None] if code.kind == "continuous" else list(code.labels)
        found = [_best_dose(model, asked, arm, grid, memory_budget, sign) for arm in arms]
        values = np.stack([value for _, value in found], axis=1)
        doses = np.stack([dose for dose, _ in found], axis=1)
        best = values.argmax(axis=1)
        made = {"dose": doses[rows, best], "outcome": sign * values[rows, best]}
        if code.kind == "dose":
            made = {"arm": np.array(arms, dtype=object)[best], **made}
    else:
        raise ArgumentError(
            "best_action needs arms, doses or the items of one structured treatment, and the "
            f"treatments are {', '.join(code.columns)}; compare the actions that are possible with "
            "predict(data, treatment=[...])."
        )
    return xr.Dataset(
        {name: ("obs", values) for name, values in made.items()}, coords={"obs": rows}
    )


def _best_of(
    model: Model, asked: Asked, names: list[Any], what: str, sign: float
) -> dict[str, Any]:
    """The best of some actions and its outcome; not all are held at once, for they may be many."""
    place, value = np.zeros(asked.n, dtype=np.int64), np.full(asked.n, -np.inf)
    rows = np.arange(asked.n)
    for first in range(0, len(names), N_ITEMS):
        mu = sign * predict(model, asked, names[first : first + N_ITEMS])
        top = mu.argmax(axis=1)
        better = mu[rows, top] > value
        place = np.where(better, first + top, place)
        value = np.where(better, mu[rows, top], value)
    of_names = np.empty(len(names), dtype=object)
    of_names[:] = names
    return {what: of_names[place], "outcome": sign * value}


def _best_dose(
    model: Model, asked: Asked, arm: Any, grid: Any, memory_budget: int, sign: float
) -> tuple[Floats, Floats]:
    """Best dose of one arm for every row, NaN if it takes none, and sign times the outcome."""
    if arm in model.coding.actions.undosed:
        return np.full(asked.n, np.nan), sign * predict(model, asked, (arm, None))
    doses, actions, _ = dose_grid(model, asked, arm, grid)
    mu = sign * model.averaged(asked, actions, memory_budget=memory_budget)
    top = mu.argmax(axis=1)
    low, high = doses[np.maximum(top - 1, 0)], doses[np.minimum(top + 1, doses.size - 1)]
    best, value = doses[top], mu.max(axis=1)
    for _ in range(N_SECTIONS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        pair = [sign * _at(model, asked, arm, points) for points in (left, right)]
        for points, values in zip((left, right), pair, strict=True):
            better = values > value
            best, value = np.where(better, points, best), np.where(better, values, value)
        up = pair[1] > pair[0]
        low, high = np.where(up, left, low), np.where(up, high, right)
    return best, value


def _at(model: Model, asked: Asked, arm: Any, doses: Floats) -> Floats:
    """Mean outcome of every row at a dose of its own."""
    action = at_doses(model.coding.actions, arm, doses)
    return model.averaged(asked, [action])[:, 0]

"""Effects, curves and best actions of a fitted TransTEE, as xarray datasets."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.data.roles import AMOUNTS
from causalkit.errors import ArgumentError
from causalkit.inference.bands import absolute_ratios, critical_values
from causalkit.results.intervals import quantile_value
from causalkit.rng import stream
from causalkit.transtee.actions import (
    ActionArrays,
    ActionCode,
    action_axis,
    action_frame,
    at_doses,
    encode_actions,
)
from causalkit.transtee.curve_store import free_path, new_store, opened
from causalkit.transtee.model import Asked, Model, outside
from causalkit.transtee.observations import mean_weight
from causalkit.transtee.points import dosed_arm
from causalkit.transtee.spread import Spread
from causalkit.typing import Bools, Floats

if TYPE_CHECKING:
    import xarray as xr

N_BOOT = 999


def predict(model: Model, asked: Asked, treatment: Any) -> Floats:
    """Mean outcome ``(n,)``, or ``(n, G)`` for a list of actions, averaged over networks."""
    _, actions = model.listed(treatment, asked)
    values = model.averaged(asked, actions)
    return values if isinstance(treatment, list) else values[:, 0]


def effect(
    model: Model,
    asked: Asked,
    treatment: Any,
    baseline: Any,
    *,
    level: float,
    spread: Spread,
) -> "xr.Dataset":
    """Effect of every action against the baseline, by row, with its error from the networks."""
    treatment, baseline = model.contrasts(treatment, baseline)
    names, actions = model.listed(treatment, asked)
    against = model.action(baseline, asked)

    def contrast(mu: Floats) -> Floats:
        return _moments(mu[:, :, :-1] - mu[:, :, -1:])

    found = model.outcomes(asked, [*actions, against], reduce=contrast)
    mean, error = found[0], spread.scale * found[1]
    critical = _critical(level, model.n_members)
    if not isinstance(treatment, list):
        return _dataset(mean[:, 0], error[:, 0], critical, ("obs",))
    return _dataset(mean, error, critical, ("obs", "treatment"), {"treatment": action_axis(names)})


def _moments(values: Floats) -> Floats:
    """Mean and standard deviation over networks ``(2, ...)``; NaN spread of a single one."""
    if len(values) == 1:
        return np.stack([values[0], np.full_like(values[0], np.nan)])
    return np.stack([values.mean(axis=0), values.std(axis=0, ddof=1)])


def _critical(level: float, n_members: int) -> float:
    """Standard errors in half an interval: of Student's t, for few networks tell the spread."""
    if n_members == 1:
        return float("nan")
    return float(quantile_value("t", level=level, df=n_members - 1))


def _dataset(
    mean: Floats,
    error: Floats,
    critical: float,
    dims: tuple[str, ...],
    coords: "dict[str, Any] | None" = None,
) -> "xr.Dataset":
    import xarray as xr

    half = critical * error
    return xr.Dataset(
        {
            "effect": (dims, mean),
            "std_error": (dims, error),
            "conf_low": (dims, mean - half),
            "conf_high": (dims, mean + half),
        },
        coords={"obs": np.arange(len(mean)), **(coords or {})},
    )


def dose_grid(
    model: Model, asked: Asked, arm: Any, grid: Any, others: Mapping[str, Any] | None = None
) -> tuple[Floats, list[ActionArrays], Bools]:
    """Doses of an arm, the actions that they are, and which are beyond those seen; warns of these.

    Parameters
    ----------
    model : Model
    asked : Asked
        Whose library has the item that is held, of a structured treatment.
    arm : level, column or None
    grid : int or array
    others : mapping of column to value, optional
        What is held of several treatments, of which ``arm`` is the column whose doses vary.

    Raises
    ------
    ArgumentError
        If the treatment or the arm has no dose, or an arm must be named.
    """
    code = model.coding.actions
    ends = model.doses[arm_name(model, arm, others)]
    if isinstance(grid, int | np.integer) and not isinstance(grid, bool):
        if grid < 2:
            raise ArgumentError(f"grid must have at least 2 doses, got {grid}.")
        doses = np.linspace(*ends, int(grid))
    else:
        doses = np.asarray(grid, dtype=np.float64).ravel()
        if doses.size == 0 or not np.isfinite(doses).all():
            raise ArgumentError("grid must hold finite doses.")
    if others is None:
        every = at_doses(code, arm, doses)
    else:
        held = encode_actions(code, action_frame(code, {**others, arm: doses}, doses.size))
        every = model.with_items(held, asked)
    model.warn_outside(every)
    actions = [every.rows(slice(k, k + 1)) for k in range(doses.size)]
    return doses, actions, outside(doses, ends)


def _one_of_several(code: ActionCode, arm: Any, others: Mapping[str, Any] | None) -> str:
    """Column whose doses vary while those of all others are held.

    Raises
    ------
    ArgumentError
        If none is named, it has no doses, or it is not said where the others are held.
    """
    kinds = dict(zip(code.columns, code.kinds, strict=True))
    dosed = [name for name, kind in kinds.items() if kind in AMOUNTS]
    if len(code.columns) == 1 or not dosed:
        raise ArgumentError(
            f"the treatment is {code.kind} and has no dose to vary; use predict(data, "
            "treatment=...)."
        )
    if np.ndim(arm) or arm not in dosed:
        raise ArgumentError(
            f"of the treatments {', '.join(kinds)} one with doses is to vary, and arm={arm!r} is "
            f"none; name one of {', '.join(map(repr, dosed))} and hold the others: "
            "dose_response(data, arm=..., others={...})."
        )
    held = [name for name in kinds if name != arm]
    given = {} if others is None else dict(others)
    if set(given) != set(held) or any(np.ndim(value) for value in given.values()):
        wanted = ", ".join(f"{name!r}: ..." for name in held)
        raise ArgumentError(
            f"others= says at which one value each of the other treatments is held, {{{wanted}}}; "
            f"got {others!r}."
        )
    return str(arm)


def arm_name(model: Model, arm: Any, others: Mapping[str, Any] | None) -> str:
    """Name of the arm whose doses are asked about.

    Raises
    ------
    ArgumentError
        If there is no such arm, it takes no dose, or the treatment has none to choose.
    """
    code = model.coding.actions
    if code.kind not in AMOUNTS:
        return _one_of_several(code, arm, others)
    if others is not None:
        raise ArgumentError(
            f"others={others!r}, and {', '.join(code.columns)} is one treatment; leave others out."
        )
    average = f"its mean outcome is predict(data, treatment=({arm!r}, None))"
    return code.arms[dosed_arm(code, arm, then=f"it has no curve: {average}")]


def dose_response(
    model: Model,
    asked: Asked,
    *,
    grid: Any,
    arm: Any,
    others: Mapping[str, Any] | None,
    individual: bool,
    level: float,
    seed: int,
    memory_budget: int,
    spread: Spread,
    to_zarr: Any = None,
) -> "xr.Dataset":
    """Average curve with a band over networks, and the curve of every row.

    ``adrf`` is the mean over rows, by their weights if those are no precisions; with several
    networks ``std_error`` is from its spread over them, ``conf_low`` and ``conf_high`` hold at each
    dose, ``band_low`` and ``band_high`` for the whole curve at once.
    """
    doses, actions, beyond = dose_grid(model, asked, arm, grid, others)
    total, seen = np.zeros((model.n_members, len(doses))), 0
    weight = mean_weight(asked)
    share = None if weight is None else weight / weight.mean()
    rows: list[Floats] = []

    def averages(keep: "Callable[[Floats], None] | None") -> "xr.Dataset":
        def collect(mu: Floats) -> Floats:
            nonlocal total, seen
            seen += mu.shape[1]
            if share is None:
                total += mu.sum(axis=1)
            else:
                total += np.einsum("mng,n->mg", mu, share[seen - mu.shape[1] : seen])
            if keep is not None:
                keep(mu.mean(axis=0).astype(np.float32))
            return np.empty((1, mu.shape[1], 0))

        model.outcomes(asked, actions, memory_budget=memory_budget, reduce=collect)
        found = _average_curve(total / asked.n, doses, spread.scale, level=level, seed=seed)
        return found.assign(extrapolated=("dose", beyond)).assign_attrs(interval=spread.told)

    if to_zarr is not None:
        if not individual:
            raise ArgumentError("to_zarr stores the curve of every row, and individual=False.")
        path = free_path(to_zarr)
        with new_store(path, doses) as store:
            store.close(averages(store.add))
        return opened(path)
    found = averages(rows.append if individual else None)
    if individual:
        found["individual"] = (("obs", "dose"), np.concatenate(rows))
        found = found.assign_coords(obs=np.arange(asked.n))
    return found


def _average_curve(
    curves: Floats, doses: Floats, scale: float, *, level: float, seed: int
) -> "xr.Dataset":
    """Mean of the curves of the networks, its error and band."""
    import xarray as xr

    mean, deviation = _moments(curves)
    error = scale * deviation
    critical = _critical(level, len(curves))
    half = critical * error
    wide = max(critical, _uniform(curves, level, seed)) * error
    return xr.Dataset(
        {
            "adrf": ("dose", mean),
            "std_error": ("dose", error),
            "conf_low": ("dose", mean - half),
            "conf_high": ("dose", mean + half),
            "band_low": ("dose", mean - wide),
            "band_high": ("dose", mean + wide),
        },
        coords={"dose": doses},
    )


def _uniform(curves: Floats, level: float, seed: int) -> float:
    """Critical value of the largest ratio over the curve, from draws like the networks.

    Multivariate t: normal with the networks' covariance, over the root of χ²/ν of one fewer than
    networks.
    """
    if len(curves) < 2:
        return float("nan")
    centred = curves - curves.mean(axis=0)
    rng, freedom = stream(seed, "band"), len(curves) - 1
    weights = rng.standard_normal((N_BOOT, len(curves)))
    weights /= np.sqrt(rng.chisquare(freedom, (N_BOOT, 1)))
    draws = weights @ centred
    scale = curves.std(axis=0, ddof=1)
    return float(critical_values(absolute_ratios(draws, scale, joint=True), level=level)[0])

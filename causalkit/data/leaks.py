"""E20: covariates that are the outcome or a treatment in other clothes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from causalkit.data.candidate import Candidate, is_category, is_number, numbers
from causalkit.errors import Problem
from causalkit.typing import Ints

_PROBES = 256
_TOLERANCE = 1e-9


def leaks(given: Candidate) -> Iterator[Problem]:
    """E20: a covariate equals the outcome or a treatment, up to scale and shift."""
    wanted = (*given.roles.outcome, *given.roles.treatment)
    targets = [(name, _values(given, name)) for name in wanted]
    named = dict.fromkeys((*given.roles.covariates, *given.roles.modifiers))
    for target, y in targets:
        if y is None or y.size < 3:
            continue
        probes = _probes(y)
        for name in named:
            if name != target and any(_affine(x, y, probes) for x in _versions(given, name, y)):
                message = (
                    f"covariate {name!r} equals {target!r} up to scale and shift, so conditioning "
                    "on it leaves nothing to estimate; remove it from the covariates."
                )
                yield Problem("E20-leak", message, name)


def same_up_to_scale(x: Any, y: Any) -> bool:
    """Whether x is a nonconstant affine map of y where both are observed, up to their rounding."""
    return _affine(x, y, _probes(y))


def _values(given: Candidate, name: str) -> Any:
    """Numbers behind a target; codes of a two-level category; None for anything else."""
    values = given.frame[name]
    if is_category(values):
        codes = values.cat.codes.to_numpy()
        return (
            np.where(codes < 0, np.nan, codes) if np.unique(codes[codes >= 0]).size == 2 else None
        )
    return numbers(values) if is_number(values) else None


def _versions(given: Candidate, name: str, y: Any) -> Iterator[Any]:
    """Columns that a covariate puts into the design and that could equal the target."""
    values = given.frame[name]
    if is_number(values):
        yield numbers(values)
    elif is_category(values):
        # Only the indicator of a level found at an extreme of a two-valued target can equal it.
        codes = values.cat.codes.to_numpy()
        for row in (int(np.nanargmax(y)), int(np.nanargmin(y))):
            if codes[row] >= 0:
                yield np.where(codes < 0, np.nan, codes == codes[row])


def _probes(y: Any) -> Ints:
    """Rows that rule out nearly every pair, among them both extremes so that y varies."""
    spread = np.arange(0, y.size, max(y.size // _PROBES, 1))
    if np.isnan(y).all():
        return spread
    return np.append(spread, (np.nanargmin(y), np.nanargmax(y)))


def _affine(x: Any, y: Any, probes: Ints) -> bool:
    """:func:`same_up_to_scale`, by probes that are made once for many x.

    The rows in ``probes`` decide first: only a pair that passes there costs a full pass.
    """
    sample = _observed(x[probes], y[probes])
    if sample is not None and not _fits(*sample, _rounding(x, y)):
        return False
    whole = _observed(x, y)
    return whole is not None and _fits(*whole, _rounding(x, y))


def _observed(x: Any, y: Any) -> tuple[Any, Any] | None:
    """Finite pairs as float64, or None if they cannot tell because y does not vary."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    seen = np.isfinite(x) & np.isfinite(y)
    x, y = (x, y) if seen.all() else (x[seen], y[seen])
    return (x, y) if x.size >= 3 and y.min() < y.max() else None


def _rounding(x: Any, y: Any) -> float:
    """Relative rounding error of the coarser of two types."""
    return max(
        float(np.finfo(v.dtype).eps) if v.dtype.kind == "f" else float(np.finfo(np.float64).eps)
        for v in (x, y)
    )


def _fits(x: Any, y: Any, rounding: float) -> bool:
    """Whether the least-squares line of x on y leaves rounding error only."""
    largest = float(np.abs(x).max())
    if largest == 0.0:
        return False
    # In units of the largest value, so that no square over- or underflows.
    x, y = x / largest, y / float(np.abs(y).max())
    dx, dy = x - x.mean(), y - y.mean()
    spread = float(np.abs(dx).max())
    slope = float(dx @ dy) / float(dy @ dy)
    # A large offset costs digits: 1e6 + 0.001 y holds y to some eight digits only.
    noise = 8 * rounding * (1.0 + abs(slope))
    if noise >= 1e-3 * spread:
        return False
    return bool(np.abs(dx - slope * dy).max() <= _TOLERANCE * spread + noise)

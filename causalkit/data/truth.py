"""Ground truth of simulated data: for the judge, never for the judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from causalkit.typing import Bools, Floats, Ints

_BY_ROW = ("cate", "mu0", "mu1", "propensity", "best_dose", "cluster_labels", "image_box")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulation knows and an estimator must not.

    Attributes
    ----------
    estimands : mapping of str to float
        True values, such as ``{"ate": 0.5}``.
    cate, mu0, mu1, propensity : (n,) array, callable or None
        Effects, mean outcomes in outcome units and treatment probabilities, by row or as functions
        of the covariates. Where there are many treatments or outcome classes, ``(n, k)``.
    dose_response : callable or None
        Maps doses to mean outcomes.
    unit_response : callable or None
        Maps an action to the mean outcome of every unit: doses ``(m,)`` that are the same for all
        give ``(n, m)``, doses ``(n, m)`` of each unit as well. With several parts of an action
        (arm, dose) it takes them one by one, and it has a keyword ``rows``, positions of the units
        that are asked for. It follows the rows of the data, as arrays do.
    best_dose : (n,) or (n, arms) array or None
        Dose with the largest mean outcome, of each unit.
    valid_instruments : (L,) bool array or None
        Which instruments are valid.
    cluster_labels : (n,) int array or None
        True effect clusters.
    image_box : (n, 4) int array or None
        Where the pattern that decides lies in the image of each row: top, left, height and width in
        pixels; -1 where there is none.
    scope : {"population", "sample"}
        A sample-level truth differs between replications; errors are then measured against the
        replication's own truth.
    mcse : mapping of str to float
        Monte-Carlo error of true values that are themselves simulated; none means exact.

    Examples
    --------
    >>> Truth({"ate": 0.5}).estimands["ate"]
    0.5
    """

    estimands: Mapping[str, float]
    cate: Floats | Callable[..., Any] | None = None
    mu0: Floats | Callable[..., Any] | None = None
    mu1: Floats | Callable[..., Any] | None = None
    dose_response: Callable[..., Any] | None = None
    unit_response: Callable[..., Any] | None = None
    best_dose: Floats | None = None
    propensity: Floats | Callable[..., Any] | None = None
    valid_instruments: Bools | None = None
    cluster_labels: Ints | None = None
    image_box: Ints | None = None
    scope: Literal["population", "sample"] = "population"
    mcse: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _OfRows:
    """A function of units, for some of them."""

    response: Callable[..., Any]
    positions: Ints

    def __call__(self, *action: Any, rows: Any = None) -> Any:
        return self.response(*action, rows=self.positions if rows is None else self.positions[rows])


def truth_of_rows(truth: Truth | None, rows: Ints) -> Truth | None:
    """Truth of some rows; what is known by row follows the rows, averages and estimands stay."""
    if truth is None:
        return None
    by_row = {name: getattr(truth, name) for name in _BY_ROW}
    kept: dict[str, Any] = {
        name: value if value is None or callable(value) else np.asarray(value)[rows]
        for name, value in by_row.items()
    }
    if truth.unit_response is not None:
        kept["unit_response"] = _OfRows(truth.unit_response, np.asarray(rows))
    return replace(truth, **kept)

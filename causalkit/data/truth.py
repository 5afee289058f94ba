"""Ground truth of simulated data: for the judge, never for the judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from causalkit.typing import Floats


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulation knows and an estimator must not.

    Attributes
    ----------
    estimands : mapping of str to float
        True values, such as ``{"ate": 0.5}``.
    cate, mu0, mu1, propensity : arrays (n,), or None
        Row-level truths.
    dose_response : callable or None
        Maps doses to mean outcomes.
    valid_instruments : bool array or None
        Which instruments are valid.
    cluster_labels : int array or None
        True effect clusters.
    scope : {"population", "sample"}
        Whether the estimands are the same in every replication.
    """

    estimands: Mapping[str, float]
    cate: Floats | None = None
    mu0: Floats | None = None
    mu1: Floats | None = None
    dose_response: Callable[..., Any] | None = None
    propensity: Floats | None = None
    valid_instruments: Any = None
    cluster_labels: Any = None
    scope: Literal["population", "sample"] = "population"

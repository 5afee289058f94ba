"""How many clusters the variation comes from that an effect is estimated on."""

from dataclasses import dataclass

import numpy as np

from causalkit.errors import IdentificationError, IdentificationWarning
from causalkit.inference.variance import count_clusters
from causalkit.panel.sample import PanelSample
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

# A test at 5 % rejects a true null in 7 % of samples with fifteen, 10 % with eight, 15 % with five,
# 25 % with three and 40 % with two, if t counts far more; t with as many less one keeps 5 to 8 %.
_FEW = 8.0
_ONE = 0.9  # share of one cluster with which a test at 5 % rejects in 40 % of samples or more
_INSTEAD = (
    "compare with placebo treatments of other units (permutation inference) or a synthetic "
    "control; the wild bootstrap fails here too. If the treatment moves in more of them, it is its "
    "predictions that are far off in a few: try learner='lasso' or fewer terms."
)


@dataclass(frozen=True, slots=True)
class Carriers:
    """Clusters by their shares of the squared weights that an estimate gives to outcomes.

    Attributes
    ----------
    effective : float
        One over the sum of squared shares: the effective number of clusters of Carter, Schnepel &
        Steigerwald (2017) for errors that are independent and of one variance.
    largest : float
        Largest share of a cluster.
    n_clusters : int
        Clusters that hold rows.
    """

    effective: float
    largest: float
    n_clusters: int

    @property
    def few(self) -> bool:
        """Whether far fewer clusters carry the estimate than its degrees of freedom count."""
        return self.effective < min(_FEW, self.n_clusters / 2)


def carriers(row_weights: Floats, codes: Ints) -> Carriers:
    """Count the clusters that carry an estimate Σ w y.

    Parameters
    ----------
    row_weights : (n,) array
        What the estimate gives to each outcome, up to scale.
    codes : (n,) int array
        Clusters.

    Examples
    --------
    >>> carriers(np.array([1.0, -1.0, 1.0, -1.0, 0.0]), np.array([0, 0, 1, 1, 2]))
    Carriers(effective=2.0, largest=0.5, n_clusters=3)
    """
    squares = np.bincount(codes, weights=row_weights**2)
    shares = squares / squares.sum()
    effective = float(1.0 / (shares @ shares))
    return Carriers(effective, float(shares.max()), count_clusters(codes))


def row_weights(score: LinearScore, sample: PanelSample) -> Floats:
    """Weight ``(n, k)`` of each row's outcome in the slopes of a residual regression, up to scale.

    In the first repeat. A row that stands for several, or has a small variance, counts by the root
    of its weight, so that squares are variances.
    """
    z, x = score.instrument[:, 0], score.regressor[:, 0]
    w = np.ones(sample.n) if sample.weights is None else sample.weights
    own = z @ np.linalg.inv((x * w[:, None]).T @ z)
    return np.asarray(own * (w if sample.weight_kind == "sampling" else np.sqrt(w))[:, None])


def check_carriers(found: Carriers, name: str, clustered_by: str | None) -> None:
    """Warn where few clusters carry an estimate, and refuse where one does.

    Parameters
    ----------
    found : Carriers
    name : str
        Treatment.
    clustered_by : str or None
        Column of the clusters; None if the variance has none, and these are the units.

    Raises
    ------
    IdentificationError
        If one cluster carries practically all, so that its shocks and the effect are one.
    """
    what = "units" if clustered_by is None else f"clusters of {clustered_by!r}"
    seen = (
        f"the variation that identifies the effect of {name!r} comes from few {what}: in effect "
        f"from {found.effective:.2g} of {found.n_clusters}, the largest with {found.largest:.0%}"
    )
    if clustered_by is not None and found.largest >= _ONE:
        raise IdentificationError(
            f"{seen}. No other cluster tells how far its shocks move the estimate, so a clustered "
            "standard error would be near zero whatever the truth. Cluster by a finer column if "
            f"one is credible, or {_INSTEAD}"
        )
    if not found.few:
        return
    if clustered_by is None:
        follows = "A shock to one of them moves the estimate, which errors by row do not show: "
    else:
        follows = (
            "Standard errors are then too small and tests reject too often: judge by t with "
            f"{max(found.effective - 1.0, 1.0):.2g} degrees of freedom in place of "
            f"{found.n_clusters - 1}, and "
        )
    warn(f"{seen}. {follows}{_INSTEAD}", IdentificationWarning)

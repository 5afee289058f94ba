"""Clusters of the variance: those the data name, else the units, or units and periods."""

import numpy as np

from causalkit.data import CausalData
from causalkit.panel.sample import PanelSample
from causalkit.panel.settings import Settings
from causalkit.typing import Ints


def cluster_names(settings: Settings, data: CausalData) -> tuple[str, ...]:
    """Columns that the variance is clustered by."""
    if settings.cov_type == "two-way":
        return (
            data.roles.cluster
            if len(data.roles.cluster) == 2
            else (
                str(data.roles.unit),
                str(data.roles.time),
            )
        )
    if settings.cov_type == "clustered":
        return data.roles.cluster or (str(data.roles.unit),)
    return ()


def variance_clusters(settings: Settings, sample: PanelSample) -> tuple[Ints, ...]:
    """Cluster codes that the variance sums over."""
    if settings.cov_type == "two-way":
        if len(sample.clusters) == 2:
            return sample.clusters
        period = sample.period if sample.period is not None else np.zeros(sample.n, dtype=np.int64)
        return (sample.unit, np.unique(period, return_inverse=True)[1])
    if settings.cov_type == "clustered":
        return sample.clusters or (sample.unit,)
    return ()

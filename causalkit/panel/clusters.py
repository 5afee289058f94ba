"""Clusters of the variance: those the data name, else the units; two-way adds the periods."""

from causalkit.data import Roles
from causalkit.panel.sample import PanelSample
from causalkit.panel.settings import Settings
from causalkit.typing import Ints


def cluster_names(settings: Settings, roles: Roles) -> tuple[str, ...]:
    """Columns that the variance is clustered by."""
    if settings.cov_type == "two-way":
        first = roles.cluster or (str(roles.unit),)
        return first if len(first) == 2 else (*first, str(roles.time))
    if settings.cov_type == "clustered":
        return roles.cluster or (str(roles.unit),)
    return ()


def variance_clusters(settings: Settings, sample: PanelSample) -> tuple[Ints, ...]:
    """Cluster codes that the variance sums over."""
    if settings.cov_type == "two-way":
        first = sample.clusters or (sample.unit,)
        if len(first) == 2:
            return first
        return (*first, sample.period_code)
    if settings.cov_type == "clustered":
        return sample.clusters or (sample.unit,)
    return ()

"""Clusters of the variance: those the data name, else the units; two-way adds the periods."""

from causalkit.data import Roles
from causalkit.panel.sample import PanelSample
from causalkit.panel.settings import Settings
from causalkit.typing import Ints


def cluster_names(settings: Settings, roles: Roles) -> tuple[str, ...]:
    """Columns that the variance is clustered by; the units join periods named as clusters."""
    if settings.cov_type not in ("clustered", "two-way"):
        return ()
    unit, time = str(roles.unit), str(roles.time)
    first = roles.cluster or (unit,)
    if settings.cov_type == "clustered" or len(first) == 2:
        return first
    return (*first, unit if first == (time,) else time)


def variance_clusters(settings: Settings, sample: PanelSample, roles: Roles) -> tuple[Ints, ...]:
    """Cluster codes that the variance sums over, in the order of :func:`cluster_names`."""
    own = dict(zip(roles.cluster, sample.clusters, strict=True)) | {str(roles.unit): sample.unit}
    if settings.cov_type == "two-way":
        own.setdefault(str(roles.time), sample.period_code)
    return tuple(own[name] for name in cluster_names(settings, roles))

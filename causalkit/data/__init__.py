"""Data with roles: construction, checks, views, panel arithmetic, packaged examples."""

from typing import TYPE_CHECKING, Any

from causalkit.data.dataset import CausalData as CausalData
from causalkit.data.roles import Requires as Requires
from causalkit.data.roles import Roles as Roles
from causalkit.data.truth import Truth as Truth

if TYPE_CHECKING:
    from causalkit.data.examples import list_datasets as list_datasets
    from causalkit.data.examples import load_dataset as load_dataset

__all__ = ["CausalData", "Requires", "Roles", "Truth", "list_datasets", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name in ("load_dataset", "list_datasets"):
        from causalkit.data import examples

        return getattr(examples, name)
    raise AttributeError(f"module 'causalkit.data' has no attribute {name!r}")

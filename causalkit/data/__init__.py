"""Data with roles: construction, checks, views, panel arithmetic, packaged examples."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData as CausalData
    from causalkit.data.examples import list_datasets as list_datasets
    from causalkit.data.examples import load_dataset as load_dataset
    from causalkit.data.roles import Requires as Requires
    from causalkit.data.roles import Roles as Roles
    from causalkit.data.truth import Truth as Truth

_HOME = {
    "CausalData": "dataset",
    "Requires": "roles",
    "Roles": "roles",
    "Truth": "truth",
    "list_datasets": "examples",
    "load_dataset": "examples",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"causalkit.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'causalkit.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

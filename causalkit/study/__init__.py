"""Simulation studies: declare cells, estimators and replications; run, resume, summarise."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalkit.study.design import Budget as Budget
    from causalkit.study.design import Cell as Cell
    from causalkit.study.design import EstimatorSpec as EstimatorSpec
    from causalkit.study.design import GeneratorGrid as GeneratorGrid
    from causalkit.study.design import Reps as Reps
    from causalkit.study.design import RunOptions as RunOptions
    from causalkit.study.merge import Merged as Merged
    from causalkit.study.merge import merge_results as merge_results
    from causalkit.study.results import Results as Results
    from causalkit.study.study import Study as Study

_HOME = {
    "Budget": "design",
    "Cell": "design",
    "EstimatorSpec": "design",
    "GeneratorGrid": "design",
    "Merged": "merge",
    "Reps": "design",
    "Results": "results",
    "RunOptions": "design",
    "Study": "study",
    "merge_results": "merge",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"causalkit.study.{_HOME[name]}"), name)
    raise AttributeError(f"module 'causalkit.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""Results: numbers with their uncertainty, as tables, text and pictures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from causalkit.results.effect import EffectResult as EffectResult
from causalkit.results.solutions import effect_from_solutions as effect_from_solutions
from causalkit.results.tables import ResultTable as ResultTable
from causalkit.results.tables import table as table

if TYPE_CHECKING:
    from causalkit.results.plots import plot_event_study as plot_event_study
    from causalkit.results.plots import plot_forest as plot_forest
    from causalkit.results.plots import plot_gate as plot_gate
    from causalkit.results.plots_checks import plot_love as plot_love
    from causalkit.results.plots_checks import plot_overlap as plot_overlap
    from causalkit.results.plots_checks import plot_residuals as plot_residuals
    from causalkit.results.plots_checks import plot_sensitivity as plot_sensitivity
    from causalkit.results.report import html_report as html_report

_HOME = {
    "html_report": "causalkit.results.report",
    "plot_event_study": "causalkit.results.plots",
    "plot_forest": "causalkit.results.plots",
    "plot_gate": "causalkit.results.plots",
    "plot_love": "causalkit.results.plots_checks",
    "plot_overlap": "causalkit.results.plots_checks",
    "plot_residuals": "causalkit.results.plots_checks",
    "plot_sensitivity": "causalkit.results.plots_checks",
}
_HERE = ("EffectResult", "ResultTable", "effect_from_solutions", "table")
__all__ = sorted({*_HERE, *_HOME})


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'causalkit.results' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""Results: numbers with their uncertainty, as tables, text and pictures."""

from causalkit.results.effect import EffectResult as EffectResult
from causalkit.results.solutions import effect_from_solutions as effect_from_solutions
from causalkit.results.tables import ResultTable as ResultTable
from causalkit.results.tables import table as table

__all__ = ["EffectResult", "ResultTable", "effect_from_solutions", "table"]

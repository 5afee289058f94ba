"""Infeasible benchmarks for the studies of this folder: they are shown the truth."""

from causalkit.data import CausalData
from causalkit.panel.regression import PanelRegression
from causalkit.results import EffectResult


def fixed_effects(data: CausalData) -> EffectResult:
    """Fixed effects with the true confounding function g0(x) as the only covariate."""
    informed = CausalData.from_frame(
        data.frame, outcome="y", treatment="d", covariates="g0", unit="unit", time="time"
    )
    return PanelRegression(method="fixed effects").fit(informed).estimate()

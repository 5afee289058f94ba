"""How effects differ: best linear predictors and group effects from residuals."""

from causalkit.heterogeneity.blp import group_indicators, project_effect

__all__ = ["group_indicators", "project_effect"]

"""Panel double machine learning with Mundlak terms."""

from causalkit.panel.estimator import PanelDML

__all__ = ["PanelDML"]

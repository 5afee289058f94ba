"""Pictures of a simulation study, by name."""

from collections.abc import Callable
from typing import Any

from causalkit.study.plots_errors import plot_swarm as plot_swarm
from causalkit.study.plots_heat import plot_heatmap as plot_heatmap
from causalkit.study.plots_intervals import plot_zip as plot_zip
from causalkit.study.plots_measures import plot_bias_spread as plot_bias_spread
from causalkit.study.plots_measures import plot_lollipop as plot_lollipop
from causalkit.study.plots_nested import plot_nested_loop as plot_nested_loop
from causalkit.study.plots_rates import plot_frontier as plot_frontier
from causalkit.study.plots_rates import plot_rate as plot_rate
from causalkit.study.plots_theory import plot_p_values as plot_p_values
from causalkit.study.plots_theory import plot_qq as plot_qq

# Name of each picture on the command line; all take Results first.
PLOTS: dict[str, Callable[..., Any]] = {
    "lollipop": plot_lollipop,
    "nested-loop": plot_nested_loop,
    "heatmap": plot_heatmap,
    "zip": plot_zip,
    "swarm": plot_swarm,
    "bias-spread": plot_bias_spread,
    "qq": plot_qq,
    "p-values": plot_p_values,
    "rate": plot_rate,
    "frontier": plot_frontier,
}

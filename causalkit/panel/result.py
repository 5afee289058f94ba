"""From solved scores to a result, with the variance that the settings name."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from causalkit.data import Roles
from causalkit.inference.solve import Solution
from causalkit.inference.variance import degrees_of_freedom, nonrobust
from causalkit.panel.settings import Settings
from causalkit.results import EffectResult, effect_from_solutions
from causalkit.scores import LinearScore
from causalkit.typing import Floats, Ints


def choices(settings: Settings, roles: Roles) -> dict[str, str]:
    """Weights and time effects, as tables show them."""
    effects = settings.options.time_effects
    return roles.choices | ({} if effects is None else {"Time effects": effects})


def result_of(
    solutions: list[Solution],
    score: LinearScore,
    settings: Settings,
    *,
    clusters: Sequence[Ints],
    weights: Floats | None,
    multiplicity: Floats | None,
    n_absorbed: int,
    **facts: Any,
) -> EffectResult:
    """Result of a score that was solved on the rows of a panel.

    Parameters
    ----------
    solutions : list of Solution
        One per repeat.
    score : LinearScore
    settings : Settings
    clusters : sequence of (n,) int arrays
        Of the variance.
    weights, multiplicity : (n,) array or None
        Row weights, and those that count rows.
    n_absorbed : int
        Coefficients beside those of the score: effects that were absorbed, regressors that were
        partialled out. Variances without clusters count them; a cluster sum is free of them.
    **facts
        Other fields of the result.
    """
    n_params = score.regressor.shape[2] + n_absorbed
    variances = None
    if settings.cov_type == "nonrobust":
        how: dict[str, Any] = {"weights": weights, "multiplicity": multiplicity}
        variances = [
            nonrobust(score, solution.theta, repeat=repeat, n_params=n_params, **how)
            for repeat, solution in enumerate(solutions)
        ]
    found = effect_from_solutions(
        solutions,
        clusters=clusters,
        ssc=settings.ssc,
        cov_type=settings.cov_type,
        aggregation=settings.aggregation,
        multiplicity=multiplicity,
        variances=variances,
        n_absorbed=n_absorbed,
        use_t=settings.use_t,
        **facts,
    )
    by_row = settings.cov_type in ("robust", "nonrobust")
    if not by_row or not settings.use_t or found.df_by_term is not None:
        return found
    n = score.response.shape[0] if multiplicity is None else np.sum(multiplicity)
    return replace(found, df=degrees_of_freedom((), float(n), n_params=n_params))

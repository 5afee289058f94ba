"""How the nuisances of one estimation are cross-fitted: settings that all its stages share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from causalkit.nuisance.candidates import Nuisance
from causalkit.nuisance.crossfit import CrossFit, cross_fit
from causalkit.nuisance.folds import Folds
from causalkit.nuisance.tuning import Tune
from causalkit.typing import Floats


@dataclass(frozen=True, slots=True)
class Fitter:
    """Settings of :func:`causalkit.nuisance.cross_fit` for every stage of an estimation.

    Attributes
    ----------
    seed : int
    weights : (n,) array or None
        Row weights of every fit.
    n_jobs, imputer, tune, store_models, progress
        As in :func:`~causalkit.nuisance.cross_fit`.
    given : mapping of str to (n, n_rep) array
        Predictions from elsewhere, by nuisance.
    """

    seed: int
    weights: Floats | None = None
    n_jobs: int = 1
    imputer: Any = None
    tune: Tune = "fold"
    store_models: bool = False
    progress: Callable[[str], None] | None = None
    given: Mapping[str, Floats] = field(default_factory=dict)

    def run(
        self, nuisances: list[Nuisance], folds: Folds, *, emphasis: Floats | None = None
    ) -> CrossFit:
        """Cross-fit some nuisances, with weights times ``emphasis`` ``(n,)`` if that is given."""
        names = {nuisance.name for nuisance in nuisances}
        weights = self.weights
        if emphasis is not None:
            weights = emphasis if weights is None else weights * emphasis
        return cross_fit(
            nuisances,
            folds,
            seed=self.seed,
            weights=weights,
            imputer=self.imputer,
            tune=self.tune,
            given={name: values for name, values in self.given.items() if name in names},
            n_jobs=self.n_jobs,
            store_models=self.store_models,
            progress=self.progress,
        )

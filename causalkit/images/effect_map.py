"""What all estimators of effects by image share: honest estimates, ranking, summary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalkit.data import CausalData
from causalkit.data.levels import contrasts
from causalkit.errors import CausalKitWarning, IdentificationError, check_choice
from causalkit.estimator import Estimator
from causalkit.heterogeneity import RateResult, rank_average_treatment_effect
from causalkit.heterogeneity.dr import as_column, scores_of
from causalkit.images.honest import Evaluation, honest_effect
from causalkit.images.splits import Parts
from causalkit.images.units import Units
from causalkit.results import EffectResult
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Estimand = Literal["clusters", "soft", "ate", "calibration"]


class EffectMap(Estimator):
    """Effects that differ by place; a subclass sets ``evaluation_``, ``parts_`` and ``_facts``."""

    evaluation_: Evaluation
    parts_: Parts
    seed_: int
    diagnostics_: Mapping[str, Any]
    _facts: dict[str, Any]
    design: str

    def estimate(self, estimand: Estimand | None = None) -> EffectResult:
        """Honest effects: averages of doubly robust scores over rows that no model was fitted to.

        Parameters
        ----------
        estimand : {"clusters", "soft", "ate", "calibration"}, optional
            Mean effect by most probable cluster, by least squares on cluster probabilities, of all
            evaluation rows, or the calibration of the predicted effects (slope one if they are
            right, zero if they say nothing). Default: clusters, if they can be told apart.

        Raises
        ------
        IdentificationError
            If the evaluation rows cannot tell it; says why.
        """
        self._check_fitted()
        if estimand is None:
            return self.result_
        return honest_effect(self.evaluation_, estimand, **self._facts)

    def rate(
        self, target: Literal["AUTOC", "QINI"] = "AUTOC", *, n_boot: int = 200, q: Any = None
    ) -> RateResult:
        """What treating the places with the largest predicted effects first would be worth.

        Evaluated by doubly robust scores of rows that no model was fitted to; see
        :func:`causalkit.rank_average_treatment_effect`.

        Raises
        ------
        IdentificationError
            If the predictions do not vary.
        """
        self._check_fitted()
        found = self.evaluation_
        if np.ptp(found.cate) == 0.0:
            raise IdentificationError(
                "the predicted effects do not vary between evaluation rows: no place comes before "
                "another, and there is no ranking to evaluate. Read estimate('ate')."
            )
        return rank_average_treatment_effect(
            found.score,
            found.cate,
            target=target,
            q=q,
            n_boot=n_boot,
            clusters=found.clusters,
            seed=self.seed_,
            ids=found.rows,
            training_ids=np.concatenate([self.parts_.train, self.parts_.select]),
        )

    def summary(self) -> str:
        """Honest effects, what the ranking is worth, and the model's own account if it has one."""
        self._check_fitted()
        parts = [self.result_.summary()]
        if np.ptp(self.evaluation_.cate) > 0.0:
            parts.append(self.rate().summary())
        return "\n\n".join(parts)

    def plot_calibration(
        self, *, n_bins: int = 5, ax: "Axes | None" = None, title: str = ""
    ) -> "Axes":
        """Honest effects of places against their predicted effects, by quantile of the latter.

        Parameters
        ----------
        n_bins : int, default 5
        ax : Axes, optional
        title : str

        Returns
        -------
        Axes
            With the numbers of the bins as ``plot_data``.

        Raises
        ------
        IdentificationError
            If the predictions do not vary.
        """
        from causalkit.images.plots import plot_calibration

        self._check_fitted()
        return plot_calibration(self.evaluation_, n_bins=n_bins, ax=ax, title=title, **self._facts)

    def _check_design(self) -> None:
        if self.design == "observational":
            raise NotImplementedError(
                f"{type(self).__name__} takes randomised trials only: nothing in it adjusts for "
                "confounding. Pass the vectors of ck.embed_images(data) as covariates to an "
                "estimator that does, such as ck.TransTEE."
            )
        check_choice("design", self.design, ("randomized",))

    def _set_result(self, preferred: tuple[Estimand, ...]) -> None:
        """First of the estimands that the evaluation rows can tell; the last always can."""
        reasons = []
        for estimand in preferred:
            try:
                self.result_ = honest_effect(self.evaluation_, estimand, **self._facts)
            except IdentificationError as error:
                reasons.append(str(error))
                continue
            break
        for reason in reasons:
            warn(reason, CausalKitWarning)

    def _finish(self, caught: Sequence[str]) -> None:
        """Put the warnings of the fit on every result, and let the data go."""
        self._facts["warnings"] = tuple(caught)
        self.result_ = replace(self.result_, warnings=tuple(caught))
        self._data = None


def evaluated(
    units: Units, rows: Ints, *, control_mean: Floats, cate: Floats, types: Floats
) -> Evaluation:
    """Scores of the evaluation rows, from predictions of models that were fitted to others.

    Parameters
    ----------
    units : Units
    rows : (n,) int array
    control_mean, cate : (n,) arrays
        E[Y | T = 0] and effect, predicted; the treated mean is their sum.
    types : (n, K) array
    """
    treatment = units.treatment[rows]
    score = scores_of(
        units.outcome[rows],
        treatment,
        as_column("mu0", control_mean),
        as_column("mu1", control_mean + cate),
        units.propensity[rows],
    )
    clusters = None
    if units.clusters is not None:
        clusters = np.unique(units.clusters[rows], return_inverse=True)[1].astype(np.int64)
    return Evaluation(rows, score, treatment, cate, types, clusters, units.cluster_name)


def facts_of(data: CausalData, estimator: str, seed: int, **more: Any) -> dict[str, Any]:
    """Fields that every result of a fit shares."""
    return {
        "estimator": estimator,
        "outcome": data.roles.outcome[0],
        "treatment": data.roles.treatment,
        "contrast": contrasts(data),
        "seed": seed,
        "data_digest": data.digest(),
        "dropped": data.dropped,
        **more,
    }

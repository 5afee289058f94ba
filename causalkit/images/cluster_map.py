"""What estimators of effect clusters share: effects of clusters, predictions, the model's view."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from causalkit.errors import CausalKitWarning, check_level
from causalkit.images.balance import checked_balance
from causalkit.images.effect_map import EffectMap, evaluated
from causalkit.images.honest import INACTIVE, Evaluation, checked_agreement, honest_effect
from causalkit.images.outcomes import arm_score, warn_of_shape
from causalkit.images.posterior import Posterior
from causalkit.images.posterior_draws import draws_of
from causalkit.images.predict import check_uncertain, interval, mean_effect, mean_types, predicted
from causalkit.images.units import Units
from causalkit.results import EffectResult
from causalkit.typing import Floats
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr


# Some four standard errors of a mean log density over 400 rows.
MARGIN = 0.1


class ClusterMap(EffectMap):
    """Clusters of places by effect; a subclass says how data become features."""

    n_clusters_: int
    choice_: pd.DataFrame | None
    members_: tuple[Any, ...]
    _type_effects: Floats  # of every draw and type, (S, K), members pooled
    _when_learned_by_heart: ClassVar[str]

    def cluster_effects(self) -> pd.DataFrame:
        """Clusters from the smallest to the largest effect.

        Returns
        -------
        DataFrame
            One row per cluster: its share of the evaluation rows, its honest effect (mean doubly
            robust score; NaN with a note where there are fewer than twenty treated or control
            units) and the model-based effect with its posterior interval, both risk differences
            if the outcome is 0/1.
        """
        self._check_fitted()
        found = self.evaluation_
        enough = not found.too_few().all()
        effects = honest_effect(found, "clusters", **self._facts) if enough else None
        return cluster_table(found, effects, self._model_effects())

    def effect(self, data: Any, *, level: float = 0.95) -> "xr.Dataset":
        """Predicted effect of every row of a data set, or of every place of a store.

        Parameters
        ----------
        data : CausalData, or xarray Dataset or DataArray
            Of images, or of embeddings with a dimension of features, as those of the fit.
        level : float, default 0.95

        Returns
        -------
        Dataset
            ``effect``, ``std_error``, ``conf_low``, ``conf_high``: posterior mean, standard
            deviation and quantiles of the average effect at such a place. Model-based: it holds as
            far as the mixture does; ``estimate("calibration")`` says how far.

        Raises
        ------
        ArgumentError
            If the level lies outside (0, 1).
        IdentificationError
            If the fit has a single mode, whose uncertainty is unknown.
        """
        import xarray as xr

        self._check_fitted()
        check_level(level)
        check_uncertain(self._posteriors)
        features, covariates, (dim, labels) = self._inputs(data)
        found = predicted(self._posteriors, features, covariates, level=level)
        columns = {
            "effect": found.mean,
            "std_error": found.sd,
            "conf_low": found.low,
            "conf_high": found.high,
        }
        return xr.Dataset(
            {name: (dim, values) for name, values in columns.items()}, coords={dim: labels}
        )

    def predict_cate(self, data: Any) -> "xr.DataArray":
        """Posterior mean of the effect of every row, or image."""
        import xarray as xr

        self._check_fitted()
        features, covariates, (dim, labels) = self._inputs(data)
        found = mean_effect(self._posteriors, features, covariates)
        return xr.DataArray(found, dims=dim, coords={dim: labels}, name="effect")

    def predict_proba(self, data: Any) -> "xr.DataArray":
        """Probability of every cluster for every row, or image, ``(obs or place, cluster)``."""
        import xarray as xr

        self._check_fitted()
        features, _, (dim, labels) = self._inputs(data)
        found = mean_types(self._posteriors, features)
        names = [f"cluster {number + 1}" for number in range(self.n_clusters_)]
        coords = {dim: labels, "cluster": names}
        return xr.DataArray(found, dims=(dim, "cluster"), coords=coords, name="probability")

    def effect_predictive(self, *, cross_world_corr: float = 0.0) -> pd.DataFrame:
        """Spread of single units' effects in a cluster, under a correlation that no data show.

        Var = σ₀² + σ₁² − 2ρσ₀σ₁, with ρ the correlation between what a unit's outcome would differ
        by from its mean with and without treatment. This is no interval of an average effect.

        Parameters
        ----------
        cross_world_corr : float, default 0
            ρ in [−1, 1].
        """
        from causalkit.images.honest import effect_spread

        self._check_fitted()
        return effect_spread(self._posteriors, cross_world_corr)

    def posterior(self) -> "xr.Dataset":
        """Draws of the mixture's own effects, in the form that ArviZ takes.

        Returns
        -------
        Dataset
            ``effect`` ``(chain, draw, cluster)``, on the logit scale if the outcome is 0/1, and
            ``noise`` ``(chain, draw, cell)``, the standard deviation of outcomes of the controls
            and of the treated of each cluster, else. A chain is one of the sampler, or a member of
            the ensemble, whose draws are independent. Model-based, as ``effect`` is.

        Raises
        ------
        IdentificationError
            If the fit has a single mode, whose uncertainty is unknown.
        """
        self._check_fitted()
        check_uncertain(self._posteriors)
        return draws_of(self.members_)

    @property
    def _posteriors(self) -> tuple[Posterior, ...]:
        return tuple(member.posterior for member in self.members_)

    def _inputs(self, data: Any) -> tuple[list[Floats], Floats, tuple[str, Any]]:
        """Features by member and covariates of rows or places, with their dimension and labels."""
        raise NotImplementedError

    def _evaluate(
        self, units: Units, features: list[Floats], covariates: Floats, **more: Any
    ) -> None:
        """Scores of the evaluation rows, and diagnostics with ``more`` among them."""
        rows = self.parts_.evaluate
        control, cate, types = self._point(features, covariates)
        self._type_effects = np.concatenate(
            [
                posterior.mean_by_type(raw, covariates)
                for posterior, raw in zip(self._posteriors, features, strict=True)
            ]
        )
        self.evaluation_ = evaluated(units, rows, control_mean=control, cate=cate, types=types)
        warn_of_clusters(self.evaluation_)
        shape = None
        if self._posteriors[0].model.likelihood != "bernoulli":
            untreated = units.treatment[rows] == 0.0
            shape = warn_of_shape((units.outcome[rows] - control)[untreated])
        score = self.members_[0].score
        by_arm = arm_score(units, self.parts_, self._posteriors[0].model.likelihood)
        warn_of_memory(score, by_arm, self._when_learned_by_heart)
        self.diagnostics_ = {
            "selection_score": score,
            "selection_score_by_arm": by_arm,
            "n_clusters": self.n_clusters_,
            "choice": None if self.choice_ is None else self.choice_.to_dict("list"),
            "condition_of_types": self.evaluation_.condition(),
            "control_residuals": shape,
            "agreement": checked_agreement(self.evaluation_, self.parts_.train.size),
            "rows": {name: int(part.size) for name, part in asdict(self.parts_).items()},
            **more,
            "balance": checked_balance(units, rows, features[0], seed=self.seed_),
        }

    def _point(self, features: list[Floats], covariates: Floats) -> tuple[Floats, Floats, Floats]:
        """Control mean, effect and types of rows, averaged over members."""
        pairs = list(zip(self._posteriors, features, strict=True))
        control = np.mean([p.control_mean(raw, covariates) for p, raw in pairs], axis=0)
        cate = mean_effect(self._posteriors, features, covariates)
        return control, cate, mean_types(self._posteriors, features)

    def _model_effects(self) -> pd.DataFrame:
        """Effects of the mixture itself, by cluster; risk differences are of evaluation rows."""
        draws = self._type_effects
        low, high = (np.nan, np.nan) if draws.shape[0] < 2 else interval(draws, 0.95)
        return pd.DataFrame(
            {
                "model_effect": draws.mean(axis=0),
                "model_conf_low": low,
                "model_conf_high": high,
            }
        )

    def _model_notes(self) -> tuple[str, ...]:
        parts = []
        for number, (effect, low, high) in enumerate(self._model_effects().to_numpy()):
            interval = "" if np.isnan(low) else f" [{low:.3g}, {high:.3g}]"
            parts.append(f"cluster {number + 1}: {effect:.3g}{interval}")
        return (f"Model-based effects, which hold only if the mixture does: {'; '.join(parts)}.",)


def cluster_table(
    found: Evaluation, effects: EffectResult | None, model: pd.DataFrame
) -> pd.DataFrame:
    """Honest effects of the clusters beside the model's own.

    Parameters
    ----------
    found : Evaluation
    effects : EffectResult or None
        By most probable cluster; None if no cluster has enough units.
    model : DataFrame
        Columns ``model_effect``, ``model_conf_low``, ``model_conf_high``, one row per cluster.

    Returns
    -------
    DataFrame
        One row per cluster: ``cluster``, ``n``, ``share``, ``mean_probability``, ``estimate``,
        ``std_error``, ``conf_low``, ``conf_high`` (honest), the columns of ``model``, ``note``.
    """
    names = [f"cluster {number + 1}" for number in range(found.n_types)]
    counts = np.bincount(found.assigned, minlength=found.n_types)
    table = pd.DataFrame(
        {
            "cluster": names,
            "n": counts,
            "share": counts / found.rows.size,
            "mean_probability": found.types.mean(axis=0),
        }
    )
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    honest = pd.DataFrame(np.nan, index=names, columns=columns)
    if effects is not None:
        honest.loc[list(effects.terms)] = effects.tidy()[columns].to_numpy()
    table[columns] = honest.to_numpy()
    few = found.too_few()
    table["note"] = np.where(few, f"{found.fewness} at evaluation", "")
    return pd.concat([table.drop(columns="note"), model, table[["note"]]], axis=1)


def warn_of_clusters(found: Evaluation) -> None:
    """Warn of types that hardly occur, and of those too small for an effect."""
    few = found.too_few()
    for number, share in enumerate(found.types.mean(axis=0)):
        if share < INACTIVE:
            warn(
                f"cluster {number + 1} is inactive: its mean probability is {share:.3f} on the "
                "evaluation rows. Fewer clusters may do.",
                CausalKitWarning,
            )
        elif few[number]:
            warn(
                f"cluster {number + 1} has {found.fewness} among the evaluation rows; its honest "
                "effect is not reported.",
                CausalKitWarning,
            )


def warn_of_memory(score: float, by_arm: float, advice: str) -> None:
    """Warn of a model that has learned its training places by heart.

    Parameters
    ----------
    score, by_arm : float
        Mean log density of the selection rows by the model, and by the arm alone.
    advice : str
        What to change.
    """
    if is_by_heart(score, by_arm):
        warn(
            "the model predicts the outcomes of the selection rows worse than their arm alone "
            f"does, {score:.2f} against {by_arm:.2f} in mean log density: it has learned its "
            "training places by heart, and its clusters and effects by place mean little. "
            f"{advice} The honest effects hold all the same.",
            CausalKitWarning,
        )


def is_by_heart(score: float, by_arm: float) -> bool:
    """Whether the score of the selection rows is below that of the arm by more than chance."""
    return score < by_arm - MARGIN

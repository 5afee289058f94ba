"""EmbeddingEffectClusters: types of units that react differently, found in vectors."""

import time
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np

from causalkit.data import CausalData
from causalkit.data.roles import Requires
from causalkit.errors import ArgumentError, check_count
from causalkit.images.batches import Rows
from causalkit.images.blocks import with_blocks
from causalkit.images.cluster_map import ClusterMap
from causalkit.images.effect_map import facts_of
from causalkit.images.embedding_model import check_feasible
from causalkit.images.embedding_source import (
    Vectors,
    columns_like,
    embedded_elsewhere,
    same_vectors,
    target_vectors,
    vectors_of,
)
from causalkit.images.gaps import filled, fitted_imputer, with_filled
from causalkit.images.model import LatentLevel, Likelihood
from causalkit.images.outcomes import Design, check_outcome, orthogonalised, standard_outcome
from causalkit.images.settings import Plan, mixture_choice, plan_of
from causalkit.images.splits import Parts
from causalkit.images.standard import Standard
from causalkit.images.units import Units, take_units
from causalkit.optional import require
from causalkit.provenance import record
from causalkit.rng import RandomState, as_seed
from causalkit.typing import Floats
from causalkit.warn import collect_warnings

INFERENCES = ("svi_fullrank", "map", "nuts")


class EmbeddingEffectClusters(ClusterMap):
    """Clusters of units by the effect of a randomised treatment, on features that are given.

    The mixture of :class:`~causalkit.ImageEffectClusters` on columns of the data or on embeddings
    of images, with the same split and the same honest effects. As nothing is trained below the
    mixture its posterior is complete, and can be sampled. There are no pixels, and so no
    ``salience``, ``transport`` or ``plot_clusters``; ``effect``, ``predict_cate`` and
    ``predict_proba`` take rows, or embeddings of other places, without their support.

    Parameters
    ----------
    n_clusters : int or "auto", default 2
        K, at most 8; ``"auto"`` chooses among 1 to ``max_clusters``, as
        :class:`ImageEffectClusters` does, on all rows but those of the evaluation, in five folds.
    inference : {"svi_fullrank", "map", "nuts"}, default "svi_fullrank"
        Posterior: Gaussian with full covariance, modes under perturbed weights and priors, or draws
        of the No-U-Turn sampler of PyMC (at most 64 features and 20,000 training rows).
    likelihood : {"student_t", "normal", "bernoulli"}, default "student_t"
        Of the outcome. ``"bernoulli"``, for outcomes 0/1, reports risk differences.
    latent_level : {"unit", "image"}, default "unit"
        Whether units of an image draw their types apart or share one.
    cluster_sigma : bool, default False
        Let the noise of the treated differ between types.
    orthogonalize : bool, default False
        Take from the outcome what the covariates predict of it, by boosting on other places that
        does not know the treatment: less noise for the mixture and for honest effects.
    design : "randomized"
        How units came by their treatment. ``"observational"`` is refused, and says what to use.
    propensity : None, float or str
        Known probability of treatment: a number or the name of a column. None takes the treated
        share, within strata if there are some; of clusters or images where these were treated as
        one. Strata, and propensities that vary, enter the baseline and all scores; strata of fewer
        than 20 units with a set number of treated ones stay whole and cluster standard errors.
    split : (train, select, evaluate), default (0.5, 0.1, 0.4)
        Shares of places.
    n_components : int, default 64
        More features are reduced to so many principal components of the training rows.
    n_restarts : int, default 2
        Starts of the search for the mode.
    n_ensemble : int, optional
        Posteriors that are pooled. Default 1; 5 for ``"map"``; always 1 for ``"nuts"``.
    n_draws : int, default 1000
        Posterior draws, over all members; of each chain with ``"nuts"``.
    n_chains, n_tune : int, default 4 and 1000
        Chains of ``"nuts"``, and the draws of each that adapt the sampler and are discarded.
    max_clusters : int, default 4
        For ``n_clusters="auto"``.
    random_state : int, Generator, SeedSequence or None
    progress : None or bool
        Whether ``"nuts"`` shows a bar.

    Attributes
    ----------
    result_ : EffectResult
    evaluation_ : Evaluation
        Scores and predictions of the evaluation rows.
    members_ : tuple of Member
    parts_ : Parts
        Rows of each part.
    seed_ : int
    diagnostics_ : mapping
        ``"sampling"`` holds the largest R-hat, the least bulk effective sample size and the
        divergences of ``"nuts"``.

    References
    ----------
    Jerzak, Johansson & Daoud (2023). Image-based treatment effect heterogeneity. CLeaR, PMLR 213.

    Examples
    --------
    >>> import causalkit as ck
    >>> rct = ck.generators.embedding_rct(seed=0)
    >>> fit = ck.EmbeddingEffectClusters(likelihood="normal", random_state=0).fit(rct.blind())
    >>> fit.estimate().terms
    ('cluster 1', 'cluster 2')
    """

    requires = Requires(
        roles=("outcome", "treatment"),
        treatment_kinds=("binary",),
        weight_kinds=(),
        reads=("image", "strata"),
    )
    _when_learned_by_heart = "Take fewer features, or more places."

    def __init__(
        self,
        *,
        n_clusters: int | Literal["auto"] = 2,
        inference: Literal["svi_fullrank", "map", "nuts"] = "svi_fullrank",
        likelihood: Likelihood = "student_t",
        latent_level: LatentLevel = "unit",
        cluster_sigma: bool = False,
        orthogonalize: bool = False,
        design: Literal["randomized"] = "randomized",
        propensity: float | str | None = None,
        split: tuple[float, float, float] = (0.5, 0.1, 0.4),
        n_components: int = 64,
        n_restarts: int = 2,
        n_ensemble: int | None = None,
        n_draws: int = 1000,
        n_chains: int = 4,
        n_tune: int = 1000,
        max_clusters: int = 4,
        random_state: RandomState = None,
        progress: bool | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.inference = inference
        self.likelihood = likelihood
        self.latent_level = latent_level
        self.cluster_sigma = cluster_sigma
        self.orthogonalize = orthogonalize
        self.design = design
        self.propensity = propensity
        self.split = split
        self.n_components = n_components
        self.n_restarts = n_restarts
        self.n_ensemble = n_ensemble
        self.n_draws = n_draws
        self.n_chains = n_chains
        self.n_tune = n_tune
        self.max_clusters = max_clusters
        self.random_state = random_state
        self.progress = progress

    def fit(self, data: CausalData, embeddings: Any = None) -> Self:
        """Find the clusters, and evaluate them on rows that were not used for that.

        Parameters
        ----------
        data : CausalData
            A randomised trial: roles outcome and treatment (binary).
        embeddings : (images, features) DataArray or array, optional
            What types and baseline depend on, matched by ``image_key``, or row by row. Without it
            these are the modifiers of the data, or all covariates if no modifiers are named. All
            other covariates belong to the baseline.

        Raises
        ------
        ArgumentError, DataError, IdentificationError, TrainingError
            If an argument, the data or the training does not do; says what to change. Embeddings
            by an encoder that was trained on the outcomes of these images are refused.
        NotImplementedError
            If ``design="observational"``: nothing here adjusts for confounding.
        """
        require("torch", extra="deep", needed_by="EmbeddingEffectClusters")
        started = time.perf_counter()
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        self._check_design()
        plan = self._plan()
        with collect_warnings() as caught:
            vectors = vectors_of(data, embeddings)
            units = self._units(data, vectors)
            self.parts_ = units.parts(self.split, seed=plan.seed)
            train = self.parts_.train
            units = with_filled(units, data, train)
            units = with_blocks(units, self.parts_, seed=plan.seed)
            vectors = self._whole(vectors, data)
            check_outcome(units.outcome[train], units.treatment[train], self.likelihood)
            if self.orthogonalize:
                units = orthogonalised(units, self.parts_, self.likelihood, seed=plan.seed)
            self._fit_members(units, vectors, plan)
            self._evaluate_vectors(units, vectors)
            self._facts = facts_of(
                data,
                f"EmbeddingEffectClusters(n_clusters={self.n_clusters_}, "
                f"inference={self.inference!r})",
                plan.seed,
                notes=self._notes(self.parts_),
                diagnostics=self.diagnostics_,
                provenance=record(seed=plan.seed, wall_s=time.perf_counter() - started),
            )
            self._set_result(("clusters", "ate"))
        self._finish(caught)
        return self

    def _plan(self) -> Plan:
        for name in ("n_components", "n_chains", "n_tune"):
            check_count(name, getattr(self, name), least=1)
        plan = plan_of(self, seed=as_seed(self.random_state), inferences=INFERENCES)
        if self.inference == "nuts" and plan.n_ensemble > 1:
            raise ArgumentError(
                f"n_ensemble={self.n_ensemble} has no use with inference='nuts', whose chains are "
                "one posterior; leave it at None and set n_chains."
            )
        return replace(
            plan, n_chains=self.n_chains, n_tune=self.n_tune, progress=bool(self.progress)
        )

    def _units(self, data: CausalData, vectors: Vectors) -> Units:
        """Rows whose baseline covariates are those that the features do not hold."""
        units = take_units(
            data,
            image=vectors.of_row,
            twins=same_vectors(vectors),
            store=None,
            propensity=self.propensity,
            spatial_block_km=None,
        )
        mine = [name not in vectors.names for name in units.covariate_names]
        names = tuple(name for name in units.covariate_names if name not in vectors.names)
        return replace(units, covariates=units.covariates[:, mine], covariate_names=names)

    def _whole(self, vectors: Vectors, data: CausalData) -> Vectors:
        """Vectors without missing values: columns of the data may have some."""
        self._imputer = None
        if not vectors.names:
            return vectors
        self._imputer = fitted_imputer(data, vectors.values, vectors.names, self.parts_.train)
        return replace(vectors, values=filled(self._imputer, vectors.values, vectors.names))

    def _fit_members(self, units: Units, vectors: Vectors, plan: Plan) -> None:
        from causalkit.images.choose import FromFeatures, fit_or_choose

        store = vectors.store()
        train, select = (Rows.of(store, rows) for rows in (self.parts_.train, self.parts_.select))
        self._reduction = reduction(vectors.values[train.images], self.n_components)
        self._names, self._origin, self._levels = vectors.names, vectors.origin, vectors.levels
        self._width = int(vectors.values.shape[1])
        self._standard = Standard.fit(units, self.parts_.train)
        design: Design = standard_outcome(
            units, self.parts_.train, self._standard.apply(units.baseline), self.likelihood
        )
        source = FromFeatures(
            self._reduced(vectors.values[train.images]),
            self._reduced(vectors.values[select.images]),
        )
        if plan.inference == "nuts":
            check_feasible(source.train.shape[1], train.order.size)
        chosen = fit_or_choose(source, (train, select), design, mixture_choice(self), plan)
        self.members_ = chosen.members
        self.n_clusters_ = chosen.n_clusters
        self.choice_ = chosen.table
        self.seed_ = plan.seed

    def _reduced(self, values: Floats) -> Floats:
        if self._reduction is None:
            return values
        centre, components = self._reduction
        return (values - centre) @ components

    def _evaluate_vectors(self, units: Units, vectors: Vectors) -> None:
        rows = self.parts_.evaluate
        features = self._reduced(vectors.values)[vectors.of_row[rows]]
        self._evaluate(
            units,
            [features] * len(self.members_),
            self._standard.apply(units.baseline[rows]),
            sampling=self.members_[0].sampling,
            n_features=int(features.shape[1]),
        )

    def _notes(self, parts: Parts) -> tuple[str, ...]:
        return (
            f"Means of doubly robust scores over {parts.evaluate.size:,} evaluation rows; the "
            f"mixture was fitted to {parts.train.size:,} other rows.",
            *self._model_notes(),
        )

    def _inputs(self, data: Any) -> tuple[list[Floats], Floats, tuple[str, Any]]:
        """Of the rows of a data set, or of the places of an embedding."""
        if isinstance(data, CausalData):
            if not self._names:
                raise embedded_elsewhere()
            raw = filled(self._imputer, columns_like(data, self._names, self._levels), self._names)
            covariates = self._standard.of(data)
            where: tuple[str, Any] = ("obs", np.arange(data.n))
        else:
            vectors = target_vectors(data, self._origin, self._width)
            raw = vectors.values
            covariates = self._standard.blank(raw.shape[0])
            keys = np.arange(raw.shape[0]) if vectors.keys is None else vectors.keys
            where = (vectors.dim, keys)
        return [self._reduced(raw)] * len(self.members_), covariates, where


def reduction(train: Floats, most: int) -> tuple[Floats, Floats] | None:
    """Centre and map to principal components, learned from training rows; None if not needed."""
    if train.shape[1] <= most:
        return None
    from causalkit.images.untrained import principal

    return principal(train, most)

"""ImageEffectClusters: types of places that react differently, found in their images."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from causalkit.data import CausalData
from causalkit.data.images import ImageStore
from causalkit.data.roles import Requires
from causalkit.images.batches import Images
from causalkit.images.blocks import with_blocks
from causalkit.images.effect_map import facts_of
from causalkit.images.embedding_source import check_not_trained_on
from causalkit.images.encoders import ImageEncoder, candidate_encoders
from causalkit.images.fitting import fit_members
from causalkit.images.gaps import with_filled
from causalkit.images.model import LatentLevel, Likelihood
from causalkit.images.outcomes import check_outcome, orthogonalised
from causalkit.images.pixel_map import PixelMap
from causalkit.images.seal import Seal
from causalkit.images.settings import Settings
from causalkit.images.splits import Parts, check_room, connected
from causalkit.images.survey import (
    NanPolicy,
    Survey,
    check_pixels,
    survey,
    warn_of_empty_frames,
)
from causalkit.images.times import check_times
from causalkit.images.units import Units, take_units
from causalkit.optional import require
from causalkit.provenance import record
from causalkit.rng import RandomState, as_seed
from causalkit.warn import collect_warnings


class ImageEffectClusters(PixelMap):
    """Clusters of places by the effect that a randomised treatment has there.

    An encoder turns the image of a place into features, from which the probabilities of K types
    and the baseline are read; the outcome of the treated is a mixture over the types, summed out
    exactly. Half of the places train, a tenth selects, and the rest is evaluated: what
    ``estimate()`` and ``summary()`` lead with are averages of doubly robust scores there, which
    hold whether or not the mixture is right. The mixture's own effects are labelled model-based.

    Parameters
    ----------
    n_clusters : int or "auto", default 2
        K, at most 8. ``"auto"`` takes the smallest of 1 to ``max_clusters`` to whose predictive
        density of the selection rows knowing their places adds as much as to any, up to chance.
    encoder : {"cnn", "filters", "random", "auto"}, ImageEncoder or a list, default "cnn"
        ``"cnn"`` is trained with the effects, and so is ``"filters"``, one layer that finds small
        patterns in few images; ``"random"`` has fixed random filters; a module of your own goes
        through :meth:`ImageEncoder.of`. Of a list, or of ``"cnn"`` and ``"filters"`` for
        ``"auto"``, the one with the best predictive density on the selection rows is kept.
    likelihood : {"student_t", "normal", "bernoulli"}, default "student_t"
        Of the outcome. ``"bernoulli"``, for outcomes 0/1, reports risk differences.
    inference : {"svi_fullrank", "map"}, default "svi_fullrank"
        Posterior of the mixture given the encoder: Gaussian with full covariance, or the mode
        (then an ensemble of five carries the uncertainty: of starts, or under perturbed weights
        and priors where the encoder is not trained).
    latent_level : {"unit", "image"}, default "unit"
        Whether units of an image draw their types apart or share one; the latter adds an effect
        of the place to the outcome.
    cluster_sigma : bool, default False
        Let the noise of the treated differ between types.
    orthogonalize : bool, default False
        Take from the outcome what the covariates predict of it, by boosting on other places that
        does not know the treatment: less noise for the mixture and for honest effects.
    temporal : str, default "difference"
        For sequences: ``"transformer"``, ``"concat"``, ``"difference"``, ``"variance"``,
        ``"mean"`` or ``"last"``. Frames without pixels are left out, but by ``"concat"``.
    image : str, optional
        Which image variable, if there are several.
    design : "randomized"
        How units came by their treatment. ``"observational"`` is refused, and says what to use.
    propensity : None, float or str
        Known probability of treatment: a number or the name of a column. None takes the treated
        share, within strata if there are some; of clusters or images where these were treated as
        one. Strata, and propensities that vary, enter the baseline and all scores; strata of fewer
        than 20 units with a set number of treated ones stay whole and cluster standard errors.
    treatment_date : date, optional
        Frames must all be earlier.
    allow_later_frames : bool, default False
        Accept frames that are not.
    split : (train, select, evaluate), default (0.5, 0.1, 0.4)
        Shares of places. Places that share an image, a cluster or a block stay together.
    spatial_block_km : float, optional
        Keep places within blocks of this width together; needs coordinates lon and lat.
    nan_policy : {"error", "mean", "mask"}, default "error"
        What missing pixels become: an error, the mean of the band, or that and a mask band.
    max_clusters : int, default 4
        For ``n_clusters="auto"``.
    n_components : int, default 64
        Principal components kept of an encoder that is not trained.
    n_restarts : int, default 2
        Starts, of which the best by selection score is kept (as many as ``n_ensemble`` needs).
    n_ensemble : int, optional
        Members whose draws are pooled, which adds the uncertainty of the encoder. Default 1; 5
        for ``inference="map"``.
    n_draws : int, default 500
        Posterior draws over all members.
    epochs, batch_size, learning_rate : default 25, 64 (images), 4e-3
    augment : bool, default True
        Flips and quarter turns in training.
    frame_chunk : int, default 512
        Frames per call of the encoder.
    recompute : bool, default False
        Recompute activations of frames in the backward pass, to save memory.
    device : str, default "auto"
    precision : {"auto", "float32", "bf16"}, default "auto"
        Of the encoder's forward pass; everything else is float32 and above.
    checkpoint : path, optional
        Folder that keeps the state of training after every epoch, from which a fit that was
        interrupted goes on exactly: fit again to the same data, by the same arguments, with a
        number as ``random_state``. It may be removed when the fit is done.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    Attributes
    ----------
    result_ : EffectResult
    evaluation_ : Evaluation
        Scores and predictions of the evaluation rows.
    encoder_ : ImageEncoder
        The one that was kept.
    members_ : tuple of Member
        Encoders with their posteriors, best first.
    parts_ : Parts
        Rows of each part.
    seed_ : int
    diagnostics_ : mapping

    References
    ----------
    Jerzak, Johansson & Daoud (2023). Image-based treatment effect heterogeneity. CLeaR, PMLR 213.
    Jerzak, Vashistha & Daoud (2024). arXiv:2407.11674.

    Examples
    --------
    >>> import causalkit as ck
    >>> rct = ck.generators.image_rct(0, n_images=600)
    >>> fit = ck.ImageEffectClusters(encoder="random", random_state=0).fit(rct.blind())
    >>> fit.estimate().terms
    ('cluster 1', 'cluster 2')
    """

    requires = Requires(
        roles=("image",), treatment_kinds=("binary",), weight_kinds=(), reads=("image", "strata")
    )
    encoder_: ImageEncoder
    _when_learned_by_heart = (
        "Take an encoder with fewer weights ('filters' or 'random'), fewer epochs, or more images."
    )

    def __init__(
        self,
        *,
        n_clusters: int | Literal["auto"] = 2,
        encoder: str | ImageEncoder | Sequence[str | ImageEncoder] = "cnn",
        likelihood: Likelihood = "student_t",
        inference: Literal["svi_fullrank", "map"] = "svi_fullrank",
        latent_level: LatentLevel = "unit",
        cluster_sigma: bool = False,
        orthogonalize: bool = False,
        temporal: str = "difference",
        image: str | None = None,
        design: Literal["randomized"] = "randomized",
        propensity: float | str | None = None,
        treatment_date: Any = None,
        allow_later_frames: bool = False,
        split: tuple[float, float, float] = (0.5, 0.1, 0.4),
        spatial_block_km: float | None = None,
        nan_policy: NanPolicy = "error",
        max_clusters: int = 4,
        n_components: int = 64,
        n_restarts: int = 2,
        n_ensemble: int | None = None,
        n_draws: int = 500,
        epochs: int = 25,
        batch_size: int = 64,
        learning_rate: float = 4e-3,
        augment: bool = True,
        frame_chunk: int = 512,
        recompute: bool = False,
        device: str = "auto",
        precision: Literal["auto", "float32", "bf16"] = "auto",
        checkpoint: str | Path | None = None,
        random_state: RandomState = None,
        progress: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.encoder = encoder
        self.likelihood = likelihood
        self.inference = inference
        self.latent_level = latent_level
        self.cluster_sigma = cluster_sigma
        self.orthogonalize = orthogonalize
        self.temporal = temporal
        self.image = image
        self.design = design
        self.propensity = propensity
        self.treatment_date = treatment_date
        self.allow_later_frames = allow_later_frames
        self.split = split
        self.spatial_block_km = spatial_block_km
        self.nan_policy = nan_policy
        self.max_clusters = max_clusters
        self.n_components = n_components
        self.n_restarts = n_restarts
        self.n_ensemble = n_ensemble
        self.n_draws = n_draws
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.augment = augment
        self.frame_chunk = frame_chunk
        self.recompute = recompute
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.progress = progress

    def fit(self, data: CausalData) -> Self:
        """Find the clusters, and evaluate them on places that were not used for that.

        Parameters
        ----------
        data : CausalData
            A randomised trial: roles outcome, treatment (binary) and image; ``image_key`` where
            units share images, ``cluster`` where they were assigned together, ``covariates``
            (pre-treatment) for the baseline.

        Raises
        ------
        ArgumentError, DataError, IdentificationError, TrainingError
            If an argument, the data or the training does not do; says what to change. Encoders
            that were trained on the outcomes of these images are refused.
        NotImplementedError
            If ``design="observational"``: nothing here adjusts for confounding.
        """
        require("torch", extra="deep", needed_by="ImageEffectClusters")
        started = time.perf_counter()
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        self._check_design()
        settings = Settings.of(self, seed=as_seed(self.random_state))
        with collect_warnings() as caught:
            encoders = candidate_encoders(self.encoder)
            store = ImageStore.of(data, self.image)
            for encoder in encoders:
                encoder.check(store)
                _check_outcome_free(encoder, store)
            if self.spatial_block_km is None:  # blocks are drawn later
                check_room(
                    connected(store.of_row, *data.clusters()), store.of_row, shares=self.split
                )
            check_times(store, self.treatment_date, allow_later=self.allow_later_frames)
            images = Images.unread(store)
            seen = survey(store, into=images.held, progress=self.progress)
            check_pixels(seen, store, nan_policy=self.nan_policy)
            whole = any(encoder.sequence for encoder in encoders)
            warn_of_empty_frames(seen, store, sequence=whole, temporal=self.temporal)
            units, parts = self._units_in_parts(data, store, seen, settings.plan.seed)
            check_outcome(units.outcome[parts.train], units.treatment[parts.train], self.likelihood)
            if self.orthogonalize:
                units = orthogonalised(units, parts, self.likelihood, seed=settings.plan.seed)
            tried = [
                fit_members(self, images, seen, units, parts, encoder, settings, number=number)
                for number, encoder in enumerate(encoders)
            ]
            scores = [fitted.members[0].score for fitted in tried]
            best = int(np.argmax(scores))
            self.encoder_ = encoders[best]
            self._set_fitted(tried[best], parts, settings.plan.seed)
            names = [encoder.name for encoder in encoders]
            self._seal = Seal.of(data, store)
            self._evaluate_pixels(units, images, dict(zip(names, scores, strict=True)))
            self._facts = facts_of(
                data,
                f"ImageEffectClusters(n_clusters={self.n_clusters_}, "
                f"encoder={self.encoder_.name!r})",
                settings.plan.seed,
                notes=self._notes(parts),
                diagnostics=self.diagnostics_,
                provenance=record(seed=settings.plan.seed, wall_s=time.perf_counter() - started),
            )
            self._set_result(("clusters", "ate"))
        self._finish(caught)
        return self

    def _units_in_parts(
        self, data: CausalData, store: ImageStore, seen: Survey, seed: int
    ) -> tuple[Units, Parts]:
        twins = seen.positions[seen.twin][np.searchsorted(seen.positions, store.of_row)]
        units = take_units(
            data,
            image=store.of_row,
            twins=twins,
            store=store,
            propensity=self.propensity,
            spatial_block_km=self.spatial_block_km,
        )
        parts = units.parts(self.split, seed=seed)
        units = with_filled(units, data, parts.train)
        return with_blocks(units, parts, seed=seed), parts

    def _evaluate_pixels(self, units: Units, images: Images, encoders: dict[str, float]) -> None:
        rows = self.parts_.evaluate
        positions, place = np.unique(units.image[rows], return_inverse=True)
        features, moments = self._fitted.features_and_moments(images, positions)
        self._reference = self._fitted.reference(
            images, np.unique(units.image[self.parts_.train]), (features[0], moments)
        )
        self._evaluate(
            units,
            [found[place] for found in features],
            self._fitted.standard.apply(units.baseline[rows]),
            history=tuple(member.history for member in self.members_),
            encoders=encoders,
        )

    def _notes(self, parts: Parts) -> tuple[str, ...]:
        return (
            f"Means of doubly robust scores over {parts.evaluate.size:,} evaluation rows; encoder "
            f"and mixture were fitted to {parts.train.size:,} other rows.",
            *self._model_notes(),
        )


def _check_outcome_free(encoder: ImageEncoder, store: ImageStore) -> None:
    """Evaluation rows must be new to the encoder too, or honest effects are not."""
    if encoder.trained_on is not None:
        keys = np.asarray(store.keys)[store.used()]
        check_not_trained_on(encoder.trained_on, keys, f"the encoder {encoder.name!r}")

"""ImageCausalForest: effects by place from a causal forest on embeddings."""

import time
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from causalkit.data import CausalData
from causalkit.data.images import ImageStore
from causalkit.data.roles import Requires
from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    check_choice,
    check_count,
    check_level,
)
from causalkit.images.balance import checked_balance
from causalkit.images.blocks import with_blocks
from causalkit.images.effect_map import EffectMap, evaluated, facts_of
from causalkit.images.embed import embed_images
from causalkit.images.embedding_source import (
    Vectors,
    check_alike,
    embedded_elsewhere,
    same_vectors,
    target_vectors,
    vectors_of,
)
from causalkit.images.encoders import ImageEncoder
from causalkit.images.gaps import with_filled
from causalkit.images.honest import checked_agreement, quartile_effect
from causalkit.images.splits import check_room, connected, fold_number
from causalkit.images.units import Units, take_units
from causalkit.nuisance import DenseFeatures, FoldKeys, Nuisance, cross_fit, external_folds
from causalkit.optional import require
from causalkit.provenance import record
from causalkit.results import EffectResult
from causalkit.results.intervals import quantile_value
from causalkit.rng import RandomState, as_seed, seed_of, stream
from causalkit.typing import Floats, Ints, Learner
from causalkit.warn import collect_warnings, warn

if TYPE_CHECKING:
    import xarray as xr

_TOGETHER = 4  # trees of a little bag, which intervals are made from
ESTIMANDS = ("ate", "calibration", "quartiles")


class ImageCausalForest(EffectMap):
    """Effects of a randomised treatment by place, from a causal forest on image embeddings.

    Images become vectors by an encoder that has not seen outcomes, vectors become principal
    components, and a causal forest finds how the effect varies with them: it works on the outcome
    less its mean given the components (cross-fitted) and on the treatment less its known
    probability. What ``estimate()`` and ``rate()`` say comes from doubly robust scores of rows that
    neither has seen.

    Standard errors of averages are clustered where units share places or declared clusters. The
    intervals of :meth:`effect` are the forest's own, which draws its subsamples by row: they take
    rows as independent, and are too narrow where units of a cluster share shocks or treatment.

    Parameters
    ----------
    encoder : "random" or ImageEncoder, default "random"
        Used where no embeddings are given.
    temporal, crop_sizes, image, nan_policy, treatment_date, allow_later_frames, frame_chunk, device
        As for :func:`~causalkit.embed_images`. Dates of a target are not held against the
        treatment date.
    n_components : int, default 20
        Principal components, learned from the training rows.
    n_trees : int, default 400
        A multiple of 4.
    min_leaf : int, default 5
    learner : str or estimator, default "ridge"
        Of the outcome's mean.
    n_folds : int, default 5
        Of the cross-fitting within the training rows; fewer where there are fewer groups of them.
    design : "randomized"
        How units came by their treatment. ``"observational"`` is refused, and says what to use.
    propensity : None, float or str
        Known probability of treatment: a number or the name of a column. None takes the treated
        share, within strata if there are some; of clusters or images where these were treated as
        one. Strata, and propensities that vary, enter the baseline and all scores; strata of fewer
        than 20 units with a set number of treated ones stay whole and cluster standard errors.
    split : (train, select, evaluate), default (0.5, 0.1, 0.4)
        Shares of places. Nothing is selected here, so that the first two train.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    Attributes
    ----------
    result_ : EffectResult
    evaluation_ : Evaluation
    embeddings_ : DataArray or None
        Made in ``fit``, if none were given.
    parts_ : Parts
        Rows of each part.
    seed_ : int
    diagnostics_ : mapping

    References
    ----------
    Wager & Athey (2018). Estimation and inference of heterogeneous treatment effects using random
    forests. Journal of the American Statistical Association 113.
    Zhu, Jerzak & Daoud (2025). CLeaR, PMLR 275:894-919.
    """

    requires = Requires(
        roles=("outcome", "treatment"),
        treatment_kinds=("binary",),
        weight_kinds=(),
        reads=("image", "strata"),
    )

    def __init__(
        self,
        *,
        encoder: str | ImageEncoder = "random",
        temporal: str = "difference",
        crop_sizes: Any = None,
        image: str | None = None,
        nan_policy: Any = "error",
        treatment_date: Any = None,
        allow_later_frames: bool = False,
        n_components: int = 20,
        n_trees: int = 400,
        min_leaf: int = 5,
        learner: str | Learner = "ridge",
        n_folds: int = 5,
        design: Literal["randomized"] = "randomized",
        propensity: float | str | None = None,
        split: tuple[float, float, float] = (0.5, 0.1, 0.4),
        frame_chunk: int = 512,
        device: str = "auto",
        random_state: RandomState = None,
        progress: Any = None,
    ) -> None:
        self.encoder = encoder
        self.temporal = temporal
        self.crop_sizes = crop_sizes
        self.image = image
        self.nan_policy = nan_policy
        self.treatment_date = treatment_date
        self.allow_later_frames = allow_later_frames
        self.n_components = n_components
        self.n_trees = n_trees
        self.min_leaf = min_leaf
        self.learner = learner
        self.n_folds = n_folds
        self.design = design
        self.propensity = propensity
        self.split = split
        self.frame_chunk = frame_chunk
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def fit(self, data: CausalData, embeddings: Any = None) -> Self:
        """Grow the forest, and evaluate it on rows that were not used for that.

        Parameters
        ----------
        data : CausalData
            A randomised trial with images.
        embeddings : (images, features) DataArray or array, optional
            Matched by ``image_key``, or row by row; else ``encoder`` makes them.

        Raises
        ------
        ArgumentError, DataError, MissingDependencyError
        NotImplementedError
            If ``design="observational"``: nothing here adjusts for confounding.
        """
        require("econml.grf", extra="econml", needed_by="ImageCausalForest")
        started = time.perf_counter()
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        self._check_design()
        self._check_counts()
        self.seed_ = as_seed(self.random_state)
        with collect_warnings() as caught:
            if embeddings is None:
                image = ImageStore.of(data, self.image).of_row
                check_room(connected(image, *data.clusters()), image, shares=self.split)
            self.embeddings_ = None if embeddings is not None else self._embed(data, None)
            vectors = vectors_of(data, self.embeddings_ if embeddings is None else embeddings)
            units = take_units(
                data,
                image=vectors.of_row,
                twins=same_vectors(vectors),
                store=None,
                propensity=self.propensity,
                spatial_block_km=None,
            )
            parts = self.parts_ = units.parts(self.split, seed=self.seed_)
            train = np.sort(np.concatenate([parts.train, parts.select]))
            units = with_filled(units, data, train)
            units = with_blocks(units, parts, seed=self.seed_)
            self._grow(units, vectors, train, parts.evaluate)
            self._facts = facts_of(
                data,
                f"ImageCausalForest(n_trees={self.n_trees})",
                self.seed_,
                notes=(
                    f"Means of doubly robust scores over {parts.evaluate.size:,} evaluation rows; "
                    f"the forest was grown on {train.size:,} other rows.",
                ),
                diagnostics=self.diagnostics_,
                provenance=record(seed=self.seed_, wall_s=time.perf_counter() - started),
            )
            self._set_result(("ate",))
        self._finish(caught)
        return self

    def estimate(  # type: ignore[override]  # a forest has quartiles where a mixture has clusters
        self, estimand: Literal["ate", "calibration", "quartiles"] | None = None
    ) -> EffectResult:
        """Honest effects, from rows that the forest has not seen.

        Parameters
        ----------
        estimand : {"ate", "calibration", "quartiles"}, optional
            Average effect (default), calibration of the predicted effects (slope one if they are
            right, zero if they say nothing), or the average effect within quartiles of them.

        Raises
        ------
        IdentificationError
            If the predictions do not vary, or no quartile has enough rows. Those without are left
            out, with a warning; equal predictions share a quartile.
        """
        self._check_fitted()
        if estimand is None:
            return self.result_
        check_choice("estimand", estimand, ESTIMANDS)
        if estimand != "quartiles":
            return super().estimate(estimand)
        return quartile_effect(self.evaluation_, **self._facts)

    def effect(self, data: Any, *, level: float = 0.95) -> "xr.Dataset":
        """Predicted effect of every row of a data set, or of every place of an embedding.

        Parameters
        ----------
        data : CausalData, or DataArray of :func:`~causalkit.embed_images`
            Images are embedded with the statistics of the bands of the fit.
        level : float, default 0.95
            Of the forest's own intervals, which take rows as independent; a warning says so if the
            rows of the fit share clusters.

        Returns
        -------
        Dataset
            ``effect``, ``std_error``, ``conf_low``, ``conf_high``.
        """
        import xarray as xr

        self._check_fitted()
        check_level(level)
        if self._clustered_by is not None:
            warn(
                "the intervals of the forest take rows as independent, and rows of the fit share "
                f"clusters ({self._clustered_by!r}): they are too narrow if units of one share "
                "shocks or treatment. Averages by estimate() have clustered standard errors.",
                CausalKitWarning,
            )
        values, dim, keys = self._target(data)
        effect, sd = self._predict(values)
        half = quantile_value("normal", level=level) * sd
        columns = {
            "effect": effect,
            "std_error": sd,
            "conf_low": effect - half,
            "conf_high": effect + half,
        }
        return xr.Dataset(
            {name: (dim, values) for name, values in columns.items()}, coords={dim: keys}
        )

    def _check_counts(self) -> None:
        for name, least in (("n_components", 1), ("n_trees", 4), ("min_leaf", 1), ("n_folds", 2)):
            check_count(name, getattr(self, name), least=least)
        if self.n_trees % _TOGETHER:
            raise ArgumentError(
                f"n_trees must be a multiple of {_TOGETHER}, got {self.n_trees}: intervals come "
                "from trees that share half of the rows."
            )

    def _embed(self, given: Any, bands: Any) -> Any:
        return embed_images(
            given,
            self.encoder,
            temporal=self.temporal,
            crop_sizes=self.crop_sizes,
            image=self.image,
            nan_policy=self.nan_policy,
            bands=bands,
            treatment_date=self.treatment_date if bands is None else None,
            allow_later_frames=self.allow_later_frames,
            frame_chunk=self.frame_chunk,
            device=self.device,
            progress=self.progress,
        )

    def _grow(self, units: Units, vectors: Vectors, train: Ints, evaluate: Ints) -> None:
        from econml.grf import CausalForest

        from causalkit.images.untrained import principal

        self._origin = vectors.origin
        self._clustered_by = _shared_cluster(units, train)
        places = np.unique(vectors.of_row[train])
        self._components = principal(vectors.values[places], self.n_components)
        x = self._reduced(vectors.values)[vectors.of_row]
        mean, self.diagnostics_ = self._outcome_mean(units, x, train, evaluate)
        # GRF's own variable names: X moderates, T is treated, both as residuals.
        self._forest = CausalForest(
            n_estimators=self.n_trees,
            min_samples_leaf=self.min_leaf,
            inference=True,
            subforest_size=_TOGETHER,
            n_jobs=1,
            random_state=seed_of(self.seed_, "forest"),
        ).fit(
            x[train],
            (units.treatment - units.propensity)[train],
            (units.outcome - mean)[train],
        )
        cate = np.asarray(self._forest.predict(x[evaluate])).ravel()
        control = mean[evaluate] - units.propensity[evaluate] * cate
        self.evaluation_ = evaluated(
            units, evaluate, control_mean=control, cate=cate, types=np.ones((evaluate.size, 1))
        )
        balance = checked_balance(units, evaluate, x[evaluate], seed=self.seed_)
        agreement = checked_agreement(self.evaluation_, train.size)
        self.diagnostics_ = {**self.diagnostics_, "balance": balance, "agreement": agreement}

    def _outcome_mean(
        self, units: Units, x: Floats, train: Ints, evaluate: Ints
    ) -> tuple[Floats, dict[str, Any]]:
        """E[Y | X] of every row by models that have not seen it: folds of the training rows."""
        features = DenseFeatures(np.hstack([x, units.baseline]))
        codes = np.unique(units.groups[train], return_inverse=True)[1]
        n_folds = fold_number(codes, self.n_folds)
        fold = stream(self.seed_, "folds").permutation(int(codes.max()) + 1)[codes] % n_folds
        splits = [(train[fold != number], train[fold == number]) for number in range(n_folds)]
        splits.append((train, evaluate))
        folds = external_folds([splits], FoldKeys(units.n), seed=self.seed_)
        found = cross_fit(
            [Nuisance("outcome", units.outcome, features, self.learner)],
            folds,
            seed=seed_of(self.seed_, "outcome"),
        )
        return found["outcome"][:, 0], {
            "learners": dict(found.chosen),
            "n_components": int(x.shape[1]),
            "rows": {"train": int(train.size), "evaluate": int(evaluate.size)},
        }

    def _reduced(self, values: Floats) -> Floats:
        centre, components = self._components
        return np.asarray((values - centre) @ components)

    def _predict(self, values: Floats) -> tuple[Floats, Floats]:
        effect, variance = self._forest.predict_and_var(self._reduced(values))
        return np.asarray(effect).ravel(), np.sqrt(np.asarray(variance).ravel())

    def _target(self, data: Any) -> tuple[Floats, str, Any]:
        if isinstance(data, CausalData):
            if self.embeddings_ is None:
                raise embedded_elsewhere()
            vectors = vectors_of(data, self._embed(data, self.embeddings_))
            check_alike(self._origin, vectors.origin)
            return vectors.values[vectors.of_row], "obs", np.arange(data.n)
        vectors = target_vectors(data, self._origin, self._components[0].size)
        keys = np.arange(vectors.values.shape[0]) if vectors.keys is None else vectors.keys
        return vectors.values, vectors.dim, keys


def _shared_cluster(units: Units, rows: Ints) -> str | None:
    """Name of the clusters, if some hold several of the rows."""
    if units.clusters is None or np.unique(units.clusters[rows]).size == rows.size:
        return None
    return units.cluster_name

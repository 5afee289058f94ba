"""From surveyed images and units to encoders with posteriors, and what prediction needs of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalkit.data.images import ImageStore
from causalkit.images.batches import Images, Lens, Rows
from causalkit.images.encoders import ImageEncoder
from causalkit.images.inputs import Layout
from causalkit.images.outcomes import Design, standard_outcome
from causalkit.images.settings import Settings
from causalkit.images.splits import Parts
from causalkit.images.standard import Standard
from causalkit.images.support import Reference, thinned
from causalkit.images.survey import Bands, Survey, check_bands, check_scale
from causalkit.images.units import Units
from causalkit.progress import teller
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Encoders with posteriors, and what turns images of other places into their input.

    Attributes
    ----------
    members : tuple of Member
        Best first.
    n_clusters : int
    choice : DataFrame or None
        Of the number of clusters.
    lens : Lens
    standard : Standard
        Of the covariates.
    layout : Layout
    batch_size : int
        Images per call of the encoder.
    precision : torch dtype or None
        Of its forward pass.
    """

    members: tuple[Any, ...]
    n_clusters: int
    choice: pd.DataFrame | None
    lens: Lens
    standard: Standard
    layout: Layout
    batch_size: int
    precision: Any

    def features(self, images: Images, positions: Ints) -> list[Floats]:
        """Features ``(m, d)`` of some images, ascending, by the encoder of every member."""
        return self._seen(self.members, images, positions)

    def features_and_moments(
        self, images: Images, positions: Ints, *, members: int | None = None
    ) -> tuple[list[Floats], Floats]:
        """The same in one reading with mean and deviation of each band, ``(m, 2 * band)``."""
        from causalkit.images.networks import BandMoments

        *features, moments = self._seen(self.members[:members], images, positions, BandMoments())
        return features, moments

    def reference(self, images: Images, train: Ints, held: tuple[Floats, Floats]) -> Reference:
        """Training images as the first member sees them, beside features and moments held out."""
        kept = thinned(train)
        (raw,), moments = self.features_and_moments(images, kept, members=1)
        of = self.members[0].posterior.features
        return Reference.of((of(raw), moments), (of(held[0]), held[1]))

    def _seen(
        self, members: Sequence[Any], images: Images, positions: Ints, *others: Any
    ) -> list[Floats]:
        from causalkit.images.represent import represent_all

        distinct = {id(member.network): member.network for member in members}
        found = represent_all(
            [*distinct.values(), *others],
            self.lens,
            images,
            positions,
            batch_size=self.batch_size,
            precision=self.precision,
        )
        by_network = dict(zip(distinct, found, strict=False))
        return [*(by_network[id(member.network)] for member in members), *found[len(distinct) :]]


def fit_members(
    estimator: Any,
    images: Images,
    seen: Survey,
    units: Units,
    parts: Parts,
    encoder: ImageEncoder,
    settings: Settings,
    *,
    number: int = 0,
) -> Fitted:
    """Train the encoders and infer the mixture, with the number of clusters given or chosen.

    Parameters
    ----------
    estimator : ImageEffectClusters
        Its arguments.
    images : Images
    seen : Survey
    units : Units
    parts : Parts
    encoder : ImageEncoder
    settings : Settings
    number : int
        Of the encoder, where several are tried: the name of its checkpoint.
    """
    from causalkit.images.checkpoint import Checkpoint
    from causalkit.images.choose import FromFeatures, FromPixels, fit_or_choose
    from causalkit.images.training import Recipe, Trial
    from causalkit.images.untrained import projected

    store = images.store
    train, select = (Rows.of(store, rows) for rows in (parts.train, parts.select))
    standard, design = _design(units, parts, estimator.likelihood)
    bands = _bands(encoder, seen.bands(train.images), store)
    lens = Lens(bands, estimator.nan_policy, settings.device)
    trial = Trial(images, lens, design.outcome, design.treatment, design.covariates)
    make = maker(estimator, encoder, store)
    recipe = Recipe(
        epochs=estimator.epochs,
        batch_size=estimator.batch_size,
        learning_rate=estimator.learning_rate,
        augment=estimator.augment,
        precision=settings.precision,
    )
    checkpoint = None
    if settings.checkpoint is not None:
        facts = {
            "pixels": seen.digest,
            **{name: getattr(estimator, name) for name in ("temporal", "nan_policy")},
        }
        checkpoint = Checkpoint(settings.checkpoint / f"encoder{number}", facts)
    source: FromPixels | FromFeatures = FromPixels(make, trial, recipe, checkpoint)
    if not encoder.trained:
        source = projected(
            make, trial, (train, select), estimator.n_components, recipe, settings.plan.seed
        )
    starts = settings.plan.n_restarts * len(settings.mixture.candidates)
    advance = teller(estimator.progress, "training", unit="epoch", total=starts * estimator.epochs)
    chosen = fit_or_choose(
        source, (train, select), design, settings.mixture, settings.plan, advance=advance
    )
    return Fitted(
        members=chosen.members,
        n_clusters=chosen.n_clusters,
        choice=chosen.table,
        lens=lens,
        standard=standard,
        layout=Layout.of(store),
        batch_size=2 * recipe.batch_size,
        precision=recipe.precision,
    )


def maker(estimator: Any, encoder: ImageEncoder, store: ImageStore) -> Any:
    """Function that builds the encoder for images like those of ``store``."""
    from causalkit.images.encoder_network import network_maker

    return network_maker(
        encoder,
        store,
        temporal=estimator.temporal,
        extra_bands=int(estimator.nan_policy == "mask"),
        frame_chunk=estimator.frame_chunk,
        recompute=estimator.recompute,
    )


def _bands(encoder: ImageEncoder, found: Bands, store: ImageStore) -> Bands:
    """Statistics that pixels are standardised by: of the weights, else of the training images."""
    check_bands(found, store)
    scale = encoder.scale()
    if scale is None:
        return found
    given = Bands(*scale)
    check_scale(given, found, store, encoder.name)
    return given


def _design(units: Units, parts: Parts, likelihood: Any) -> tuple[Standard, Design]:
    standard = Standard.fit(units, parts.train)
    covariates = standard.apply(units.baseline)
    return standard, standard_outcome(units, parts.train, covariates, likelihood)

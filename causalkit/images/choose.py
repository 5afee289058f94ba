"""Fit the mixture with a given number of clusters, or choose the number on the selection rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.errors import IdentificationError
from causalkit.images.batches import Rows
from causalkit.images.honest import INACTIVE
from causalkit.images.members import Member, entry_groups, from_pixels, member_on
from causalkit.images.model import Mixture
from causalkit.images.outcomes import Design
from causalkit.images.settings import MixtureChoice, Plan
from causalkit.images.training import Recipe, Trial
from causalkit.inference.variance import sandwich
from causalkit.rng import stream
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from causalkit.images.checkpoint import Checkpoint

Advance = Callable[[str], None] | None
N_FOLDS = 5
_ERRORS = 1.645


@dataclass(frozen=True, slots=True, eq=False)
class FromPixels:
    """Members whose encoder is trained with the effects.

    Attributes
    ----------
    make : callable
        Builds the encoder.
    trial : Trial
    recipe : Recipe
    checkpoint : Checkpoint or None
        Where trainings keep their state.
    """

    make: Callable[[], Any]
    trial: Trial
    recipe: Recipe
    checkpoint: "Checkpoint | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class FromFeatures:
    """Members on features that are there.

    Attributes
    ----------
    train, select : (m, d) arrays
        Of the images of each part, ascending.
    network : Module or None
        That made them.
    """

    train: Floats
    select: Floats
    network: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Members with the number of clusters that was given or chosen.

    Attributes
    ----------
    members : tuple of Member
        Best first.
    n_clusters : int
    table : DataFrame or None
        One row per number tried: ``n_clusters``, ``score`` (mean log predictive density of the
        selection rows; at the mode where features are given), ``place_gain`` (what knowing the
        place of a row adds to it), ``behind`` (the gain of the best without inactive types less
        this) and its ``std_error``, ``inactive`` (types that hardly occur), ``chosen``.
    """

    members: tuple[Member, ...]
    n_clusters: int
    table: pd.DataFrame | None


def fit_or_choose(
    source: FromPixels | FromFeatures,
    parts: tuple[Rows, Rows],
    design: Design,
    choice: MixtureChoice,
    plan: Plan,
    *,
    advance: Advance = None,
) -> Chosen:
    """Fit every candidate number of clusters, and keep the smallest whose places tell enough.

    Judged is not the density itself, which more types always raise where the noise is not as the
    model has it, but what knowing the place adds to it: types are of places. By concavity of the
    logarithm that is no more than 0 on average for types that do not differ by place. Enough: what
    the best gains on it is within ``_ERRORS`` standard errors of zero. The comparison is paired,
    row by row, and the error counts that rows of one place or cluster hang together. Numbers of
    which some types hardly occur among the selection rows are passed over, as the best too, since
    a smaller one then says the same.

    Gains are of the selection rows; where features are given, which is cheap to fit, of all rows of
    both parts, each by a mode that was fitted to other groups. Only the number that is kept then
    gets its posterior.
    """
    given = isinstance(source, FromFeatures)
    tried = _modes(plan) if given and len(choice.candidates) > 1 else plan
    fitted = {
        k: _members(source, parts, design, choice, tried, k, advance) for k in choice.candidates
    }
    if len(fitted) == 1:
        ((k, members),) = fitted.items()
        return Chosen(members, k, None)
    best = {k: members[0] for k, members in fitted.items()}
    inactive = {
        k: int((_shares(member, source, parts[1].images) < INACTIVE).sum())
        for k, member in best.items()
    }
    if isinstance(source, FromFeatures):
        gains, groups = _crossed(source, parts, design, choice, plan)
    else:
        gains = {k: member.place_gains for k, member in best.items()}
        groups = entry_groups(parts[1], design, choice.latent_level)
    scores = {k: member.score for k, member in best.items()}
    table = _compared(scores, gains, inactive, groups)
    k = int(table.loc[table["chosen"], "n_clusters"].iloc[0])
    kept = _members(source, parts, design, choice, plan, k, advance) if given else fitted[k]
    return Chosen(kept, k, table)


def _modes(plan: Plan) -> Plan:
    """As planned, but for the mode in place of the posterior."""
    return replace(plan, inference="map", n_ensemble=1)


def _members(
    source: FromPixels | FromFeatures,
    parts: tuple[Rows, Rows],
    design: Design,
    choice: MixtureChoice,
    plan: Plan,
    k: int,
    advance: Advance,
) -> tuple[Member, ...]:
    mixture = _mixture(choice, design, k)
    if isinstance(source, FromPixels):
        kept = source.checkpoint
        return from_pixels(
            source.make,
            mixture,
            source.trial,
            parts,
            design,
            source.recipe,
            plan,
            advance=advance,
            checkpoint=None if kept is None else kept.within(f"clusters{k}"),
        )
    model = mixture(source.train.shape[1])
    features = source.train, source.select
    return tuple(
        member_on(features, parts, design, model, plan, number=number, network=source.network)
        for number in range(plan.n_ensemble)
    )


def _mixture(choice: MixtureChoice, design: Design, k: int) -> Callable[[int], Mixture]:
    """From the number of features to the model."""

    def mixture(n_features: int) -> Mixture:
        return Mixture(
            n_types=k,
            n_features=n_features,
            n_covariates=design.covariates.shape[1],
            n_design=design.n_design,
            likelihood=choice.likelihood,
            latent_level=choice.latent_level,
            cluster_sigma=choice.cluster_sigma,
            centre=design.difference,
        )

    return mixture


def _crossed(
    source: FromFeatures,
    parts: tuple[Rows, Rows],
    design: Design,
    choice: MixtureChoice,
    plan: Plan,
) -> tuple[dict[int, Floats], Ints]:
    """Gains of the rows of both parts by number of clusters, out of fold, and their groups."""
    rows = Rows.together(parts)
    images = np.concatenate([part.images for part in parts])
    features = np.vstack([source.train, source.select])[np.argsort(images)]
    of_image = np.unique(design.groups[rows.order[rows.starts[:-1]]], return_inverse=True)[1]
    n_groups = int(of_image.max()) + 1
    n_folds = min(N_FOLDS, n_groups)
    fold = stream(plan.seed, "choice").permutation(n_groups)[of_image] % n_folds
    gains: dict[int, list[Floats]] = {k: [] for k in choice.candidates}
    groups: list[Ints] = []
    for number in range(n_folds):
        kept, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        pair = rows.at(kept), rows.at(held)
        met = entry_groups(pair[1], design, choice.latent_level)
        gains[1].append(np.zeros(met.size))  # one type is everywhere the same
        for k in choice.candidates[1:]:
            model = _mixture(choice, design, k)(features.shape[1])
            found = member_on(
                (features[kept], features[held]), pair, design, model, _modes(plan), number=number
            )
            gains[k].append(found.place_gains)
        groups.append(met + (int(groups[-1].max()) + 1 if groups else 0))
    return {k: np.concatenate(gain) for k, gain in gains.items()}, np.concatenate(groups)


def _compared(
    scores: dict[int, float], gains: dict[int, Floats], inactive: dict[int, int], groups: Ints
) -> pd.DataFrame:
    # One cluster is always among them: its share is one.
    able = [k for k in gains if not inactive[k]]
    leader = gains[max(able, key=lambda k: float(gains[k].mean()))]
    behind = {k: leader - gain for k, gain in gains.items()}
    table = pd.DataFrame(
        {
            "n_clusters": list(scores),
            "score": list(scores.values()),
            "place_gain": [float(gain.mean()) for gain in gains.values()],
            "behind": [float(gap.mean()) for gap in behind.values()],
            "std_error": [_error_of_mean(gap, groups) for gap in behind.values()],
            "inactive": list(inactive.values()),
        }
    )
    enough = (table["behind"] <= _ERRORS * table["std_error"]) & (table["inactive"] == 0)
    first = table.loc[enough, "n_clusters"].min()
    return table.assign(chosen=table["n_clusters"] == first)


def _error_of_mean(values: Floats, groups: Ints) -> float:
    """Standard error of the mean of ``(n,)``, where values of one group hang together."""
    try:
        vcov = sandwich((values - values.mean())[:, None], [groups])
    except IdentificationError:
        return np.inf
    return float(np.sqrt(vcov[0, 0]))


def _shares(member: Member, source: FromPixels | FromFeatures, images: Ints) -> Floats:
    """Mean probability of every type on the selection images."""
    if isinstance(source, FromFeatures):
        features = source.select
    else:
        features = source.recipe.features(member.network, source.trial, images)
    shares: Floats = member.posterior.mean_types(features).mean(axis=0)
    return shares

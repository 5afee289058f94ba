"""Fit the mixture with a given number of clusters, or choose the number on the selection rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.images.batches import Rows
from causalkit.images.honest import INACTIVE
from causalkit.images.members import Member, entry_groups, from_pixels, member_on
from causalkit.images.model import Mixture
from causalkit.images.outcomes import Design
from causalkit.images.settings import MixtureChoice, Plan
from causalkit.images.training import Recipe, Trial
from causalkit.typing import Floats, Ints

Advance = Callable[[str], None] | None


@dataclass(frozen=True, slots=True, eq=False)
class FromPixels:
    """Members whose encoder is trained with the effects.

    Attributes
    ----------
    make : callable
        Builds the encoder.
    trial : Trial
    recipe : Recipe
    """

    make: Callable[[], Any]
    trial: Trial
    recipe: Recipe


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
        selection rows), ``behind`` (the best without inactive types less this) and its
        ``std_error``, ``inactive`` (types that hardly occur), ``chosen``.
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
    """Fit every candidate number of clusters, and keep the smallest that predicts well enough.

    Well enough: the mean over selection rows of what the best gains on it is within one standard
    error of zero. The comparison is paired, row by row, and the error counts that rows of one
    place or cluster hang together. Numbers of which some types hardly occur among the selection
    rows are passed over, as the best too, since a smaller one then says the same.
    """
    fitted = {
        k: _members(source, parts, design, choice, plan, k, advance) for k in choice.candidates
    }
    if len(fitted) == 1:
        ((k, members),) = fitted.items()
        return Chosen(members, k, None)
    best = {k: members[0] for k, members in fitted.items()}
    groups = entry_groups(parts[1], design, choice.latent_level)
    table = _compared(best, source, parts[1].images, groups)
    k = int(table.loc[table["chosen"], "n_clusters"].iloc[0])
    return Chosen(fitted[k], k, table)


def _members(
    source: FromPixels | FromFeatures,
    parts: tuple[Rows, Rows],
    design: Design,
    choice: MixtureChoice,
    plan: Plan,
    k: int,
    advance: Advance,
) -> tuple[Member, ...]:
    def mixture(n_features: int) -> Mixture:
        return Mixture(
            n_types=k,
            n_features=n_features,
            n_covariates=design.covariates.shape[1],
            likelihood=choice.likelihood,
            latent_level=choice.latent_level,
            cluster_sigma=choice.cluster_sigma,
            centre=design.difference,
        )

    if isinstance(source, FromPixels):
        return from_pixels(
            source.make,
            mixture,
            source.trial,
            parts,
            design,
            source.recipe,
            plan,
            advance=advance,
        )
    model = mixture(source.train.shape[1])
    features = source.train, source.select
    return tuple(
        member_on(features, parts, design, model, plan, number=number, network=source.network)
        for number in range(plan.n_ensemble)
    )


def _compared(
    best: dict[int, Member], source: FromPixels | FromFeatures, images: Ints, groups: Ints
) -> pd.DataFrame:
    inactive = {
        k: int((_shares(member, source, images) < INACTIVE).sum()) for k, member in best.items()
    }
    # One cluster is always among them: its share is one.
    able = [k for k in best if not inactive[k]]
    leader = best[max(able, key=lambda k: best[k].score)]
    gains = {k: leader.row_scores - member.row_scores for k, member in best.items()}
    table = pd.DataFrame(
        {
            "n_clusters": list(best),
            "score": [member.score for member in best.values()],
            "behind": [float(gain.mean()) for gain in gains.values()],
            "std_error": [_error_of_mean(gain, groups) for gain in gains.values()],
            "inactive": list(inactive.values()),
        }
    )
    enough = (table["behind"] <= table["std_error"]) & (table["inactive"] == 0)
    first = table.loc[enough, "n_clusters"].min()
    return table.assign(chosen=table["n_clusters"] == first)


def _error_of_mean(values: Floats, groups: Ints) -> float:
    """Standard error of the mean of ``(n,)``, where values of one group hang together."""
    total = np.bincount(groups, values - values.mean())
    if total.size < 2:
        return np.inf
    return float(np.sqrt((total**2).sum() * total.size / (total.size - 1)) / values.size)


def _shares(member: Member, source: FromPixels | FromFeatures, images: Ints) -> Floats:
    """Mean probability of every type on the selection images."""
    if isinstance(source, FromFeatures):
        features = source.select
    else:
        features = source.recipe.features(member.network, source.trial, images)
    shares: Floats = member.posterior.mean_types(features).mean(axis=0)
    return shares

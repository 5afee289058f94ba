"""Networks that did not see the rows they speak of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.nuisance import FoldKeys, Folds, draw_folds, external_folds
from causalkit.progress import teller
from causalkit.rng import seed_of
from causalkit.transtee.coding import Coded, Coding
from causalkit.transtee.membership import drawn_with_arms, members_of
from causalkit.transtee.model import Model
from causalkit.transtee.rates import fit_ensembles
from causalkit.transtee.settings import Settings
from causalkit.transtee.split import deal_groups, strata_of_groups
from causalkit.transtee.stack import stacks_of
from causalkit.typing import Ints
from causalkit.warn import n_collected

FoldNetworks = list[tuple[Model, Ints]]


def folds_of(coded: Coded, settings: Settings) -> Folds:
    """Folds of rows, or of groups stratified by their arms, that all train on every arm.

    Raises
    ------
    ArgumentError, DataError
        If there are fewer groups than folds, or an arm that one fold cannot do without; names it.
    """
    keys = FoldKeys(coded.n, unit=coded.groups)

    def draw(seed: int) -> Folds:
        if coded.groups is None:
            return draw_folds(keys, rule="observation", n_folds=settings.n_folds, seed=seed)
        strata = strata_of_groups(coded.actions.arms, coded.doses_taken, coded.groups)
        if settings.n_folds > strata.size:
            raise ArgumentError(
                f"n_folds={settings.n_folds} is more than the number of units or clusters "
                f"({strata.size}). Use n_folds={strata.size} or fewer."
            )
        fold = deal_groups(coded.groups, strata, settings.n_folds, seed)
        parts = [
            (np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(settings.n_folds)
        ]
        return external_folds([parts], keys, seed=seed)

    def trained(folds: Folds) -> list[Ints]:
        return [train for train, _ in folds.splits(0)]

    return drawn_with_arms(coded, np.arange(coded.n), draw, trained, settings.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One split of the rows into folds, and the networks that are trained on them.

    Attributes
    ----------
    coding : Coding
    coded : Coded
    settings : Settings
        With the seed of this split.
    folds : Folds
    title : str
        Of its progress.
    checkpoint : path or None
        Folder of its training.
    kept : dict
        Networks by seed and number of folds, where those trained before are found again.
    """

    coding: Coding
    coded: Coded
    settings: Settings
    folds: Folds
    title: str
    checkpoint: Path | None
    kept: dict[tuple[int, int], FoldNetworks]

    def networks(self) -> FoldNetworks:
        """A model for every fold, trained on the others, with the rows it did not see.

        Raises
        ------
        KeyboardInterrupt
            If training was interrupted before every fold had a network.
        """
        key = (self.settings.seed, self.settings.n_folds)
        if key in self.kept:
            return self.kept[key]
        told = n_collected()
        found = self._trained()
        # What training warns of belongs to every result, and only training says it.
        if n_collected() == told:
            self.kept[key] = found
        return found

    def _trained(self) -> FoldNetworks:
        coding, coded, settings = self.coding, self.coded, self.settings
        parts = []
        for fold, (train, test) in enumerate(self.folds.splits(0)):
            seed = seed_of(settings.seed, "fold network", fold)
            parts.append((members_of(coded, 0, settings, seed, train), test))
        stacks = fit_ensembles(
            coding,
            [coded],
            [own for own, _ in parts],
            settings,
            tell=teller(settings.progress, self.title, unit="epoch"),
            checkpoint=self.checkpoint,
        )
        found = [(Model(coding, stacks_of(own, stacks), {}), test) for own, test in parts]
        if not all(model.stacks for model, _ in found):
            raise KeyboardInterrupt
        return found


def splits_of(
    coding: Coding,
    coded: Coded,
    settings: Settings,
    *,
    digest: str,
    kept: dict[tuple[int, int], FoldNetworks],
) -> Iterator[Split]:
    """Repeated splits; the first has the seed of the settings, others have their own.

    Parameters
    ----------
    digest : str
        Of the data, whose checkpoints lie beside those of other data.
    kept : dict
        See :class:`Split`.
    """
    for repeat in range(settings.n_rep):
        own = settings
        if repeat:
            own = replace(settings, seed=seed_of(settings.seed, "split", repeat))
        title = f"averages, split {repeat + 1} of {settings.n_rep}, {settings.n_folds} folds"
        where = settings.checkpoint
        if where is not None:
            where = where / f"averages_{digest[:12]}_{own.seed}_{own.n_folds}"
        yield Split(coding, coded, own, folds_of(coded, own), title, where, kept)

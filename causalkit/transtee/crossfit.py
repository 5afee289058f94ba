"""Networks that did not see the rows they speak of."""

import numpy as np

from causalkit.errors import ArgumentError
from causalkit.nuisance import FoldKeys, Folds, draw_folds, external_folds
from causalkit.rng import seed_of
from causalkit.transtee.fitting import Coded, Coding
from causalkit.transtee.membership import drawn_with_arms, members_of
from causalkit.transtee.model import Model
from causalkit.transtee.rates import fit_ensembles
from causalkit.transtee.settings import Settings
from causalkit.transtee.split import deal_groups, strata_of_groups
from causalkit.transtee.stack import stacks_of
from causalkit.typing import Ints


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


def out_of_fold(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds
) -> list[tuple[Model, Ints]]:
    """A model for every fold, trained on the others, with the rows it did not see.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted before every fold had a network.
    """
    parts = []
    for fold, (train, test) in enumerate(folds.splits(0)):
        seed = seed_of(settings.seed, "fold network", fold)
        parts.append((members_of(coded, 0, settings, seed, train), test))
    stacks = fit_ensembles(coding, [coded], [own for own, _ in parts], settings)
    found = [(Model(coding, stacks_of(own, stacks), {}), test) for own, test in parts]
    if not all(model.stacks for model, _ in found):
        raise KeyboardInterrupt
    return found

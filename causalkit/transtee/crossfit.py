"""Networks that did not see the rows they speak of."""

from causalkit.nuisance import Folds
from causalkit.rng import seed_of
from causalkit.transtee.fitting import Coded, Coding, fit_members
from causalkit.transtee.membership import members_of
from causalkit.transtee.model import Model
from causalkit.transtee.settings import Settings
from causalkit.typing import Ints


def out_of_fold(
    coding: Coding, coded: Coded, settings: Settings, folds: Folds
) -> list[tuple[Model, Ints]]:
    """A model for every fold, trained on the others, with the rows it did not see."""
    members, tests = [], []
    for fold, (train, test) in enumerate(folds.splits(0)):
        seed = seed_of(settings.seed, "fold network", fold)
        own = members_of(coded, 0, settings, seed, train)
        members += own
        tests.append((own, test))
    stacks = fit_members(coding, [coded], members, settings)
    found = []
    for own, test in tests:
        seeds = {member.seed for member in own}
        parts = tuple(
            stack.one(places)
            for stack in stacks
            if (places := [k for k, m in enumerate(stack.members) if m.seed in seeds])
        )
        found.append((Model(coding, parts, {}), test))
    return found

"""TransTEE as it was released, to compare with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, CausalKitWarning, check_choice, check_count
from causalkit.optional import require
from causalkit.progress import teller
from causalkit.provenance import record
from causalkit.results import EffectResult
from causalkit.rng import RandomState, as_seed
from causalkit.transtee.actions import CATEGORICAL, ActionArrays
from causalkit.transtee.fitting import Coding, code_data, coding_of
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.network_estimator import ROLES, NetworkEstimator
from causalkit.typing import Floats
from causalkit.warn import collect_warnings, warn

DESIGNS = ("ihdp", "news", "synthetic")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedModel(Model):
    """One network of the release, asked once for each action as there.

    Attributes
    ----------
    network : Released
    """

    network: Any

    @property
    def n_members(self) -> int:
        """Networks."""
        return 1

    def outcomes(
        self,
        asked: Asked,
        actions: Sequence[ActionArrays],
        *,
        memory_budget: int = 0,  # noqa: ARG002  (a pass for each action needs little)
        reduce: Any = None,
    ) -> Floats:
        """E[Y | X, A] ``(1, n, G)``."""
        from causalkit.transtee.released_network import answers

        x = asked.covariates.numeric
        passes = [answers(self.network, x, number_of(self.coding, one)).numpy() for one in actions]
        found: Floats = np.stack(passes, axis=1)[None].astype(np.float64)
        return found if reduce is None else reduce(found)


def number_of(coding: Coding, action: ActionArrays) -> Floats:
    """Arms as the numbers 0, 1, ..., and doses as they are, ``(n,)`` or ``(1,)``."""
    if coding.actions.kinds[0] in CATEGORICAL:
        return action.arms[:, 0].astype(np.float64)
    return action.doses[:, 0]


class ReleasedTransTEE(NetworkEstimator):
    """The network and recipe that Zhang et al. (2022) released, for comparisons.

    What differs from :class:`causalkit.TransTEE` is what was released: one embedding for all
    covariates, batch norms over them, arms as numbers, raw outcomes and covariates, no validation
    rows, the weights of the last of a fixed number of epochs, one network and one data set at a
    time. It may diverge, which a warning says, and then its predictions are NaN. There are no
    intervals, no averages by ``estimate()`` and no saving. Training of binary treatments is not in
    the release; they take the recipe of ``"ihdp"``.

    Parameters
    ----------
    recipe : {"ihdp", "news", "synthetic"}, default "ihdp"
        Learning rate, batches, epochs and dropout of the release for that design: 5e-4, 128, 1500
        and 0; .01, 500, 1500 and 0; .01, 500, 1600 and .1.
    max_epochs : int, optional
        Stop after so many, with the schedule of the whole recipe; to try it out.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    Attributes
    ----------
    model_ : ReleasedModel
    n_parameters_ : int

    References
    ----------
    Zhang, Zhang, Lipton, Li & Xing (2022), arXiv:2202.01336, and how its code behaves.

    Examples
    --------
    >>> import causalkit as ck
    >>> from causalkit.transtee.released import ReleasedTransTEE
    >>> data = ck.generators.multi_arm(0, n=120, n_arms=2).blind()
    >>> ReleasedTransTEE(max_epochs=2, random_state=0).fit(data).effect(data).sizes["obs"]
    120
    """

    requires: ClassVar[Requires] = Requires(
        roles=ROLES,
        treatment_kinds=("binary", "multi", "continuous", "dose"),
        weight_kinds=(),
        max_treatments=1,
    )

    def __init__(
        self,
        *,
        recipe: str = "ihdp",
        max_epochs: int | None = None,
        random_state: RandomState = None,
        progress: bool | Callable[[str], None] | None = None,
    ) -> None:
        self.recipe = recipe
        self.max_epochs = max_epochs
        self.random_state = random_state
        self.progress = progress

    def fit(self, data: CausalData) -> Self:
        """Train on all rows.

        Raises
        ------
        DataError, ArgumentError
            If the data, or an argument, does not do; says what to change.
        MissingDependencyError
            If torch is not installed.
        """
        require("torch", extra="deep", needed_by=type(self).__name__)
        from causalkit.transtee.released_network import RECIPES, train

        started = time.perf_counter()
        check_choice("recipe", self.recipe, DESIGNS)
        chosen = RECIPES[self.recipe]
        epochs = chosen.epochs
        if self.max_epochs is not None:
            epochs = min(epochs, check_count("max_epochs", self.max_epochs, least=1))
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        self.seed_ = as_seed(self.random_state)
        with collect_warnings() as caught:
            coding = coding_of(data)
            _check_covariates(coding)
            coded = code_data(coding, data)
            t = number_of(coding, coded.actions)
            network = train(
                coded.covariates.numeric,
                t,
                coded.y,
                chosen,
                seed=self.seed_,
                epochs=epochs,
                tell=teller(self.progress, type(self).__name__, unit="epoch", total=epochs),
            )
            doses = {}
            if coding.actions.kind == "continuous":
                doses = {coding.actions.columns[0]: (float(t.min()), float(t.max()))}
            self.model_ = ReleasedModel(coding=coding, stacks=(), doses=doses, network=network)
            _warn_if_diverged(network)
        self.n_parameters_ = sum(values.numel() for values in network.parameters())
        self.feature_names_in_ = np.array(coding.covariates.names, dtype=object)
        self.diagnostics_ = {"epochs trained": [epochs]}
        self.provenance_ = record(seed=self.seed_, wall_s=time.perf_counter() - started)
        self.warnings_ = tuple(caught)
        self._conformal, self._data, self._digest = None, data, data.digest()
        return self

    @classmethod
    def fit_many(
        cls,
        datasets: Sequence[CausalData],
        *,
        estimators: "Sequence[Self] | None" = None,
        **arguments: Any,
    ) -> "list[Self]":
        """Train on one data set after the other; see :meth:`causalkit.TransTEE.fit_many`."""
        if estimators is None:
            seed = as_seed(arguments.pop("random_state", None))
            estimators = [
                cls(**arguments, random_state=seed + place) for place in range(len(datasets))
            ]
        return [one.fit(data) for one, data in zip(estimators, datasets, strict=True)]

    def estimate(self, **_: Any) -> EffectResult:
        """Not there.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            "ReleasedTransTEE has no estimate(): the release has no intervals. Use TransTEE."
        )

    def save(self, path: Any) -> None:  # noqa: ARG002
        """Not there.

        Raises
        ------
        ArgumentError
            Always.
        """
        raise ArgumentError(
            "ReleasedTransTEE is for comparisons and is not saved; fit it again with the same "
            "random_state, or keep model_.network.state_dict()."
        )


def _check_covariates(coding: Coding) -> None:
    code = coding.covariates
    if code.levels or code.sequences or code.graph is not None:
        others = [*code.levels, *code.sequences, *(code.graph or ())[:1]]
        raise ArgumentError(
            f"the release knows numbers only, and {', '.join(others)} is something else; leave it "
            "out, or make indicators of it."
        )


def _warn_if_diverged(network: Any) -> None:
    import torch

    if not all(torch.isfinite(values).all() for values in network.state_dict().values()):
        warn(
            "training diverged, as the released recipe does on raw outcomes of a large scale; "
            "predictions are NaN.",
            CausalKitWarning,
        )

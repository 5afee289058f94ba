"""TransTEE as it was released, to compare with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, CausalKitWarning, check_choice, check_count
from causalkit.progress import teller
from causalkit.provenance import record
from causalkit.results import EffectResult
from causalkit.rng import RandomState, as_seed, seed_of
from causalkit.transtee.actions import CATEGORICAL, ActionArrays
from causalkit.transtee.covariates import Covariates, first_hole
from causalkit.transtee.fitted import put
from causalkit.transtee.fitting import Coding, code_data, coding_of
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.network_estimator import READS, ROLES, NetworkEstimator
from causalkit.transtee.spread import NO_SPREAD, Spread
from causalkit.typing import Floats
from causalkit.warn import collect_warnings, warn

if TYPE_CHECKING:
    import xarray as xr

_AGAIN = "it is for comparisons; fit again with the same random_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedModel(Model):
    """One network of the release, asked once for each action as there.

    Attributes
    ----------
    network : Released
    losses : sequence of float
        Of training, by epoch.
    """

    network: Any
    losses: Sequence[float]

    @property
    def n_members(self) -> int:
        """Networks."""
        return 1

    @property
    def n_parameters(self) -> int:
        """Of the network."""
        return sum(values.numel() for values in self.network.parameters())

    def history(self) -> pd.DataFrame:
        """``network, epoch, train_loss, validation_loss``, the last NaN."""
        return pd.DataFrame(
            {
                "network": 0,
                "epoch": np.arange(len(self.losses)),
                "train_loss": self.losses,
                "validation_loss": np.nan,
            }
        )

    def outcomes(
        self,
        asked: Asked,
        actions: Sequence[ActionArrays],
        *,
        memory_budget: int = 0,  # noqa: ARG002  (a pass for each action needs little)
        reduce: Callable[[Floats], Floats] | None = None,
    ) -> Floats:
        """E[Y | X, A] ``(1, n, G)``."""
        from causalkit.transtee.released_network import answers

        x = asked.covariates.numeric
        _check_holes(self.coding, x)
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
    history_ : DataFrame
        ``network, epoch, train_loss, validation_loss``, the last NaN.
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
        reads=READS,
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

    @classmethod
    def _train(cls, estimators: "Sequence[Self]", datasets: Sequence[CausalData]) -> None:
        """One after the other; nothing is shared."""
        for estimator, data in zip(estimators, datasets, strict=True):
            estimator._train_alone(data)

    def _train_alone(self, data: CausalData) -> None:
        from causalkit.transtee.released_network import RECIPES, train

        started = time.perf_counter()
        check_choice("recipe", self.recipe, RECIPES)
        chosen = RECIPES[self.recipe]
        epochs = chosen.epochs
        if self.max_epochs is not None:
            epochs = min(epochs, check_count("max_epochs", self.max_epochs, least=1))
        seed = as_seed(self.random_state)
        with collect_warnings() as caught:
            coding = coding_of(data)
            coded = code_data(coding, data)
            _check_covariates(coding, coded.covariates)
            t = number_of(coding, coded.actions)
            network, losses = train(
                coded.covariates.numeric,
                t,
                coded.y,
                chosen,
                seed=seed_of(seed, "released"),
                epochs=epochs,
                tell=teller(self.progress, type(self).__name__, unit="epoch", total=epochs),
            )
            _warn_if_diverged(network)
        doses = {}
        if coding.actions.kind == "continuous":
            doses = {coding.actions.columns[0]: (float(t.min()), float(t.max()))}
        put(
            self,
            ReleasedModel(coding=coding, stacks=(), doses=doses, network=network, losses=losses),
            seed=seed,
            settings=None,
            diagnostics={"epochs trained": [epochs]},
            conformal=None,
            digest=data.digest(),
            data=data,
        )
        self.provenance_ = record(seed=seed, wall_s=time.perf_counter() - started)
        self.warnings_ = tuple(caught)

    def _spread(self) -> Spread:
        return NO_SPREAD

    def estimate(self, *_: Any, **__: Any) -> EffectResult:
        """Not there; raises ArgumentError."""
        raise _absent("estimate", "the release has no intervals; use TransTEE")

    def overlap(self, **_: Any) -> "pd.DataFrame":
        """Not there; raises ArgumentError."""
        raise _absent("overlap", "the release has no folds; use TransTEE")

    def outcome_interval(self, *_: Any, **__: Any) -> "xr.Dataset":
        """Not there; raises ArgumentError."""
        raise _absent("outcome_interval", "the release has no intervals; use TransTEE")

    def summary(self) -> str:
        """Not there; raises ArgumentError."""
        raise _absent("summary", "its recipe is a constant of the release")

    def save(self, path: Any) -> None:  # noqa: ARG002
        """Not there; raises ArgumentError."""
        raise _absent("save", _AGAIN)

    @classmethod
    def load(cls, path: Any, **_: Any) -> Self:  # noqa: ARG003
        """Not there; raises ArgumentError."""
        raise _absent("load", _AGAIN)


def _absent(name: str, why: str) -> ArgumentError:
    return ArgumentError(f"ReleasedTransTEE has no {name}(): {why}.")


def _check_covariates(coding: Coding, covariates: Covariates) -> None:
    code = coding.covariates
    if code.levels or code.sequences or code.graph is not None:
        others = [*code.levels, *code.sequences]
        others += [] if code.graph is None else [code.graph.column]
        raise ArgumentError(
            f"the release knows numbers only, and {', '.join(map(str, others))} is something else; "
            "leave it out, or make indicators of it."
        )
    _check_holes(coding, covariates.numeric)


def _check_holes(coding: Coding, numeric: Floats) -> None:
    hole = first_hole(coding.covariates, numeric)
    if hole is not None:
        name, row = hole
        raise ArgumentError(
            f"the release knows no missing values, and {name!r} is missing in row {row}; leave "
            "those rows out, or fill them in."
        )


def _warn_if_diverged(network: Any) -> None:
    import torch

    if not all(torch.isfinite(values).all() for values in network.state_dict().values()):
        warn(
            "training diverged, as the released recipe does on raw outcomes of a large scale; "
            "predictions are NaN.",
            CausalKitWarning,
        )

"""TransTEE as it was released, to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, CausalKitWarning, check_choice, check_count
from causalkit.progress import teller
from causalkit.results import EffectResult
from causalkit.rng import RandomState, as_seed, seed_of
from causalkit.transtee.actions import ActionArrays
from causalkit.transtee.coding import Coding, code_data, coding_of
from causalkit.transtee.fit_together import dose_ranges
from causalkit.transtee.fitted import put
from causalkit.transtee.graph_tables import read_graphs
from causalkit.transtee.items import Library
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.network_estimator import KINDS, READS, ROLES, NetworkEstimator
from causalkit.transtee.released_recipes import RECIPES, Recipe, check_data, check_holes
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
    network : ReleasedNetwork
    recipe : Recipe
    losses : Losses
        By epoch.
    """

    network: Any
    recipe: Recipe
    losses: Any

    @property
    def n_members(self) -> int:
        """Networks."""
        return 1

    @property
    def n_parameters(self) -> int:
        """Of the network."""
        return sum(values.numel() for values in self.network.parameters())

    def history(self) -> pd.DataFrame:
        """``network, epoch, train_loss, validation_loss``, the last NaN without validation."""
        train = self.losses.train
        return pd.DataFrame(
            {
                "network": 0,
                "epoch": np.arange(len(train)),
                "train_loss": train,
                "validation_loss": self.losses.valid or np.nan,
            }
        )

    def asked(self, data: CausalData) -> Asked:
        """Arrays of the rows of a data set, without missing values."""
        # Slots make a new class, which super() does not know.
        found = Model.asked(self, data)
        check_holes(self.coding, found.covariates.numeric)
        return replace(found, library=_one_way(found.library, self.coding, data))

    def outcomes(
        self,
        asked: Asked,
        actions: Sequence[ActionArrays],
        *,
        memory_budget: int = 0,  # noqa: ARG002  (a pass for each action needs little)
        reduce: Callable[[Floats], Floats] | None = None,
    ) -> Floats:
        """E[Y | X, A] ``(1, n, G)``."""
        from causalkit.transtee.released_training import answers, inputs_of

        asks = (inputs_of(self.recipe, asked.covariates, one, asked.library) for one in actions)
        passes = [answers(self.network, inputs).numpy() for inputs in asks]
        found: Floats = np.stack(passes, axis=1)[None].astype(np.float64)
        return found if reduce is None else reduce(found)


def _one_way(library: Library | None, coding: Coding, data: CausalData) -> Library | None:
    """Graphs whose edges go the one way that their table has, as in the release."""
    if library is None or library.kind != "graph" or library.types is not None:
        return library
    column = coding.item_column
    read = read_graphs(
        data.tables[f"{column}_nodes"],
        data.tables[f"{column}_edges"],
        column,
        names=library.names,
    )
    return replace(library, edges=read.edges)


class ReleasedTransTEE(NetworkEstimator):
    """The networks and recipes that Zhang et al. (2022) released, for comparisons.

    What differs from :class:`causalkit.TransTEE` is what was released: one embedding for all
    covariates, batch norms over them, arms as numbers, raw outcomes and covariates, the weights of
    the last epoch, one network and one data set at a time. It may diverge, which a warning says,
    and then its predictions are NaN. There are no intervals, no averages by ``estimate()`` and no
    saving.

    Parameters
    ----------
    recipe : {"ihdp", "news", "synthetic", "tcga", "sw", "texts"}, default "ihdp"
        The design whose network and hyper-parameters to take:

        * ``"ihdp"``, ``"news"``, ``"synthetic"``: one dose, or arms. Learning rate 5e-4, .01 and
          .01, batches of 128, 500 and 500, epochs 1500, 1500 and 1600, dropout 0, 0 and .1; SGD
          with a cosine. Training of binary treatments is not in the release; they take the recipe
          of ``"ihdp"``.
        * ``"tcga"``: arms with a dose. Covariates are mixed to 100 tokens of width 48; Adam at 1e-3
          with a cosine, batches of 128, 200 epochs. The README there has width 64.
        * ``"sw"``: treatments that are small-world graphs, or others without types of edges. Edges
          are read the way that their table has them, from source to target alone, for the release
          lists each once. Adam at 5e-3, which the code sets, whatever its option says (5e-4);
          batches of 500; a fifth of the rows for validation. It trains for 250 epochs at least,
          then until more than ten in a row were no better on validation rows, and the last of them
          had a mean squared error below 50, up to 50,000 epochs. Where the noise alone has a larger
          variance it never stops earlier; set ``max_epochs``.
        * ``"texts"``: arms, and one sequence of token embeddings, of which the first 32 count; its
          width is that of the network. The outcome is a class, 0 or 1. Adam at 1e-3, a step after
          every four batches of 200 within an epoch, 50 epochs. The release trains beneath the
          dropout of its language model, which embeddings given here have or have not.

        Molecules with types of edges, and adversaries, are in the release and not here.
    max_epochs : int, optional
        Stop after so many, with the schedule of the whole recipe; to try it out.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    Attributes
    ----------
    model_ : ReleasedModel
    history_ : DataFrame
        ``network, epoch, train_loss, validation_loss``; of the last batch of an epoch, and of the
        validation rows of ``"sw"``, else NaN.
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
        treatment_kinds=KINDS,
        weight_kinds=(),
        max_treatments=2,
        reads=READS,
    )

    outcome = "gaussian"  # by which losses are judged

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
        from causalkit.transtee.released_training import inputs_of, train

        check_choice("recipe", self.recipe, RECIPES)
        recipe = RECIPES[self.recipe]
        epochs = recipe.epochs
        if self.max_epochs is not None:
            epochs = min(epochs, check_count("max_epochs", self.max_epochs, least=1))
        seed = as_seed(self.random_state)
        with collect_warnings():
            coding = coding_of(data)
            coded = code_data(coding, data)
            check_data(self.recipe, coding, coded.covariates.numeric, coded.y)
            library = _one_way(coding.library, coding, data)
            network, losses = train(
                inputs_of(recipe, coded.covariates, coded.actions, library),
                coded.y,
                recipe,
                seed=seed_of(seed, "released"),
                epochs=epochs,
                tell=teller(self.progress, type(self).__name__, unit="epoch", total=epochs),
            )
            _warn_if_diverged(network)
        model = ReleasedModel(
            coding=coding,
            stacks=(),
            doses=dose_ranges(coding, coded),
            network=network,
            recipe=recipe,
            losses=losses,
        )
        put(
            self,
            model,
            seed=seed,
            settings=None,
            diagnostics={"epochs trained": [len(losses.train)]},
            conformal=None,
            digest=data.digest(),
            data=data,
        )

    def _spread(self) -> Spread:
        return NO_SPREAD

    def estimate(self, *_: Any, **__: Any) -> EffectResult:
        """Not there; raises ArgumentError."""
        raise _absent("estimate", "the release has no intervals; use TransTEE")

    def overlap(self, **_: Any) -> "pd.DataFrame":
        """Not there; raises ArgumentError."""
        raise _absent("overlap", "the release has no folds; use TransTEE")

    def augment(self, **_: Any) -> "pd.DataFrame":
        """Not there; raises ArgumentError."""
        raise _absent("augment", "the release has no folds; use TransTEE")

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


def _warn_if_diverged(network: Any) -> None:
    import torch

    if not all(torch.isfinite(values).all() for values in network.state_dict().values()):
        warn(
            "training diverged, as the released recipe does on raw outcomes of a large scale; "
            "predictions are NaN.",
            CausalKitWarning,
        )

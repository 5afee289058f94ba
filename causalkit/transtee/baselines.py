"""TARNet, Dragonnet, DRNet and VCNet, trained by the loop of TransTEE, for comparisons.

Splits, scalers, optimiser, epochs, early stopping on the factual validation outcome, stacks of
replications and ensembles are those of :class:`causalkit.TransTEE`. What differs is the network,
and the losses that its paper adds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from causalkit.data import Requires
from causalkit.errors import check_count
from causalkit.inference.arguments import check_between
from causalkit.rng import RandomState
from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.network_estimator import READS, ROLES, NetworkEstimator

N_STRATA = 5
KINDS = ("binary", "multi", "continuous", "dose")
Progress = bool | Callable[[str], None] | None


@dataclass(kw_only=True, eq=False, repr=False)
class BaselineEstimator(NetworkEstimator):
    """A feed-forward representation of the covariates with heads; see its subclasses."""

    name: ClassVar[str]
    requires: ClassVar[Requires] = Requires(
        roles=ROLES,
        treatment_kinds=KINDS,
        allows_nan=True,
        allows_no_dose=True,
        max_treatments=2,
        reads=READS,
    )
    # What only a transformer has, and what comparisons do not vary.
    treatment: ClassVar[str] = "auto"
    n_heads: ClassVar[int] = 1
    n_encoder_layers: ClassVar[int] = 0
    n_decoder_layers: ClassVar[int] = 1
    d_ff: ClassVar[int | None] = None
    max_tokens: ClassVar[int] = 2**31
    n_tokens: ClassVar[int] = 1
    action_encoder: ClassVar[None] = None
    covariate_encoder: ClassVar[None] = None
    regularizer: ClassVar[str | None] = None
    regularizer_weight: ClassVar[float] = 0.0
    density: ClassVar[str] = "gaussian"
    adversary_steps: ClassVar[int] = 1
    bootstrap: ClassVar[bool] = False
    refit: ClassVar[bool] = False
    interval: ClassVar[str] = "ensemble"
    precision: ClassVar[str] = "float32"
    compile: ClassVar[bool] = False
    deterministic: ClassVar[bool] = False
    checkpoint: ClassVar[str | Path | None] = None

    outcome: str = "gaussian"
    d_model: int = 200
    d_head: int = 100
    n_layers: int = 3
    n_head_layers: int = 2
    dropout: float = 0.0
    lr: float | str | Sequence[float] = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    max_epochs: int = 300
    patience: int = 20
    validation_fraction: float = 0.2
    n_ensemble: int = 4
    n_folds: int = 5
    n_rep: int = 1
    doses: Sequence[float] | None = None
    support: tuple[float, float] | None = None
    device: str = "auto"
    random_state: RandomState = None
    progress: Progress = None

    @property
    def baseline(self) -> Baseline:
        """Sizes of the network that replaces the transformer, checked."""
        return Baseline(
            name=self.name,
            width_head=check_count("d_head", self.d_head, least=1),
            n_layers=check_count("n_layers", self.n_layers, least=1),
            n_head_layers=check_count("n_head_layers", self.n_head_layers, least=1),
        )


class TARNet(BaselineEstimator):
    """A representation that all share, and a head for each arm.

    With doses it is what the releases of VCNet and TransTEE call so: a head for each arm and fifth
    of its dose range, of which the dose is one more input.

    Parameters
    ----------
    outcome, dropout, lr, weight_decay, batch_size, max_epochs, patience, validation_fraction, \
n_ensemble, n_folds, n_rep, doses, support, device, random_state, progress
        As in :class:`causalkit.TransTEE`.
    d_model, n_layers : int, default 200 and 3
        Width and hidden layers of the representation.
    d_head, n_head_layers : int, default 100 and 2
        Of every head.

    References
    ----------
    Shalit, Johansson & Sontag (2017), ICML, without the penalty on imbalance.

    Examples
    --------
    >>> import causalkit as ck
    >>> from causalkit.transtee.baselines import TARNet
    >>> data = ck.generators.multi_arm(0, n=120, n_arms=2).blind()
    >>> TARNet(max_epochs=2, random_state=0).fit(data).effect(data).sizes["obs"]
    120
    """

    name: ClassVar[str] = "tarnet"

    @property
    def baseline(self) -> Baseline:
        """Sizes, checked."""
        return replace(super().baseline, n_strata=N_STRATA)


@dataclass(kw_only=True, eq=False, repr=False)
class DragonNet(BaselineEstimator):
    """TARNet with a propensity head on the representation, and targeted regularisation.

    The training loss is that of the outcome, plus α times the cross-entropy of the treatment, plus
    β times the loss of the outcome tilted by ε h, h = t/g − (1 − t)/(1 − g). Effects are those of
    the heads before the tilt, which serves the average effect and not that of a row.

    Parameters
    ----------
    outcome, d_model, n_layers, d_head, n_head_layers, dropout, lr, weight_decay, batch_size, \
max_epochs, patience, validation_fraction, n_ensemble, n_folds, n_rep, doses, support, device, \
random_state, progress
        As in :class:`TARNet`.
    propensity_weight, targeted_weight : float, default 1
        α and β.

    References
    ----------
    Shi, Blei & Veitch (2019), NeurIPS, equations 2.2 and 3.2.
    """

    name: ClassVar[str] = "dragonnet"
    requires: ClassVar[Requires] = Requires(
        roles=ROLES, treatment_kinds=("binary",), allows_nan=True, max_treatments=1, reads=READS
    )

    propensity_weight: float = 1.0
    targeted_weight: float = 1.0

    @property
    def baseline(self) -> Baseline:
        """Sizes and weights of the losses, checked."""
        return replace(
            super().baseline,
            treatment_weight=check_between(
                "propensity_weight", self.propensity_weight, 0.0, math.inf, end=False
            ),
            targeted_weight=check_between(
                "targeted_weight", self.targeted_weight, 0.0, math.inf, end=False
            ),
        )


@dataclass(kw_only=True, eq=False, repr=False)
class DRNet(BaselineEstimator):
    """A head for each arm and each part of its dose range, with the dose as input of every layer.

    Curves are continuous within a part, and may jump from one to the next.

    Parameters
    ----------
    outcome, d_model, n_layers, d_head, n_head_layers, dropout, lr, weight_decay, batch_size, \
max_epochs, patience, validation_fraction, n_ensemble, n_folds, n_rep, doses, support, device, \
random_state, progress
        As in :class:`TARNet`; two layers of 50 and one of 50 in the heads, as in the release of
        VCNet.
    n_strata : int, default 5
        Parts of equal length.

    References
    ----------
    Schwab et al. (2020), AAAI, figure 1.
    """

    name: ClassVar[str] = "drnet"

    n_strata: int = N_STRATA
    d_model: int = 50
    d_head: int = 50
    n_layers: int = 2
    n_head_layers: int = 1

    @property
    def baseline(self) -> Baseline:
        """Sizes, checked."""
        return replace(super().baseline, n_strata=check_count("n_strata", self.n_strata, least=1))


@dataclass(kw_only=True, eq=False, repr=False)
class VCNet(BaselineEstimator):
    """A head for each arm whose weights are functions of the dose, so that curves are smooth.

    Weights are Σ_l a_l φ_l(t) with truncated powers φ. The representation also predicts the density
    of the dose, piecewise linear on a grid, whose negative logarithm enters the training loss.
    Functional targeted regularisation is left out: it needs a fluctuation that follows the dose,
    and a schedule of its own, and serves the average curve alone.

    Parameters
    ----------
    outcome, d_model, n_layers, d_head, n_head_layers, dropout, lr, weight_decay, batch_size, \
max_epochs, patience, validation_fraction, n_ensemble, n_folds, n_rep, doses, support, device, \
random_state, progress
        As in :class:`TARNet`; two layers of 50 and one of 50 in the heads, as in the release.
    degree, n_knots : int, default 2 and 2
        Of the basis; knots divide the range of the dose evenly.
    n_cells : int, default 10
        Of the grid of the density.
    density_weight : float, default 0.5

    References
    ----------
    Nie, Ye, Liu & Nicolae (2021), ICLR, section 3.
    """

    name: ClassVar[str] = "vcnet"

    degree: int = 2
    n_knots: int = 2
    n_cells: int = 10
    density_weight: float = 0.5
    d_model: int = 50
    d_head: int = 50
    n_layers: int = 2
    n_head_layers: int = 1

    @property
    def baseline(self) -> Baseline:
        """Sizes and the weight of the density, checked."""
        return replace(
            super().baseline,
            degree=check_count("degree", self.degree, least=1),
            n_knots=check_count("n_knots", self.n_knots, least=0),
            n_cells=check_count("n_cells", self.n_cells, least=1),
            treatment_weight=check_between(
                "density_weight", self.density_weight, 0.0, math.inf, end=False
            ),
        )

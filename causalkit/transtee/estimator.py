"""TransTEE: one network for treatment effects of any treatment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import check_count
from causalkit.rng import RandomState
from causalkit.transtee import attention as looking
from causalkit.transtee.held_out import observed
from causalkit.transtee.network_estimator import NetworkEstimator

if TYPE_CHECKING:
    import xarray as xr


class TransTEE(NetworkEstimator):
    """Mean outcome under any action, μ(x, a) = E[Y | X = x, A = a], by a transformer.

    Covariates (columns, steps of a sequence, nodes of a graph) become tokens that attend to each
    other; an action becomes tokens that attend to them. Arms are rows of a table, doses are waves,
    several treatments are several tokens, and structured treatments (vectors, sequences, graphs)
    are encoded from what they are made of, so that new ones can be asked about.

    Effects are causal under consistency, no unmeasured confounding given the covariates, and
    overlap at the actions asked about.

    Parameters
    ----------
    treatment : {"auto", "binary", "multi", "continuous", "dose", "several", "structured"}
        What the treatment of the data must be, an error if it is not; ``"auto"`` takes any.
    outcome : {"gaussian", "huber", "bernoulli", "poisson"}, default "gaussian"
        Loss; effects are on the scale of the outcome.
    d_model : int or "auto", default 32
        Width; ``"auto"`` is 32, 64 from 5,000 rows, 128 from 50,000.
    n_heads, n_encoder_layers, n_decoder_layers : int, default 2, 1 and 1
    d_ff : int, optional
        Width of feed-forward layers; default twice ``d_model``.
    dropout : float, default 0
    max_tokens, n_tokens : int, default 256 and 64
        Tables with more columns than ``max_tokens`` become ``n_tokens`` tokens by one linear map.
    action_encoder : torch.nn.Module, optional
        Encoder of structured treatments: vectors ``(items, f)``, sequences ``(items, steps, f)``
        and mask, or ``nodes, edges, owner, n_items`` of graphs, and ``types`` if edges have them,
        to ``(items, d_model)``. Each network starts with the parameters of the module, which stays
        in evaluation mode; those with ``requires_grad=False`` are not trained.
    covariate_encoder : torch.nn.Module, optional
        Encoder of the sequence of the data, ``(rows, steps, f)`` and mask, to
        ``(rows, tokens, d_model)``, likewise.
    regularizer : {None, "tr", "ptr"}
        Train the representation against a model of the treatment: a point prediction, or a
        density. The push grows over the first fifth of all epochs, and the best of the last tenth
        is taken. It can delete confounders that adjustment needs, and the validation loss does not
        see that.
    regularizer_weight : float, default 0.5
    density : {"gaussian", "mixture", "beta"}
        Of a dose, for ``"ptr"``.
    adversary_steps : int, default 5
        Newton steps by which the treatment model is fitted anew for every batch.
    lr : float, sequence of float, or "auto", default 0.002
        Learning rate. Of several, or of .001, .004 and .016 with ``"auto"``, the first network is
        trained at each, and all at the one with the least validation loss.
    weight_decay, batch_size, max_epochs, patience : numbers
        AdamW with 50 steps of warm-up and a cosine to zero; early stopping on the factual outcome
        loss of the validation rows, whose best weights are kept.
    validation_fraction : float, default 0.2
        Of the rows, or of the units and clusters if the data name them, which stay together;
        stratified by treatment.
    n_ensemble : int, default 4
        Networks with seeds and splits of their own, trained together. Each validates on other
        rows, so that all rows are learned from, and their mean is less noisy than any of them; with
        ``interval="conformal"`` all validate on the same rows, which none learns from.
    bootstrap : bool, default False
        Whether each network of an ensemble trains on rows, or whole units and clusters, drawn
        with replacement.
    refit : bool, default False
        Whether each network is trained again on all rows, for as many epochs as its validation
        rows said.
    n_folds, n_rep : int, default 5 and 1
        Of :meth:`estimate`, which trains anew on every fold of every repeated split; estimates of
        repeats are joined by their median, whose error counts how far they differ.
    doses : sequence of float, optional
        Where :meth:`estimate` finds mean outcomes along a dose; default quartiles, or all values if
        they are at most ten. A study asks at the doses of its truth.
    interval : {"ensemble", "conformal"}
        Of unit effects: spread over networks, or conformal intervals for Y(1) − Y(0).
    support : (low, high), optional
        Range of the doses; default that of the training rows.
    device : str, default "auto"
        A GPU if there is one.
    precision : {"auto", "float32", "bf16"}
    compile : bool, default False
        On a GPU, send encoder and decoder through torch.compile. On a processor, where compiling
        takes minutes, and with dropout it is left out, with a warning.
    deterministic : bool, default False
        Refuse kernels whose sums depend on order; on a CPU results are reproducible anyway.
    checkpoint : path, optional
        Folder from which interrupted training goes on exactly.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    References
    ----------
    Zhang, Zhang, Lipton, Li & Xing (2022), arXiv:2202.01336.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.dose_synthetic(0, n=120).blind()
    >>> est = ck.TransTEE(max_epochs=2, random_state=0).fit(data)
    >>> est.dose_response(data, grid=5).sizes["dose"]
    5
    """

    # What the networks that it is compared with put in place of the transformer.
    baseline: ClassVar[None] = None

    def __init__(
        self,
        *,
        treatment: str = "auto",
        outcome: str = "gaussian",
        d_model: int | str = 32,
        n_heads: int = 2,
        n_encoder_layers: int = 1,
        n_decoder_layers: int = 1,
        d_ff: int | None = None,
        dropout: float = 0.0,
        max_tokens: int = 256,
        n_tokens: int = 64,
        action_encoder: Any = None,
        covariate_encoder: Any = None,
        regularizer: Literal["tr", "ptr"] | None = None,
        regularizer_weight: float = 0.5,
        density: str = "gaussian",
        adversary_steps: int = 5,
        lr: float | str | Sequence[float] = 2e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 128,
        max_epochs: int = 300,
        patience: int = 20,
        validation_fraction: float = 0.2,
        n_ensemble: int = 4,
        bootstrap: bool = False,
        refit: bool = False,
        n_folds: int = 5,
        n_rep: int = 1,
        doses: Sequence[float] | None = None,
        interval: str = "ensemble",
        support: tuple[float, float] | None = None,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        deterministic: bool = False,
        checkpoint: str | Path | None = None,
        random_state: RandomState = None,
        progress: bool | Callable[[str], None] | None = None,
    ) -> None:
        self.treatment = treatment
        self.outcome = outcome
        self.d_model = d_model
        self.n_heads = n_heads
        self.n_encoder_layers = n_encoder_layers
        self.n_decoder_layers = n_decoder_layers
        self.d_ff = d_ff
        self.dropout = dropout
        self.max_tokens = max_tokens
        self.n_tokens = n_tokens
        self.action_encoder = action_encoder
        self.covariate_encoder = covariate_encoder
        self.regularizer = regularizer
        self.regularizer_weight = regularizer_weight
        self.density = density
        self.adversary_steps = adversary_steps
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.n_ensemble = n_ensemble
        self.bootstrap = bootstrap
        self.refit = refit
        self.n_folds = n_folds
        self.n_rep = n_rep
        self.doses = doses
        self.interval = interval
        self.support = support
        self.device = device
        self.precision = precision
        self.compile = compile
        self.deterministic = deterministic
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.progress = progress

    def attention(
        self,
        data: CausalData,
        *,
        treatment: Any = None,
        layer: int = -1,
        which: str = "cross",
        average: tuple[str, ...] = ("head",),
    ) -> "xr.DataArray":
        """Attention of an action to every covariate, by row; weights sum to one.

        It says where the network looked, not what causes what, nor which covariates are
        confounders; see :meth:`permutation_importance` beside it.

        Parameters
        ----------
        data : CausalData
        treatment : action, or list of actions
            Default: every arm. A dose, or a structured treatment, must be named.
        layer : int, default -1
        which : {"cross", "encoder", "rollout"}
            Action to covariates, covariates to each other, or the first carried through the second.
        average : tuple
            ``("head",)`` averages over heads; ``()`` keeps them.

        Returns
        -------
        xarray.DataArray
            Dims ``obs[, treatment][, head][, query], covariate``, with ``treatment`` for a list and
            for the default.

        Raises
        ------
        ArgumentError
            If no action is named and there are no arms, or tokens belong to no covariate.
        """
        model, asked = self._model(), self._asked(data)
        if treatment is None:
            treatment = model.every_arm()
        names, actions = model.listed(treatment, asked)
        found = [
            looking.attention(model, asked, action, layer=layer, which=which, average=average)
            for action in actions
        ]
        if not isinstance(treatment, list):
            return found[0]
        return looking.side_by_side(found, names)

    def permutation_importance(
        self,
        data: CausalData,
        *,
        treatment: Any = None,
        baseline: Any = None,
        n_repeats: int = 5,
    ) -> pd.DataFrame:
        """What shuffling each covariate does to the factual loss and to the effects.

        A sequence or graph is one covariate, shuffled as a whole.

        Parameters
        ----------
        data : CausalData
            With outcomes and treatments.
        treatment : action, or list of actions
            Compared with ``baseline``; default every level against the first.
        baseline : action
        n_repeats : int

        Returns
        -------
        DataFrame
            ``covariate, loss_increase, effect_change, attention``, the last two over all
            treatments; ``attrs["rank_correlation"]`` compares attention with both. The loss is that
            of :meth:`loss`.

        Raises
        ------
        DataError, ArgumentError
            If the rows are not like those of training, or have no outcomes or treatments.
        """
        model, asked = self._model(), self._asked(data)
        coded = observed(model, asked, data, self.outcome)
        treatment, baseline = model.contrasts(
            treatment, baseline, by="permutation_importance(data, treatment=[...], "
        )
        return looking.permutation_importance(
            model,
            asked,
            family=self.outcome,
            coded=coded,
            treatments=model.listed(treatment, asked)[1],
            baseline=model.action(baseline, asked),
            n_repeats=check_count("n_repeats", n_repeats, least=1),
            seed=self.seed_,
        )

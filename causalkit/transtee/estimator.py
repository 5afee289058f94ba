"""TransTEE: one network for treatment effects of any treatment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, NotFittedError
from causalkit.estimator import Estimator
from causalkit.inference.arguments import check_probability
from causalkit.optional import require
from causalkit.rng import RandomState, as_seed
from causalkit.transtee import effects
from causalkit.transtee.model import Asked, Model
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr


KINDS = ("binary", "multi", "continuous", "dose", "structured")
MEMORY_BUDGET = 2**30


class TransTEE(Estimator):
    """Mean outcome under any action, μ(x, a) = E[Y | X = x, A = a], by a transformer.

    Covariates become tokens that attend to each other; an action becomes tokens that attend to
    them. Arms are rows of a table, doses are waves, several treatments are several tokens, and
    structured treatments (vectors, sequences, graphs) are encoded from what they are made of, so
    that new ones can be asked about.

    Effects are causal under consistency, no unmeasured confounding given the covariates, and
    overlap at the actions asked about.

    Parameters
    ----------
    treatment : {"auto"}, default "auto"
        Kinds are those that the data declare or infer.
    outcome : {"gaussian", "huber", "bernoulli", "poisson"}, default "gaussian"
        Loss; effects are on the scale of the outcome.
    d_model : int or "auto", default 32
        Width; ``"auto"`` is 32, 64 from 5,000 rows, 128 from 50,000.
    n_heads, n_encoder_layers, n_decoder_layers : int, default 4, 1 and 1
    d_ff : int, optional
        Width of feed-forward layers; default twice ``d_model``.
    dropout : float, default 0
    max_tokens, n_tokens : int, default 256 and 64
        Tables with more columns than ``max_tokens`` become ``n_tokens`` tokens by one linear map.
    regularizer : {None, "tr", "ptr"}
        Train the representation against a model of the treatment: a point prediction, or a
        density. It can delete confounders that adjustment needs, and the validation loss does not
        see that.
    regularizer_weight : float, default 0.5
    density : {"gaussian", "mixture", "beta"}
        Of a dose, for ``"ptr"``.
    adversary_steps : int, default 1
    lr, weight_decay, batch_size, max_epochs, patience : numbers
        AdamW with 50 steps of warm-up and a cosine to zero; early stopping on the factual outcome
        loss of the validation rows, whose best weights are kept.
    validation_fraction : float, default 0.2
        Split by unit or cluster if the data name one, else stratified by treatment.
    n_ensemble : int, default 1
        Networks with seeds and splits of their own, trained together.
    bootstrap : bool, default False
        Whether each network of an ensemble trains on rows drawn with replacement.
    n_folds : int, default 2
        Of :meth:`estimate`, which trains anew.
    interval : {"ensemble", "conformal"}
        Of unit effects: spread over networks, or conformal intervals for Y(1) − Y(0).
    support : (low, high), optional
        Range of the doses; default that of the training rows.
    device : str, default "auto"
        A GPU if there is one.
    precision : {"auto", "float32", "bf16"}
    deterministic : bool, default False
        Refuse kernels whose sums depend on order; on a CPU results are reproducible anyway.
    checkpoint : path, optional
        Folder from which interrupted training goes on exactly.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable

    Attributes
    ----------
    model_ : Model
        Coding and networks.
    history_ : DataFrame
        ``network, epoch, train_loss, validation_loss``.
    diagnostics_ : mapping
    n_parameters_ : int
        Of one network.

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

    requires: ClassVar[Requires] = Requires(treatment_kinds=KINDS, allows_nan=True)
    model_: Model
    seed_: int

    def __init__(
        self,
        *,
        treatment: str = "auto",
        outcome: str = "gaussian",
        d_model: int | str = 32,
        n_heads: int = 4,
        n_encoder_layers: int = 1,
        n_decoder_layers: int = 1,
        d_ff: int | None = None,
        dropout: float = 0.0,
        max_tokens: int = 256,
        n_tokens: int = 64,
        regularizer: Literal["tr", "ptr"] | None = None,
        regularizer_weight: float = 0.5,
        density: str = "gaussian",
        adversary_steps: int = 1,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 128,
        max_epochs: int = 300,
        patience: int = 40,
        validation_fraction: float = 0.2,
        n_ensemble: int = 1,
        bootstrap: bool = False,
        n_folds: int = 2,
        interval: str = "ensemble",
        support: tuple[float, float] | None = None,
        device: str = "auto",
        precision: str = "auto",
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
        self.n_folds = n_folds
        self.interval = interval
        self.support = support
        self.device = device
        self.precision = precision
        self.deterministic = deterministic
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.progress = progress

    def fit(self, data: CausalData) -> Self:
        """Train on the data; nothing but factual outcomes decides anything.

        Raises
        ------
        DataError, ArgumentError, TrainingError
            If the data, an argument or the training cannot go on; says what to change.
        MissingDependencyError
            If torch is not installed.
        """
        return self.fit_many([data], estimators=[self])[0]

    @classmethod
    def fit_many(
        cls,
        datasets: Sequence[CausalData],
        *,
        estimators: "Sequence[Self] | None" = None,
        **arguments: Any,
    ) -> "list[Self]":
        """Train on many data sets at once, such as the replications of a simulation.

        Networks whose data sets have as many rows train as one stack; each gets what it would get
        alone, to rounding.

        Parameters
        ----------
        datasets : sequence of CausalData
            With the same columns, levels and kinds.
        estimators : sequence of TransTEE, optional
            One for each data set, equal but for ``random_state``; default ``cls(**arguments)``,
            whose seeds are ``random_state`` for the first data set, plus one for the next, ...
        **arguments
            Of the constructor.

        Returns
        -------
        list of TransTEE
            Fitted, one per data set.

        Raises
        ------
        ArgumentError
            If there is no data set, or their columns differ.
        """
        require("torch", extra="deep", needed_by=cls.__name__)
        from causalkit.transtee.many import fit_together

        if not datasets:
            raise ArgumentError("fit_many needs at least one data set.")
        if estimators is None:
            seed = as_seed(arguments.pop("random_state", None))
            estimators = [
                cls(**arguments, random_state=seed + place) for place in range(len(datasets))
            ]
        for estimator, data in zip(estimators, datasets, strict=True):
            estimator._check_data(data)
            data.require(estimator.requires, by=cls.__name__)
        fit_together(estimators, datasets)
        return list(estimators)

    def predict(self, data: CausalData, *, treatment: Any) -> Floats:
        """Mean outcome of every row under an action.

        Parameters
        ----------
        data : CausalData
            Columns are found by name; its own treatments are not used.
        treatment : scalar, tuple, array, mapping, or list of these
            One action for everyone (a level, a dose, ``(arm, dose)``, a value per treatment), one
            for each row, or a list of actions.

        Returns
        -------
        (n,) array, or (n, G) for a list
        """
        return effects.predict(self._model(), self._asked(data), treatment)

    def effect(
        self,
        data: CausalData,
        *,
        treatment: Any = None,
        baseline: Any = None,
        level: float = 0.95,
    ) -> "xr.Dataset":
        """Effect μ(x, treatment) − μ(x, baseline) of every row.

        Parameters
        ----------
        data : CausalData
        treatment, baseline : actions, as in :meth:`predict`
            Default: every level against the first.
        level : float

        Returns
        -------
        xarray.Dataset
            ``effect, std_error, conf_low, conf_high``, dims ``obs`` or ``obs, treatment``. With one
            network the spread is NaN. ``interval="conformal"``: intervals for the difference of the
            two outcomes of a unit, not for its mean.
        """
        check_probability(level)
        model, asked = self._model(), self._asked(data)
        return effects.effect(model, asked, treatment, baseline, level=level)

    def dose_response(
        self,
        data: CausalData,
        *,
        grid: Any = 65,
        arm: Any = None,
        individual: bool = True,
        level: float = 0.95,
        memory_budget: int = MEMORY_BUDGET,
    ) -> "xr.Dataset":
        """Mean outcome along doses: on average, with a band over networks, and by row.

        Parameters
        ----------
        data : CausalData
        grid : int or array
            Number of doses over the range seen in training, or the doses.
        arm : level, optional
            Whose doses, if the treatment has arms.
        individual : bool
            Whether to keep the curve of every row, ``individual (obs, dose)``.
        level : float
        memory_budget : int
            Bytes to use beside the data and the result.

        Returns
        -------
        xarray.Dataset
            ``adrf, std_error, conf_low, conf_high, band_low, band_high, extrapolated (dose)``.
        """
        check_probability(level)
        return effects.dose_response(
            self._model(),
            self._asked(data),
            grid=grid,
            arm=arm,
            individual=individual,
            level=level,
            seed=self.seed_,
            memory_budget=memory_budget,
        )

    def best_action(
        self, data: CausalData, *, grid: Any = effects.N_GRID, memory_budget: int = MEMORY_BUDGET
    ) -> "xr.Dataset":
        """Arm, dose or both with the largest mean outcome of every row, and that outcome."""
        return effects.best_action(
            self._model(), self._asked(data), grid=grid, memory_budget=memory_budget
        )

    def save(self, path: Any) -> None:
        """Write a folder of tensors and plain text: no pickle, no data rows.

        Raises
        ------
        NotFittedError, StorageError
        """
        from causalkit.transtee.saving import save

        self._check_fitted()
        save(self, Path(path))

    @classmethod
    def load(cls, path: Any) -> Self:
        """Read what :meth:`save` wrote; predictions are the same to the bit on the same device.

        Raises
        ------
        StorageError
            If the folder is not whole, was changed, or has another schema.
        """
        require("torch", extra="deep", needed_by=cls.__name__)
        from causalkit.transtee.saving import load

        loaded: Self = load(cls, Path(path))
        return loaded

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("this TransTEE is not fitted yet; call fit(data) first.")

    def _model(self) -> Model:
        self._check_fitted()
        return self.model_

    def _asked(self, data: CausalData) -> Asked:
        self._check_data(data)
        return self._model().asked(data)

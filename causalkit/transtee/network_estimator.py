"""What every estimator made of stacked networks can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from causalkit.data import CausalData, Requires
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    NotFittedError,
    check_count,
    check_flag,
    check_level,
)
from causalkit.estimator import WithArguments
from causalkit.optional import require
from causalkit.rng import as_seed
from causalkit.transtee import effects
from causalkit.transtee.average_estimator import AverageEstimator
from causalkit.transtee.best_actions import N_GRID, best_action
from causalkit.transtee.conformal import Conformal, conformal_effect, conformal_outcome
from causalkit.transtee.model import Asked, Model
from causalkit.transtee.predicting import MEMORY_BUDGET
from causalkit.transtee.settings import Settings
from causalkit.transtee.spread import Spread, spread_of
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr

ROLES = ("outcome", "treatment")
READS = ("sequence", "graph")
KINDS = ("binary", "multi", "continuous", "dose", "structured")


class NetworkEstimator(AverageEstimator):
    """Fitting, predictions, effects, curves, averages, saving: all that no network is special in.

    Attributes
    ----------
    model_ : Model
        Coding and networks.
    history_ : DataFrame
        ``network, epoch, train_loss, validation_loss``.
    diagnostics_ : mapping
    n_parameters_ : int
        Of one network.
    config_ : mapping
        Arguments and sizes as the fit used them; ``"bottleneck"`` is the tokens that a wide table
        became, or 0.
    arms_ : tuple
        Every arm by its label in the data; of several treatments "column=level", or the column.
    dose_range_ : mapping of arm to (low, high)
        Doses seen in training, or the declared support; arms that take none are not there.
    """

    requires: ClassVar[Requires] = Requires(
        roles=ROLES, treatment_kinds=KINDS, allows_nan=True, allows_no_dose=True, reads=READS
    )
    model_: Model
    seed_: int
    _settings: Settings
    _digest: str
    _conformal: Conformal | None

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

    @WithArguments
    def fit_many(
        cls,
        datasets: Sequence[CausalData],
        *,
        estimators: "Sequence[Self] | None" = None,
        **arguments: Any,
    ) -> "list[Self]":
        """Train on many data sets at once, such as the replications of a simulation.

        Networks whose data sets have as many rows train as one stack, on a processor by as many
        threads as ``torch.get_num_threads()``; each gets what it would get alone: to the last bit
        on a processor where heads are a multiple of four wide, as by default, and graphs among the
        covariates are padded alike, else to rounding.

        Parameters
        ----------
        datasets : sequence of CausalData
            With the same columns, levels, kinds and tables of items; all with weights, or none.
        estimators : sequence of TransTEE, optional
            One for each data set, equal but for ``random_state``; default ``cls(**arguments)``,
            whose seeds are ``random_state`` for the first data set, plus one for the next, ...
        **arguments
            Of the constructor, where no estimators are given; called on an estimator, those that
            differ from its own.

        Returns
        -------
        list of TransTEE
            Fitted, one per data set.

        Raises
        ------
        ArgumentError
            If there is no data set, they differ in what networks of one stack share, or estimators
            are not as many, or not equal.
        DataError
            If one of the data sets could not be trained on alone.
        """
        require("torch", extra="deep", needed_by=cls.__name__)
        if isinstance(datasets, CausalData):
            raise ArgumentTypeError(
                "fit_many takes a list of data sets, got one CausalData; pass a list of it, "
                "fit_many([data]), or call fit(data)."
            )
        if not datasets:
            raise ArgumentError("fit_many needs at least one data set.")
        if estimators is None:
            seed = as_seed(arguments.pop("random_state", None))
            estimators = [
                cls(**arguments, random_state=seed + place) for place in range(len(datasets))
            ]
        elif arguments:
            raise ArgumentError(
                f"fit_many takes estimators or arguments, and got both ({', '.join(arguments)}); "
                "set them on the estimators."
            )
        if len(estimators) != len(datasets):
            raise ArgumentError(
                f"fit_many needs an estimator for each of the {len(datasets)} data sets, got "
                f"{len(estimators)}."
            )
        for estimator, data in zip(estimators, datasets, strict=True):
            estimator._check_data(data)
            data.require(estimator.requires, by=cls.__name__)
        cls._train(estimators, datasets)
        return list(estimators)

    @classmethod
    def _train(cls, estimators: "Sequence[Self]", datasets: Sequence[CausalData]) -> None:
        """Train checked estimators on checked data sets."""
        from causalkit.transtee.fit_together import fit_together

        fit_together(estimators, datasets)

    def predict(self, data: CausalData, *, treatment: Any) -> Floats:
        """Mean outcome of every row under an action.

        Parameters
        ----------
        data : CausalData
            Columns are found by name; its own treatments are not used.
        treatment : scalar, tuple, array, mapping, or list of these
            One action for everyone (a level, a dose, ``(arm, dose)``, ``(arm, None)`` where it
            takes none, a value per treatment), one for each row, or a list of actions.

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
            ``effect, std_error, conf_low, conf_high``, dims ``obs`` or ``obs, treatment``: from the
            spread over networks, by Student's t, NaN with one network; ``attrs["interval"]`` says
            what that counts. ``interval="conformal"``: intervals for the difference of the two
            outcomes of a unit, not for its mean.
        """
        check_level(level)
        model, asked = self._model(), self._asked(data)
        found = effects.effect(
            model, asked, treatment, baseline, level=level, spread=self._spread()
        )
        if self._conformal is None:
            return found.assign_attrs(interval=self._spread().told)
        found = conformal_effect(
            self._conformal, found, model, asked, treatment, baseline, level=level
        )
        return found.assign_attrs(interval="conformal, for the difference of two outcomes")

    def outcome_interval(
        self, data: CausalData, *, treatment: Any, level: float = 0.95
    ) -> "xr.Dataset":
        """Conformal interval of the outcome of every row under an arm; ``interval="conformal"``.

        Returns
        -------
        xarray.Dataset
            ``outcome, conf_low, conf_high (obs)``.

        References
        ----------
        Lei & Candès (2021), JRSS B 83:911.
        """
        check_level(level)
        model, asked = self._model(), self._asked(data)
        if self._conformal is None:
            raise ArgumentError('outcome_interval needs interval="conformal" when fitting.')
        return conformal_outcome(self._conformal, model, asked, treatment, level=level)

    def dose_response(
        self,
        data: CausalData,
        *,
        grid: Any = 65,
        arm: Any = None,
        others: Mapping[str, Any] | None = None,
        individual: bool = True,
        level: float = 0.95,
        memory_budget: int = MEMORY_BUDGET,
        to_zarr: Any = None,
    ) -> "xr.Dataset":
        """Mean outcome along doses: on average, with a band over networks, and by row.

        Parameters
        ----------
        data : CausalData
        grid : int or array
            Number of doses over the range seen in training, or the doses.
        arm : level, optional
            Whose doses, if the treatment has arms; one that takes a dose. Of several treatments
            the column of the one whose doses vary.
        others : mapping of column to value, optional
            At which values the others of several treatments are held.
        individual : bool
            Whether to keep the curve of every row, ``individual (obs, dose)``.
        level : float
        memory_budget : int
            Bytes to use beside the data and the result; a processor takes less, as small pieces
            are faster there.
        to_zarr : path, optional
            New zarr store, to which curves of rows go block by block; the result reads them from
            there when they are asked for.

        Returns
        -------
        xarray.Dataset
            ``adrf, std_error, conf_low, conf_high, band_low, band_high, extrapolated (dose)``. The
            interval at a dose and the band of the whole curve are from the spread over networks, by
            Student's t; ``attrs["interval"]`` says what that counts. Drawn by
            :func:`causalkit.transtee.plots.plot_dose_response`.
        """
        check_level(level)
        model = self._model()
        curve = effects.dose_response(
            model,
            self._asked(data),
            grid=grid,
            arm=arm,
            others=others,
            individual=individual,
            level=level,
            seed=self.seed_,
            memory_budget=check_count("memory_budget", memory_budget, least=1),
            spread=self._spread(),
            to_zarr=to_zarr,
        )
        dosed = dict(zip(model.coding.actions.kinds, model.coding.actions.columns, strict=True))
        return curve.assign_attrs(
            outcome=data.roles.outcome[0] if data.roles.outcome else "outcome",
            dose=arm if others else dosed.get("dose", dosed.get("continuous", "dose")),
            level=level,
        )

    def _spread(self) -> Spread:
        return spread_of(self._settings, self._model().n_members)

    def best_action(
        self,
        data: CausalData,
        *,
        maximise: bool = True,
        grid: Any = N_GRID,
        memory_budget: int = MEMORY_BUDGET,
    ) -> "xr.Dataset":
        """Arm, dose, both, or item with the largest mean outcome of every row, and that outcome.

        Parameters
        ----------
        data : CausalData
            Of a structured treatment, its tables say which items there are to choose from.
        maximise : bool, default True
            False: the smallest mean outcome.
        grid : int or array
            Doses to begin from, as in :meth:`dose_response`.
        memory_budget : int

        Returns
        -------
        xarray.Dataset
            ``arm``, ``dose`` (NaN where the best arm takes none) or ``item``, and ``outcome``
            ``(obs)``.
        """
        check_flag("maximise", maximise)
        return best_action(
            self._model(),
            self._asked(data),
            grid=grid,
            memory_budget=check_count("memory_budget", memory_budget, least=1),
            maximise=maximise,
        )

    def summary(self) -> str:
        """Sizes, epochs, kind of interval, diagnostics and warnings, in lines of 80 columns."""
        from causalkit.results.render import page_text
        from causalkit.transtee.summary import page

        self._check_fitted()
        return page_text(page(self))

    def save(self, path: Any) -> None:
        """Write a folder of tensors and plain text: no pickle, no data rows.

        Raises
        ------
        NotFittedError
        ArgumentError
            If an argument, a level or the name of an item is something that text cannot hold.
        StorageError
            If the folder has other things than a saved fit, or cannot be written.
        """
        from causalkit.transtee.saving import save

        self._check_fitted()
        save(self, Path(path))

    @classmethod
    def load(cls, path: Any, **modules: Any) -> Self:
        """Read what :meth:`save` wrote; predictions are the same to the bit on the same device.

        Parameters
        ----------
        path : path
        **modules : torch.nn.Module
            ``action_encoder`` and ``covariate_encoder`` of the fit, if it had them: a folder holds
            their parameters and buffers, the names of their classes and a digest of what else
            they are, and no code.

        Raises
        ------
        ArgumentError
            If the modules are not like those of the fit, or another argument is given.
        StorageError
            If the folder is not whole, was changed, or has another schema.
        """
        require("torch", extra="deep", needed_by=cls.__name__)
        from causalkit.transtee.saving import load

        loaded: Self = load(cls, Path(path), modules)
        return loaded

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet; call fit(data) first."
            )

    def _fitted_digest(self) -> str | None:
        return self._digest

    def _model(self) -> Model:
        self._check_fitted()
        return self.model_

    def _asked(self, data: CausalData) -> Asked:
        self._check_data(data, method="")
        return self._model().asked(data)

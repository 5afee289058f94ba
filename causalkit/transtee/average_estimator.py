"""Averages of a fitted network estimator, whether its data can tell them, and held-out losses."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from causalkit.errors import IdentificationError, check_count
from causalkit.estimator import Estimator
from causalkit.results import EffectResult
from causalkit.transtee.by_row import ByRow
from causalkit.transtee.coding import code_data
from causalkit.transtee.crossfit import FoldNetworks
from causalkit.transtee.held_out import FactualLoss, factual_loss
from causalkit.transtee.inference import average_effects
from causalkit.transtee.known_chances import known_chances
from causalkit.transtee.model import Model
from causalkit.transtee.overlap import overlap_table
from causalkit.transtee.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from causalkit.data import CausalData
    from causalkit.transtee.known_chances import Propensity


class AverageEstimator(Estimator):
    """Averages, overlap and losses; a subclass sets ``model_`` and ``_settings`` in ``fit``."""

    model_: Model
    doses: Any
    n_folds: int
    n_rep: int
    outcome: str
    _settings: Settings
    _fold_networks: dict[tuple[int, int], FoldNetworks]

    def estimate(
        self,
        estimand: Literal["ate", "att", "atc", "gate", "calibration", "adrf"] | None = None,
        *,
        baseline: Any = None,
        groups: Any = None,
        arm: Any = None,
        doses: Any = None,
        propensity: "Propensity" = "auto",
        bandwidth: float | None = None,
        data: "CausalData | None" = None,
    ) -> EffectResult:
        """Average effects with intervals: networks trained anew on folds, in doubly robust scores.

        Parameters
        ----------
        estimand : {"ate", "att", "atc", "gate", "calibration", "adrf"}, optional
            Of arms (AIPW): each against the baseline over everyone, the default; over those who
            received it; over those who received the baseline; by group; or the calibration of its
            predicted effects (slope one if they differ between rows as effects do, zero if they
            say nothing). E[Y(t)] at doses, E[Y(k, t)] at doses of arms, is all that there is for
            one dose or arms with doses. An arm that takes none has E[Y(k)] there (AIPW).
        baseline : action, optional
            An arm, by default the first level. With doses one of them, ``(arm, dose)``, or
            ``(arm, None)`` where it takes none: mean outcomes are then compared with that one, and
            the result holds the differences.
        groups : str or (n,) array, optional
            Of ``"gate"``: a column of the data, or a label for each row.
        arm : level, optional
            Of arms with doses, the one to estimate; default all.
        doses : array, optional
            Where to estimate the mean outcome; of every arm with a dose, if no arm is named.
            Default those of the estimator, or quartiles, in each arm those of its own rows.
        propensity : learner, pair or known propensities, default "auto"
            Learner of P(arm | X), or of the mean of the dose; of arms with doses a name for both,
            or two, ``(classifier, regressor)``. Known of a trial, of two arms the propensity of the
            second as a number, a column of the data or an array; of any a mapping of arms to these,
            or an ``(n, arms)`` array.
        bandwidth : float, optional
            Of the local quadratic of residuals along the dose; default sd(T) n^(−1/5), in each arm
            that of its rows.
        data : CausalData, optional
            The training data again, for a loaded estimator.

        Raises
        ------
        ArgumentError, NotFittedError
        DataError
            If the baseline is no action of the data.
        IdentificationError
            If the treatment has no such average, as structured ones have none, too few rows were
            seen near a dose or in an arm, or predicted effects do not vary.
        """
        return self._averages(
            estimand=estimand,
            baseline=baseline,
            groups=groups,
            arm=arm,
            doses=doses,
            propensity=propensity,
            bandwidth=bandwidth,
            data=data,
        )[0]

    def augment(
        self,
        *,
        baseline: Any = None,
        arm: Any = None,
        doses: Any = None,
        propensity: "Propensity" = "auto",
        bandwidth: float | None = None,
        data: "CausalData | None" = None,
    ) -> "pd.DataFrame":
        """One row per observation: what :meth:`estimate` with these arguments predicted of it.

        Networks that :meth:`estimate` trained are used again.

        Parameters
        ----------
        baseline, arm, doses, propensity, bandwidth, data
            As in :meth:`estimate`.

        Returns
        -------
        DataFrame
            ``row, fold``; by models that did not see the row ``outcome_hat`` under the action
            received, of arms ``outcome:<arm>_hat``, and ``propensity_hat`` of the second of two
            arms or ``propensity:<arm>_hat``; ``outcome_residual``; of arms ``effect_<term>``, the
            predicted effect; and ``influence_<term>``, whose variance over rows is n times that of
            the estimate if rows are independent. Averages over repeated splits; the fold is that of
            the first.

        Raises
        ------
        ArgumentError, NotFittedError, DataError, IdentificationError
            As :meth:`estimate`.
        """
        result, by_row = self._averages(
            baseline=baseline,
            arm=arm,
            doses=doses,
            propensity=propensity,
            bandwidth=bandwidth,
            data=data,
        )
        return by_row.frame(result)

    def _averages(
        self,
        *,
        estimand: str | None = None,
        baseline: Any,
        groups: Any = None,
        arm: Any,
        doses: Any,
        propensity: "Propensity",
        bandwidth: float | None,
        data: "CausalData | None",
    ) -> tuple[EffectResult, ByRow]:
        """Averages, and what was predicted of every row."""
        self._check_fitted()
        used = self._need_data(data)
        coding = self.model_.coding
        code = coding.actions
        if code.kind == "structured":
            raise IdentificationError(
                "estimate() has scores of arms and of doses, and none of structured treatments; "
                "effect(), predict() and best_action() answer by row. In a study use a function of "
                "the data, 'module:function', in place of the class, which fits it and returns an "
                "EffectResult with the numbers that are to be judged."
            )
        if doses is None and (np.ndim(arm) or arm not in code.undosed):
            doses = self.doses
        return average_effects(
            used,
            coding,
            code_data(coding, used),
            self._of_averages(),
            estimand,
            kept=self._fold_networks,
            arm=arm,
            doses=doses,
            baseline=baseline,
            groups=groups,
            propensity=known_chances(propensity, used, code),
            bandwidth=bandwidth,
        )

    def overlap(
        self,
        *,
        arm: Any = None,
        propensity: "Propensity" = "auto",
        data: "CausalData | None" = None,
    ) -> "pd.DataFrame":
        """How likely every arm, or every range of doses, was for the rows; nothing is trained anew.

        Parameters
        ----------
        arm : level, optional
            Of arms with doses, the one whose doses are shown; default none: the arms themselves.
        propensity : learner, pair or known propensities, default "auto"
            As in :meth:`estimate`, learned on its folds.
        data : CausalData, optional
            The training data again, for a loaded estimator.

        Returns
        -------
        DataFrame
            For arms one line each: ``rows`` that received it, their ``effective_rows`` once
            weighted by inverse propensities (Kish), and over all rows the propensity of the arm:
            ``least``, ``p05``, ``median``, ``p95``, ``largest``, and the share of rows ``below``
            the bound to which :meth:`estimate` moves it. For one dose, or the doses of an arm, a
            line for every fifth of the rows by E[T | X] (``expected_low``, ``expected_high``) and
            every fifth by T of those that received it (``dose_low``, ``dose_high``): ``rows`` seen
            there, and the ``share`` of the region's rows that the density of T given X, times the
            propensity of the arm, expects there.

        Raises
        ------
        ArgumentError, NotFittedError
        IdentificationError
            If the treatment has neither arms nor one dose, or the arm too few rows.
        """
        self._check_fitted()
        used = self._need_data(data)
        coding = self.model_.coding
        learner = known_chances(propensity, used, coding.actions)
        return overlap_table(
            coding, code_data(coding, used), self._of_averages(), learner=learner, arm=arm
        )

    def _of_averages(self) -> Settings:
        """Settings of the fit, with the folds of now: nothing that was fitted depends on them."""
        return replace(
            self._settings,
            n_folds=check_count("n_folds", self.n_folds, least=2),
            n_rep=check_count("n_rep", self.n_rep, least=1),
        )

    def loss(self, data: "CausalData") -> FactualLoss:
        """Loss of predicted mean outcomes of rows under the actions that they received.

        On rows that were not trained on it compares settings, without a look at any effect: the
        factual loss is all of the error of outcomes that data show. A setting with a smaller one
        need not be closer to the effects where actions were rare.

        Parameters
        ----------
        data : CausalData
            With outcomes and treatments.

        Returns
        -------
        FactualLoss
            ``mean``, ``std_error`` and ``by_row (n,)``. In units of the outcome: its square for
            ``outcome="gaussian"``; Huber's loss with the bend at a standard deviation of the
            outcome of these rows; for ``"bernoulli"`` and ``"poisson"`` the negative
            log-likelihood, without the constant of the latter.

        Raises
        ------
        DataError, ArgumentError
            If the rows are not like those of training, or have outcomes that cannot be.
        """
        self._check_data(data, method="")
        self._check_fitted()
        return factual_loss(self.model_, self.model_.asked(data), data, self.outcome)

    def score(self, data: "CausalData") -> float:
        """Minus the mean of :meth:`loss`: larger is better, as selection in scikit-learn has it."""
        return -self.loss(data).mean

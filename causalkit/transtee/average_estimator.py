"""Averages of a fitted network estimator, and whether its data can tell them."""

from typing import TYPE_CHECKING, Any, Literal

from causalkit.estimator import Estimator
from causalkit.results import EffectResult
from causalkit.transtee.fitting import code_data
from causalkit.transtee.inference import average_effects
from causalkit.transtee.model import Model
from causalkit.transtee.overlap import overlap_table
from causalkit.transtee.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from causalkit.data import CausalData
    from causalkit.typing import Learner


class AverageEstimator(Estimator):
    """Averages and overlap; a subclass sets ``model_`` and ``_settings`` in ``fit``."""

    model_: Model
    _settings: Settings

    def estimate(
        self,
        estimand: Literal["ate", "calibration", "adrf"] | None = None,
        *,
        propensity: "str | Learner" = "auto",
        doses: Any = None,
        bandwidth: float | None = None,
        data: "CausalData | None" = None,
    ) -> EffectResult:
        """Average effects with intervals: networks trained anew on folds, in doubly robust scores.

        Parameters
        ----------
        estimand : {"ate", "calibration", "adrf"}, optional
            Every arm against the first (AIPW), the default for arms; the calibration of the
            predicted effects of arms (slope one if they differ between rows as effects do, zero if
            they say nothing); or E[Y(t)] at some doses, all that there is for one dose.
        propensity : str or scikit-learn estimator, default "auto"
            Learner of P(arm | X), or of the mean of the dose.
        doses : array, optional
            Where to estimate the mean outcome of a continuous treatment; default its quartiles.
        bandwidth : float, optional
            Of the local quadratic of residuals along the dose; default sd(T) n^(−1/5).
        data : CausalData, optional
            The training data again, for a loaded estimator.

        Raises
        ------
        ArgumentError, NotFittedError
        IdentificationError
            If the treatment has no such average, too few rows were seen near a dose, or predicted
            effects do not vary.
        """
        self._check_fitted()
        used = self._need_data(data)
        coding = self.model_.coding
        return average_effects(
            used,
            coding,
            code_data(coding, used),
            self._settings,
            estimand,
            propensity=propensity,
            doses=doses,
            bandwidth=bandwidth,
        )

    def overlap(
        self, *, propensity: "str | Learner" = "auto", data: "CausalData | None" = None
    ) -> "pd.DataFrame":
        """How likely every arm, or every range of doses, was for the rows; nothing is trained anew.

        Parameters
        ----------
        propensity : str or scikit-learn estimator, default "auto"
            Learner of P(arm | X), or of the mean of the dose, on the folds of :meth:`estimate`.
        data : CausalData, optional
            The training data again, for a loaded estimator.

        Returns
        -------
        DataFrame
            For arms one line each: ``rows`` that received it, their ``effective_rows`` once
            weighted by inverse propensities (Kish), and over all rows the propensity of the arm:
            ``least``, ``p05``, ``median``, ``p95``, ``largest``, and the share of rows ``below``
            the bound to which :meth:`estimate` moves it. For one dose a line for every fifth of
            the rows by E[T | X] (``expected_low``, ``expected_high``) and every fifth by T
            (``dose_low``, ``dose_high``): ``rows`` seen there, and the ``share`` of the region's
            rows that the density of T given X expects there.

        Raises
        ------
        ArgumentError, NotFittedError
        IdentificationError
            If the treatment has neither arms alone nor one dose alone.
        """
        self._check_fitted()
        used = self._need_data(data)
        coding = self.model_.coding
        return overlap_table(coding, code_data(coding, used), self._settings, learner=propensity)

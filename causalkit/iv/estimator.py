"""InvalidIV: the average effect with an instrument that may affect the outcome directly."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import pandas as pd
from sklearn.base import clone

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, check_choice, check_level
from causalkit.estimator import Estimator, Refit
from causalkit.inference.anderson_rubin import AndersonRubin
from causalkit.inference.arguments import check_number
from causalkit.inference.hypotheses import HypothesisTest
from causalkit.iv.compare import compare, comparison_rows, differences
from causalkit.iv.fit import fit_iv
from causalkit.iv.result import IVFit, augment, estimate_of
from causalkit.iv.sample import has_two_values, weighted_rows
from causalkit.iv.sensitivity import DepartureBounds, departure_bounds, hidden_covariates
from causalkit.iv.settings import Settings
from causalkit.iv.specification import specification_tests
from causalkit.iv.strength import Strength, weak_robust
from causalkit.nuisance.folds import ExternalFolds
from causalkit.provenance import record
from causalkit.results import EffectResult, ResultTable
from causalkit.rng import RandomState, as_seed
from causalkit.typing import Floats
from causalkit.warn import collect_warnings


class InvalidIV(Estimator):
    """Average effect of a confounded treatment, by an instrument that may be invalid.

    The instrument Z may affect the outcome directly. What identifies the effect is that it moves
    the *variance* of the treatment: with C_z(L) and V_z(L) the covariance of treatment and outcome
    and the variance of the treatment given Z = z and covariates L,
    β(L) = (C_1 − C_0)/(V_1 − V_0), and the average effect is E[β(L)].

    Assumptions: the unmeasured confounder U is independent of Z given L; U interacts additively
    neither with the treatment or Z in the outcome nor with Z in the treatment; V_1(L) ≠ V_0(L).
    The estimate is consistent if any of {π, μ}, {π, β, ω}, {β, ρ, μ}, {β, ρ, ω} is right.

    Parameters
    ----------
    method : {"selective", "debiased", "parametric"}, default "selective"
        ``"parametric"``: working models linear in L, solved as one system with a stacked sandwich.
        ``"debiased"``: cross-fitted learners, one per nuisance. ``"selective"``: several candidate
        learners per nuisance; the combination is chosen by how little the estimate moves when
        other nuisances are exchanged.
    learners : str, estimator, sequence, or mapping, default "auto"
        Named learners or scikit-learn objects; a sequence gives candidates to
        ``method="selective"``, whose ``"auto"`` is lasso, boosting and forest; that of
        ``"debiased"`` is lasso, ridge or boosting by loss in each training fold. A mapping gives
        each nuisance its own: ``"instrument"`` (π; with other instruments than one of two values
        the regressions of V on L), ``"treatment"`` (μ), ``"outcome"`` (ω), ``"effect"`` (β and ρ).
        ``method="parametric"`` has none.
    n_folds : int, default 5
        2 is enough with a simple learner and thousands of rows, see docs/invalid_iv.md; 1, for
        ``method="debiased"`` alone, means no cross-fitting.
    n_rep : int, default 1
        Repeated splits.
    criterion : {"minimax", "mixed-minimax"}, default "minimax"
        Worst sufficient set, or the sum over sets, in the selection.
    smooth : bool, default False
        Soft-min average over all combinations in place of the selected one.
    basis : {"cubic", "spline"}, transformer or None, default "cubic"
        Dictionary of the covariates for penalised learners and scikit-learn objects.
    effect_terms, confounding_terms : sequence of str, optional
        Parametric method: covariates with which β and ρ vary. Default: all.
    effect_loss : {"auto", "arms", "direct"}, default "auto"
        β from the difference of two regressions by arm, or from one weighted regression;
        ``"auto"`` takes the smaller held-out loss.
    calibrate : bool, default True
        Shrink the variation of the learned ΔV(L) and β(L) to what held-out rows confirm, which
        keeps chance values of ΔV near zero from ruling the average. Not applied to predictions
        from elsewhere.
    clip : float, default 0.01
        P(Z | L) is kept inside [clip, 1 − clip]; the share moved is reported.
    trim_delta_v : float, default 0.02
        Rows with |V_1(L) − V_0(L)| below this are left out of the average, and counted. For a
        treatment that is not 0/1 its unit is four times the variance of the treatment.
    cov_type : {"auto", "clustered", "two-way", "robust"}, default "auto"
        ``"auto"``: by all clusters that the data name, or by unit; else robust.
    ssc, use_t, aggregation
        Small-sample factor, t quantiles and combination of repeats, as in
        :class:`causalkit.PanelDML`.
    n_jobs : int, default 1
    store_models : bool, default False
        Keep the fitted models of ``method="debiased"`` in ``models_``.
    random_state : int, Generator, SeedSequence or None
    progress : None, True or callable, default None

    Attributes
    ----------
    result_ : EffectResult
        The average effect; the variance-weighted one if the instrument is too weak for it.
    fit_ : IVFit
        Nuisances, folds, strength.
    diagnostics_ : mapping

    References
    ----------
    Sun, B., Cui, Y. & Tchetgen Tchetgen, E. (2022). Selective machine learning of the average
    treatment effect with an invalid instrumental variable. JMLR 23. Tchetgen Tchetgen, E., Sun, B.
    & Walter, S. (2021). The GENIUS approach to robust Mendelian randomization inference.
    Statistical Science 36. Cui, Y. & Tchetgen Tchetgen, E. (2019). arXiv:1911.02029.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.invalid_iv(0, n=4000)
    >>> fit = ck.InvalidIV(method="debiased", learners="linear", random_state=0).fit(data.blind())
    >>> low, high = fit.conf_int()
    >>> low < 1.0 < high
    True
    """

    requires = Requires(
        roles=("instruments",),
        treatment_kinds=("binary", "continuous"),
        allows_nan=False,
        max_treatments=1,
    )

    def __init__(
        self,
        *,
        method: str = "selective",
        learners: Any = "auto",
        n_folds: int = 5,
        n_rep: int = 1,
        criterion: str = "minimax",
        smooth: bool = False,
        basis: Any = "cubic",
        effect_terms: Sequence[str] | None = None,
        confounding_terms: Sequence[str] | None = None,
        effect_loss: str = "auto",
        calibrate: bool = True,
        clip: float = 0.01,
        trim_delta_v: float = 0.02,
        cov_type: str = "auto",
        ssc: str = "G/(G-1)",
        use_t: bool = True,
        aggregation: Literal["median", "mean", "bounds"] = "median",
        n_jobs: int = 1,
        store_models: bool = False,
        random_state: RandomState = None,
        progress: bool | Callable[[str], None] | None = None,
    ) -> None:
        self.method = method
        self.learners = learners
        self.n_folds = n_folds
        self.n_rep = n_rep
        self.criterion = criterion
        self.smooth = smooth
        self.basis = basis
        self.effect_terms = effect_terms
        self.confounding_terms = confounding_terms
        self.effect_loss = effect_loss
        self.calibrate = calibrate
        self.clip = clip
        self.trim_delta_v = trim_delta_v
        self.cov_type = cov_type
        self.ssc = ssc
        self.use_t = use_t
        self.aggregation = aggregation
        self.n_jobs = n_jobs
        self.store_models = store_models
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        data: CausalData,
        *,
        folds: ExternalFolds | None = None,
        predictions: Mapping[str, Floats] | None = None,
    ) -> Self:
        """Fit the nuisances and average the influence function.

        Parameters
        ----------
        data : CausalData
            With roles outcome, treatment, instruments and, usually, covariates.
        folds : list, optional
            Explicit folds: a list over repeats of lists of ``(train_rows, test_rows)``, row
            positions in the data. Every row is tested once in each repeat by models that did not
            see it or its cluster; a training set may leave out more. One fold with every row on
            both sides means no cross-fitting, for ``method="debiased"`` alone.
            ``method="parametric"`` has no folds.
        predictions : mapping of str to array, optional
            For ``method="debiased"`` with a binary instrument: nuisances from elsewhere, ``(n,)``
            or ``(n, n_rep)`` in the data's row order: ``"instrument"`` (π), ``"treatment:0"``,
            ``"treatment:1"`` (μ_z), ``"outcome:0"``, ``"outcome:1"`` (E[Y | Z = z, L]),
            ``"effect"`` (β), ``"confounding"`` (ρ), ``"product:0"``, ... (C_z) and
            ``"variance:0"``, ... (V_z, continuous treatment). ``(n,)`` holds for every repeat.

        Raises
        ------
        DataError, ArgumentError, IdentificationError
            If the data, an argument or the design cannot give an estimate; says what to change.
        """
        started = time.perf_counter()
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        n_clusters = len(data.roles.cluster) or int(data.roles.unit is not None)
        settings = Settings.of(
            self,
            seed=as_seed(self.random_state),
            n_clusters=n_clusters,
            binary_treatment=data.roles.kinds[0] == "binary",
            binary_instrument=has_two_values(data.matrix("instruments")[weighted_rows(data)]),
        )
        with collect_warnings() as caught:
            fitted = fit_iv(data, settings, folds=folds, predictions=predictions)
            estimand = "ate" if fitted.averages else "variance-weighted"
            provenance = record(seed=settings.seed, wall_s=time.perf_counter() - started)
            self.result_ = estimate_of(
                fitted, settings, estimand, warnings=tuple(caught), provenance=provenance
            )
        self.fit_: IVFit = fitted
        self.diagnostics_: Mapping[str, Any] = self.result_.diagnostics
        self.models_ = dict(fitted.fitted.models)
        self._settings = settings
        self._refit = Refit(clone(self), settings.seed, folds)
        self._data = data
        return self

    def estimate(
        self, estimand: Literal["ate", "att", "atc", "variance-weighted"] = "ate"
    ) -> EffectResult:
        """Estimate with its interval.

        Parameters
        ----------
        estimand : {"ate", "att", "atc", "variance-weighted"}
            Average effect over everyone, the treated or the untreated; or
            E[ΔV π(1 − π) β]/E[ΔV π(1 − π)], which divides by nothing that may be small.
        """
        self._check_fitted()
        if estimand == self.result_.estimand:
            return self.result_
        return estimate_of(
            self.fit_,
            self._settings,
            estimand,
            warnings=self.result_.warnings,
            provenance=self.result_.provenance,
        )

    def conf_int(
        self, level: float = 0.95, *, kind: Literal["wald", "anderson-rubin"] = "wald"
    ) -> tuple[float, float] | AndersonRubin:
        """Confidence interval.

        Parameters
        ----------
        level : float
        kind : {"wald", "anderson-rubin"}
            ``"wald"``: of :meth:`estimate`. ``"anderson-rubin"``: a set for the variance-weighted
            effect, valid however weak the instrument is; it may be the line or the outside of an
            interval, and is never empty.
        """
        self._check_fitted()
        check_choice("kind", kind, ("wald", "anderson-rubin"))
        if kind == "anderson-rubin":
            return self.anderson_rubin(level=level)
        low, high = self.result_.bounds(level)
        return float(low[0]), float(high[0])

    def anderson_rubin(self, *, null: float = 0.0, level: float = 0.95) -> AndersonRubin:
        """Test and set for the variance-weighted effect, valid under weak identification.

        Inverts the test of E[(Z − π)(A − μ_Z)(Y − δA − ω_Z(δ))] = 0 in its orthogonal form, on the
        first of several repeats.
        """
        self._check_fitted()
        inference = self.fit_.inference(self._settings)
        value, chance = check_number("null", null), check_level(level)
        return weak_robust(self.fit_.fitted.products, inference, null=value, level=chance)

    def strength(self) -> Strength:
        """How much the instrument moves the variance of the treatment, and its mean beside it.

        Measured on the first of several repeats.
        """
        self._check_fitted()
        return self.fit_.strength

    def candidates(self) -> pd.DataFrame:
        """Candidates of every nuisance: losses, pseudo-risks, what was chosen, and failures.

        Raises
        ------
        ArgumentError
            Unless ``method="selective"``.
        """
        self._check_fitted()
        if self.fit_.selection is None:
            raise ArgumentError(
                f'method="{self._settings.method}" has one learner per nuisance; candidates() is '
                'for method="selective".'
            )
        return self.fit_.selection.table(self._settings.criterion)

    def compare(self, *, data: CausalData | None = None) -> ResultTable:
        """Other estimators side by side, with what each assumes and how far it is from this fit.

        Least squares, 2SLS, LIML, AIPW as if nothing were unmeasured, partially linear and
        interactive IV, GENIUS with a constant effect, and the other methods of the family, on the
        same folds where they have folds. Notes give the differences with standard errors from
        the stacked influence functions.
        """
        self._check_fitted()
        return compare(self._refit, self.result_, self.fit_, self._settings, self._need_data(data))

    def hausman(self, *, data: CausalData | None = None) -> pd.DataFrame:
        """Tests that other estimators differ from this fit by sampling alone.

        Returns
        -------
        DataFrame
            ``method, difference, std_error, statistic, p_value``, one row per estimator of
            :meth:`compare`. Given I1 to I4, a rejection beside 2SLS speaks against exclusion, or
            for effects that vary with the covariates, which 2SLS weighs differently; one beside
            AIPW speaks for unmeasured confounding.
            No p-value where two fits have the same influence on every row.

        Raises
        ------
        ArgumentError
            After ``smooth=True``, whose standard error has no influence function.
        """
        self._check_fitted()
        full = self._need_data(data)
        rows, _ = comparison_rows(self._refit, self.result_, self.fit_, self._settings, full)
        return differences(rows, self.fit_, self._settings)

    def specification(self, *, data: CausalData | None = None) -> tuple[HypothesisTest, ...]:
        """Specification tests: agreement of instruments, left-out moments, ratio of variances.

        A test that the data cannot carry is left out with a warning that says why.

        Raises
        ------
        ArgumentError, IdentificationError
            If there is nothing to test, or no test can be made.
        """
        self._check_fitted()
        return specification_tests(self._refit, self.fit_, self._settings, self._need_data(data))

    def sensitivity(
        self, *, departure: float = 0.05, null: float = 0.0, level: float = 0.95
    ) -> DepartureBounds:
        """Bounds on the average effect if the confounder interacts with the instrument.

        Parameters
        ----------
        departure : float
            Bound on |ρ_1(L) − ρ_0(L)| in units of sd(A − μ_Z) sd(Y − η_Z).
        null, level : float
            Value for the robustness value, and confidence level.
        """
        self._check_fitted()
        return departure_bounds(
            self.fit_, self.estimate("ate"), departure=departure, null=null, level=level
        )

    def benchmark(self, *, data: CausalData | None = None) -> pd.DataFrame:
        """Departure that hiding each observed covariate would have amounted to.

        Returns
        -------
        DataFrame
            ``covariate, estimate, change, departure, failure``; compare with the robustness value.
            Where nothing can be estimated without a covariate, ``failure`` says why.

        Raises
        ------
        ArgumentError
            After a fit with predictions from elsewhere, or without covariates.
        """
        self._check_fitted()
        return hidden_covariates(
            self._refit, self.fit_, self.sensitivity(), self._need_data(data), self._settings
        )

    def augment(self) -> pd.DataFrame:
        """One row per observation: fold, nuisance predictions, ΔV, residual, influence."""
        self._check_fitted()
        return augment(self.fit_, self.result_)

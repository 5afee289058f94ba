"""PanelDML: panel double machine learning with Mundlak terms."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd
from sklearn.base import clone

from causalkit.data import CausalData
from causalkit.estimator import Estimator, Refit
from causalkit.inference.anderson_rubin import AndersonRubin
from causalkit.inference.hypotheses import HypothesisTest
from causalkit.inference.sensitivity import Sensitivity
from causalkit.nuisance.folds import ExternalFolds
from causalkit.panel import followup, heterogeneity
from causalkit.panel.compare import compare
from causalkit.panel.fit import PanelFit, fit_panel
from causalkit.panel.refit import benchmark, one_by_one
from causalkit.panel.settings import NEEDS, Settings
from causalkit.results import EffectResult, ResultTable
from causalkit.rng import RandomState, as_seed
from causalkit.typing import Floats, Learner
from causalkit.warn import collect_warnings

if TYPE_CHECKING:
    import xarray as xr


class PanelDML(Estimator):
    """Effect of a treatment in a panel, free of time-constant confounding that may be nonlinear.

    Model: Y_it = θ D_it + g(X_it, α_i) + ε_it and D_it = m(X_it, α_i) + v_it, with α_i unobserved.
    Both regressions are learned with the unit's history standing for α_i: unit means of a
    dictionary of covariates and of the treatment (Mundlak terms). θ is the slope of the
    cross-fitted outcome residual on the treatment residual.

    Assumptions: units independent; strict exogeneity (no feedback from outcomes to later
    treatments or covariates, no lagged outcome among the covariates); no *time-varying* unobserved
    confounder; the unobserved unit effect depends on the unit's history only through the Mundlak
    terms; some variation of the treatment within units.

    Parameters
    ----------
    approach : str, default "cre"
        How unit heterogeneity is handled. ``"cre"`` (Mundlak terms and the treatment mean in both
        nuisances), ``"cre_normal"``, ``"cre_general"``, ``"hybrid"``, ``"chamberlain"``,
        ``"within"``, ``"late_within"``, ``"fd"``, ``"dummies"``, ``"pooled"``. DoubleML's
        ``"fd_exact"`` and ``"wg_approx"`` and xtdml's ``"fd-exact"``, ``"wg-approx"`` are accepted.
    mundlak_terms : {"basis", "means", "means+std", "chamberlain"}, default "basis"
        Unit means of a dictionary b(x) with b(x) itself, or of x (Fuhr & Papies 2024), with or
        without standard deviations, or the whole history. Means of x alone leave first-order bias
        when confounding is nonlinear.
    basis : {"cubic", "spline"} or transformer, default "cubic"
        The dictionary: powers to three and pairwise products, cubic B-splines, or any
        scikit-learn transformer.
    time_effects : {None, "dummies", "means", "both"}, default None
        Period effects, as dummies or as period means.
    split : str or list, default "unit"
        ``"unit"``, ``"observation"``, ``"period"``, ``"time_block"``, ``"neighbors_left_out"``,
        ``"unit_time"``, or a list over repeats of lists of folds, ``(train_rows, test_rows)``.
    score : {"partialling-out", "iv-type"}, default "partialling-out"
        Orthogonal score of the partially linear model.
    model : {"partially-linear", "interactive", "iv"}, default "partially-linear"
        ``"interactive"``: binary treatment with heterogeneous effects (AIPW). ``"iv"``: the data's
        instruments identify θ.
    learner : str or estimator, default "auto"
        ``"auto"``, ``"lasso"``, ``"ridge"``, ``"boosting"``, ``"forest"``, ``"linear"`` or any
        scikit-learn estimator. ``"auto"`` chooses among lasso, ridge, boosting and, where ``basis``
        leaves products out, a relaxed lasso with them, by cross-validated loss in training folds.
    learner_outcome, learner_treatment, learner_instrument : str or estimator, optional
        Override ``learner`` for one nuisance.
    tune : {"fold", "repeat", "once"}, default "fold"
        Where a search object (GridSearchCV) searches: in each fold, or on all rows.
    n_folds : int, default 5
        Folds; 1 means no cross-fitting, for exact identities with linear learners.
    n_rep : int, default 1
        Repeated splits.
    dml_procedure : {"dml2", "dml1"}, default "dml2"
        Solve once over all folds, or average the folds' solutions (the paper's).
    aggregation : {"median", "mean", "bounds"}, default "median"
        How repeats are combined.
    cov_type : {"clustered", "two-way", "robust", "nonrobust"}, default "clustered"
        By the data's clusters, or by unit if they name none; ``"two-way"`` by unit and time.
    ssc : {"G/(G-1)", "none", "G/(G-1)*(n-1)/(n-k)"}, default "G/(G-1)"
        Small-sample factor.
    use_t : bool, default True
        Quantiles of t with G − 1 degrees of freedom instead of the normal.
    panel_length : bool, default True
        In unbalanced panels, add the number of rows of a unit to the Mundlak terms.
    trim : float, default 0.01
        Interactive model: rows with propensity outside [trim, 1 − trim] are left out and counted.
    n_jobs : int, default 1
        Fits at once; results do not depend on it.
    store_models : bool, default False
        Keep the fitted nuisance models in ``models_``.
    random_state : int, Generator, SeedSequence or None
        One seed is enough; it is recorded on the result.
    progress : None, True or callable, default None
        Show, or be told, each finished fit.

    Attributes
    ----------
    result_ : EffectResult
    diagnostics_ : mapping
        See :mod:`causalkit.panel.diagnostics`.
    fit_ : PanelFit
        Residuals, predictions, folds.

    References
    ----------
    Fuhr, J. & Papies, D. (2024). Double machine learning meets panel data. arXiv:2409.01266,
    equation 6. Clarke, P. & Polselli, A. (2026). Double machine learning for static panel models
    with fixed effects. Econometrics Journal 29(1). Mundlak, Y. (1978). Econometrica 46, 69-85.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.panel_fp2024(0, n_units=200)
    >>> result = ck.PanelDML(learner="ridge", random_state=0).fit(data.blind()).estimate()
    >>> abs(result.estimate - 1.0) < 0.1
    True
    """

    requires = NEEDS

    def __init__(
        self,
        *,
        approach: str = "cre",
        mundlak_terms: str = "basis",
        basis: Any = "cubic",
        time_effects: str | None = None,
        split: str | ExternalFolds = "unit",
        score: str = "partialling-out",
        model: str = "partially-linear",
        learner: str | Learner = "auto",
        learner_outcome: str | Learner | None = None,
        learner_treatment: str | Learner | None = None,
        learner_instrument: str | Learner | None = None,
        tune: str = "fold",
        n_folds: int = 5,
        n_rep: int = 1,
        dml_procedure: str = "dml2",
        aggregation: Literal["median", "mean", "bounds"] = "median",
        cov_type: str = "clustered",
        ssc: str = "G/(G-1)",
        use_t: bool = True,
        panel_length: bool = True,
        trim: float = 0.01,
        n_jobs: int = 1,
        store_models: bool = False,
        random_state: RandomState = None,
        progress: bool | Callable[[str], None] | None = None,
    ) -> None:
        self.approach = approach
        self.mundlak_terms = mundlak_terms
        self.basis = basis
        self.time_effects = time_effects
        self.split = split
        self.score = score
        self.model = model
        self.learner = learner
        self.learner_outcome = learner_outcome
        self.learner_treatment = learner_treatment
        self.learner_instrument = learner_instrument
        self.tune = tune
        self.n_folds = n_folds
        self.n_rep = n_rep
        self.dml_procedure = dml_procedure
        self.aggregation = aggregation
        self.cov_type = cov_type
        self.ssc = ssc
        self.use_t = use_t
        self.panel_length = panel_length
        self.trim = trim
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
        """Cross-fit the nuisances and solve for the effect.

        Parameters
        ----------
        data : CausalData
            A panel with roles outcome, treatment, covariates and unit; time for first differences,
            period effects and time-based splits; instruments for ``model="iv"``.
        folds : list, optional
            Explicit folds as in ``split``, held to the rule that it names; every row is tested
            once per repeat. One fold with every row on both sides means no cross-fitting.
        predictions : mapping of str to array, optional
            Nuisance predictions from elsewhere, ``(n,)`` or ``(n, n_rep)`` in the data's row
            order: ``"outcome"``, ``"treatment"``, ``"instrument"`` (or ``"treatment:name"``, ...,
            if there are several).

        Raises
        ------
        DataError, ArgumentError, IdentificationError
            If the data, an argument or the design cannot give an estimate; says what to change.
        """
        started = time.perf_counter()
        self._check_data(data)
        settings = Settings.of(self, seed=as_seed(self.random_state))
        needs = settings.requirements(self.requires, n_clusters=len(data.roles.cluster))
        data.require(needs, by=type(self).__name__)
        with collect_warnings() as caught:
            fitted = fit_panel(data, settings, folds=folds, predictions=predictions)
            wall_s = time.perf_counter() - started
            self.result_ = fitted.result(settings, warnings=caught, wall_s=wall_s)
        self.fit_: PanelFit = fitted
        self.diagnostics_: Mapping[str, Any] = self.result_.diagnostics
        self.models_ = dict(fitted.model.hats.models)
        self._settings = settings
        self._refit = Refit(clone(self), settings.seed, folds)
        self._data = data
        return self

    def estimate(self, estimand: str | None = None) -> EffectResult:
        """Estimate with its interval.

        Parameters
        ----------
        estimand : {"ate", "att", "atc"}, optional
            For the interactive model; the others have one estimand.
        """
        self._check_fitted()
        if estimand is None or estimand == self.result_.estimand:
            return self.result_
        return followup.other_estimand(self.fit_, self._settings, self.result_, estimand)

    def compare(self, *, data: CausalData | None = None) -> ResultTable:
        """All approaches and linear companions on the same folds; needs ``data`` after loading."""
        self._check_fitted()
        return compare(self._refit, self.result_, self._need_data(data), self._settings)

    def blp(
        self,
        basis: Any,
        *,
        within_between: bool = False,
        penalty: Literal["lasso"] | None = None,
        data: CausalData | None = None,
    ) -> EffectResult:
        """Best linear predictor of the effect: θ(z) ≈ b(z)'β with a constant.

        Parameters
        ----------
        basis : str, list of str, DataFrame or array
            Columns of the data, or of a frame with its row labels, by which the effect may vary.
        within_between : bool
            Split each moderator into its deviation from the unit's mean, and that mean.
        penalty : {None, "lasso"}
            For many moderators: lasso, debiased; its constant is the effect at their means.
        data : CausalData, optional
            Needed after loading a saved estimator.
        """
        fitted = self._all(data)
        return heterogeneity.blp(*fitted, basis, within_between=within_between, penalty=penalty)

    def gate(self, groups: Any, *, data: CausalData | None = None) -> EffectResult:
        """Effects by group; ``.pairwise()`` compares them, ``conf_int(kind="uniform")`` is joint.

        Parameters
        ----------
        groups : str or array-like
            A column of the data, or one group per row; a Series goes by its row labels.
        data : CausalData, optional
            Needed after loading a saved estimator.
        """
        return heterogeneity.gate(*self._all(data), groups)

    def effect(self, data: CausalData) -> "xr.Dataset":
        """Effect for each row of ``data``, linear in its modifiers.

        Returns
        -------
        Dataset
            ``effect``, ``std_error``, ``conf_low``, ``conf_high`` over ``obs``.

        Raises
        ------
        ArgumentError, IdentificationError
            If ``data`` lack a modifier, or the fit is not one with a varying effect.
        """
        self._check_fitted()
        return heterogeneity.effect(self.fit_, self._settings, self.result_, data)

    def _all(self, data: CausalData | None) -> tuple[PanelFit, Settings, EffectResult, CausalData]:
        self._check_fitted()
        return self.fit_, self._settings, self.result_, self._need_data(data)

    def sensitivity(
        self,
        *,
        cf_y: float = 0.03,
        cf_d: float = 0.03,
        rho: float = 1.0,
        null: float = 0.0,
        level: float = 0.95,
    ) -> Sensitivity:
        """Bounds on the effect under a time-varying omitted confounder of given strength.

        Parameters
        ----------
        cf_y, cf_d : float
            Share of the residual variance of outcome and treatment, or inverse-propensity weights.
        rho : float
            Adversity: correlation of the two confounding errors, at worst 1.
        null, level : float
            Value for the robustness value, and confidence level of the bounds.
        """
        self._check_fitted()
        chosen = {"cf_y": cf_y, "cf_d": cf_d, "rho": rho, "null": null, "level": level}
        return followup.sensitivity(self.fit_, self._settings, self.result_, **chosen)

    def anderson_rubin(self, *, null: float = 0.0, level: float = 0.95) -> AndersonRubin:
        """Test and confidence set for ``model="iv"`` that hold however weak the instruments are.

        Parameters
        ----------
        null, level : float
            Value for the test, and confidence level of the set, which need not be an interval.
        """
        self._check_fitted()
        return followup.weak_robust(self.fit_, self._settings, null=null, level=level)

    def benchmark(
        self, covariates: str | list[str], *, data: CausalData | None = None
    ) -> pd.DataFrame:
        """Strength of observed covariates as confounders, by leaving each out with its means.

        Parameters
        ----------
        covariates : list of str
            Columns to leave out, one at a time.
        data : CausalData, optional
            Needed after loading a saved estimator.

        Returns
        -------
        DataFrame
            By covariate: cf_y, cf_d, rho and the change in the estimate.
        """
        self._check_fitted()
        return benchmark(self._refit, self, self._need_data(data), covariates)

    def one_by_one(self, *, data: CausalData | None = None) -> EffectResult:
        """Effect of each of several treatments with the others among the covariates; not for IV."""
        self._check_fitted()
        return one_by_one(self._refit, self.result_, self._need_data(data))

    def mundlak_test(self, *, data: CausalData | None = None) -> HypothesisTest:
        """Cluster-robust test that unit heterogeneity is unrelated to the regressors.

        The mean terms of the linear Mundlak regression are tested jointly: the robust form of
        the Hausman test. Rejection says that pooled estimates are confounded.
        """
        self._check_fitted()
        return followup.mundlak(self._need_data(data), self._settings)

    def bootstrap(
        self,
        *,
        kind: Literal["multiplier", "wild"] = "multiplier",
        n_boot: int = 999,
        level: float = 0.95,
        null: float = 0.0,
        weights: str | None = None,
    ) -> pd.DataFrame:
        """Bootstrap interval and p-value.

        Parameters
        ----------
        kind : {"multiplier", "wild"}
            Multipliers of the clusters' influence, pointwise and simultaneous; or wild-cluster
            bootstrap-t of the residual regression, for few clusters.
        n_boot : int
            Draws, at least 99.
        level, null : float
            Confidence level, and value under test.
        weights : str, optional
            Multipliers ``"normal"``, ``"rademacher"``, ``"exponential"``; wild ``"rademacher"``,
            ``"webb"``.
        """
        self._check_fitted()
        chosen: Any = {"kind": kind, "weights": weights, "level": level, "null": null}
        return followup.bootstrap(self.fit_, self._settings, self.result_, n_boot=n_boot, **chosen)

    def augment(self, *, data: CausalData | None = None) -> pd.DataFrame:
        """One row per observation used: fold, nuisance predictions, residuals, influence."""
        self._check_fitted()
        return followup.augment(self.fit_, self.result_, self._need_data(data))

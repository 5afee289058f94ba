"""Linear panel regressions as estimators of their own, for studies that compare with them."""

from dataclasses import replace
from typing import ClassVar, Literal, Self

from causalkit.data import CausalData, Requires
from causalkit.errors import check_choice
from causalkit.estimator import Estimator
from causalkit.inference.variance import Ssc
from causalkit.panel.compare import companion
from causalkit.panel.estimator import PanelDML
from causalkit.panel.linear import INSTRUMENTED, LINEAR
from causalkit.panel.settings import Settings
from causalkit.results import EffectResult


class PanelRegression(Estimator):
    """One linear regression of a panel: pooled, within, first differences, Mundlak or 2SLS.

    Parameters
    ----------
    method : str
        ``"OLS, d only"``, ``"pooled OLS"``, ``"FE, d only"``, ``"fixed effects"``, ``"first
        differences"``, ``"Mundlak OLS"`` or ``"fixed effects 2SLS"``: the linear rows of
        :meth:`causalkit.panel.PanelDML.compare`.
    time_effects : {None, "dummies"}
        Whether period dummies are added.
    cov_type : {"clustered", "two-way", "robust", "nonrobust"}
    ssc : str
        Small-sample factor, as in :class:`causalkit.panel.PanelDML`.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.panel_cp2025(0, n_units=50, n_periods=5, n_covariates=3)
    >>> within = PanelRegression(method="fixed effects").fit(data)
    >>> round(within.estimate().estimate, 1)
    0.5
    """

    requires: ClassVar[Requires] = replace(PanelDML.requires, reads=())

    def __init__(
        self,
        *,
        method: str = "fixed effects",
        time_effects: str | None = None,
        cov_type: Literal["clustered", "two-way", "robust", "nonrobust"] = "clustered",
        ssc: Ssc = "G/(G-1)",
    ) -> None:
        self.method = method
        self.time_effects = time_effects
        self.cov_type = cov_type
        self.ssc = ssc

    def fit(self, data: CausalData) -> Self:
        """Run the regression.

        Raises
        ------
        DataError, ArgumentError, IdentificationError
            If the data or an argument cannot give an estimate; says what to change.
        """
        check_choice("method", self.method, LINEAR | INSTRUMENTED)
        self._check_data(data)
        if self.time_effects is not None:
            check_choice("time_effects", self.time_effects, ("dummies",))
        like = PanelDML(
            approach="fd" if self.method == "first differences" else "cre",
            model="iv" if self.method in INSTRUMENTED else "partially-linear",
            time_effects=self.time_effects,
            cov_type=self.cov_type,
            ssc=self.ssc,
        )
        settings = Settings.of(like, seed=0)
        needs = settings.requirements(self.requires, n_clusters=len(data.roles.cluster))
        data.require(needs, by=type(self).__name__)
        self.result_ = companion(data, settings, self.method)
        self._data = data
        return self

    def estimate(self) -> EffectResult:
        """Coefficients of the treatments with their intervals."""
        self._check_fitted()
        return self.result_

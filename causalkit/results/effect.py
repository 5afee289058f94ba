"""EffectResult: the numbers of a fitted effect, their uncertainty and where they came from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, check_level
from causalkit.inference import bands
from causalkit.inference.arguments import check_number
from causalkit.results import arrays, intervals
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from causalkit.inference.hypotheses import HypothesisTest

Kind = Literal["normal", "t", "bootstrap", "uniform"]
Backend = Literal["pandas", "polars", "pyarrow"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectResult:
    """One or more estimated effects with their joint uncertainty.

    Holds numbers, never data. Intervals, tables and pictures are made on demand.

    Attributes
    ----------
    terms : tuple of str
        Name of each effect, from the user's data.
    estimates : (k,) array
        Point estimates, in outcome units (per unit of treatment where that is a number).
    vcov : (k, k) array
        Covariance matrix of the estimates, symmetric and positive semi-definite.
    influence : (n, k) array or None
        Influence values: ``estimates - truth`` is about their mean.
    estimand : str
        ``"ate"``, ``"att"``, ``"late"``, ``"iv-slope"``, ``"gate"``, ...
    estimator : str
        Who made it, such as ``"PanelDML(approach='cre')"``.
    outcome, treatment : str, tuple of str
        Column names.
    contrast : tuple of str
        What is compared, per term: ``"1 vs 0"`` or ``"dY/dX"``.
    n, n_units, n_periods, n_clusters : int
        Rows used, and units, periods and clusters in them (None where there are none; with two
        cluster variables, the smaller number).
    df : float
        Degrees of freedom of the t distribution; infinite means normal.
    df_by_term : (k,) array or None
        Those of each term, where they differ; ``df``, which joint tests take, is their least.
    df_combined : (k,) array or None
        Those that combinations of terms take of each, where they are fewer: what is well known
        may cancel.
    cov_type, ssc : str
        Kind of variance, and the small-sample factor asked for; without clusters it is another,
        which ``inference`` names.
    inference : str
        The variance in exact words; every rendering prints it.
    clusters : tuple of (n,) int arrays
        Cluster codes, for the bootstrap.
    level : float
        Confidence level when none is given.
    interval : str or None
        Kind of interval and p-value when none is given; None means t or normal.
    seed, n_folds, n_rep : int or None
        Seed, folds and repeated splits of the fit.
    choices : mapping of str to str
        Further facts of the fit that every table shows: ``{"Weights": "w (sampling)"}``.
    notes, warnings : tuple of str
        Assumptions; warnings raised by the fit.
    dropped : mapping of str to int
        Rows left out, by reason.
    diagnostics : mapping
        Whatever the estimator reports. Two keys have a fixed meaning, by name of the nuisance:
        ``"nuisances"`` has ``rmse``, ``r2``, ``r2_within``, and ``"learners"`` what was chosen.
    provenance : mapping
        Versions, seed, wall time, and the git commit of the working directory if it has one.
    draws : xarray.Dataset or None
        Posterior or bootstrap draws, dims ``(chain, draw, ...)``.
    data_digest : str or None
        Digest of the data used.
    glance_extra : mapping
        Values for the columns of ``glance()`` that only the estimator knows.

    Examples
    --------
    >>> import numpy as np
    >>> result = EffectResult(
    ...     terms=("union",), estimates=np.array([0.08]), vcov=np.array([[0.0227**2]]),
    ...     estimand="ate", estimator="PanelDML", outcome="lwage", treatment=("union",),
    ...     n=4360, df=544, inference="cluster-robust (unit, 545 clusters)")
    >>> low, high = result.conf_int()
    >>> round(low, 3), round(high, 3), round(result.p_value(), 4)
    (0.035, 0.125, 0.0005)
    """

    terms: tuple[str, ...]
    estimates: Floats
    vcov: Floats
    influence: Floats | None = None
    estimand: str
    estimator: str
    outcome: str
    treatment: tuple[str, ...]
    contrast: tuple[str, ...] = ()
    n: int
    n_units: int | None = None
    n_periods: int | None = None
    n_clusters: int | None = None
    df: float = math.inf
    df_by_term: Floats | None = None
    df_combined: Floats | None = None
    cov_type: str = "robust"
    ssc: str = "none"
    inference: str
    clusters: tuple[Ints, ...] = ()
    level: float = 0.95
    interval: Kind | None = None
    seed: int | None = None
    n_folds: int | None = None
    n_rep: int | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    draws: "xr.Dataset | None" = None
    data_digest: str | None = None
    glance_extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        k = len(self.terms)
        put = object.__setattr__
        put(self, "estimates", arrays.frozen(np.atleast_1d(self.estimates), (k,), "estimates"))
        put(self, "vcov", arrays.frozen(arrays.covariance(self.vcov), (k, k), "vcov"))
        if self.influence is not None:
            rows = np.shape(self.influence)[0]
            put(self, "influence", arrays.frozen(self.influence, (rows, k), "influence"))
        for name in ("df_by_term", "df_combined"):
            if getattr(self, name) is not None:
                put(self, name, arrays.freedom(getattr(self, name), k, name))
        if self.df_by_term is not None:
            put(self, "df", float(self.df_by_term.min()))
        for name in ("terms", "treatment", "notes", "warnings", "clusters"):
            put(self, name, tuple(getattr(self, name)))
        put(self, "contrast", tuple(self.contrast) or ("",) * k)
        if len(set(self.terms)) != k or len(self.contrast) != k:
            raise ArgumentError(
                f"terms must be unique and contrast one per term, got {self.terms!r} "
                f"and {self.contrast!r}."
            )
        check_level(self.level)

    def __setstate__(self, state: list[Any]) -> None:
        for item, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, item.name, value)
        self.__post_init__()  # a pickle does not keep arrays read-only

    @property
    def estimate(self) -> "float | pd.Series[float]":
        """Point estimate: a number for one term, else a Series by term."""
        return self._per_term(self.estimates)

    @property
    def std_error(self) -> "float | pd.Series[float]":
        """Standard error: a number for one term, else a Series by term."""
        return self._per_term(self.std_errors)

    @property
    def statistic(self) -> "float | pd.Series[float]":
        """Estimate over standard error: a number for one term, else a Series by term."""
        return self._per_term(intervals.t_ratios(self.estimates, self.std_errors, 0.0))

    @property
    def std_errors(self) -> Floats:
        """Standard errors as an array ``(k,)``, whatever the number of terms."""
        return np.sqrt(np.diag(self.vcov))

    def conf_int(
        self, level: float | None = None, *, kind: Kind | None = None, n_boot: int = 999
    ) -> "tuple[float, float] | pd.DataFrame":
        """Confidence interval.

        Parameters
        ----------
        level : float, optional
            Strictly between 0 and 1; default is the result's own (0.95).
        kind : {"normal", "t", "bootstrap", "uniform"}, optional
            Default: the result's own, else t where degrees of freedom are finite, else normal.
            ``"bootstrap"`` takes the critical value of each term from a multiplier bootstrap of
            its t-ratio; ``"uniform"`` from that of the largest, so that all cover at once.
        n_boot : int, default 999
            Bootstrap draws, made from the result's seed.

        Returns
        -------
        tuple of float, or DataFrame
            ``(low, high)`` for one term; else columns ``conf_low, conf_high`` by term.

        Raises
        ------
        ArgumentError
            If the level is not in (0, 1), or the kind is unknown.
        """
        low, high = self.bounds(level, kind=kind, n_boot=n_boot)
        if len(self.terms) == 1:
            return float(low[0]), float(high[0])
        index = pd.Index(self.terms, name="term")
        return pd.DataFrame({"conf_low": low, "conf_high": high}, index=index)

    def bounds(
        self, level: float | None = None, *, kind: Kind | None = None, n_boot: int = 999
    ) -> tuple[Floats, Floats]:
        """:meth:`conf_int` as two arrays ``(k,)``, whatever the number of terms."""
        level = check_level(self.level if level is None else level)
        chosen = self._kind(kind)
        critical: Floats | float
        if chosen in ("normal", "t"):
            critical = intervals.quantile_value(chosen, level=level, df=self._freedom)
        else:
            critical = bands.critical_values(intervals.drawn(self, chosen, n_boot), level=level)
        reach = critical * self.std_errors
        return self.estimates - reach, self.estimates + reach

    def p_value(
        self, null: float = 0.0, *, kind: Kind | None = None, n_boot: int = 999
    ) -> "float | pd.Series[float]":
        """Two-sided p-value; below ``a`` just when ``null`` is outside the ``1 - a`` interval.

        Parameters
        ----------
        null : float, default 0
            Hypothesised effect, in units of the estimate.
        kind : {"normal", "t", "bootstrap", "uniform"}, optional
            As in :meth:`conf_int`; ``"uniform"`` adjusts for testing all terms at once.
        n_boot : int, default 999
            Bootstrap draws.
        """
        return self._per_term(self.p_values(null, kind=kind, n_boot=n_boot))

    def p_values(self, null: float = 0.0, *, kind: Kind | None = None, n_boot: int = 999) -> Floats:
        """:meth:`p_value` as an array ``(k,)``, whatever the number of terms."""
        chosen = self._kind(kind)
        ratios = intervals.t_ratios(self.estimates, self.std_errors, check_number("null", null))
        if chosen in ("normal", "t"):
            return intervals.normal_p(ratios, kind=chosen, df=self._freedom)
        return bands.p_values(ratios, intervals.drawn(self, chosen, n_boot))

    def pairwise(self) -> "EffectResult":
        """Differences ``a - b`` of all pairs of terms, with simultaneous intervals and p-values."""
        from causalkit.results.pairwise import differences

        return differences(self)

    def combine(self, weights: Any) -> "EffectResult":
        """Linear combinations of the terms; see :func:`causalkit.results.combine.combined`."""
        from causalkit.results.combine import combined

        return combined(self, weights)

    def wald(
        self, restrictions: Any = None, *, null: Any = 0.0, kind: Kind | None = None
    ) -> "HypothesisTest":
        """Joint test of terms or combinations; see :func:`causalkit.results.combine.joint_test`."""
        from causalkit.results.combine import joint_test

        return joint_test(self, restrictions, null=null, kind=kind)

    def tidy(self, *, level: float | None = None, backend: Backend = "pandas") -> Any:
        """One row per term, with the fixed columns that all results share."""
        from causalkit.results import tidy

        return tidy.to_backend(tidy.tidy_frame(self, level=level), backend)

    def glance(self, *, backend: Backend = "pandas") -> Any:
        """One row about the fit, with the fixed columns that all results share."""
        from causalkit.results import tidy

        return tidy.to_backend(tidy.glance_frame(self), backend)

    def summary(self) -> str:
        """Plain text of at most 80 columns: estimates, inference, nuisances, warnings, notes."""
        from causalkit.results import render, summary

        return render.page_text(summary.page(self))

    def to_html(self) -> str:
        """The summary as an HTML fragment, all text escaped."""
        from causalkit.results import render, summary

        return render.page_html(summary.page(self))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def to_latex(self, *, booktabs: bool = True, caption: str = "", label: str = "") -> str:
        """Coefficient table as a LaTeX ``table`` with notes; needs the package booktabs."""
        from causalkit.results import render, summary

        grid = summary.coefficient_grid(self, noted=True)
        return render.grid_latex(grid, booktabs=booktabs, caption=caption, label=label)

    def to_markdown(self) -> str:
        """Coefficient table and notes as Markdown."""
        from causalkit.results import render, summary

        return render.grid_markdown(summary.coefficient_grid(self, noted=True))

    def to_dict(self, *, arrays: bool = False) -> dict[str, Any]:
        """Plain Python values, ready for JSON.

        Parameters
        ----------
        arrays : bool, default False
            Also the parts of length n (influence, clusters) and the draws.
        """
        from causalkit.results import plain

        return plain.from_result(self, arrays=arrays)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Result from what :meth:`to_dict` gave, or from its JSON once parsed."""
        from causalkit.results import plain

        return cls(**plain.to_fields(record))

    def to_json(self, *, arrays: bool = False, indent: int | None = None) -> str:
        """:meth:`to_dict` as JSON; what is not finite becomes null."""
        from causalkit.results import plain

        return plain.to_json(self.to_dict(arrays=arrays), indent=indent)

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Estimates with their intervals and a line at zero."""
        from causalkit.results.plots import plot_forest

        return plot_forest(self, ax=ax)

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        from causalkit.results import tidy

        return tidy.maketables_coefficients(self)

    def __maketables_stat__(self, key: str) -> Any:
        from causalkit.results import tidy

        return tidy.maketables_stat(self, key)

    @property
    def __maketables_depvar__(self) -> str:
        return self.outcome

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return {"vcov_type": self.inference, "clustervar": None}

    @property
    def __maketables_var_labels__(self) -> dict[str, str] | None:
        return None

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        from causalkit.results import tidy

        return dict(tidy.STAT_LABELS)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        from causalkit.results import tidy

        return tidy.maketables_keys(self)

    def __repr__(self) -> str:
        return self.summary()

    @property
    def _freedom(self) -> "float | Floats":
        """Degrees of freedom of the interval of each term."""
        return self.df if self.df_by_term is None else self.df_by_term

    def _per_term(self, values: Floats) -> "float | pd.Series[float]":
        """A number for one term, else a Series by term."""
        if len(self.terms) == 1:
            return float(values[0])
        return pd.Series(values, index=pd.Index(self.terms, name="term"))

    def _kind(self, kind: str | None) -> str:
        """Kind of interval to use, checked."""
        return intervals.check_kind(kind or self.interval, df=self.df)

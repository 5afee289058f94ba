"""Every measure of a simulation study by name, computed from the columns of its records.

A new measure is one function that returns a :class:`Measure`, and one entry in ``MEASURES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from causalkit.errors import ArgumentError, check_level, unknown_name
from causalkit.metrics import accuracy as _accuracy
from causalkit.metrics import influence as _influence
from causalkit.metrics import intervals as _intervals
from causalkit.metrics.accuracy import bias as bias
from causalkit.metrics.accuracy import empirical_se as empirical_se
from causalkit.metrics.accuracy import mae as mae
from causalkit.metrics.accuracy import median_bias as median_bias
from causalkit.metrics.accuracy import model_se as model_se
from causalkit.metrics.accuracy import mse as mse
from causalkit.metrics.accuracy import relative_bias as relative_bias
from causalkit.metrics.accuracy import relative_se_error as relative_se_error
from causalkit.metrics.accuracy import rmse as rmse
from causalkit.metrics.accuracy import standardised_bias as standardised_bias
from causalkit.metrics.intervals import bias_eliminated_coverage as bias_eliminated_coverage
from causalkit.metrics.intervals import coverage as coverage
from causalkit.metrics.intervals import failure_share as failure_share
from causalkit.metrics.intervals import interval_score as interval_score
from causalkit.metrics.intervals import lower_miss as lower_miss
from causalkit.metrics.intervals import mean_width as mean_width
from causalkit.metrics.intervals import median_width as median_width
from causalkit.metrics.intervals import rejection as rejection
from causalkit.metrics.intervals import upper_miss as upper_miss
from causalkit.metrics.measure import Kind as Kind
from causalkit.metrics.measure import Measure as Measure
from causalkit.metrics.measure import mean_of as mean_of
from causalkit.metrics.measure import median_of as median_of
from causalkit.metrics.measure import quantile_of as quantile_of
from causalkit.metrics.measure import share_of as share_of
from causalkit.typing import Floats

Columns = Mapping[str, Any]
Target = float | Literal["level", "alpha", "half_alpha"]

# Arguments that are made of record columns rather than being one.
_MADE_OF: dict[str, tuple[str, ...]] = {"error": ("estimate", "truth")}


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """How a measure is computed from record columns, and how to read it.

    Attributes
    ----------
    name : str
        Key in ``MEASURES``.
    takes : tuple of str
        Arguments of ``measure`` in order: record columns, or ``"error"`` (estimate − truth).
    measure : callable
        Function of those arrays that returns a :class:`Measure`.
    kind : {"mean", "share", "sd", "ratio", "quantile"}
        Form of the measure, which the stopping rule needs.
    target : float or {"level", "alpha", "half_alpha"} or None
        What it should be: a number, or that function of the level. See :meth:`target_at`.
    options : tuple of str
        Settings that ``measure`` takes: ``"level"``, ``"alpha"``, ``"rng"``.
    term : callable or None
        Function of the same arrays that returns what each replication contributes, for measures
        that are means over replications: their paired differences need no other formula.
    failed_as : float or None
        What a failed replication contributes in the worst-case analysis; None if that has no
        meaning.
    rows : {"ok", "all"}
        Whether the measure is computed from successful replications or from all planned ones.
    """

    name: str
    takes: tuple[str, ...]
    measure: Callable[..., Measure]
    kind: Kind
    target: Target | None = None
    options: tuple[str, ...] = ()
    term: Callable[..., Any] | None = None
    failed_as: float | None = None
    rows: Literal["ok", "all"] = "ok"
    influence: Callable[..., Any] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Record columns that the measure reads."""
        return tuple(dict.fromkeys(c for name in self.takes for c in _MADE_OF.get(name, (name,))))

    def function(
        self,
        columns: Columns,
        *,
        level: float = 0.95,
        null: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> Measure:
        """Compute the measure.

        Parameters
        ----------
        columns : mapping of str to (R,) array
            Record columns, of one estimator and estimand in one cell.
        level : float
            Nominal level of the intervals; tests are of size 1 − level.
        null : float
            Value that p-values test.
        rng : Generator, optional
            For the measures whose MCSE is a bootstrap.

        Raises
        ------
        ArgumentError
            If a column is absent, holds values that cannot be used, or a generator is needed
            and absent. The message can be shown beside the empty cell of a summary.
        """
        settings = {"level": check_level(level), "alpha": _alpha(level), "null": null, "rng": rng}
        if "rng" in self.options and rng is None:
            raise ArgumentError(f"the MCSE of {self.name} is a bootstrap: pass rng=.")
        return self.measure(*self._arrays(columns), **{key: settings[key] for key in self.options})

    def terms(self, columns: Columns, *, level: float = 0.95) -> Floats:
        """What each replication contributes to a measure that is a mean over them, ``(R,)``.

        Raises
        ------
        ArgumentError
            If the measure is no such mean.
        """
        if self.term is None:
            known = ", ".join(sorted(n for n, spec in MEASURES.items() if spec.term is not None))
            raise ArgumentError(
                f"{self.name} is no mean over replications, so it has no paired difference; "
                f"those that are: {known}."
            )
        settings = {"level": check_level(level), "alpha": _alpha(level)}
        chosen = {key: settings[key] for key in self.options}
        return np.asarray(self.term(*self._arrays(columns), **chosen), dtype=np.float64)

    def influences(self, columns: Columns) -> Floats:
        """Influence of each replication on a measure that is no mean, ``(R,)``.

        Raises
        ------
        ArgumentError
            If the measure has none, or a column cannot be used.
        """
        if self.influence is None:
            raise ArgumentError(f"{self.name} has no influence values.")
        return np.asarray(self.influence(*self._arrays(columns)), dtype=np.float64)

    def worst_case(self, measure: Measure, *, n_ok: int, n_failed: int) -> Measure | None:
        """Share over all planned replications, failures counted against the estimator.

        None where failures have no meaning for the measure.
        """
        if self.failed_as is None or n_ok + n_failed == 0:
            return None
        counted = 0.0 if n_ok == 0 else round(measure.value * n_ok)
        return share_of(counted + self.failed_as * n_failed, n_ok + n_failed)

    def target_at(self, level: float, *, null_is_true: bool = False) -> float | None:
        """Value that the measure should have; of a rejection share only where the null is true."""
        if not isinstance(self.target, str):
            return self.target
        alpha = _alpha(level)
        targets = {
            "level": level,
            "half_alpha": alpha / 2.0,
            "alpha": alpha if null_is_true else None,
        }
        return targets[self.target]

    def _arrays(self, columns: Columns) -> list[Any]:
        """Arguments of the measure, from record columns."""
        absent = [name for name in self.needs if name not in columns]
        if absent:
            raise ArgumentError(
                f"{self.name} needs the columns {', '.join(self.needs)}; absent: "
                f"{', '.join(absent)}."
            )
        return [
            np.asarray(columns["estimate"]) - np.asarray(columns["truth"])
            if name == "error"
            else columns[name]
            for name in self.takes
        ]


def measure_spec(name: str) -> MeasureSpec:
    """Entry of ``MEASURES``, or an error that lists them and names the nearest.

    Raises
    ------
    ArgumentError
        If there is no measure of that name.
    """
    if name not in MEASURES:
        raise unknown_name("measure", name, MEASURES)
    return MEASURES[name]


def _alpha(level: float) -> float:
    """Size that belongs to a level, free of the last bit that 1 − 0.95 leaves."""
    return round(1.0 - level, 12)


def _failures(status: Any) -> Measure:
    """Share of records whose status is not ``"ok"``."""
    array = np.asarray(status)
    return failure_share(int((array != "ok").sum()), array.size)


def _p95(values: Any, *, rng: np.random.Generator) -> Measure:
    """95th percentile."""
    return quantile_of(values, 0.95, rng=rng)


def _q25(values: Any, *, rng: np.random.Generator) -> Measure:
    """Lower quartile."""
    return quantile_of(values, 0.25, rng=rng)


def _q75(values: Any, *, rng: np.random.Generator) -> Measure:
    """Upper quartile."""
    return quantile_of(values, 0.75, rng=rng)


def se_ratio(error: Any, std_error: Any) -> Measure:
    """Model SE over empirical SE, ModSE/EmpSE; its MCSE is that of :func:`relative_se_error`/100.

    Parameters
    ----------
    error : (R,) array
        Estimate minus truth. Without any spread the measure is NaN.
    std_error : (R,) array
        Reported standard errors.

    References
    ----------
    "SE/SD" of Clarke & Polselli (2026); Morris, White & Crowther (2019), table 6.
    """
    percent = relative_se_error(error, std_error)
    return Measure(1.0 + percent.value / 100.0, percent.mcse / 100.0)


def _resources(column: str) -> list[MeasureSpec]:
    """Mean, median and 95th percentile of a resource column."""
    return [
        MeasureSpec(f"mean_{column}", (column,), mean_of, "mean", term=np.asarray),
        MeasureSpec(f"median_{column}", (column,), median_of, "quantile", options=("rng",)),
        MeasureSpec(f"p95_{column}", (column,), _p95, "quantile", options=("rng",)),
    ]


_ERROR = ("error",)
_INTERVAL = ("truth", "conf_low", "conf_high")
_SPECS = [
    MeasureSpec("bias", _ERROR, bias, "mean", target=0.0, term=np.asarray),
    MeasureSpec(
        "relative_bias",
        ("error", "truth"),
        relative_bias,
        "mean",
        target=0.0,
        term=_accuracy.relative_errors,
    ),
    MeasureSpec(
        "standardised_bias",
        _ERROR,
        standardised_bias,
        "ratio",
        target=0.0,
        influence=_influence.of_standardised_bias,
    ),
    MeasureSpec("median_bias", _ERROR, median_bias, "quantile", target=0.0, options=("rng",)),
    MeasureSpec("empirical_se", _ERROR, empirical_se, "sd", influence=_influence.of_spread),
    MeasureSpec("mse", _ERROR, mse, "mean", term=np.square),
    MeasureSpec("rmse", _ERROR, rmse, "sd", influence=_influence.of_root),
    MeasureSpec("mae", _ERROR, mae, "mean", term=np.abs),
    MeasureSpec("model_se", ("std_error",), model_se, "sd", influence=_influence.of_root),
    MeasureSpec(
        "relative_se_error",
        ("error", "std_error"),
        relative_se_error,
        "ratio",
        target=0.0,
        influence=_influence.of_percent,
    ),
    MeasureSpec(
        "se_ratio",
        ("error", "std_error"),
        se_ratio,
        "ratio",
        target=1.0,
        influence=_influence.of_se_ratio,
    ),
    # Published box plots are drawn of the estimates themselves.
    MeasureSpec("mean_estimate", ("estimate",), mean_of, "mean", term=np.asarray),
    MeasureSpec("q25_estimate", ("estimate",), _q25, "quantile", options=("rng",)),
    MeasureSpec("median_estimate", ("estimate",), median_of, "quantile", options=("rng",)),
    MeasureSpec("q75_estimate", ("estimate",), _q75, "quantile", options=("rng",)),
    MeasureSpec(
        "coverage",
        _INTERVAL,
        coverage,
        "share",
        target="level",
        term=_intervals.covered,
        failed_as=0.0,
    ),
    MeasureSpec(
        "bias_eliminated_coverage",
        ("estimate", *_INTERVAL),
        bias_eliminated_coverage,
        "share",
        target="level",
        term=_intervals.bias_eliminated_covered,
        failed_as=0.0,
    ),
    MeasureSpec(
        "lower_miss",
        _INTERVAL,
        lower_miss,
        "share",
        target="half_alpha",
        term=_intervals.missed_below,
    ),
    MeasureSpec(
        "upper_miss",
        _INTERVAL,
        upper_miss,
        "share",
        target="half_alpha",
        term=_intervals.missed_above,
    ),
    MeasureSpec(
        "rejection",
        ("p_value",),
        rejection,
        "share",
        target="alpha",
        options=("alpha",),
        term=_intervals.rejected,
        failed_as=0.0,
    ),
    MeasureSpec(
        "mean_width", ("conf_low", "conf_high"), mean_width, "mean", term=_intervals.widths
    ),
    MeasureSpec(
        "median_width", ("conf_low", "conf_high"), median_width, "quantile", options=("rng",)
    ),
    MeasureSpec(
        "interval_score",
        _INTERVAL,
        interval_score,
        "mean",
        options=("level",),
        term=_intervals.interval_scores,
    ),
    MeasureSpec("failure_share", ("status",), _failures, "share", target=0.0, rows="all"),
    *_resources("wall_s"),
    *_resources("cpu_s"),
    *_resources("peak_rss_mb"),
    *_resources("peak_gpu_mb"),
]
MEASURES: dict[str, MeasureSpec] = {spec.name: spec for spec in _SPECS}

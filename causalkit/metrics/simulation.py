"""Every measure of a simulation study by name, computed from the columns of its records.

A new measure is one function that returns a :class:`Measure`, and one entry in ``MEASURES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from causalkit.errors import ArgumentError, check_level, unknown_name
from causalkit.metrics import accuracy, influence, intervals
from causalkit.metrics.measure import Kind, Measure, mean_of, quantile_of, share_of
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
    influence : callable or None
        Function of the same arrays that returns the influence of each replication, for measures
        that are no means.
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
    return intervals.failure_share(int((array != "ok").sum()), array.size)


def _quantile(name: str, column: str, q: float) -> MeasureSpec:
    return MeasureSpec(name, (column,), partial(quantile_of, q=q), "quantile", options=("rng",))


def _resources(column: str) -> list[MeasureSpec]:
    """Mean, median and 95th percentile of a resource column."""
    return [
        MeasureSpec(f"mean_{column}", (column,), mean_of, "mean", term=np.asarray),
        _quantile(f"median_{column}", column, 0.5),
        _quantile(f"p95_{column}", column, 0.95),
    ]


_ERROR = ("error",)
_ENDS = ("conf_low", "conf_high")
_INTERVAL = ("truth", *_ENDS)
_SPECS = [
    MeasureSpec("bias", _ERROR, accuracy.bias, "mean", target=0.0, term=np.asarray),
    MeasureSpec(
        "relative_bias",
        ("error", "truth"),
        accuracy.relative_bias,
        "mean",
        target=0.0,
        term=accuracy.relative_errors,
    ),
    MeasureSpec(
        "standardised_bias",
        _ERROR,
        accuracy.standardised_bias,
        "ratio",
        target=0.0,
        influence=influence.of_standardised_bias,
    ),
    MeasureSpec(
        "median_bias", _ERROR, accuracy.median_bias, "quantile", target=0.0, options=("rng",)
    ),
    MeasureSpec("empirical_se", _ERROR, accuracy.empirical_se, "sd", influence=influence.of_spread),
    MeasureSpec("mse", _ERROR, accuracy.mse, "mean", term=np.square),
    MeasureSpec("rmse", _ERROR, accuracy.rmse, "sd", influence=influence.of_root),
    MeasureSpec("mae", _ERROR, accuracy.mae, "mean", term=np.abs),
    MeasureSpec("model_se", ("std_error",), accuracy.model_se, "sd", influence=influence.of_root),
    MeasureSpec(
        "relative_se_error",
        ("error", "std_error"),
        accuracy.relative_se_error,
        "ratio",
        target=0.0,
        influence=influence.of_percent,
    ),
    MeasureSpec(
        "se_ratio",
        ("error", "std_error"),
        accuracy.se_ratio,
        "ratio",
        target=1.0,
        influence=influence.of_se_ratio,
    ),
    # Published box plots are drawn of the estimates themselves.
    MeasureSpec("mean_estimate", ("estimate",), mean_of, "mean", term=np.asarray),
    _quantile("q25_estimate", "estimate", 0.25),
    _quantile("median_estimate", "estimate", 0.5),
    _quantile("q75_estimate", "estimate", 0.75),
    MeasureSpec(
        "coverage",
        _INTERVAL,
        intervals.coverage,
        "share",
        target="level",
        term=intervals.covered,
        failed_as=0.0,
    ),
    MeasureSpec(
        "bias_eliminated_coverage",
        ("estimate", *_INTERVAL),
        intervals.bias_eliminated_coverage,
        "share",
        target="level",
        term=intervals.bias_eliminated_covered,
        failed_as=0.0,
    ),
    MeasureSpec(
        "lower_miss",
        _INTERVAL,
        intervals.lower_miss,
        "share",
        target="half_alpha",
        term=intervals.missed_below,
    ),
    MeasureSpec(
        "upper_miss",
        _INTERVAL,
        intervals.upper_miss,
        "share",
        target="half_alpha",
        term=intervals.missed_above,
    ),
    MeasureSpec(
        "rejection",
        ("p_value",),
        intervals.rejection,
        "share",
        target="alpha",
        options=("alpha",),
        term=intervals.rejected,
        failed_as=0.0,
    ),
    MeasureSpec("mean_width", _ENDS, intervals.mean_width, "mean", term=intervals.widths),
    MeasureSpec("median_width", _ENDS, intervals.median_width, "quantile", options=("rng",)),
    MeasureSpec(
        "interval_score",
        _INTERVAL,
        intervals.interval_score,
        "mean",
        options=("level",),
        term=intervals.interval_scores,
    ),
    MeasureSpec("failure_share", ("status",), _failures, "share", target=0.0, rows="all"),
    *_resources("wall_s"),
    *_resources("cpu_s"),
    *_resources("peak_rss_mb"),
    *_resources("peak_gpu_mb"),
]
MEASURES: dict[str, MeasureSpec] = {spec.name: spec for spec in _SPECS}

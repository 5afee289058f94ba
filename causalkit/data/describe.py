"""What the data look like: columns, balance between arms, shape of the panel."""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import is_category, is_number, numbers, plain
from causalkit.data.encode import encode
from causalkit.data.panel import unit_means
from causalkit.data.roles import ARMS
from causalkit.errors import ArgumentError
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from causalkit.data.dataset import CausalData

# Counting distinct values costs about 60 ms per million; a notebook should not wait for that.
_QUICK = 2_000_000


def describe(data: "CausalData") -> pd.DataFrame:
    """Describe each column, once for every role that it has.

    Returns
    -------
    DataFrame
        Columns ``role, column, dtype, n, missing, unique, mean, sd, min, max``; moments of numbers
        in their own units, extremes also of dates.
    """
    return _described(data, unique=True)


def _described(data: "CausalData", *, unique: bool) -> pd.DataFrame:
    frame = data.frame
    rows = [
        {"role": role, "column": name, **_facts(frame[name], unique=unique)}
        for role, names in data.roles.named().items()
        for name in names
    ]
    return pd.DataFrame(rows)


def _facts(values: "pd.Series[Any]", *, unique: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "dtype": str(values.dtype),
        "n": len(values),
        "missing": int(values.isna().sum()),
    }
    if unique:
        facts["unique"] = int(values.nunique())
    facts |= {"mean": np.nan, "sd": np.nan, "min": None, "max": None}
    if is_number(values):
        column = np.asarray(numbers(values), dtype=np.float64)
        seen = column[~np.isnan(column)]
        if seen.size:
            facts |= {"mean": seen.mean(), "min": seen.min(), "max": seen.max()}
            facts["sd"] = seen.std(ddof=1) if seen.size > 1 else np.nan
    elif pd.api.types.is_datetime64_any_dtype(values) or isinstance(values.dtype, pd.PeriodDtype):
        facts |= {"min": values.min(), "max": values.max()}
    return facts


def balance(data: "CausalData") -> pd.DataFrame:
    """Compare covariates between treatment arms.

    Returns
    -------
    DataFrame
        One row for each treatment, arm beyond the first and covariate: ``treatment, contrast,
        covariate, mean, mean_reference, sd, smd, variance_ratio``. ``smd`` is the difference of
        means over ``sd``, the root of the mean of both variances; 0.1 is commonly held to be
        small. Weights are honoured.

    Raises
    ------
    ArgumentError
        If no treatment has arms.

    References
    ----------
    Austin, P. (2009). Balance diagnostics for comparing the distribution of baseline covariates
    between treatment groups in propensity-score matched samples. Statistics in Medicine 28.
    """
    x, names = data.matrix("covariates"), data.matrix_names("covariates")
    weights = data.weights()
    w = np.ones(data.n) if weights is None else weights
    counted = data.roles.weight_kind == "frequency"
    rows: list[dict[Any, Any]] = []
    for treatment, kind in zip(data.roles.treatment, data.roles.kinds, strict=True):
        if kind not in ARMS:
            continue
        codes, labels = _arms(data.frame[treatment])
        moments = [
            _moments(x[codes == arm], w[codes == arm], counted) for arm in range(len(labels))
        ]
        mean0, variance0 = moments[0]
        for arm in range(1, len(labels)):
            mean, variance = moments[arm]
            sd = np.sqrt((variance + variance0) / 2)
            with np.errstate(invalid="ignore", divide="ignore"):
                columns = {
                    "covariate": names,
                    "mean": mean,
                    "mean_reference": mean0,
                    "sd": sd,
                    "smd": (mean - mean0) / sd,
                    "variance_ratio": variance / variance0,
                }
            contrast = f"{labels[arm]} vs {labels[0]}"
            table = pd.DataFrame(columns)
            table.insert(0, "contrast", contrast)
            table.insert(0, "treatment", treatment)
            rows += table.to_dict("records")
    if not rows and not any(kind in ARMS for kind in data.roles.kinds):
        raise ArgumentError(
            f"balance compares arms, but the treatment ({', '.join(data.roles.treatment)}) is "
            f"{', '.join(data.roles.kinds)}; cut it into groups first, or look at describe()."
        )
    return pd.DataFrame(rows)


def _arms(values: "pd.Series[Any]") -> tuple[Ints, list[Any]]:
    """Arm of each row and the labels of the arms, the reference first."""
    if is_category(values):
        return np.asarray(values.cat.codes, dtype=np.int64), list(values.cat.categories)
    labels, codes = np.unique(np.asarray(numbers(values)), return_inverse=True)
    return codes, [f"{plain(label):g}" for label in labels]


def _moments(x: Floats, w: Floats, counted: bool) -> tuple[Floats, Floats]:  # noqa: FBT001
    """Weighted means and variances ``(p,)`` of observed values; frequency weights count rows."""
    seen = ~np.isnan(x)
    filled, mass = np.where(seen, x, 0.0), seen * w[:, None]
    total = mass.sum(axis=0)
    size = total if counted else (mass > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (filled * mass).sum(axis=0) / total
        spread = (mass * np.where(seen, x - mean, 0.0) ** 2).sum(axis=0) / total
        return mean, spread * size / (size - 1)


def panel_summary(data: "CausalData") -> pd.DataFrame:
    """Summarise the shape of a panel and the variation within its units.

    Returns
    -------
    DataFrame
        Columns ``measure, column, value``. Of the panel (``column`` empty): ``n, n_units,
        n_periods`` (observed), ``t_min, t_mean, t_max`` (rows of a unit), ``singletons`` (units
        seen once), ``balanced`` (1 or 0), ``gaps`` (places where a unit skips a period),
        ``skipped`` (periods skipped there), ``units_with_gaps``. Of each outcome, treatment and
        covariate, not weighted: ``sd_overall, sd_between`` (of unit means), ``sd_within`` (about
        unit means), ``within_share`` (of the sum of squares) and ``units_varying``.
    """
    codes = data.codes("unit")
    lengths = np.bincount(codes)
    shape: dict[str, float] = {
        "n": data.n,
        "n_units": lengths.size,
        "t_min": lengths.min(),
        "t_mean": lengths.mean(),
        "t_max": lengths.max(),
        "singletons": (lengths == 1).sum(),
    }
    if data.roles.time is not None:
        shape |= _calendar_facts(codes, data.periods(), lengths)
    rows = [(measure, "", float(value)) for measure, value in shape.items()]
    for role in ("outcome", "treatment", "covariates"):
        columns = data.roles.columns(role)
        values, names = encode(data.frame, columns, np.dtype(np.float64))
        for name, column in zip(names, values.T, strict=True):
            rows += [(m, name, v) for m, v in _variation(column, codes, lengths.size).items()]
    return pd.DataFrame(rows, columns=["measure", "column", "value"])


def _calendar_facts(codes: Ints, periods: Ints, lengths: Ints) -> dict[str, float]:
    order = np.lexsort((periods, codes))
    unit, period = codes[order], periods[order]
    steps = np.diff(period)[unit[1:] == unit[:-1]]
    holes = np.unique(unit[1:][(unit[1:] == unit[:-1]) & (np.diff(period) > 1)])
    n_periods = np.unique(periods).size
    return {
        "n_periods": n_periods,
        "balanced": float((lengths == n_periods).all()),
        "gaps": (steps > 1).sum(),
        "skipped": (steps[steps > 1] - 1).sum(),
        "units_with_gaps": holes.size,
    }


def _variation(column: Floats, codes: Ints, n_units: int) -> dict[str, float]:
    """Standard deviations overall, between and within units; missing values left out."""
    seen = ~np.isnan(column)
    value, unit = column[seen], codes[seen]
    if value.size < 2:
        return {}
    means = unit_means(value, unit, n_groups=n_units)[:, 0]
    inside = value - means[unit]
    between = means[~np.isnan(means)]
    total, within = float(((value - value.mean()) ** 2).sum()), float(inside @ inside)
    scale = np.abs(value).max()
    varying = np.unique(unit[np.abs(inside) > 1e-12 * scale]).size
    return {
        "sd_overall": float(np.sqrt(total / (value.size - 1))),
        "sd_between": float(between.std(ddof=1)) if between.size > 1 else np.nan,
        "sd_within": float(np.sqrt(within / (value.size - 1))),
        "within_share": within / total if total > 0 else np.nan,
        "units_varying": float(varying),
    }


def one_line(data: "CausalData") -> str:
    """Rows and roles in a line."""
    roles = data.roles
    parts = [f"{', '.join(roles.outcome)} ~ {', '.join(roles.treatment)}"]
    parts += [
        f"{len(roles.columns(role))} {role}"
        for role in ("covariates", "modifiers", "instruments")
        if roles.columns(role)
    ]
    for role in ("unit", "time", "cluster", "weights", "strata"):
        names = roles.columns(role)
        if names:
            parts.append(f"{role} {', '.join(names)}")
    title = f"{data.name}: " if data.name else ""
    return f"CausalData({title}{data.n} rows; {'; '.join(parts)})"


def html(data: "CausalData") -> str:
    """Line and column table for notebooks; distinct values are counted for small data only."""
    small = data.frame.size <= _QUICK
    table = _described(data, unique=small).to_html(
        index=False, na_rep="", float_format="{:.4g}".format
    )
    dropped = "".join(
        f"<p>{count} rows left out: {escape(reason)}</p>" for reason, count in data.dropped.items()
    )
    return f"<p>{escape(one_line(data))}</p>{dropped}{table}"

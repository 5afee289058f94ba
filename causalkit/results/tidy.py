"""Results as data frames with fixed columns, and as what the package maketables reads."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, get_args

import pandas as pd

from causalkit.errors import check_choice
from causalkit.optional import require
from causalkit.provenance import __version__
from causalkit.results.effect import Backend, EffectResult

TIDY = (
    "term",
    "estimand",
    "estimate",
    "std_error",
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
    "conf_level",
    "n",
    "estimator",
    "outcome",
    "treatment",
    "contrast",
)
# Column of glance() → dtype. Nullable ones, so that results concatenate whatever is missing.
GLANCE = {
    "estimator": "str",
    "estimand": "str",
    "n": "Int64",
    "n_units": "Int64",
    "n_periods": "Int64",
    "n_clusters": "Int64",
    "cov_type": "str",
    "n_folds": "Int64",
    "n_repeats": "Int64",
    "nuisance_rmse_y": "Float64",
    "nuisance_rmse_d": "Float64",
    "overlap_min": "Float64",
    "overlap_max": "Float64",
    "first_stage_f": "Float64",
    "j_stat": "Float64",
    "j_p": "Float64",
    "rhat_max": "Float64",
    "ess_min": "Float64",
    "converged": "boolean",
    "wall_s": "Float64",
    "seed": "str",
    "version": "str",
}
BACKENDS = get_args(Backend)
STAT_LABELS = {
    "N": "Observations",
    "n_units": "Units",
    "n_periods": "Periods",
    "n_clusters": "Clusters",
    "se_type": "Inference",
    "estimand": "Estimand",
    "estimator": "Estimator",
}


def tidy_frame(result: EffectResult, *, level: float | None = None) -> pd.DataFrame:
    """One row per term; columns :data:`TIDY`."""
    low, high = result.bounds(level)
    k = len(result.terms)
    # Differences of treatments may be as many as these.
    per_term = len(result.treatment) == k and all(map(_is_term_of, result.terms, result.treatment))
    return pd.DataFrame(
        {
            "term": list(result.terms),
            "estimand": result.estimand,
            "estimate": result.estimates,
            "std_error": result.std_errors,
            "statistic": result.statistic if k == 1 else list(result.statistic),  # type: ignore[arg-type]
            "p_value": result.p_values(),
            "conf_low": low,
            "conf_high": high,
            "conf_level": result.level if level is None else level,
            "n": result.n,
            "estimator": result.estimator,
            "outcome": result.outcome,
            "treatment": list(result.treatment) if per_term else ", ".join(result.treatment),
            "contrast": list(result.contrast),
        },
        columns=list(TIDY),
    )


def _is_term_of(term: str, treatment: str) -> bool:
    """Whether a term is a treatment, or one of its levels."""
    return term == treatment or term.startswith(f"{treatment}=")


def glance_frame(result: EffectResult) -> pd.DataFrame:
    """One row about the fit; columns :data:`GLANCE`, null where one does not apply."""
    known = {
        "estimator": result.estimator,
        "estimand": result.estimand,
        "n": result.n,
        "n_units": result.n_units,
        "n_periods": result.n_periods,
        "n_clusters": result.n_clusters,
        "cov_type": result.cov_type,
        "n_folds": result.n_folds,
        "n_repeats": result.n_rep,
        "nuisance_rmse_y": _rmse(result, ("outcome",)),
        "nuisance_rmse_d": _rmse(result, ("treatment", "propensity")),
        "wall_s": result.provenance.get("wall_s"),
        # A seed may exceed 64 bits, so it is text, like a version.
        "seed": None if result.seed is None else str(result.seed),
        "version": result.provenance.get("versions", {}).get("causalkit", __version__),
        **{key: value for key, value in result.glance_extra.items() if key in GLANCE},
    }
    return pd.DataFrame(
        {name: pd.Series([known.get(name)], dtype=dtype) for name, dtype in GLANCE.items()}
    )


def nuisance_rows(result: EffectResult) -> dict[str, dict[str, Any]]:
    """Diagnostics of each nuisance: ``learner``, ``rmse``, ``r2``, ``r2_within`` as known."""
    chosen = result.diagnostics.get("learners", {})
    found = result.diagnostics.get("nuisances", {})
    rows: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([*found, *chosen]):
        facts = found.get(name, {})
        facts = asdict(facts) if is_dataclass(facts) and not isinstance(facts, type) else facts
        learner = {"learner": chosen[name]} if name in chosen else {}
        rows[str(name)] = {**(facts if isinstance(facts, Mapping) else {}), **learner}
    return rows


def to_backend(frame: pd.DataFrame, backend: str) -> Any:
    """The same table as pandas, polars or pyarrow."""
    check_choice("backend", backend, BACKENDS)
    if backend == "pandas":
        return frame
    table = (
        require("pyarrow", extra="", needed_by="backend='pyarrow'")
        .Table.from_pandas(frame, preserve_index=False)
        .replace_schema_metadata(None)
    )
    if backend == "pyarrow":
        return table
    return require("polars", extra="big", needed_by="backend='polars'").from_arrow(table)


def maketables_coefficients(result: EffectResult) -> pd.DataFrame:
    """Coefficient table under the column names that maketables knows."""
    low, high = result.bounds(0.95)
    tidy = tidy_frame(result)
    return pd.DataFrame(
        {
            "b": tidy["estimate"].to_numpy(),
            "se": tidy["std_error"].to_numpy(),
            "t": tidy["statistic"].to_numpy(),
            "p": tidy["p_value"].to_numpy(),
            "ci95l": low,
            "ci95u": high,
        },
        index=pd.Index(result.terms, name="Coefficient"),
    )


def maketables_stat(result: EffectResult, key: str) -> Any:
    """Statistic of the fit by maketables' key; None where it does not apply."""
    if key == "N":
        return result.n
    if key == "se_type":
        return result.inference
    if key in ("n_units", "n_periods", "n_clusters", "estimand", "estimator", "df"):
        return getattr(result, key)
    value = result.glance_extra.get(key)
    return value if isinstance(value, int | float | str) else None


def maketables_keys(result: EffectResult) -> list[str]:
    """Rows that maketables shows below the coefficients unless told otherwise."""
    counts = [k for k in ("n_units", "n_clusters") if getattr(result, k) is not None]
    return ["N", *counts, "se_type"]


def _rmse(result: EffectResult, names: tuple[str, ...]) -> float | None:
    """Out-of-fold error of the first nuisance found under one of the names."""
    rows = nuisance_rows(result)
    found = [rows[name].get("rmse") for name in names if name in rows]
    return None if not found or found[0] is None else float(found[0])

"""What the summary of a result says, before any format."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.results.numerals import count, decimals, interval, number, p_text, percent
from causalkit.results.render import Grid, Page, Part
from causalkit.results.tidy import nuisance_rows, tidy_frame

if TYPE_CHECKING:
    from causalkit.results.effect import EffectResult

ESTIMANDS = {
    "ate": "average treatment effect (ATE)",
    "att": "average treatment effect on the treated (ATT)",
    "atc": "average treatment effect on the controls (ATC)",
    "variance-weighted": "variance-weighted average effect",
    "late": "local average treatment effect (LATE)",
    "iv-slope": "slope by instruments (IV): the effect per unit if it is the same for all",
    "gate": "group average treatment effects (GATE)",
    "gate-differences": "differences between group average treatment effects",
    "blp": "best linear predictor of the effect (BLP)",
    "calibration": "calibration of predicted effects",
    "adrf": "mean outcome by dose (ADRF)",
    "adrf-differences": "differences between mean outcomes by dose",
}
# Estimands that are outcomes, not effects: nobody asks whether they are zero.
LEVELS = frozenset({"adrf"})
# Nuisance fit: key of the record → column head.
_FIT = {"rmse": "RMSE", "r2": "R²", "r2_within": "R² within"}
# Kind of interval that a result may have of its own: words in place of the distribution.
_RESAMPLED = {
    "bootstrap": "multiplier bootstrap, each",
    "uniform": "p and intervals simultaneous, by a multiplier bootstrap of the largest",
}
_SHOWN = ("nuisances", "learners")
_LONGEST = 10


def page(result: "EffectResult") -> Page:
    """Title, facts, coefficients, inference, nuisances, diagnostics, dropped, warnings, notes."""
    dropped = tuple(f"{count(rows)} rows: {why}" for why, rows in result.dropped.items())
    parts = [
        Part(grid=coefficient_grid(result), text=f"Standard errors: {inference_line(result)}"),
        *_nuisances(result),
        *_section("Diagnostics", _diagnostics(result)),
        *_section("Left out of estimation", dropped),
        *_section("Warnings", result.warnings),
        *_section("Notes", result.notes),
        *_provenance(result),
    ]
    treatment = ", ".join(result.treatment)
    effect = f"Effect of {treatment} on {result.outcome}"
    if not result.treatment:
        effect = f"{result.estimand[:1].upper()}{result.estimand[1:]}"
    title = f"Mean {result.outcome} by {treatment}" if result.estimand in LEVELS else effect
    return Page(title=title, facts=_facts(result), parts=tuple(parts))


def coefficient_grid(result: "EffectResult", *, noted: bool = False) -> Grid:
    """Terms in rows: estimate, standard error, t or z, p, interval.

    With ``noted`` the facts that make the table readable on its own stand below it.
    """
    frame = tidy_frame(result)
    header: tuple[str, ...] = (
        "",
        "Estimate",
        "Std. error",
        "t" if math.isfinite(result.df) else "z",
        "p",
        f"{percent(result.level)} conf. interval",
    )
    rows: list[tuple[str, ...]] = []
    labels = row_labels(result)
    for label, row in zip(labels, frame.to_dict("records"), strict=True):
        places = decimals([row["std_error"]])
        rows.append(
            (
                label,
                number(row["estimate"], places),
                number(row["std_error"], places),
                number(row["statistic"], 2),
                p_text(row["p_value"]),
                interval(row["conf_low"], row["conf_high"], places),
            )
        )
    facts = "; ".join(f"{name}: {value}" for name, value in _facts(result))
    notes = (f"{facts}.", f"Standard errors: {inference_line(result)}", *result.warnings)
    if result.estimand in LEVELS:
        header, rows = (*header[:3], header[5]), [(*row[:3], row[5]) for row in rows]
    return Grid(header=header, rows=tuple(rows), notes=notes if noted else ())


def row_labels(result: "EffectResult") -> tuple[str, ...]:
    """Terms, with their contrasts where these differ; one they share is among the facts."""
    if len(set(result.contrast)) == 1:
        return result.terms
    pairs = zip(result.terms, result.contrast, strict=True)
    return tuple(f"{term} ({contrast})" if contrast else term for term, contrast in pairs)


def inference_line(result: "EffectResult") -> str:
    """The mandatory sentence: how standard errors were computed, and which quantiles are used."""
    if math.isfinite(result.df):
        law = f"t distribution with {_freedom(result)} df"
    else:
        law = "normal distribution"
    if result.interval in _RESAMPLED:
        law = f"{_RESAMPLED[result.interval]} of {count(len(result.terms))} t-ratios"
    return f"{result.inference.rstrip('. ')}; {law}."


def _freedom(result: "EffectResult") -> str:
    """Degrees of freedom; their range where terms differ."""
    df = np.array([result.df]) if result.df_by_term is None else result.df_by_term
    places = 0 if (df % 1 == 0).all() else 1
    low, high = number(df.min(), places), number(df.max(), places)
    return low if low == high else f"{low} to {high}"


def _facts(result: "EffectResult") -> tuple[tuple[str, str], ...]:
    """Pairs of name and value that head the summary."""
    folds = count(result.n_folds)
    if folds and result.n_rep is not None and result.n_rep > 1:
        folds = f"{folds}, repeated {result.n_rep} times"
    pairs = (
        ("Estimator", result.estimator),
        ("Estimand", ESTIMANDS.get(result.estimand, result.estimand)),
        ("Outcome", result.outcome),
        ("Observations", count(result.n)),
        ("Treatment", ", ".join(result.treatment)),
        ("Units", count(result.n_units)),
        ("Contrast", result.contrast[0] if len(set(result.contrast)) == 1 else ""),
        ("Periods", count(result.n_periods)),
        ("Folds", folds),
        ("Clusters", count(result.n_clusters)),
        *result.choices.items(),
        ("Seed", "" if result.seed is None else str(result.seed)),
    )
    return tuple(pair for pair in pairs if pair[1])


def _nuisances(result: "EffectResult") -> tuple[Part, ...]:
    """Out-of-fold fit of each nuisance and the learner that made it."""
    found = nuisance_rows(result)
    if not found:
        return ()
    known = {key for facts in found.values() for key in _FIT if number(facts.get(key))}
    keys = [key for key in _FIT if key in known]
    rows = tuple(
        (name, *(number(facts.get(key), 4 if key == "rmse" else 3) for key in keys))
        for name, facts in found.items()
        if any(key in facts for key in keys)
    )
    grid = Grid(header=("", *(_FIT[key] for key in keys)), rows=rows) if keys else None
    learners = tuple(
        f"{name} learner: {facts['learner']}" for name, facts in found.items() if "learner" in facts
    )
    heading = "Learners" if grid is None else "Nuisance functions, out of fold"
    return (Part(heading=heading, grid=grid, lines=learners),)


def _diagnostics(result: "EffectResult") -> tuple[str, ...]:
    """Other diagnostics that fit on a line; mappings give a line for each entry."""
    hidden = _SHOWN if (result.n_rep or 1) > 1 else (*_SHOWN, "theta_by_repeat")
    lines = []
    for key, value in result.diagnostics.items():
        if key in hidden:
            continue
        entries = value if isinstance(value, Mapping) else {"": value}
        # What follows a comma is a column or level of the user's, which keeps its name.
        ours, comma, theirs = str(key).partition(", ")
        title = f"{ours.replace('_', ' ')}{comma}{theirs}"
        for name, entry in entries.items():
            text = _short(entry)
            if hasattr(entry, "p_value"):
                lines.append(text)  # a test names itself
            elif text:
                heading = title + (f", {name}" if name else "")
                lines.append(f"{heading}: {text}")
    return tuple(lines)


def _short(value: Any) -> str:
    """Text of a value that fits on a line, else nothing."""
    if hasattr(value, "p_value"):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        if "__str__" in vars(type(value)):
            return str(value)
        value = {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        parts = {str(name): _short(part) for name, part in value.items()}
        return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in parts.items() if text)
    if isinstance(value, np.ndarray | list | tuple):
        flat = np.asarray(value).ravel().tolist()
        return ", ".join(_short(part) for part in flat) if len(flat) <= _LONGEST else ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return count(int(value))
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{float(value):.4g}"
    return value if isinstance(value, str) else ""


def _provenance(result: "EffectResult") -> tuple[Part, ...]:
    """Versions and wall time, if the fit recorded them."""
    versions = result.provenance.get("versions", {})
    facts = [f"{name} {versions[name]}" for name in ("causalkit", "python") if name in versions]
    wall = result.provenance.get("wall_s")
    if wall is not None:
        facts.append(f"fitted in {f'{wall:.2g}' if wall < 10.0 else f'{wall:,.0f}'} s")
    return (Part(text=f"{', '.join(facts)}."),) if facts else ()


def _section(heading: str, lines: tuple[str, ...]) -> tuple[Part, ...]:
    """A part with a heading, or nothing if it has no lines."""
    return (Part(heading=heading, lines=lines),) if lines else ()

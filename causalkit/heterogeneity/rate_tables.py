"""What the worth of a ranking, and the test made of it, look like: pages, tables and frames."""

import math

import numpy as np
import pandas as pd

from causalkit.errors import check_level
from causalkit.heterogeneity.rate import TARGETS, RateResult
from causalkit.heterogeneity.rate_inference import SCHEMES, FoldRate, RateTest
from causalkit.results import EffectResult, tidy
from causalkit.results.intervals import normal_p, quantile_value
from causalkit.results.numerals import count, decimals, interval, number, p_text, percent
from causalkit.results.render import Grid, Page, Part


def effects(result: RateResult) -> EffectResult:
    """The worth of a ranking, or of two and their difference, as effects with a joint variance."""
    shown = (*result.parts, result)
    variance = np.diag([one.std_error**2 for one in shown])
    if result.parts:
        # Var(a - b) says how a and b move together, as all are from the same half samples.
        first, second, gap = np.diag(variance)
        shared = (first + second - gap) / 2.0
        weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
        variance = weights @ np.array([[first, shared], [shared, second]]) @ weights.T
    what = "clusters" if result.clustered else "rows"
    return EffectResult(
        terms=tuple(one.label for one in shown),
        estimates=np.array([one.estimate for one in shown]),
        vcov=variance,
        estimand=result.target,
        estimator="RATE",
        outcome="",
        treatment=(),
        n=result.n,
        n_clusters=result.n_clusters if result.clustered else None,
        inference=f"{result.effects.draws} half samples of {what}",
        seed=result.seed,
        notes=result.notes,
        warnings=result.warnings,
        diagnostics={"TOC": result.toc},
    )


def page(result: RateResult) -> Page:
    """Everything that the summary says."""
    what = "clusters" if result.clustered else "rows"
    facts = [
        ("Target", f"{result.target}, {TARGETS[result.target]}"),
        ("Observations", count(result.n)),
        ("Clusters", count(result.n_clusters) if result.clustered else ""),
        ("Standard errors", f"{result.effects.draws} half samples of {what}"),
        ("Seed", str(result.seed)),
    ]
    rows = [_line(one) for one in (*result.parts, result)]
    heads = ("", "Estimate", "Std. error", "z", "p", "95% conf. interval")
    breaks = (len(result.parts),) if result.parts else ()
    worth = "Worth of a ranking" if not result.parts else "Worth of two rankings"
    return Page(
        title=f"{worth}: rank-weighted average treatment effect",
        facts=tuple(pair for pair in facts if pair[1]),
        parts=(
            Part(grid=Grid(heads, tuple(rows), breaks)),
            Part(
                heading="TOC: effect in the top fraction minus that of all",
                grid=_curve_grid(result),
                text="First ranking minus second." if result.parts else "",
            ),
            Part(heading="Notes", lines=(*result.warnings, *result.notes)),
        ),
    )


def _line(result: RateResult) -> tuple[str, ...]:
    places = decimals([result.std_error])
    p = result.p_value()
    return (
        result.label,
        number(result.estimate, places),
        number(result.std_error, places),
        number(result.ratio, 2),
        "" if math.isnan(p) else p_text(p),
        interval(*result.conf_int(), places),
    )


def _curve_grid(result: RateResult) -> Grid:
    """TOC at every fraction, with pointwise intervals."""
    frame = result.toc
    places = decimals(frame["std_err"])
    rows = tuple(
        (
            f"top {percent(round(q, 6))}",
            number(value, places),
            number(error, places),
            interval(low, high, places),
        )
        for q, value, error, low, high in frame.itertuples(index=False)
    )
    return Grid(("", "Estimate", "Std. error", "95% pointwise interval"), rows)


def fold_frame(test: RateTest, level: float) -> pd.DataFrame:
    """Folds under the names of the columns that all results have."""
    folds, reach = test.table, float(quantile_value("normal", level=check_level(level)))
    return pd.DataFrame(
        {
            "term": [_fold_label(fold) for fold in test.folds],
            "estimand": test.target,
            "estimate": folds["estimate"],
            "std_error": folds["std_err"],
            "statistic": folds["ratio"],
            "p_value": [float(normal_p(fold.ratio, kind="normal")) for fold in test.folds],
            "conf_low": folds["estimate"] - reach * folds["std_err"],
            "conf_high": folds["estimate"] + reach * folds["std_err"],
            "conf_level": level,
            "n": folds["n"],
            "estimator": f"RATE ({test.scheme})",
            "outcome": "",
            "treatment": "",
            "contrast": "",
        },
        columns=list(tidy.TIDY),
    )


def _fold_label(fold: FoldRate) -> str:
    return f"repeat {fold.repeat + 1}, fold {fold.fold + 1}"


def _test_facts(test: RateTest) -> tuple[tuple[str, str], ...]:
    """Pairs of name and value that head the summary."""
    return (
        ("Target", f"{test.target}, {TARGETS[test.target]}"),
        ("Scheme", f"{test.scheme}: {SCHEMES[test.scheme]}"),
        ("Observations", count(test.n)),
        ("Repeats", count(len(test.statistics))),
        ("Outcome learner", test.learner),
        ("Seed", str(test.seed)),
        ("Statistic", number(test.statistic, 2)),
        ("p-value", p_text(test.p_value)),
    )


def fold_grid(test: RateTest, *, noted: bool = False) -> Grid:
    """Folds in rows; with ``noted`` the facts of the test stand below."""
    places = decimals(fold.std_err for fold in test.folds)
    rows = tuple(
        (
            _fold_label(fold),
            number(fold.estimate, places),
            number(fold.std_err, places),
            number(fold.ratio, 2),
            count(fold.n),
            count(fold.n_train),
        )
        for fold in test.folds
    )
    heads = ("", test.target, "Std. error", "t", "Rows", "Learned from")
    facts = "; ".join(f"{name}: {value}" for name, value in _test_facts(test))
    return Grid(heads, rows, notes=(f"{facts}.", *test.warnings, *test.notes) if noted else ())


def page_of_test(test: RateTest) -> Page:
    """Everything that the summary says."""
    repeats = tuple(
        f"repeat {place + 1}: statistic {number(statistic, 2)}, p {p_text(p)}"
        for place, (statistic, p) in enumerate(zip(test.statistics, test.p_values, strict=True))
    )
    parts = [Part(heading="Evaluation folds", grid=fold_grid(test))]
    parts += [Part(heading="All repeats", lines=repeats)] if len(repeats) > 1 else []
    parts += [Part(heading="Warnings", lines=test.warnings)] if test.warnings else []
    parts.append(Part(heading="Notes", lines=test.notes))
    return Page("Test that effects do not differ (RATE)", _test_facts(test), tuple(parts))

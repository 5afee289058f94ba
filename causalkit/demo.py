"""The demonstration: real data, and simulated data where the truth is known, for each family."""

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData, load_dataset
from causalkit.demo_doses import known_curve
from causalkit.demo_images import effects_by_image
from causalkit.demo_parts import SEED, Chapter, Say, new_axes
from causalkit.errors import IdentificationWarning, cannot_write
from causalkit.generators import invalid_iv, panel_fp2024
from causalkit.iv import InvalidIV
from causalkit.iv.plots import plot_delta_v
from causalkit.optional import require
from causalkit.panel import PanelDML
from causalkit.panel.linear import LINEAR
from causalkit.results import ResultTable, table
from causalkit.results.numerals import decimals, interval, number
from causalkit.results.plots import plot_forest
from causalkit.results.plots_checks import plot_residuals, plot_sensitivity
from causalkit.results.render import Grid, grid_text, wrapped
from causalkit.results.report import Code, Figure, Heading, Table, Text, html_report
from causalkit.typing import Floats
from causalkit.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The paper's three, then this library's default.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "pooled": {"approach": "pooled"},
    "within": {"approach": "within", "mundlak_terms": "means"},
    "CRE, means": {"approach": "cre", "mundlak_terms": "means"},
    "CRE, basis": {"approach": "cre", "mundlak_terms": "basis"},
}


def run_demo(out_dir: Path, *, echo: Say, progress: Say) -> Path:
    """Estimate effects in real and in simulated data with every family, and write a report.

    Parameters
    ----------
    out_dir : Path
        Folder for ``report.html`` and the tables; made if absent.
    echo : callable
        Takes the results, as text.
    progress : callable
        Takes one line per step.

    Returns
    -------
    Path
        The report: one file that needs no other.

    Raises
    ------
    MissingDependencyError
        If matplotlib or the package with the real data is absent; before anything is computed.
    StorageError
        If the folder cannot be made, before anything is computed.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_demo(Path("causalkit-demo"), echo=print, progress=print)  # doctest: +SKIP
    """
    require("matplotlib.figure", extra="plots", needed_by="causalkit demo")
    started = time.perf_counter()
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(f"into {out_dir}", error) from error
    wages, plans = load_dataset("wage_panel"), load_dataset("401k")
    parts: tuple[Callable[[], Chapter], ...] = (
        lambda: real_panel(wages, progress),
        lambda: known_truth(progress),
        lambda: doubted_instrument(plans, progress),
        lambda: known_direct_effect(progress),
        lambda: known_curve(progress),
        lambda: effects_by_image(progress),
    )
    chapters = []
    for part in parts:
        chapters.append(part())
        echo(f"\n{chapters[-1].text}\n")
    progress("writing the report")
    page = html_report(
        "causalkit: panels, invalid instruments, doses, and images of places",
        [section for chapter in chapters for section in chapter.sections],
        provenance={"seed": SEED, "seconds": round(time.perf_counter() - started)},
    )
    files = {name: text for chapter in chapters for name, text in chapter.files.items()}
    for name, text in {**files, "report.html": page}.items():
        write_whole(out_dir / name, text)
    return out_dir / "report.html"


def real_panel(data: CausalData, progress: Say) -> Chapter:
    """Union membership and wages: the default estimator, and all approaches side by side."""
    progress("wage panel: fitting PanelDML (1 of 2)")
    est = PanelDML(time_effects="dummies", random_state=SEED).fit(data)
    result = est.estimate()
    progress("wage panel: fitting every other approach on the same folds (2 of 2)")
    compared = est.compare()
    beside = (published(data), str(est.mundlak_test()), *compared.notes)
    strength = str(est.sensitivity())
    title = "Do unions raise wages? 545 men, 1980-1987"
    lines = [line for part in (*beside, strength) for line in ("", *wrapped(part))]
    grid = _grid(compared, rule=len(LINEAR))
    about = "Above the rule linear regressions, below it PanelDML, on the same folds"
    text = [title, "", result.summary(), "", f"{about}:", grid_text(grid, width=80), *lines]
    return Chapter(
        text="\n".join(text),
        sections=(
            Heading(title),
            Text(f"{data.citation}. {data.published['note']}"),
            Code(
                "import causalkit as ck\n"
                'data = ck.load_dataset("wage_panel")\n'
                f'est = ck.PanelDML(time_effects="dummies", random_state={SEED}).fit(data)\n'
                "print(est.estimate().summary())\n"
                "est.compare().plot()"
            ),
            Table(result),
            Heading("Every approach on the same folds", 3),
            Figure(
                _forest(compared),
                f"Effect of union membership on the log hourly wage. The first {len(LINEAR)} are "
                "linear regressions, the others PanelDML.",
            ),
            *(Text(part) for part in beside),
            Heading("How strong would a confounder have to be?", 3),
            Figure(
                _sensitivity(est, strengths=np.linspace(0.0, 0.1, 101)),
                "Lowest effect that remains if a time-varying confounder was left out; the heavy "
                "line is no effect.",
            ),
            Text(strength),
        ),
        files={"wage_panel.tex": compared.to_latex(), "wage_panel.csv": _csv(compared)},
    )


def published(data: CausalData) -> str:
    """The published answer of an example data set, in a sentence."""
    known = data.published
    return f"Published: {known['estimate']:.4f} ({known['std_error']:.4f}), {known['how']}."


def known_truth(progress: Say) -> Chapter:
    """A panel with nonlinear confounding and unit heterogeneity, where the effect is known."""
    data = panel_fp2024(SEED, structure="C", form="u-shaped", gamma=1.0, delta=1.0)
    assert data.truth is not None
    truth = data.truth.estimands["ate"]
    fits: dict[str, PanelDML] = {}
    for place, (name, arguments) in enumerate(METHODS.items(), start=1):
        progress(f"simulated panel: {name} ({place} of {len(METHODS)})")
        fits[name] = PanelDML(random_state=SEED, **arguments).fit(data.blind())
    compared = table({name: est.estimate() for name, est in fits.items()})
    grid = _grid(compared, truth=truth)
    title = f"Where the truth is known: the effect is {truth:g}"
    about = (
        f"{len(data):,} rows from the design of Fuhr & Papies (2024), structure C: an observed "
        "covariate acts through its square, and unobserved unit heterogeneity acts on covariate, "
        "treatment and outcome. The estimators see neither the truth nor the heterogeneity. "
        '"pooled" ignores units, "within" learns from what is left after unit means are taken off, '
        '"CRE, means" gives the learners the unit means of covariate and treatment, and "CRE, '
        'basis" (the default) those of a dictionary of the covariate. "error" is the estimate '
        'minus the truth, and "covers" says whether the interval contains it.'
    )
    return Chapter(
        text="\n".join([title, "", *wrapped(about), "", grid_text(grid, width=80)]),
        sections=(
            Heading(title),
            Text(about),
            Figure(
                _forest(compared, null=truth), f"Each approach; the line is the truth, {truth:g}."
            ),
            Table(pd.DataFrame(grid.rows, columns=["approach", *grid.header[1:]])),
            Heading("What the last estimate is made of", 3),
            Figure(
                _residuals(fits["CRE, basis"]),
                "Both variables minus their cross-fitted prediction; the slope is the effect.",
            ),
        ),
        files={"simulated.csv": _csv(compared)},
    )


def doubted_instrument(data: CausalData, progress: Say) -> Chapter:
    """401(k) plans and savings: an instrument that may affect savings directly."""
    progress("401(k) plans: fitting InvalidIV (1 of 2)")
    with warnings.catch_warnings():
        # Shown below, from the result.
        warnings.simplefilter("ignore", IdentificationWarning)
        est = InvalidIV(method="debiased", learners="ridge", random_state=SEED).fit(data)
        progress("401(k) plans: fitting every other estimator on the same folds (2 of 2)")
        compared = est.compare()
    result, strength = est.estimate(), est.strength()
    title = "Do 401(k) plans add to savings, if eligibility may do so by itself?"
    about = (
        "Net financial assets in thousand dollars; the instrument is whether an employer offers a "
        "plan. InvalidIV does without the exclusion restriction and identifies the effect from how "
        "the instrument moves the variance of the treatment."
    )
    beside = (published(data), str(strength), str(est.anderson_rubin()), *result.warnings)
    lines = [line for part in beside for line in ("", *wrapped(part))]
    text = [title, "", *wrapped(about), "", grid_text(_grid(compared), width=80), *lines]
    return Chapter(
        text="\n".join(text),
        sections=(
            Heading(title),
            Text(f"{data.citation}. {data.published['note']}"),
            Text(about),
            Code(
                "import causalkit as ck\n"
                'data = ck.load_dataset("401k")\n'
                f'est = ck.InvalidIV(method="debiased", learners="ridge", random_state={SEED})\n'
                "print(est.fit(data).estimate().summary())\n"
                "est.compare().plot()"
            ),
            Table(result),
            Figure(_forest(compared), "Effect of participation on net financial assets."),
            *(Text(part) for part in (*beside, *compared.notes)),
            Figure(
                plot_delta_v(est.fit_.fitted.hats.delta_v[:, 0], ax=new_axes(6.0, 3.4)),
                "What identifies the effect: how eligibility moves the variance of participation.",
            ),
        ),
        files={"401k.tex": compared.to_latex(), "401k.csv": _csv(compared)},
    )


def known_direct_effect(progress: Say) -> Chapter:
    """An instrument with a direct effect, where the average effect is known."""
    data = invalid_iv(SEED, n=8000)
    assert data.truth is not None
    truth = data.truth.estimands["ate"]
    progress("simulated instrument: fitting InvalidIV and every other estimator")
    est = InvalidIV(method="debiased", learners="linear", random_state=SEED).fit(data.blind())
    compared = est.compare()
    grid = _grid(compared, truth=truth)
    title = f"An instrument with a direct effect; the average effect is {truth:g}"
    about = (
        f"{len(data):,} rows with an unmeasured confounder and a direct effect of the instrument "
        "of 0.7. OLS and AIPW are misled by the first, 2SLS, PLIV and LATE by the second; GENIUS "
        'takes the effect to be constant. "error" is the estimate minus the truth.'
    )
    return Chapter(
        text="\n".join([title, "", *wrapped(about), "", grid_text(grid, width=80)]),
        sections=(
            Heading(title),
            Text(about),
            Figure(
                _forest(compared, null=truth), f"Each estimator; the line is the truth, {truth:g}."
            ),
            Table(pd.DataFrame(grid.rows, columns=["estimator", *grid.header[1:]])),
            Text(str(est.strength())),
        ),
        files={"simulated_instrument.csv": _csv(compared)},
    )


def _grid(compared: ResultTable, *, truth: float | None = None, rule: int = 0) -> Grid:
    """Results one below the other, with a rule above one of them if asked.

    Where the truth is known, also their error and whose interval covers it.
    """
    places = decimals(float(error) for result in compared.results for error in result.std_errors)
    rows = []
    for name, result in zip(compared.names, compared.results, strict=True):
        low, high = result.bounds()
        value, error = float(result.estimates[0]), float(result.std_errors[0])
        row = [name, number(value, places), number(error, places)]
        row.append(interval(float(low[0]), float(high[0]), places))
        if truth is not None:
            row += [number(value - truth, places), "yes" if low[0] <= truth <= high[0] else "no"]
        rows.append(tuple(row))
    header: tuple[str, ...] = ("", "estimate", "std. error", "95% interval")
    header += () if truth is None else ("error", "covers")
    return Grid(header=header, rows=tuple(rows), breaks=(rule,) if rule else ())


def _forest(compared: ResultTable, *, null: float = 0.0) -> "Axes":
    """Forest plot on a figure of its own."""
    ax = new_axes(6.6, 1.1 + 0.36 * len(compared.results))
    return plot_forest(compared, ax=ax, null=null)


def _residuals(est: PanelDML) -> "Axes":
    """Outcome residuals against treatment residuals, with the estimate as slope."""
    rows, result = est.augment(), est.estimate()
    return plot_residuals(
        rows["treatment_residual"].to_numpy(),
        rows["outcome_residual"].to_numpy(),
        estimate=float(result.estimates[0]),
        std_error=float(result.std_errors[0]),
        treatment=result.treatment[0],
        outcome=result.outcome,
        df=result.df,
        ax=new_axes(5.6, 4.2),
    )


def _sensitivity(est: PanelDML, *, strengths: Floats) -> "Axes":
    """Contours of the lower bound of a positive effect over the strength of a confounder."""
    plain = est.sensitivity()
    low, _ = plain.bounds(strengths[:, None], strengths[None, :])
    return plot_sensitivity(
        strengths,
        strengths,
        low,
        estimate=plain.estimate,
        robustness_value=plain.robustness_value,
        ax=new_axes(5.6, 4.6),
    )


def _csv(compared: ResultTable) -> str:
    """Tidy rows as CSV."""
    return str(compared.tidy().to_csv(index=False))

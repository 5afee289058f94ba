"""The demonstration: a real panel, and a simulated one where the truth is known."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from causalkit.data import CausalData, load_dataset
from causalkit.generators import panel_fp2024
from causalkit.optional import require
from causalkit.panel import PanelDML
from causalkit.results import EffectResult, ResultTable, table
from causalkit.results.numerals import decimals, interval, number
from causalkit.results.plots import plot_forest
from causalkit.results.plots_checks import plot_residuals
from causalkit.results.render import Grid, grid_text
from causalkit.results.report import Code, Figure, Heading, Section, Table, Text, html_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED = 0
Say = Callable[[str], None]

# The rows of the simulated comparison: what each leaves out is what the next one adds.
METHODS: Mapping[str, Mapping[str, str]] = {
    "pooled: units ignored": {"approach": "pooled"},
    "within: demeaned first": {"approach": "within"},
    "Mundlak, means of x": {"approach": "cre", "mundlak_terms": "means"},
    "Mundlak, means of a basis (default)": {"approach": "cre", "mundlak_terms": "basis"},
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the demonstration.

    Attributes
    ----------
    text : str
        What the terminal shows.
    sections : tuple of Section
        What the report shows.
    files : mapping of str to str
        Further files, by name.
    """

    text: str
    sections: tuple[Section, ...]
    files: Mapping[str, str]


def run_demo(out_dir: Path, *, echo: Say, progress: Say) -> Path:
    """Estimate effects in a real and in a simulated panel, and write a report.

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
        If matplotlib or the package with the wage data is absent; before anything is computed.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_demo(Path("causalkit-demo"), echo=print, progress=print)  # doctest: +SKIP
    """
    require("matplotlib.figure", extra="plots", needed_by="causalkit demo")
    started = time.perf_counter()
    wages = load_dataset("wage_panel")
    chapters: list[Chapter] = []
    for make in (lambda: real_panel(wages, progress), lambda: known_truth(progress)):
        chapters.append(make())
        echo(f"\n{chapters[-1].text}\n")
    progress("writing the report")
    page = html_report(
        "causalkit: panel double machine learning with Mundlak terms",
        [section for chapter in chapters for section in chapter.sections],
        provenance={"seed": SEED, "seconds": round(time.perf_counter() - started)},
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    files = {name: text for chapter in chapters for name, text in chapter.files.items()}
    for name, text in {**files, "report.html": page}.items():
        (out_dir / name).write_text(text, encoding="utf-8")
    return out_dir / "report.html"


def real_panel(data: CausalData, progress: Say) -> Chapter:
    """Union membership and wages: the default estimator, and all approaches side by side."""
    progress("wage panel: fitting PanelDML (1 of 2)")
    est = PanelDML(random_state=SEED).fit(data)
    result = est.estimate()
    progress("wage panel: fitting every other approach on the same folds (2 of 2)")
    compared = est.compare()
    test = est.mundlak_test()
    published = (
        f"Published: {data.published['estimate']:.4f} ({data.published['std_error']:.4f}), "
        f"{data.published['how']}."
    )
    title = "Do unions raise wages? 545 men, 1980-1987"
    text = [title, result.summary(), "", grid_text(_grid(compared), width=80), published, str(test)]
    augmented = est.augment()
    return Chapter(
        text="\n".join(text),
        sections=(
            Heading(title),
            Text(f"{data.citation}. {data.published['note']}"),
            Code(
                "import causalkit as ck\n"
                'data = ck.load_dataset("wage_panel")\n'
                f"est = ck.PanelDML(random_state={SEED}).fit(data)\n"
                "print(est.estimate().summary())\n"
                "est.compare().plot()"
            ),
            Table(result),
            Heading("Every approach on the same folds", 3),
            Figure(_forest(compared), "Effect of union membership on the log hourly wage."),
            Text(f"{published} {test}"),
            Heading("What the estimate is made of", 3),
            Figure(
                plot_residuals(
                    augmented["treatment_residual"].to_numpy(),
                    augmented["outcome_residual"].to_numpy(),
                    estimate=float(result.estimates[0]),
                    std_error=float(result.std_errors[0]),
                    treatment=data.roles.treatment[0],
                    outcome=data.roles.outcome[0],
                    df=result.df,
                    ax=_axes(5.6, 4.2),
                ),
                "Both variables minus their cross-fitted prediction; the slope is the effect.",
            ),
        ),
        files={"wage_panel.tex": compared.to_latex(), "wage_panel.csv": _csv(compared)},
    )


def known_truth(progress: Say) -> Chapter:
    """A panel with nonlinear confounding and unit heterogeneity, where the effect is known."""
    data = panel_fp2024(SEED, structure="C", form="u-shaped", gamma=1.0, delta=1.0)
    assert data.truth is not None
    truth = data.truth.estimands["ate"]
    results: dict[str, EffectResult] = {}
    for place, (name, arguments) in enumerate(METHODS.items(), start=1):
        progress(f"simulated panel: {name} ({place} of {len(METHODS)})")
        est = PanelDML(random_state=SEED, **arguments).fit(data.blind())  # type: ignore[arg-type]
        results[name] = est.estimate()
    compared = table(results)
    title = f"Where the truth is known: the effect is {truth:g}"
    about = (
        f"{len(data):,} rows from the design of Fuhr & Papies (2024), structure C: an observed "
        "covariate acts through its square, and unobserved unit heterogeneity acts on covariate, "
        "treatment and outcome. The estimators see neither the truth nor the heterogeneity."
    )
    return Chapter(
        text="\n".join([title, about, "", grid_text(_grid(compared, truth=truth), width=80)]),
        sections=(
            Heading(title),
            Text(about),
            Figure(
                _forest(compared, null=truth), f"Each approach; the line is the truth, {truth:g}."
            ),
        ),
        files={"simulated.csv": _csv(compared)},
    )


def _grid(compared: ResultTable, *, truth: float | None = None) -> Grid:
    """Results one below the other, and their error where the truth is known."""
    places = decimals(float(error) for result in compared.results for error in result.std_errors)
    rows = []
    for name, result in zip(compared.names, compared.results, strict=True):
        low, high = result.bounds()
        value, error = float(result.estimates[0]), float(result.std_errors[0])
        row = [name, number(value, places), number(error, places)]
        row.append(interval(float(low[0]), float(high[0]), places))
        rows.append((*row, *([] if truth is None else [number(value - truth, places)])))
    header = ("", "estimate", "std. error", "95% interval")
    return Grid(header=header if truth is None else (*header, "error"), rows=tuple(rows))


def _forest(compared: ResultTable, *, null: float = 0.0) -> "Axes":
    """Forest plot on a figure of its own."""
    ax = _axes(6.6, 1.1 + 0.36 * len(compared.results))
    return plot_forest(compared, ax=ax, null=null)


def _axes(width: float, height: float) -> "Axes":
    """Axes of a new figure; made without pyplot, so that no window can open."""
    figure = require("matplotlib.figure", extra="plots", needed_by="causalkit demo").Figure
    ax: Axes = figure(figsize=(width, height), layout="constrained").subplots()
    return ax


def _csv(compared: ResultTable) -> str:
    """Tidy rows as CSV."""
    return str(compared.tidy().to_csv(index=False))

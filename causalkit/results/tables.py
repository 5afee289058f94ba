"""Several results side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice
from causalkit.results import numerals, render, tidy
from causalkit.results.effect import Backend, EffectResult
from causalkit.results.summary import ESTIMANDS, inference_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COUNTS = {
    "Observations": "n",
    "Units": "n_units",
    "Periods": "n_periods",
    "Clusters": "n_clusters",
}
_MOST_COLUMNS = 6
Layout = Literal["columns", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResultTable:
    """Several results in one table, in any format.

    Attributes
    ----------
    results : tuple of EffectResult
    names : tuple of str
        Column heads, all different.
    stars : bool
        Mark estimates by p-value, with a note.
    layout : {"columns", "rows"}
        Where the results stand.
    notes : tuple of str
        Paragraphs below the table, after the one on inference.
    """

    results: tuple[EffectResult, ...]
    names: tuple[str, ...]
    stars: bool = False
    layout: Layout = "columns"
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """Cells as shown: by ``(term, statistic)`` and result, or by ``(model, term)``."""
        if self.layout == "rows":
            heads, wide = _model_rows(self)
            both = pd.MultiIndex.from_tuples(list(wide), names=["model", "term"])
            return pd.DataFrame(list(wide.values()), index=both, columns=list(heads))
        keys, rows, _ = _cells(self)
        index = pd.MultiIndex.from_tuples(keys, names=["term", "statistic"])
        return pd.DataFrame([list(row) for row in rows], index=index, columns=list(self.names))

    def to_text(self) -> str:
        """Plain text."""
        return render.grid_text(_grid(self))

    def to_html(self) -> str:
        """HTML fragment with its style."""
        return render.framed_html(_grid(self))

    def to_latex(self, *, booktabs: bool = True, caption: str = "", label: str = "") -> str:
        """LaTeX ``table`` with notes; needs the package booktabs."""
        return render.grid_latex(_grid(self), booktabs=booktabs, caption=caption, label=label)

    def to_markdown(self) -> str:
        """Markdown table with notes."""
        return render.grid_markdown(_grid(self))

    def tidy(self, *, level: float | None = None, backend: Backend = "pandas") -> Any:
        """Tidy rows of all results, with a first column ``model``."""
        frames = [tidy.tidy_frame(result, level=level) for result in self.results]
        return tidy.to_backend(_stacked(frames, self.names), backend)

    def glance(self, *, backend: Backend = "pandas") -> Any:
        """One row per result, with a first column ``model``."""
        frames = [tidy.glance_frame(result) for result in self.results]
        return tidy.to_backend(_stacked(frames, self.names), backend)

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Forest plot of all results."""
        from causalkit.results.plots import plot_forest

        return plot_forest(self, ax=ax)

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def table(
    results: EffectResult | Sequence[EffectResult] | Mapping[str, EffectResult],
    *,
    names: Sequence[str] | None = None,
    stars: bool = False,
    layout: Layout | None = None,
    notes: Sequence[str] = (),
) -> ResultTable:
    """Put results side by side: terms in rows, results in columns.

    Standard errors stand in parentheses below the estimates; counts and the line that names the
    clustering follow. More results than fit across a page stand in rows instead.

    Parameters
    ----------
    results : EffectResult, or sequence or mapping of them
        With a mapping, the keys are the names.
    names : sequence of str, optional
        Column heads. Default: the estimators, numbered where they repeat.
    stars : bool, default False
        Mark estimates by p-value, with a note.
    layout : {"columns", "rows"}, optional
        Results in columns, as in a regression table, or in rows with their intervals. Default:
        columns for up to six results.
    notes : sequence of str
        Further paragraphs below the table.

    Raises
    ------
    ArgumentError
        If there are no results, or the names do not match them one to one.

    Examples
    --------
    >>> import numpy as np
    >>> from causalkit.results import EffectResult, table
    >>> facts = dict(terms=("union",), estimand="ate", outcome="lwage", treatment=("union",),
    ...              n=4360, df=544, inference="cluster-robust (unit, 545 clusters)")
    >>> within = EffectResult(estimator="Within", estimates=np.array([0.08]),
    ...                       vcov=np.array([[0.0227**2]]), **facts)
    >>> pooled = EffectResult(estimator="Pooled", estimates=np.array([0.18]),
    ...                       vcov=np.array([[0.0291**2]]), **facts)
    >>> print(table([pooled, within]))
    --------------------------------
                    Pooled    Within
    --------------------------------
    union           0.1800    0.0800
                  (0.0291)  (0.0227)
    --------------------------------
    Observations     4,360     4,360
    --------------------------------
    Outcome: lwage. Estimand: average treatment effect (ATE).
    Standard errors in parentheses: cluster-robust (unit, 545
    clusters); t distribution with 544 df.
    """
    if isinstance(results, Mapping):
        names = list(results) if names is None else names
        results = list(results.values())
    # An estimator is no sequence either.
    listed: list[Any] = list(results) if isinstance(results, Iterable) else [results]
    wrong = [type(r).__name__ for r in listed if not isinstance(r, EffectResult)]
    if wrong:
        raise ArgumentTypeError(
            f"table needs EffectResult objects, got {wrong[0]}; call .estimate() on an estimator."
        )
    heads = _numbered([r.estimator for r in listed]) if names is None else tuple(map(str, names))
    if not listed or len(heads) != len(listed) or len(set(heads)) != len(heads):
        raise ArgumentError(
            f"table needs at least one result and one name for each, all different; got "
            f"{len(listed)} results and the names {list(heads)!r}."
        )
    if layout is None:
        layout = "columns" if len(listed) <= _MOST_COLUMNS else "rows"
    check_choice("layout", layout, ("columns", "rows"))
    return ResultTable(
        results=tuple(listed), names=heads, stars=stars, layout=layout, notes=tuple(notes)
    )


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names with a running number where one repeats."""
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"({place}) {name}" for place, name in enumerate(names, start=1))


def _stacked(frames: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Frames one below the other, each marked by its name."""
    for frame, name in zip(frames, names, strict=True):
        frame.insert(0, "model", name)
    return pd.concat(frames, ignore_index=True)


Row = tuple[str, ...]


def _cells(shown: ResultTable) -> tuple[list[tuple[str, str]], list[Row], int]:
    """Row keys, cells, and the number of rows that belong to terms."""
    keys: list[tuple[str, str]] = []
    rows: list[Row] = []
    for term in dict.fromkeys(term for result in shown.results for term in result.terms):
        estimates, errors = _term_rows(shown, term)
        keys += [(term, "estimate"), (term, "std_error")]
        rows += [estimates, errors]
    ends = len(rows)
    for label, cells in _facts(shown):
        keys.append((label, "fact"))
        rows.append(cells)
    return keys, rows, ends


def _model_rows(shown: ResultTable) -> tuple[Row, dict[tuple[str, str], Row]]:
    """Heads, and cells by model and term: estimate, error, interval, and what differs."""
    facts = _differing(shown)
    levels = {result.level for result in shown.results}
    one = len(levels) == 1
    shown_level = f"{numerals.percent(levels.pop())} interval" if one else "Interval"
    labels = () if one else ("Level",)
    heads = ("Estimate", "Std. error", shown_level, *labels, *(label for label, _ in facts))
    digits = numerals.decimals(error for result in shown.results for error in result.std_errors)
    rows: dict[tuple[str, str], Row] = {}
    for place, (name, result) in enumerate(zip(shown.names, shown.results, strict=True)):
        low, high = result.bounds()
        for at, term in enumerate(result.terms):
            rows[name, term] = (
                numerals.number(float(result.estimates[at]), digits) + _mark(shown, result, at),
                numerals.number(float(result.std_errors[at]), digits),
                numerals.interval(float(low[at]), float(high[at]), digits),
                *(numerals.percent(result.level) for _ in labels),
                *(cells[place] for _, cells in facts),
            )
    return heads, rows


def _differing(shown: ResultTable) -> list[tuple[str, Row]]:
    """Facts in which results differ; periods would cost the table its page for little."""
    facts = [(label, cells) for label, cells in _facts(shown) if len(set(cells)) > 1]
    return [fact for fact in facts if fact[0] != "Periods"]


def _mark(shown: ResultTable, result: EffectResult, at: int) -> str:
    """Stars of one estimate, if asked for."""
    return numerals.stars(float(result.p_values()[at])) if shown.stars else ""


def _term_rows(shown: ResultTable, term: str) -> tuple[Row, Row]:
    """Estimates of a term over the results, and their standard errors in parentheses."""
    places = [r.terms.index(term) if term in r.terms else None for r in shown.results]
    errors = [
        None if at is None else float(result.std_errors[at])
        for at, result in zip(places, shown.results, strict=True)
    ]
    digits = numerals.decimals(error for error in errors if error is not None)
    first, second = [], []
    for at, error, result in zip(places, errors, shown.results, strict=True):
        if at is None:
            first.append("")
            second.append("")
            continue
        estimate = numerals.number(float(result.estimates[at]), digits)
        first.append(estimate + _mark(shown, result, at))
        second.append(f"({numerals.number(error, digits)})")
    return tuple(first), tuple(second)


def _facts(shown: ResultTable) -> list[tuple[str, Row]]:
    """Rows below the coefficients: what differs between results, counts, and choices."""
    texts = {
        "Outcome": tuple(r.outcome for r in shown.results),
        "Treatment": tuple(", ".join(r.treatment) for r in shown.results),
        "Estimand": tuple(r.estimand for r in shown.results),
    }
    facts = [(label, cells) for label, cells in texts.items() if len(set(cells)) > 1]
    for label, name in _COUNTS.items():
        cells = tuple(numerals.count(getattr(result, name)) for result in shown.results)
        facts += [(label, cells)] if any(cells) else []
    for label in dict.fromkeys(label for result in shown.results for label in result.choices):
        facts.append((label, tuple(result.choices.get(label, "") for result in shown.results)))
    return facts


def _grid(shown: ResultTable) -> render.Grid:
    """The table as strings, with its notes."""
    if shown.layout == "rows":
        heads, wide = _model_rows(shown)
        many = len({term for _, term in wide}) > 1
        return render.Grid(
            header=("", *heads),
            rows=tuple(
                (f"{name}: {term}" if many else name, *row) for (name, term), row in wide.items()
            ),
            notes=_notes(shown),
        )
    keys, rows, ends = _cells(shown)
    labels = ["" if kind == "std_error" else label for label, kind in keys]
    return render.Grid(
        header=("", *shown.names),
        rows=tuple((label, *row) for label, row in zip(labels, rows, strict=True)),
        breaks=(ends,),
        notes=_notes(shown),
    )


def _notes(shown: ResultTable) -> tuple[str, ...]:
    """Notes: what is in parentheses, the inference of each result, stars, shared facts."""
    by_line: dict[str, list[str]] = {}
    for name, result in zip(shown.names, shown.results, strict=True):
        by_line.setdefault(inference_line(result), []).append(name)
    errors = "Standard errors" + (" in parentheses" if shown.layout == "columns" else "")
    if len(by_line) == 1:
        lines = [f"{errors}: {next(iter(by_line))}"]
    else:
        lines = [f"{errors}:", *(f"{'; '.join(who)}: {line}" for line, who in by_line.items())]
    outcomes = {r.outcome for r in shown.results}
    estimands = {r.estimand for r in shown.results}
    terms = {term for result in shown.results for term in result.terms}
    shared = [f"Effect of {terms.pop()}."] if shown.layout == "rows" and len(terms) == 1 else []
    shared += [f"Outcome: {outcomes.pop()}."] if len(outcomes) == 1 and any(outcomes) else []
    if shown.layout == "rows":
        same = [(label, cells[0]) for label, cells in _facts(shown) if len(set(cells)) == 1]
        shared += [f"{label}: {value}." for label, value in same]
    if len(estimands) == 1:
        estimand = estimands.pop()
        shared.append(f"Estimand: {ESTIMANDS.get(estimand, estimand)}.")
    star = [numerals.STARS_NOTE] if shown.stars else []
    return (*[" ".join(shared)] * bool(shared), *lines, *star, *shown.notes)

"""What a picture of a study shows: cells, estimators, estimands, and what was left out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, check_choice, unknown_name
from causalkit.results import canvas
from causalkit.study.results import Results
from causalkit.study.words import cell_labels, level_text, levels, span

MOST_SERIES = 12
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Choice:
    """Cells, estimators and estimands to draw, in the order of the study.

    Attributes
    ----------
    cells : DataFrame
        As in the results, with ``label``.
    estimators : DataFrame
        ``est_id, label``.
    estimands : tuple of str
    notes : tuple of str
        Sentences on what is left out.
    """

    cells: pd.DataFrame
    estimators: pd.DataFrame
    estimands: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """Id and label of each estimator."""
        return list(self.estimators[["est_id", "label"]].itertuples(index=False, name=None))

    def panel_labels(self, pairs: Iterable[tuple[str, str]]) -> list[str]:
        """Cell, and the estimand where there are several; of the only cell nothing."""
        several = len(self.cells) > 1, len(self.estimands) > 1
        names = dict(zip(self.cells["cell_id"], self.cells["label"], strict=True))
        return [
            ", ".join(
                part for part, shown in zip((names[cell], name), several, strict=True) if shown
            )
            for cell, name in pairs
        ]


def choose(
    results: Results,
    *,
    where: Mapping[str, Any] | None = None,
    estimators: Sequence[str] | None = None,
    estimand: str | None = None,
    most_estimators: int = MOST_SERIES,
) -> Choice:
    """Resolve what is to be drawn, or say which name is unknown.

    Parameters
    ----------
    results : Results
    where : mapping, optional
        Cells to draw, by parameter: ``{"rho": 0.5, "n": [100, 200]}``; ``generator`` and
        ``cell_id`` are parameters too.
    estimators : sequence of str, optional
        Labels to draw.
    estimand : str, optional
        Default: all of them, those that have a truth first.
    most_estimators : int
        More are left out, which a note says.

    Raises
    ------
    ArgumentError
        If these are no results of a study, a name is unknown, or no cell is left.
    """
    what = "a picture of a study draws the Results of study.run() or study.results()"
    canvas.check_drawn(results, Results, what)
    cells = _cells(results.cells, where or {})
    chosen = _estimators(results.estimators, estimators)
    shown, note = capped(
        list(chosen["label"]), most_estimators, what="estimators", how="estimators=[...]"
    )
    known = tuple(dict.fromkeys(name for name in results.records["estimand"].unique() if name))
    if estimand is not None:
        check_choice("estimand", estimand, known)
    judged = set(results.records.loc[results.records["truth"].notna(), "estimand"].unique())
    names = tuple(sorted(known, key=lambda name: name not in judged))
    names = names if estimand is None else (estimand,)
    return Choice(cells, chosen.iloc[: len(shown)], names or ("",), (note,) if note else ())


def capped(items: Sequence[Item], most: int, *, what: str, how: str) -> tuple[Sequence[Item], str]:
    """The first ``most`` items, and a sentence if others were left out."""
    if len(items) <= most:
        return items, ""
    left = len(items) - most
    return (
        items[:most],
        f"Drawn are the first {most} of {len(items):,} {what} in the study's order; {left:,} are "
        f"left out. Choose others by {how}.",
    )


def one_estimand(choice: Choice) -> tuple[Choice, str]:
    """The first estimand only, and a sentence if there are others."""
    first, *others = choice.estimands
    if not others:
        return choice, ""
    note = f"Estimand: {first}; left out: {', '.join(others)} (choose by estimand=)."
    return replace(choice, estimands=(first,)), note


def panel_rows(choice: Choice, *, most: int) -> tuple[Sequence[tuple[str, str]], str]:
    """Cell and estimand of each panel, and a sentence if there are more than ``most``."""
    pairs = [(cell, name) for cell in choice.cells["cell_id"] for name in choice.estimands]
    what = "cells" if len(choice.estimands) == 1 else "pairs of cell and estimand"
    return capped(pairs, most, what=what, how='where={"parameter": value}')


@dataclass(frozen=True, slots=True)
class Series:
    """Replications of one estimator and estimand in one cell.

    Attributes
    ----------
    panel : str
        Name of cell and estimand.
    estimand : str
    label : str
        Name of the estimator.
    rows : DataFrame
        Successful records.
    n_failed : int
        Replications without one.
    """

    panel: str
    estimand: str
    label: str
    rows: pd.DataFrame
    n_failed: int

    @property
    def name(self) -> str:
        """Estimator, with its failures if any."""
        return counted(self.label, len(self.rows), self.n_failed)


def series_of(
    results: Results, choice: Choice, panels: Sequence[tuple[str, str]]
) -> list[list[Series]]:
    """Series of every panel, one per estimator in the study's order."""
    records = results.records
    wanted = records["cell_id"].isin({cell for cell, _ in panels})
    records = records[wanted & records["est_id"].isin(choice.estimators["est_id"])]
    groups = records.groupby(["cell_id", "est_id"], sort=False).indices
    nothing = np.empty(0, dtype=np.int64)
    found = []
    for (cell_id, estimand), name in zip(panels, choice.panel_labels(panels), strict=True):
        row = []
        for est_id, label in choice.pairs():
            rows = records.iloc[groups.get((cell_id, est_id), nothing)]
            rows = rows[rows["estimand"].isin([estimand, ""])]
            ok = rows["status"] == "ok"
            failed = int(rows.loc[~ok, "rep"].nunique())
            row.append(Series(name, estimand, label, rows[ok], failed))
        found.append(row)
    return found


def counted(label: str, n_ok: int, n_failed: int) -> str:
    """Name of an estimator with its failures, if any."""
    return f"{label} ({n_failed:,} of {n_ok + n_failed:,} failed)" if n_failed else label


def _cells(cells: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Cells that meet the conditions, labelled by what varies over the study."""
    frame = cells.reset_index(drop=True).assign(label=cell_labels(cells))
    for name, wanted in where.items():
        if name not in cells.columns:
            raise unknown_name("cell parameter", name, cells.columns)
        single = isinstance(wanted, str) or not isinstance(wanted, Sequence)
        texts = {level_text(value) for value in ([wanted] if single else wanted)}
        found = frame[name].map(level_text)
        if not found.isin(texts).any():
            raise ArgumentError(
                f"no cell has {name} = {', '.join(sorted(texts))}; there is: "
                f"{', '.join(map(level_text, levels(frame[name])))}."
            )
        frame = frame[found.isin(texts)]
    return frame.reset_index(drop=True)


def _estimators(known: pd.DataFrame, labels: Sequence[str] | None) -> pd.DataFrame:
    """Estimators by label, in the order asked for, or else that of the study."""
    if labels is None:
        return known[["est_id", "label"]]
    for label in labels:
        if label not in set(known["label"]):
            raise unknown_name("estimator", label, known["label"])
    return known.set_index("label").loc[list(labels)].reset_index()[["est_id", "label"]]


def said_left(panels: Sequence[Sequence[Series]], *, most: int, how: str = "in rank") -> str:
    """Sentence on thinning, if any series has more than ``most`` replications."""
    largest = max(len(one.rows) for row in panels for one in row)
    if largest <= most:
        return ""
    return (
        f"Of up to {largest:,} replications of an estimator at most {most:,} are drawn, evenly "
        f"spaced {how}; everything else in the picture uses all."
    )


def said_failed(panels: Sequence[Sequence[Series]]) -> str:
    """Sentence on failed replications, by estimator over the panels drawn."""
    failed: dict[str, int] = {}
    planned: dict[str, int] = {}
    for row in panels:
        for one in row:
            failed[one.label] = failed.get(one.label, 0) + one.n_failed
            planned[one.label] = planned.get(one.label, 0) + one.n_failed + len(one.rows)
    parts = [f"{name} {n:,} of {planned[name]:,}" for name, n in failed.items() if n]
    return f"Failed replications, left out: {'; '.join(parts)}." if parts else ""


def said_replications(panels: Sequence[Sequence[Series]]) -> str:
    """Least and most successful replications over the panels drawn."""
    return span(len(one.rows) for row in panels for one in row)

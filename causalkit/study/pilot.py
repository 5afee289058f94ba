"""A few replications of every cell: does it run, what will it cost, how many are needed."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.metrics import measure_spec, rule_mcse
from causalkit.metrics.measure import LEAST_REPLICATIONS
from causalkit.progress import teller
from causalkit.study.backends import one_thread
from causalkit.study.block import run_block
from causalkit.study.design import Cell, data_stream, job_of
from causalkit.study.evaluate import bootstrap_stream
from causalkit.study.plan import Plan, plan, told_needs
from causalkit.study.resolve import generator_of
from causalkit.study.results import NO_DATA

if TYPE_CHECKING:
    from causalkit.study.study import Study


@dataclass(frozen=True, slots=True)
class Pilot:
    """What a few replications say about a study.

    Attributes
    ----------
    plan : Plan
    costs : DataFrame
        ``cell_id, cell, estimator, seconds`` per fit, of those that were begun, and ``failed``.
    needed : DataFrame
        ``measure, target, replications, because``; where the pilot was long enough, replications
        that the hardest cell and estimator need.
    workers : int
    problems : tuple of str
        Fits that failed, each message once, and generators that draw other data each time.
    notes : tuple of str
        Results that there is no truth to hold against.
    """

    plan: Plan
    costs: pd.DataFrame
    needed: pd.DataFrame
    workers: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def hours(self, reps: int) -> float:
        """Hours that so many replications of every cell take with the study's workers."""
        return float(self.costs["seconds"].sum()) * reps / self.workers / 3600.0

    def to_dict(self) -> dict[str, Any]:
        """Plain facts, for JSON."""
        return {
            "cells": len(self.plan.cells),
            "estimators": [spec.label for spec in self.plan.estimators],
            "reps_min": self.plan.reps_min,
            "reps_max": self.plan.reps_max,
            "costs": _rows(self.costs),
            "needed": _rows(self.needed),
            "hours_min": self.hours(self.plan.reps_min),
            "hours_max": self.hours(self.plan.reps_max),
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        made = self.plan
        shown = self.costs.drop(columns="cell_id").round({"seconds": 4}).to_string(index=False)
        lines = [made.outline(), "", "Seconds per fit", shown, "", *told_needs(self.needed)]
        few, many = (_time(self.hours(reps)) for reps in (made.reps_min, made.reps_max))
        span = few if few == many else f"{few} ({made.reps_min:,} replications) to {many}"
        lines.append(f"With {self.workers} worker(s): about {span}.")
        lines += [f"FAILED {problem}" for problem in self.problems]
        lines += [f"NOTE {told}" for told in self.notes]
        return "\n".join(lines)


def pilot(study: "Study", *, reps: int = 2, progress: Any = None) -> Pilot:
    """Run the first replications of every cell here, and write nothing.

    Parameters
    ----------
    study : Study
    reps : int
        Per cell. From 30 on, spreads are known well enough to tell how many are needed.
    progress : bool or callable, optional

    Raises
    ------
    ArgumentError
        If the study cannot be run.
    """
    made = plan(study)
    tell = teller(progress, "pilot", unit="cell", total=len(made.cells))
    costs, problems, records = [], [], []
    for position, cell in enumerate(made.cells if reps else ()):
        job = job_of(study, cell, made.estimators, 0, reps - 1)
        with one_thread():
            if position == 0:
                run_block(replace(job, last=0))  # imports must not count as the cost of a fit
            block = run_block(job)
        records.append(block.records)
        fits = block.records.drop_duplicates(["est_id", "rep"])
        for spec in made.estimators:
            own = fits[fits["est_id"] == spec.id]
            failed = int((own["status"] != "ok").sum())
            costs.append((cell.id, cell.label, spec.label, float(own["wall_s"].mean()), failed))
        problems += list(_problems(cell.label, made, block.failures))
        if cell.generator not in {other.generator for other in made.cells[:position]}:
            problems += _drifting(study, cell)
        if tell is not None:
            tell(cell.label)
    columns = ["cell_id", "cell", "estimator", "seconds", "failed"]
    return Pilot(
        plan=made,
        costs=pd.DataFrame(costs, columns=columns),
        needed=_needed(study, made, records, reps),
        workers=study.run_options.workers,
        problems=tuple(problems),
        notes=tuple(_unjudged(study, made, records)),
    )


def _rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows of a table for JSON, None where a number is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict(orient="records")


def _problems(cell: str, made: Plan, failures: pd.DataFrame) -> Iterator[str]:
    labels = {spec.id: spec.label for spec in made.estimators}
    # Data that could not be drawn fail all estimators at once, and are one problem.
    no_data = failures[failures["status"] == NO_DATA].drop_duplicates("rep")
    for told, times in no_data["message"].value_counts().items():
        yield f"{cell}, {times} times: {told}"
    rest = failures[failures["status"] != NO_DATA]
    for (est_id, status, message), rows in rest.groupby(["est_id", "status", "message"]):
        yield f"{labels[str(est_id)]} in {cell}, {len(rows)} times: {status}: {message}"


def _drifting(study: "Study", cell: Cell) -> list[str]:
    """Whether a generator draws other data for the same replication, from numbers of its own."""
    generator = generator_of(cell)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = [generator(data_stream(study.seed, cell, 0), **cell.params) for _ in range(2)]
        digests = {data.digest() for data in drawn}
    except Exception:  # the fits of the pilot have told of it
        return []
    if len(digests) == 1:
        return []
    return [
        f"{cell.label}: replication 0 drawn twice gives different data, so the generator uses "
        "random numbers beside its rng (np.random, a generator of its own, the clock); draw all "
        "of them from rng."
    ]


def _unjudged(study: "Study", made: Plan, records: list[pd.DataFrame]) -> Iterator[str]:
    """Estimands that have no truth, which a run would say when it is over."""
    if not records:
        return
    everything = pd.concat(records, ignore_index=True)
    bare = everything[(everything["status"] == "ok") & everything["truth"].isna()]
    cells = {cell.id: cell for cell in made.cells}
    labels = {spec.id: spec.label for spec in made.estimators}
    for (est_id, estimand), rows in bare.groupby(["est_id", "estimand"], sort=False):
        found = rows["cell_id"].unique()
        cell = cells[found[0]]
        known = ", ".join(_truths(study, cell)) or "none"
        yield (
            f"{labels[str(est_id)]}: {str(estimand)!r} has no truth in {len(found)} of "
            f"{len(cells)} cells, where the data know {known}; bias and coverage will be empty. "
            "Return a result that is named like one of these if it is about the same number."
        )


def _truths(study: "Study", cell: Cell) -> tuple[str, ...]:
    """Estimands that the data of a cell know."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            truth = generator_of(cell)(data_stream(study.seed, cell, 0), **cell.params).truth
    except Exception:  # the fits of the pilot have told of it
        return ()
    return () if truth is None else tuple(truth.estimands)


def _needed(study: "Study", made: Plan, records: list[pd.DataFrame], reps: int) -> pd.DataFrame:
    """Replications for each target: theory's, or the most that any cell and estimator needs."""
    table = made.needed.copy()
    if reps < LEAST_REPLICATIONS:
        return table
    everything = pd.concat(records, ignore_index=True)
    good = everything[everything["status"] == "ok"]
    for row in table.index[table["replications"].isna()]:
        spec = measure_spec(table.loc[row, "measure"])
        most = 0.0
        for _, group in good.groupby(["cell_id", "est_id", "estimand"]):
            columns = {name: group[name].to_numpy() for name in spec.needs}
            rng = bootstrap_stream(study.seed, spec.name)
            try:
                found = spec.function(columns, level=study.level, null=study.null, rng=rng)
            except ArgumentError:  # no truth or no standard error: no number of replications helps
                continue
            # The Monte-Carlo error falls with the square root of the replications.
            error = rule_mcse(found, kind=spec.kind, n=len(group))
            most = max(most, len(group) * (error / table.loc[row, "target"]) ** 2)
        table.loc[row, "replications"] = float(round(most))
        table.loc[row, "because"] = f"about {most:,.0f} replications, by this pilot of {reps}"
    return table


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"

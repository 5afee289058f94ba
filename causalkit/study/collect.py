"""Results of a study from its folder: records, names, and how far each cell and estimator is."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.study import config
from causalkit.study.facts import cells_frame, estimators_frame, stopping_rule
from causalkit.study.ranges import prefix
from causalkit.study.results import Results
from causalkit.study.store import Store, read_store

if TYPE_CHECKING:
    from causalkit.study.published import Comparison
    from causalkit.study.study import Study

_PLAN = ["cell_id", "est_id", "n_planned", "rule"]


def collect(folder: str | Path) -> Results:
    """Everything that a results folder holds of its study.

    Replications after a stop, and those after a gap that a killed run left, have no part in it.

    Parameters
    ----------
    folder : path
        ``<out>/<name>``.

    Raises
    ------
    ArgumentError
        If the folder holds no study, or one of another schema.
    """
    store = read_store(Path(folder))
    facts, records = store.facts(), store.records()
    plan = _plan(store, records)
    keep = plan.set_index(["cell_id", "est_id"])["n_planned"]
    return Results(
        records=_within(records, keep),
        metrics=_within(store.metrics(), keep),
        failures=_within(store.failures(), keep),
        cells=cells_frame(facts),
        estimators=estimators_frame(facts),
        plan=plan,
        level=facts["level"],
        null=facts["null"],
        seed=facts["seed"],
        reps=stopping_rule(facts).reps,
        header=facts["header"],
        tracebacks=store.tracebacks(),
        warnings=store.warnings(),
        contended=facts["run"]["backend"] != "serial" and facts["run"]["workers"] > 1,
        provenance=store.provenance(),
        toml=store.toml(),
        stale=store.stale(),
    )


def _plan(store: Store, records: pd.DataFrame) -> pd.DataFrame:
    """Replications that count and the rule that ended them, by cell and estimator."""
    facts = store.facts()
    rule = stopping_rule(facts)
    rest = "budget" if store.ending() == "budget" else "running"
    # Text keys are compared once, not once per cell and estimator.
    own = records.groupby(["cell_id", "est_id"], observed=True).indices
    rows = []
    for cell_id in facts["cells"]:
        for est_id in facts["estimators"]:
            available = prefix(store.covered(cell_id, est_id))
            seen = records.iloc[own.get((cell_id, est_id), [])]
            n_planned, ended = rule.outcome(seen, available)
            rows.append((cell_id, est_id, n_planned, rest if ended == "running" else ended))
    return pd.DataFrame(rows, columns=_PLAN)


def _within(frame: pd.DataFrame, keep: "pd.Series[int]") -> pd.DataFrame:
    """Rows of replications that count."""
    limit = keep.reindex(pd.MultiIndex.from_frame(frame[["cell_id", "est_id"]])).fillna(0)
    return frame[frame["rep"].to_numpy() < limit.to_numpy()].reset_index(drop=True)


def study_of(folder: str | Path) -> "Study":
    """The study that a results folder was made by.

    Raises
    ------
    ArgumentError
        If it had an estimator that no study file can name.
    """
    from causalkit.study.study import Study

    store = read_store(Path(folder))
    text = store.toml()
    if not text:
        raise ArgumentError(
            f"{folder} was made by a study with an estimator or generator in memory, which no file "
            "names; use the Study that made it."
        )
    study = replace(Study(**config.parse(text)), folder=_study_folder(store))
    return study.with_options(out=str(Path(folder).resolve().parent))


def comparison_of(folder: str | Path, reference: str | None = None) -> "Comparison | None":
    """Comparison with the published table that is named here or in the study; None without one."""
    from causalkit.study.published import compare

    store = read_store(Path(folder))
    source = reference or store.facts()["reference"]
    if not source:
        return None
    return compare(collect(folder), config.beside(source, _study_folder(store)))


def _study_folder(store: Store) -> Path | None:
    """Folder of the study file."""
    place = store.facts()["study_folder"]
    return None if place is None else Path(place)

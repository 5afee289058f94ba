"""What a study has found so far, as plain tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from causalkit.study.design import Reps

# Of the table of cells, before its parameters.
CELL_COLUMNS = ("cell_id", "generator", "version")
# Status of a replication for which the generator gave no data, the failure of no estimator.
NO_DATA = "no_data"
STALE = ["cell_id", "generator", "est_id", "label", "n_reps"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results:
    """Records of a study with the names of its cells and estimators.

    Attributes
    ----------
    records : DataFrame
        One row per cell, estimator, estimand and replication.
    metrics : DataFrame
        Further numbers per replication: ``cell_id, est_id, estimand, rep, metric, value``.
    failures : DataFrame
        ``cell_id, est_id, rep, status, exception, message, traceback_digest, seed_address``.
    cells : DataFrame
        ``cell_id, generator, version`` and one column per parameter.
    estimators : DataFrame
        ``est_id, label, use, args``, in the order of the study.
    plan : DataFrame
        ``cell_id, est_id, n_planned, rule``; the rule says why no more replications are run.
    level, null : float
        Of intervals and tests.
    seed : int
        Of the study.
    reps : Reps or None
        Replications declared.
    header : mapping of str to str
        Name and ADEMP text: aims, data generators, estimands, methods, performance measures.
    tracebacks, warnings : mapping of str to str
        Text by digest: ``traceback_digest`` of the failures, ``warnings_digest`` of the records.
    contended : bool
        Whether several workers shared the machine, so that times of estimators do not compare.
    provenance : mapping
        Versions and host facts.
    toml : str
        The study file.
    stale : DataFrame
        ``cell_id, generator, est_id, label, n_reps`` of blocks that belong to cells or estimators
        as they were declared before; they have no part in anything else.
    """

    records: pd.DataFrame
    metrics: pd.DataFrame
    failures: pd.DataFrame
    cells: pd.DataFrame
    estimators: pd.DataFrame
    plan: pd.DataFrame
    level: float
    null: float
    seed: int
    reps: "Reps | None" = None
    header: Mapping[str, str] = field(default_factory=dict)
    tracebacks: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    contended: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    toml: str = ""
    stale: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STALE))

"""What a results folder records about its study, so that it can be read without the code."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.study.design import Reps, canonical_json, plain
from causalkit.study.results import CELL_COLUMNS
from causalkit.study.stopping import StoppingRule

if TYPE_CHECKING:
    from causalkit.study.plan import Plan
    from causalkit.study.study import Study


def facts_of(study: "Study", made: "Plan") -> dict[str, Any]:
    """Plain facts for the manifest: identity, cells, estimators, stopping rule, header."""
    return {
        "name": study.name,
        "seed": study.seed,
        "level": study.level,
        "null": study.null,
        "treatment_cost": study.treatment_cost,
        "cells": {
            cell.id: {
                "generator": cell.generator,
                "version": cell.version,
                "params": plain(cell.params, where="params"),
            }
            for cell in made.cells
        },
        "estimators": {
            spec.id: {
                "label": spec.label,
                "use": spec.use,
                "args": plain(spec.args, where="args"),
                "estimands": list(spec.estimands),
                "oracle": spec.oracle,
                "source_digest": spec.source_digest,
            }
            for spec in made.estimators
        },
        "reps": asdict(study.reps),
        "stop": dict(study.stop),
        "max_fail_share": study.budget.max_fail_share,
        "header": study.header,
        "reference": study.reference,
        "study_folder": None if study.folder is None else str(study.folder),
        "sources": {
            source_name(cell.generator, cell.version): made.sources[cell.generator]
            for cell in made.cells
            if cell.generator in made.sources
        },
        "run": {"backend": study.run_options.backend, "workers": study.run_options.workers},
    }


def stopping_rule(facts: Mapping[str, Any]) -> StoppingRule:
    """Stopping rule that the facts declare."""
    return StoppingRule(
        reps=Reps(**facts["reps"]),
        targets=facts["stop"],
        max_fail_share=facts["max_fail_share"],
        level=facts["level"],
        null=facts["null"],
        seed=facts["seed"],
    )


def source_name(generator: str, version: int) -> str:
    """Name of a generator's version among the sources of a study."""
    return f"{generator}@{version}"


def check_sources(before: Mapping[str, str], now: Mapping[str, Any]) -> None:
    """Refuse to mix records of a generator whose source changed while its version did not.

    Parameters
    ----------
    before : mapping of str to str
        Digest of each generator's version that has ever been part of the study.
    now : mapping
        Facts of the study.

    Raises
    ------
    ArgumentError
        Names the generator and both ways out.
    """
    for cell in now["cells"].values():
        name = cell["generator"]
        key = source_name(name, cell["version"])
        if key in before and before[key] != now["sources"].get(key):
            raise ArgumentError(
                f"the source of generator {name!r} has changed since its records were made, and "
                f"its version is still {cell['version']}. If its numbers changed, raise the "
                "version in @generator(version=...); if not, undo the change or start with --fresh."
            )


def cells_frame(facts: Mapping[str, Any]) -> pd.DataFrame:
    """One row per cell: ``cell_id, generator, version`` and a column per parameter."""
    rows = [
        dict(zip(CELL_COLUMNS, (key, cell["generator"], cell["version"]), strict=True))
        | dict(cell["params"])
        for key, cell in facts["cells"].items()
    ]
    return pd.DataFrame(rows)


def estimators_frame(facts: Mapping[str, Any]) -> pd.DataFrame:
    """One row per estimator: ``est_id, label, use, args``, in the order of the study."""
    rows = [
        {
            "est_id": key,
            "label": spec["label"],
            "use": spec["use"],
            "args": canonical_json(spec["args"]),
        }
        for key, spec in facts["estimators"].items()
    ]
    return pd.DataFrame(rows, columns=["est_id", "label", "use", "args"])

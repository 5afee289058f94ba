"""Results folders of one study, run in parts on machines that share nothing, as one folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from causalkit.errors import ArgumentError, StorageError
from causalkit.study.collect import collect
from causalkit.study.design import canonical_json
from causalkit.study.export import drop_summary, write_summary
from causalkit.study.facts import check_sources
from causalkit.study.report_tables import stopping_table
from causalkit.study.store import Store, open_store, read_store
from causalkit.study.store_read import BlockName, block_names
from causalkit.study.store_write import write_file

# Facts in which the parts of a study may differ: they change no number.
_FREE = ("run", "study_folder")
# Of two records of one fit: all but what its machine had to do with it.
_KEY = ["estimand", "rep"]
_EQUAL = [
    *("estimate", "std_error", "conf_low", "conf_high", "p_value"),
    "truth",
    "status",
    "n_obs",
]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge made.

    Attributes
    ----------
    folder : Path
        Results folder with everything.
    n_blocks : int
        Blocks that this merge added.
    n_shared : int
        Records that several folders hold; they are equal.
    missing : DataFrame
        Replications planned and run of each cell and estimator that is not finished.
    """

    folder: Path
    n_blocks: int
    n_shared: int
    missing: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Plain facts, for JSON."""
        return {
            "folder": str(self.folder),
            "n_blocks": self.n_blocks,
            "n_shared": self.n_shared,
            "missing": self.missing.to_dict(orient="records"),
        }

    def __repr__(self) -> str:
        shared = f", {self.n_shared:,} records in several of them" if self.n_shared else ""
        lines = [f"{self.n_blocks:,} blocks added{shared}.", f"Results: {self.folder}"]
        if len(self.missing):
            shown = self.missing.to_string(index=False)
            lines.append(f"Not finished are {len(self.missing)} cells and estimators:\n{shown}")
        return "\n".join(lines)


def merge_results(folders: Sequence[str | Path], *, out: str | Path) -> Merged:
    """Bring the results of one study together that was run in parts, such as by a job array.

    Parameters
    ----------
    folders : sequence of path
        Results folders, ``<out>/<name>``, of runs of the same study. They stay as they are.
    out : path
        Folder for the whole, which lies in ``<out>/<name>``. What is there already of the study
        is kept, so that a merge can be repeated when more parts are finished.

    Raises
    ------
    ArgumentError
        If the parts are not of one declaration (cells, estimators and their sources, seed,
        replications and the rest), or hold different records of the same fit.
    StorageError
        If results cannot be read or written.

    Examples
    --------
    >>> merge_results(["part-1/coverage", "part-2/coverage"], out="results")  # doctest: +SKIP
    """
    if not folders:
        raise ArgumentError("name at least one results folder to merge.")
    parts = [read_store(folder) for folder in folders]
    facts = parts[0].facts()
    for part in parts[1:]:
        _check_declared(parts[0], part)
    whole = open_store(Path(out) / facts["name"], facts, parts[0].toml() or None)
    n_blocks = n_shared = 0
    with whole.lock():
        check_sources(whole.sources(), facts)
        drop_summary(whole.folder)
        whole.begin(facts)
        whole.repair()
        for part in parts:
            if part.folder.resolve() == whole.folder.resolve():
                continue
            with part.lock():  # nobody may write to it meanwhile
                n_shared += _check_overlap(whole, part)
                n_blocks += _take(whole, part)
                whole.add_machines(part.machines())
        whole.repair()
        results = collect(whole.folder)
        write_summary(whole.folder, results)
    table = stopping_table(results)
    return Merged(whole.folder, n_blocks, n_shared, table[(results.plan["rule"] == "running")])


def _check_declared(one: Store, other: Store) -> None:
    """Refuse parts of different studies."""
    here, there = one.facts(), other.facts()
    for key in here:
        if key in _FREE or canonical_json(here[key]) == canonical_json(there.get(key)):
            continue
        told = "differs"
        if isinstance(here[key], dict) and isinstance(there.get(key), dict):
            changed = sorted(
                name
                for name in here[key].keys() | there[key].keys()
                if here[key].get(name) != there[key].get(name)
            )
            told = f"differs in {', '.join(changed[:3])}"
        elif not isinstance(here[key], dict):
            told = f"is {here[key]!r} and {there.get(key)!r}"
        raise ArgumentError(
            f"{str(one.folder)!r} and {str(other.folder)!r} are not parts of one study: {key} "
            f"{told}. Run both with the same study file, code and package versions."
        )


def _check_overlap(whole: Store, part: Store) -> int:
    """Number of records that both have; raise if two are not equal."""
    shared, facts = 0, whole.facts()
    for cell_id in facts["cells"]:
        for est_id in facts["estimators"]:
            if not (whole.covered(cell_id, est_id) and part.covered(cell_id, est_id)):
                continue
            one, other = (
                store.records(cells=[cell_id], estimators=[est_id]).set_index(_KEY)[_EQUAL]
                for store in (whole, part)
            )
            reps = one.index.get_level_values("rep").intersection(
                other.index.get_level_values("rep")
            )
            one = one[one.index.isin(reps, level="rep")].sort_index()
            other = other[other.index.isin(reps, level="rep")].sort_index()
            if not one.equals(other):
                raise ArgumentError(
                    f"{str(part.folder)!r} holds other records of cell {cell_id}, estimator "
                    f"{facts['estimators'][est_id]['label']!r}, replication "
                    f"{_first_difference(one, other)}, than the folders before it. The study is "
                    "not reproducible there (an estimator or generator with randomness of its own, "
                    "or other versions); leave that folder out, or run it again."
                )
            shared += len(one)
    return shared


def _first_difference(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """Replication in which two tables of records differ first."""
    reps = one.index.get_level_values("rep")
    for rep in sorted(set(reps)):
        if not one[reps == rep].equals(other[other.index.get_level_values("rep") == rep]):
            return int(rep)
    return int(reps[0])


def _take(whole: Store, part: Store) -> int:
    """Copy the blocks that the whole lacks; records come last, as only they make a block count."""
    facts = whole.facts()
    for kind in ("tracebacks", "warnings"):
        for path in sorted((part.folder / kind).glob("*.txt")):
            _copy(path, whole.folder / kind / path.name)
    have = set(block_names(whole.folder / "records"))
    names = [
        name
        for name in block_names(
            part.folder / "records", cells=facts["cells"], estimators=facts["estimators"]
        )
        if name not in have
    ]
    for name in names:
        _take_block(whole, part, name)
    return len(names)


def _take_block(whole: Store, part: Store, name: BlockName) -> None:
    for kind in ("metrics", "failures", "records"):
        path = part.folder / kind / name.path
        if path.exists():
            _copy(path, whole.folder / kind / name.path)


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        content = source.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error.strerror or error}.") from error
    write_file(target, content)

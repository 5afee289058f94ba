"""Results folder of a study: what it is about, blocks that appear whole, and who may write."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from causalkit.errors import ArgumentError, StorageError
from causalkit.provenance import __version__, info
from causalkit.study import lock
from causalkit.study.design import SCHEMA, canonical_json, plain
from causalkit.study.ranges import Range, joined
from causalkit.study.results import STALE
from causalkit.study.store_read import block_names, read_blocks, read_texts
from causalkit.study.store_repair import IDENTITY, MANIFEST, repaired, set_aside
from causalkit.study.store_write import refused, write_file

_FORMAT = "causalkit study"
_STUDY_FILE = "study.toml"


@dataclass(frozen=True, slots=True)
class Store:
    """Results folder of a study.

    Parameters
    ----------
    folder : Path
        ``<out>/<name>``.
    study_file : str or None
        Text that :meth:`begin` puts beside the results.
    notes : tuple of str
        What opening did, as sentences.
    """

    folder: Path
    study_file: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def lock(self) -> AbstractContextManager[list[str]]:
        """Hold the folder for this process; see :func:`causalkit.study.lock.locked`."""
        return lock.locked(self.folder)

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Record what the study now is, and on what it runs; call it under the lock.

        Cells and estimators of before that are no longer declared are kept under ``former``, so
        that their blocks can still be told apart.

        Raises
        ------
        ArgumentError
            If the folder holds another study.
        StorageError
            If the disk refuses.
        """
        now = plain(facts, where="the study")
        manifest = _manifest(self.folder)
        if manifest is None:
            manifest = {"format": _FORMAT, "schema": SCHEMA, "former": {}, "machines": []}
        else:
            _check_same(self.folder, manifest, now)
        before = manifest.get("study", {})
        manifest["former"] = {
            kind: {
                key: known
                for key, known in (manifest["former"].get(kind, {}) | before.get(kind, {})).items()
                if key not in now.get(kind, {})
            }
            for kind in ("cells", "estimators", "sources")
        }
        here = info()
        others = [machine for machine in manifest["machines"] if machine != here]
        stated = {key: value for key, value in now.items() if key != "run"}
        manifest |= {
            "study_hash": sha256(canonical_json(stated).encode()).hexdigest()[:16],
            "study": now,
            "machines": [*others, here],
            "ending": "",
        }
        if self.study_file is None:
            (self.folder / _STUDY_FILE).unlink(missing_ok=True)
        else:
            write_file(self.folder / _STUDY_FILE, self.study_file.encode())
        self._write_manifest(manifest)

    def end(self, ending: str) -> None:
        """Record why a run ended before its replications were there: ``"budget"``, or ``""``."""
        self._write_manifest(self._manifest() | {"ending": ending})

    def ending(self) -> str:
        """What :meth:`end` recorded last; empty during a run and after one that was killed."""
        return str(self._manifest()["ending"])

    def facts(self) -> dict[str, Any]:
        """Facts of the study as the last run declared them."""
        return dict(self._manifest()["study"])

    def sources(self) -> dict[str, str]:
        """Digest of each version of a generator that was ever part of the study."""
        manifest = _manifest(self.folder)
        if manifest is None:
            return {}
        return dict(manifest["former"]["sources"] | manifest["study"]["sources"])

    def provenance(self) -> dict[str, Any]:
        """Versions and host facts of the last run, and under ``earlier`` those that differed."""
        *earlier, last = self.machines()
        return dict(last) | ({"earlier": earlier} if earlier else {})

    def machines(self) -> list[dict[str, Any]]:
        """Versions and host facts of the runs that added to the folder, each once, oldest first."""
        return list(self._manifest()["machines"])

    def add_machines(self, machines: Sequence[dict[str, Any]]) -> None:
        """Record that runs elsewhere have added to the folder."""
        known = self.machines()
        more = [machine for machine in machines if machine not in known]
        self._write_manifest(self._manifest() | {"machines": [*more, *known]})

    def toml(self) -> str:
        """Text of the study file; empty if no file can hold the study."""
        try:
            return (self.folder / _STUDY_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def covered(self, cell_id: str, est_id: str) -> list[Range]:
        """Replications on disk: sorted ranges with both ends, that neither overlap nor touch."""
        root = self.folder / "records"
        names = block_names(root, cells=[cell_id], estimators=[est_id])
        return joined(name.reps for name in names)

    def repair(self) -> list[str]:
        """Set aside what is not a whole block of this study; call it under the lock.

        Files are moved to ``damaged/``, never deleted, but for those that were never finished.

        Returns
        -------
        list of str
            What was done, a sentence each.
        """
        manifest = _manifest(self.folder)
        study = None if manifest is None else manifest["study"]
        try:
            return repaired(self.folder, study)
        except OSError as error:
            raise refused(self.folder, error) from error

    def records(
        self,
        *,
        cells: Collection[str] | None = None,
        estimators: Collection[str] | None = None,
        first: int | None = None,
        last: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Records by cell, estimator and replication.

        Parameters
        ----------
        cells, estimators : collection of str, optional
            Ids; by default those of the study. Stale ones are read when they are named.
        first, last : int, optional
            Replications, both included.
        columns : sequence of str, optional

        Returns
        -------
        DataFrame
            Types are the same whether or not there are rows.

        Raises
        ------
        ArgumentError
            If a column does not exist.
        StorageError
            If a block is damaged.
        """
        return self._table(
            "records", cells=cells, estimators=estimators, first=first, last=last, columns=columns
        )

    def metrics(self) -> pd.DataFrame:
        """Further numbers per replication of the study."""
        return self._table("metrics")

    def failures(self) -> pd.DataFrame:
        """What went wrong in which replication of the study."""
        return self._table("failures")

    def tracebacks(self) -> dict[str, str]:
        """Text by digest."""
        return read_texts(self.folder / "tracebacks")

    def warnings(self) -> dict[str, str]:
        """Text by digest."""
        return read_texts(self.folder / "warnings")

    def stale(self) -> pd.DataFrame:
        """Cells and estimators that have blocks and are no longer part of the study.

        Returns
        -------
        DataFrame
            ``cell_id, generator, est_id, label, n_reps``; texts are empty where nothing is known.
        """
        manifest = self._manifest()
        study, former = manifest["study"], manifest["former"]
        cells = former["cells"] | study["cells"]
        estimators = former["estimators"] | study["estimators"]
        found: dict[tuple[str, str], list[Range]] = {}
        for name in block_names(self.folder / "records"):
            if name.cell_id not in study["cells"] or name.est_id not in study["estimators"]:
                found.setdefault((name.cell_id, name.est_id), []).append(name.reps)
        rows = [
            (
                cell,
                cells.get(cell, {}).get("generator", ""),
                est,
                estimators.get(est, {}).get("label", ""),
                sum(last - first + 1 for first, last in joined(ranges)),
            )
            for (cell, est), ranges in found.items()
        ]
        return pd.DataFrame(rows, columns=STALE)

    def _table(
        self,
        table: str,
        *,
        cells: Collection[str] | None = None,
        estimators: Collection[str] | None = None,
        **part: Any,
    ) -> pd.DataFrame:
        """Rows of a table; by default those of the cells and estimators of the study."""
        # The manifest of many cells takes far longer to read than a block.
        if cells is None or estimators is None:
            facts = self.facts()
            cells = facts["cells"] if cells is None else cells
            estimators = facts["estimators"] if estimators is None else estimators
        return read_blocks(self.folder, table, cells=cells, estimators=estimators, **part)

    def _manifest(self) -> dict[str, Any]:
        manifest = _manifest(self.folder)
        if manifest is None:
            raise _no_study(self.folder)
        return manifest

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
        write_file(self.folder / MANIFEST, (text + "\n").encode())


def open_store(
    folder: str | Path,
    study_facts: Mapping[str, Any],
    toml: str | None = None,
    *,
    fresh: bool = False,
) -> Store:
    """Create a results folder, or join the one that a study has.

    Parameters
    ----------
    folder : path
    study_facts : mapping
        ``name``, ``seed``, ``level``, ``null``, ``treatment_cost``, ``cells`` and ``estimators``
        by id, ``sources``, and whatever else describes the study, all of it as JSON knows it.
    toml : str or None
        The study file.
    fresh : bool
        Move what is there aside first, to ``<name>.old-<date>-<time>``.

    Raises
    ------
    ArgumentError
        If the folder holds another study, one of another layout, or something else; or if another
        run holds it and ``fresh`` is asked for.
    StorageError
        If the folder cannot be created.
    """
    folder = Path(folder)
    facts = plain(study_facts, where="the study")
    notes = set_aside(folder) if fresh else ()
    manifest = _manifest(folder)
    if manifest is None:
        _check_empty(folder)
    else:
        _check_same(folder, manifest, facts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error
    return Store(folder, toml, notes)


def read_store(folder: str | Path) -> Store:
    """Results folder of a study that was run.

    Raises
    ------
    ArgumentError
        If there is none, or one of another layout.
    """
    folder = Path(folder)
    if _manifest(folder) is None:
        raise _no_study(folder)
    return Store(folder)


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Content of the manifest, of a layout that this code knows; None if there is none."""
    path = folder / MANIFEST
    try:
        manifest: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged ({error}). Restore it from a copy, or use --fresh (fresh=True), "
            "which moves the folder aside and starts anew."
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ArgumentError(
            f"{path} is not the manifest of a causalkit study; give the study another name or "
            "another folder (run.out)."
        )
    if manifest.get("schema") != SCHEMA:
        raise ArgumentError(
            f"{str(folder)!r} has layout version (schema) {manifest.get('schema')!r}; causalkit "
            f"{__version__} reads and writes version {SCHEMA}. Use the causalkit that wrote it, "
            "or --fresh (fresh=True), which moves the folder aside and starts anew."
        )
    return manifest


def _check_same(folder: Path, manifest: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse to mix two studies."""
    before = manifest["study"]
    for key in ("name", *IDENTITY):
        there, here = before[key], facts[key]
        if there != here:
            raise ArgumentError(
                f"{str(folder)!r} holds another study: {key} is {there!r} there and "
                f"{here!r} here. Use --fresh (fresh=True), which moves the folder aside "
                "and starts anew, or give the study another name or another folder (run.out)."
            )


def _check_empty(folder: Path) -> None:
    """Refuse a folder of something else; that of a run killed at its very start is ours."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{str(folder)!r} is a file; name another folder (run.out).")
    known = (_STUDY_FILE, lock.FILE)
    others = sorted(
        item.name
        for item in (folder.iterdir() if folder.exists() else ())
        if item.name not in known and not item.name.endswith(".tmp")
    )
    if others:
        raise ArgumentError(
            f"{str(folder)!r} holds other files ({others[0]!r}) and no {MANIFEST}; give the study "
            "another name or another folder (run.out), or move those files away."
        )


def _no_study(folder: Path) -> ArgumentError:
    return ArgumentError(
        f"{str(folder)!r} holds no results of a study (no {MANIFEST}); run the study first, or "
        "give the folder <out>/<name> of one that was run."
    )

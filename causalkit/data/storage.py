"""Data in a folder: tables as parquet, arrays as zarr, truth as npz, everything else as JSON."""

import json
from dataclasses import asdict
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from causalkit.data.dataset import CausalData
from causalkit.data.formula import FormulaSpec, learned
from causalkit.data.new_folder import new_folder, set_aside
from causalkit.data.plainjson import from_plain, to_plain
from causalkit.data.roles import Roles
from causalkit.data.tablefile import read_table, write_table
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError
from causalkit.optional import require
from causalkit.provenance import __version__

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = 1
_FORMAT = "causalkit data"
_LABELS = "labels.parquet"
_FACTS = ("missing", "freq", "dropped", "dropped_ids", "name", "citation", "published")
_LATER = {"max_nan_pixels"}  # facts that folders of before do not have
_TRUTH_ARRAYS = (
    *("cate", "mu0", "mu1", "propensity", "best_dose"),
    *("valid_instruments", "cluster_labels", "image_box"),
)
_TRUTH_FUNCTIONS = ("dose_response", "unit_response")


def save(data: CausalData, path: Any) -> None:
    """Write data to a folder from which :func:`load` restores them bit for bit.

    ``data.parquet`` holds the columns, ``tables/`` further tables, ``arrays.zarr`` images and
    sequences, ``truth.npz`` true values by row, ``formula.parquet`` the variables that a formula
    was learned from, ``labels.parquet`` the row labels of the table that the data came from, and
    ``roles.json`` the rest, with the version of this layout. The folder appears whole or not at
    all.

    Parameters
    ----------
    data : CausalData
    path : str or path
        New or empty folder, or one that holds saved data, which are replaced.

    Raises
    ------
    ArgumentError
        If the folder holds something else, or if the data hold what no file can keep: functions
        as truth, an imputer as policy, columns of several types.
    MissingDependencyError
        If there are arrays and zarr is not installed.
    StorageError
        If the system refuses to write there.
    """
    target = Path(path).absolute()
    _check_target(target)
    facts = _facts(data)
    with new_folder(target, replace=True) as folder:
        write_table(data.frame, folder / "data.parquet")
        for table, file in facts["tables"].items():
            (folder / file).parent.mkdir(exist_ok=True)
            write_table(data.tables[table], folder / file)
        if data.spec is not None:
            write_table(data.spec.source, folder / "formula.parquet")
        _write_labels(data, folder / _LABELS)
        if data.truth is not None:
            np.savez(folder / "truth.npz", **_truth_arrays(data.truth))
        if data.arrays is not None:
            _write_arrays(data.arrays, folder / "arrays.zarr")
        facts["files"] = _seals(folder)
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "roles.json").write_text(text + "\n", encoding="utf-8")
        if _read(folder, json.loads(text)).digest() != facts["digest"]:
            raise ArgumentError(
                "these data would not come back from a folder as they are, for the type of an "
                "array or of a level; convert it to numbers, text or dates, or use pickle."
            )


def load(path: Any) -> CausalData:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    CausalData
        With the digest of the data that were saved. Arrays that were not in memory then are read
        when they are needed.

    Raises
    ------
    ArgumentError
        If the folder holds no saved data, if they come from a later version, if a file was
        altered since, or if a save that was to replace it was cut off: the message names the
        folder that holds what was there before.
    """
    folder = Path(path)
    facts = _facts_in(folder)
    seals = _seals(folder)
    for file, seal in facts["files"].items():
        if seals.get(file) != seal:
            raise _altered(folder, f"{file!r} is not what was written")
    data = _read(folder, facts)
    if data.digest() != facts["digest"]:
        raise _altered(folder, "the content does not have the digest that was saved with it")
    return data


def _facts(data: CausalData) -> dict[str, Any]:
    """Everything that goes into ``roles.json``, but the seals of the files."""
    if not isinstance(data.missing, str):
        raise ArgumentError(
            f"the policy for missing values is an imputer ({data.missing!r}), which only pickle "
            "could keep. Save dataclasses.replace(data, missing='native'), and put the imputer "
            "back after loading in the same way."
        )
    plain = {name: to_plain(getattr(data, name), what=name) for name in (*_FACTS, *_LATER)}
    return {
        "format": _FORMAT,
        "schema": SCHEMA,
        "causalkit": __version__,
        "digest": data.digest(),
        "roles": asdict(data.roles),
        **plain,
        "formula": None if data.spec is None else data.spec.formula,
        "truth": None if data.truth is None else _truth_facts(data.truth),
        "tables": {name: f"tables/{quote(name, safe='')}.parquet" for name in data.tables},
        "in_memory": None if data.arrays is None else _in_memory(data.arrays),
    }


def _truth_facts(truth: Truth) -> dict[str, Any]:
    functions = [
        name for name in (*_TRUTH_ARRAYS, *_TRUTH_FUNCTIONS) if callable(getattr(truth, name))
    ]
    if functions:
        raise ArgumentError(
            f"the truth holds a function ({', '.join(functions)}), which no file can keep. Save "
            "data.blind(), or replace it by its values at the rows."
        )
    values = {name: getattr(truth, name) for name in ("estimands", "mcse", "scope")}
    return {name: to_plain(value, what=f"truth.{name}") for name, value in values.items()}


def _truth_arrays(truth: Truth) -> dict[str, Any]:
    """Values by row, as arrays of numbers or text."""
    given = {name: getattr(truth, name) for name in _TRUTH_ARRAYS}
    arrays = {name: np.asarray(value) for name, value in given.items() if value is not None}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ArgumentError(
                f"truth.{name} holds objects such as {array.ravel()[0]!r}; make it an array of "
                "numbers or text before saving."
            )
    return arrays


def _in_memory(arrays: "xr.Dataset") -> dict[str, str]:
    """Types of the variables that are in memory; the others are read from a store when needed."""
    held = (arrays[name].variable for name in arrays.variables)
    names = map(str, arrays.variables)
    return {name: str(v.dtype) for name, v in zip(names, held, strict=True) if v._in_memory}


def _write_arrays(arrays: "xr.Dataset", store: Path) -> None:
    require("zarr", extra="images", needed_by="CausalData.save with images or sequences")
    bare = arrays.drop_encoding()
    # A fill value would make missing, and NaN of other bits, of values that equal it.
    for name in bare.variables:
        bare[name].encoding["_FillValue"] = None
    bare.to_zarr(store, zarr_format=2, consolidated=True, write_empty_chunks=True)


def _read_arrays(store: Path, in_memory: dict[str, str]) -> "xr.Dataset":
    import xarray as xr

    require("zarr", extra="images", needed_by="CausalData.load with images or sequences")
    arrays = xr.open_dataset(store, engine="zarr", chunks=None, consolidated=True)
    for name, dtype in in_memory.items():
        # Dates come back in nanoseconds, whatever their unit was.
        held = arrays[name].load()
        if str(held.dtype) != dtype:
            arrays[name] = held.astype(dtype)
    return arrays.drop_encoding()


def _read(folder: Path, facts: dict[str, Any]) -> CausalData:
    """Data in a folder, given the content of ``roles.json``."""
    truth = facts["truth"]
    if truth is not None:
        with np.load(folder / "truth.npz", allow_pickle=False) as arrays:
            truth = Truth(**from_plain(truth), **dict(arrays))
    roles: dict[str, Any] = {
        role: tuple(value) if isinstance(value, list) else value
        for role, value in facts["roles"].items()
    }
    return CausalData(
        frame=read_table(folder / "data.parquet"),
        roles=Roles(**roles),
        tables={name: read_table(folder / file) for name, file in facts["tables"].items()},
        arrays=None
        if facts["in_memory"] is None
        else _read_arrays(folder / "arrays.zarr", facts["in_memory"]),
        truth=truth,
        spec=_spec(facts["formula"], folder),
        labels=_labels_in(folder),
        **{name: from_plain(facts[name]) for name in (*_FACTS, *(_LATER & facts.keys()))},
        _admitted=True,
    )


def _write_labels(data: CausalData, file: Path) -> None:
    """Row labels, where they are more than the numbers of the rows."""
    if data.labels is None or data.labels.equals(pd.RangeIndex(len(data.labels))):
        return
    try:
        write_table(pd.DataFrame({"label": data.labels}), file)
    except ArgumentError as error:
        raise ArgumentError(
            f"row labels such as {data.labels[0]!r} cannot be saved; give the table others before "
            "building the data, or save dataclasses.replace(data, labels=None)."
        ) from error


def _labels_in(folder: Path) -> "pd.Index[Any] | None":
    """Row labels, which folders of before do not have."""
    file = folder / _LABELS
    return pd.Index(read_table(file)["label"], name=None) if file.exists() else None


def _spec(formula: str | None, folder: Path) -> FormulaSpec | None:
    """Spec of a formula, learned again from the table that it was learned from."""
    return None if formula is None else learned(formula, read_table(folder / "formula.parquet"))


def _facts_in(folder: Path) -> dict[str, Any]:
    """Content of ``roles.json``, of a version that this code knows."""
    facts = _saved_facts(folder)
    if (former := set_aside(folder)) is not None:
        raise ArgumentError(
            f"{str(folder)!r} is not there: a save that was to replace it was cut off. What stood "
            f"there before is whole in {str(former)!r}; rename that folder to {folder.name!r}, or "
            "save anew."
        )
    if facts is None:
        raise ArgumentError(
            f"{str(folder)!r} holds no saved causalkit data (no readable roles.json); give the "
            "folder that data.save(...) wrote, or read other files with CausalData.scan."
        )
    if facts.get("schema") != SCHEMA:
        raise ArgumentError(
            f"{str(folder)!r} has layout version {facts.get('schema')!r}, written by causalkit "
            f"{facts.get('causalkit')}; this causalkit {__version__} reads version {SCHEMA}. "
            "Install the version that wrote it, or a later one."
        )
    return facts


def _saved_facts(folder: Path) -> dict[str, Any] | None:
    """Content of ``roles.json``, or None if there is none of ours."""
    try:
        facts = json.loads((folder / "roles.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == _FORMAT else None


def _altered(path: Path, why: str) -> ArgumentError:
    return ArgumentError(
        f"the data in {str(path)!r} were altered after saving: {why}. Save them anew, or restore "
        "the files."
    )


def _seals(folder: Path) -> dict[str, str]:
    """SHA-256 of each file but ``roles.json`` and the arrays, which have the digest."""
    seals = {}
    for file in _files(folder):
        if file != folder / "roles.json":
            with file.open("rb") as stream:
                seal = file_digest(stream, "sha256").hexdigest()
            seals[file.relative_to(folder).as_posix()] = seal
    return seals


def _files(folder: Path) -> list[Path]:
    """Files of saved data, those of arrays left out."""
    store = folder / "arrays.zarr"
    return sorted(f for f in folder.rglob("*") if not f.is_dir() and store not in f.parents)


def _check_target(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ArgumentError(f"{str(target)!r} is a file; name a folder.")
    saved = _saved_facts(target)
    ours = set() if saved is None else {"roles.json", *saved["files"]}
    found = {file.relative_to(target).as_posix() for file in _files(target)}
    if (saved is None or saved["in_memory"] is None) and (target / "arrays.zarr").exists():
        found.add("arrays.zarr")
    others = sorted(found - ours)
    if others:
        raise ArgumentError(
            f"{str(target)!r} holds other files ({others[0]!r}), which are not overwritten; name a "
            "new folder."
        )

"""Tensors and plain facts in a folder: no pickle, and at every moment the old or the new."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from causalkit.errors import StorageError, cannot_write
from causalkit.folder_turns import one_by_one
from causalkit.whole_file import whole_file, write_whole

# Nobody else's file is called by 32 digits of its content, or hidden by what a killed save began.
_WEIGHTS = re.compile(r"weights-[0-9a-f]{32}\.pt")
_UNFINISHED = re.compile(rf"\.[0-9a-f]{{12}}\.({_WEIGHTS.pattern}|config\.json)")


def write_tensors(folder: Path, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write tensors and facts; what was there before can be read until the new is whole.

    The facts, which take the place of the former in one step, name the file of the tensors, and
    get a digest of all that the folder holds.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with one_by_one(folder):
            _replace(folder, tensors, facts)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _replace(folder: Path, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    import torch

    plain = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    digest = _digest(plain, facts)
    # Of other content it is another file, so that those of the former facts are left alone.
    weights = f"weights-{digest[:32]}.pt"
    # Listed first: where nobody waits for a turn, less is taken from another process.
    former = [path for path in folder.iterdir() if _is_replaced(path.name)]
    with whole_file(folder / weights) as file, file.open("wb") as stream:
        torch.save(plain, stream)
    known = facts | {"digest": digest, "weights": weights}
    write_whole(folder / "config.json", json.dumps(known, indent=1))
    for path in former:
        if path.name != weights:
            path.unlink(missing_ok=True)


def read_tensors(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What :func:`write_tensors` wrote.

    Raises
    ------
    StorageError
        If a file is absent or not what it should be.
    """
    import torch

    try:
        # A save in between would take away the file that the facts name.
        with one_by_one(folder):
            facts = json.loads((folder / "config.json").read_text())
            weights = folder / facts.pop("weights")
            tensors = torch.load(weights, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        why = "" if folder.exists() else ": there is no such folder; name that of a saved fit"
        lost = Path(str(error.filename)).name
        raise StorageError(f"{folder} lacks {lost}{why}.") from error
    except Exception as error:
        raise StorageError(
            f"{folder} cannot be read ({type(error).__name__}: {error}); it was changed or is "
            "not a causalkit folder."
        ) from error
    return tensors, facts


def read_checkpoint(
    folder: Path, facts: dict[str, Any], *, schema: int
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """State of a training that :func:`write_tensors` kept; None if none is there.

    Parameters
    ----------
    folder : Path
    facts : mapping
        What tells this training from another, kept under ``"of"``.
    schema : int
        Kept under ``"schema"``.

    Raises
    ------
    StorageError
        If the checkpoint is not whole, or belongs to another training; says what differs.
    """
    if not (folder / "config.json").exists():
        return None
    mend = "remove it, or name another folder."
    try:
        tensors, where = read_tensors(folder)
    except StorageError as error:
        raise StorageError(f"the checkpoint {folder} is not whole; {mend} {error}") from error
    if where.get("schema") != schema:
        raise StorageError(
            f"the checkpoint {folder} has schema {where.get('schema')!r}, and this version reads "
            f"{schema}; remove it and train anew."
        )
    known = where["of"]
    other = [name for name in facts if known.get(name) != facts[name]]
    if other or known.keys() != facts.keys():
        seed = " random_state must be a number, so that it is the same again."
        raise StorageError(
            f"the checkpoint {folder} belongs to a training with other arguments or data (what "
            f"differs: {', '.join(other or set(known) - set(facts))}); {mend}"
            f"{seed if 'random_state' in other else ''}"
        )
    return tensors, where


def bytes_of(values: Any) -> bytes:
    """Content of a tensor of any type, also of those that numpy lacks."""
    import torch

    flat = values.detach().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return b""  # torch has no view of nothing as other numbers
    content: bytes = flat.view(torch.uint8).numpy().tobytes()
    return content


def of_part(tensors: dict[str, Any], part: str) -> dict[str, Any]:
    """Tensors whose names begin with that of a part, by what follows."""
    start = f"{part}."
    return {name[len(start) :]: v for name, v in tensors.items() if name.startswith(start)}


def save_fit(
    folder: Path, kind: str, tensors: dict[str, Any], facts: dict[str, Any], *, schema: int
) -> None:
    """Write a fit to a folder of its own, for :func:`read_fit`.

    Parameters
    ----------
    folder : Path
        New or empty, or one that holds a fit, which is replaced.
    kind : str
        Class of the estimator.
    tensors, facts : mapping
    schema : int
        Version of what they mean.

    Raises
    ------
    StorageError
        If the folder holds something else, or cannot be written.
    """
    _check_place(folder)
    write_tensors(folder, tensors, {"schema": schema, "class": kind, **facts})


def read_fit(
    folder: Path, kind: str, *, schema: int, path_of: Callable[[str], str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts that :func:`save_fit` wrote.

    Parameters
    ----------
    folder : Path
    kind : str
        Class of the estimator.
    schema : int
    path_of : callable
        How a user reaches a class, by its name.

    Raises
    ------
    StorageError
        If they are of another class or schema, or were changed since.
    """
    if folder.is_file():
        raise StorageError(
            f"{folder} is a file, and {kind} is saved in a folder; if another class saved it, load "
            "it by that class."
        )
    tensors, facts = read_tensors(folder)
    if facts.get("class") not in (kind, None):
        other = facts["class"]
        raise StorageError(
            f"{folder} holds {other!r}, no {kind}; load it by {path_of(other)}.load."
        )
    if facts.get("schema") != schema or facts.get("class") != kind:
        raise StorageError(
            f"{folder} holds {facts.get('class')!r} of schema {facts.get('schema')!r}, and "
            f"{kind} reads schema {schema}; fit and save it anew."
        )
    if _digest(tensors, {k: v for k, v in facts.items() if k != "digest"}) != facts.get("digest"):
        raise StorageError(
            f"{folder} was changed: its files are not those that were saved together. Save the fit "
            "anew."
        )
    return tensors, facts


def class_of_folder(folder: Path) -> str | None:
    """Class whose fit lies in a folder; None if there is none."""
    if not _is_fit(folder / "config.json"):
        return None
    return str(json.loads((folder / "config.json").read_text())["class"])


def _check_place(folder: Path) -> None:
    """Refuse a folder with other things than a fit, which would be lost or mixed up with it."""
    if not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    # Tensors alone are what a first save left that was killed.
    others = {name for name in there if not _is_replaced(name)}
    if _is_fit(folder / "config.json"):
        others -= {"config.json"}
    if others:
        raise StorageError(
            f"{folder} holds {min(others)}, which is no part of a fit; nothing is overwritten. "
            "Name a new folder, or one that holds a saved fit and nothing else."
        )


def _is_replaced(name: str) -> bool:
    """Whether a file is one of tensors, or what a killed save left of one."""
    return any(kind.fullmatch(name) for kind in (_WEIGHTS, _UNFINISHED))


def _is_fit(config: Path) -> bool:
    try:
        facts = json.loads(config.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and {"schema", "class", "digest"} <= facts.keys()


def _digest(tensors: dict[str, Any], facts: dict[str, Any]) -> str:
    """SHA-256 of all that a folder holds."""
    # As text and back: tuples are lists there, and keys are text.
    plain = json.loads(json.dumps(facts))
    found = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        found.update(bytes_of(values))
    return found.hexdigest()

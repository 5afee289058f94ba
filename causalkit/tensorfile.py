"""Tensors and plain facts in a folder: no pickle, and never half of a file."""

import json
import os
from pathlib import Path
from typing import Any

from causalkit.errors import StorageError, cannot_write


def write_tensors(folder: Path, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write tensors and facts; what was there before stays until the new is whole.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    import torch

    plain = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "weights.pt.new"
        torch.save(plain, target)
        facts_file = folder / "config.json.new"
        facts_file.write_text(json.dumps(facts, indent=1))
        os.replace(target, folder / "weights.pt")
        os.replace(facts_file, folder / "config.json")
    except OSError as error:
        raise cannot_write(folder, error) from error


def read_tensors(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What :func:`write_tensors` wrote.

    Raises
    ------
    StorageError
        If a file is absent or not what it should be.
    """
    import torch

    try:
        facts = json.loads((folder / "config.json").read_text())
        tensors = torch.load(folder / "weights.pt", weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        raise StorageError(f"{folder} lacks {Path(str(error.filename)).name}.") from error
    except Exception as error:
        raise StorageError(
            f"{folder} cannot be read ({type(error).__name__}: {error}); it was changed or is "
            "not a causalkit folder."
        ) from error
    return tensors, facts


def bytes_of(values: Any) -> bytes:
    """Content of a tensor of any type, also of those that numpy lacks."""
    import torch

    flat = values.detach().cpu().contiguous().reshape(-1)
    content: bytes = flat.view(torch.uint8).numpy().tobytes()
    return content

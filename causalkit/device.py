"""Where and how precisely to compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from causalkit.errors import ArgumentError

PRECISIONS = ("auto", "float32", "bf16")
_LEAST_WIDTH = 32


def resolve_device(device: Any) -> Any:
    """Torch device of a name; ``"auto"`` takes a GPU if there is one.

    Raises
    ------
    ArgumentError
        If the device is not there; says what is.
    """
    import torch

    present = ["cpu"]
    if torch.cuda.is_available():
        present += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        present.append("mps")
    if device == "auto":
        return torch.device("cuda" if "cuda:0" in present else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"device={device!r} is no device; present: {', '.join(present)}, or 'auto'."
        ) from error
    if str(found) not in present and f"{found}:0" not in present:
        raise ArgumentError(f"device={device!r} is not here; present: {', '.join(present)}.")
    return found


def autocast_type(precision: str, device: Any, width: int) -> Any:
    """Type of the forward pass below float32, or None.

    ``"auto"``: bfloat16 on a GPU that has it for networks of width 32 and more; float32 elsewhere.
    Parameters and losses are float32 always.
    """
    import torch

    if precision == "float32":
        return None
    if precision == "bf16":
        return torch.bfloat16
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if able and width >= _LEAST_WIDTH else None


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:  # noqa: FBT001
    """Deterministic kernels inside, torch's settings as they were outside."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = not wanted
    if wanted:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cuda.matmul.allow_tf32 = matmul

"""Where and how precisely to compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from causalkit.errors import ArgumentError

PRECISIONS = ("auto", "float32", "bf16")
_LEAST_WIDTH = 32


def resolve_device(device: Any) -> Any:
    """Torch device of a name; ``"auto"`` takes a GPU, or the processor if there is none.

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
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        torch.use_deterministic_algorithms(True)
    try:
        with _tf32(allowed=not wanted):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    """Products of matrices with or without TF32 on a GPU; elsewhere nothing is touched.

    Torch has an older switch and, since 2.9, a newer one; asked for the older while the two
    disagree it raises, so that both are kept, and the older, which sets both, is set.
    """
    import torch

    if not torch.cuda.is_available():
        yield
        return
    matmul = torch.backends.cuda.matmul
    newer = getattr(matmul, "fp32_precision", None)
    try:
        older, precision = matmul.allow_tf32, torch.get_float32_matmul_precision()
    except RuntimeError:
        older, precision = newer != "tf32", ""
    matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32 = older
        if precision == "medium":
            torch.set_float32_matmul_precision(precision)
        if newer is not None:
            matmul.fp32_precision = newer

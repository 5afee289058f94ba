"""Encoder and decoder through torch.compile, or as they are where that fails."""

from collections.abc import Callable
from functools import cache
from typing import Any

from causalkit.errors import CausalKitWarning
from causalkit.warn import warn

BACKEND = "inductor"


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled when it is first called; if that fails, itself, with a warning."""
    import torch
    from torch._dynamo.exc import TorchDynamoException

    made = torch.compile(function, backend=BACKEND)
    failed = False

    def run(*arguments: Any, **more: Any) -> Any:
        nonlocal failed
        if not failed:
            try:
                return made(*arguments, **more)
            except TorchDynamoException as error:
                failed = True
                reason = " ".join(str(error).strip().splitlines()[:2])
                warn(
                    f"torch.compile failed ({type(error).__name__}: {reason}); the network goes on "
                    "uncompiled.",
                    CausalKitWarning,
                )
        return function(*arguments, **more)

    return run

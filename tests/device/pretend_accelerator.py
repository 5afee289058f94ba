"""Run cases on a pretended accelerator: ``python pretend_accelerator.py FOLDER [CASE ...]``.

In a process of its own, since torch keeps a device that has been registered.
"""

import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch.utils.cpp_extension import load

import causalkit.device

NAME = "pretended"


def registered() -> torch.device:
    """Build the accelerator and give it to torch."""
    source = Path(__file__).with_suffix(".cpp")
    load("pretended_accelerator", [str(source)], extra_cflags=["-O1", "-w"])
    torch.utils.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_is_in_bad_fork": lambda: False,
        "manual_seed_all": lambda _: None,
        "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
        "get_rng_state": lambda _=None: torch.get_rng_state(),
        "set_rng_state": lambda *_: None,
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    torch._register_device_module(NAME, module)
    torch.utils.generate_methods_for_privateuse1_backend()
    return torch.device(NAME, 0)


def main() -> None:
    device = registered()
    real = causalkit.device.resolve_device
    causalkit.device.resolve_device = lambda asked: (
        device if str(asked).startswith(NAME) else real(asked)
    )
    import device_cases

    folder, *names = sys.argv[1:]
    for name in names or device_cases.CASES:
        device_cases.CASES[name](NAME, Path(folder))


if __name__ == "__main__":
    main()

"""What tells one encoder of images from another, when embeddings are found again on disk."""

import hashlib
import inspect
import re
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

_ATOMS = (type(None), type(...), bool, int, float, complex, str, bytes, np.generic, range, PurePath)
_LIBRARIES = ("torch", "causalkit", "numpy", "builtins", "functools", "collections", "math")


def encoder_digest(network: "nn.Module", *, weights: bool = True) -> str:
    """Digest of all that tells one encoder from another of the same name.

    Weights, buffers, layers with their arguments, and of classes from elsewhere their source and
    attributes: a module without weights is known by these alone. Dates of frames are no part.

    Parameters
    ----------
    network : Module
    weights : bool, default True
        Whether what a state dict holds is a part.
    """
    found: str = _read(network, weights=weights).seal.hexdigest()
    return found


def untold_parts(network: "nn.Module") -> tuple[str, ...]:
    """Attributes of an encoder that its digest does not see into, ``"name (type)"``."""
    return tuple(_read(network, weights=True).untold)


def _read(network: "nn.Module", *, weights: bool) -> "_Reader":
    from causalkit.images.networks import SequenceEncoder, WholeSequenceEncoder

    inner = [part.frame for part in network.modules() if isinstance(part, SequenceEncoder)]
    inner += [part.whole for part in network.modules() if isinstance(part, WholeSequenceEncoder)]
    reader = _Reader(weights)
    for part in inner or [network]:
        reader.module(part)
    return reader


@dataclass(slots=True, eq=False)
class _Reader:
    """Takes objects apart until what is left can be written down."""

    weights: bool
    seal: Any = field(default_factory=hashlib.sha256)
    untold: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # attributes may lead back to their owner

    def module(self, network: Any) -> None:
        from torch import nn

        if not self._new(network):
            return
        self._say(network)
        saved = () if self.weights else set(network.state_dict())
        for name, values in (*network.named_parameters(), *network.named_buffers()):
            if name not in saved:
                self._tensor(name, values)
        usual = vars(nn.Module()).keys()
        for part in network.modules():
            self.seen.add(id(part))
            for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values()):
                self.add("hook", hook)
            if not _from_library(type(part)):
                self._kind(type(part))
                own = {name: value for name, value in vars(part).items() if name not in usual}
                self.add(type(part).__name__, own)

    def add(self, name: str, value: Any) -> None:
        """Write down a value that is held under a name."""
        taken = (self._atom, self._torch, self._container, self._called)
        if not any(take(name, value) for take in taken):
            self._object(name, value)

    def _atom(self, name: str, value: Any) -> bool:
        if isinstance(value, _ATOMS):
            self._say((name, value))
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self._say((name, value.dtype.str, value.shape))
            self.seal.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, CodeType):
            self._say((name, value.co_code, value.co_names))
            self.add(name, value.co_consts)
        else:
            return False
        return True

    def _torch(self, name: str, value: Any) -> bool:
        import torch

        if isinstance(value, torch.dtype | torch.device | torch.Size):
            self._say((name, value))
        elif isinstance(value, torch.Tensor):
            self._tensor(name, value)
        elif isinstance(value, torch.Generator):
            self._tensor(name, value.get_state())
        elif isinstance(value, torch.nn.Module):
            self.module(value)
        else:
            return False
        return True

    def _container(self, name: str, value: Any) -> bool:
        if isinstance(value, dict):
            self._say((name, len(value)))
            for key in sorted(value, key=repr):
                self.add(f"{name}.{key}", value[key])
        elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
            ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            self._say((name, type(value).__name__, len(value)))
            for number, one in enumerate(ordered):
                self.add(f"{name}[{number}]", one)
        else:
            return False
        return True

    def _called(self, name: str, value: Any) -> bool:
        """Write down a function or a class, if it is one."""
        if isinstance(value, partial):
            self.add(name, [value.func, value.args, value.keywords])
        elif isinstance(value, type):
            self._kind(value)
        elif isinstance(value, MethodType):
            self.add(name, [value.__func__, value.__self__])
        elif isinstance(value, FunctionType) and not _from_library(value):
            if self._new(value):
                cells = [cell.cell_contents for cell in value.__closure__ or ()]
                self.add(name, [value.__code__, value.__defaults__, value.__kwdefaults__, cells])
        elif callable(value) and hasattr(value, "__name__"):
            self._say((name, getattr(value, "__module__", ""), value.__name__))
        else:
            return False
        return True

    def _object(self, name: str, value: Any) -> None:
        if not hasattr(value, "__dict__"):
            self.untold.append(f"{name} ({type(value).__name__})")
        elif self._new(value):
            self._kind(type(value))
            self.add(name, vars(value))

    def _kind(self, kind: type) -> None:
        """Name of a class, and of those from elsewhere the source of functions and attributes."""
        self._say((kind.__module__, kind.__qualname__))
        for base in kind.__mro__:
            if _from_library(base) or not self._new(base):
                continue
            for name, value in vars(base).items():
                function = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if isinstance(value, cached_property):
                    function = value.func
                if inspect.isfunction(function):
                    self._source(name, function)
                elif not name.startswith(("__", "_abc_")):
                    self.add(name, value)

    def _source(self, name: str, function: Any) -> None:
        """Text of a method, which is the same in every version; bytecode where it was typed in."""
        try:
            self._say(inspect.getsource(function))
        except OSError:
            self.add(name, function)

    def _tensor(self, name: str, values: "Tensor") -> None:
        import torch

        self._say((name, str(values.dtype), tuple(values.shape)))
        flat = values.detach().cpu().reshape(-1).contiguous()
        self.seal.update(flat.view(torch.uint8).numpy().tobytes())

    def _new(self, value: Any) -> bool:
        if id(value) in self.seen:
            return False
        self.seen.add(id(value))
        return True

    def _say(self, shown: Any) -> None:
        """What ``repr`` says, without addresses in memory, which differ from run to run."""
        self.seal.update(re.sub(r" at 0x[0-9a-f]+", "", repr(shown)).encode())


def _from_library(made: Any) -> bool:
    return str(made.__module__).partition(".")[0] in _LIBRARIES

"""What a torch module is, beside its parameters: a digest of layers, code and attributes."""

import hashlib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from causalkit.tensorfile import bytes_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_ATOMS = (type(None), type(...), bool, int, float, complex, str, bytes, np.generic, range, PurePath)
_LONGEST = 200  # text of an attribute, in characters
_SHOWN = 3
_LIBRARIES = ("torch", "causalkit", "numpy", "builtins", "functools", "collections", "math")


@dataclass(slots=True, eq=False)
class Reader:
    """Takes modules apart until what is left can be written down, and hashes that.

    Parameters, buffers, layers with their arguments, and of classes from elsewhere their source and
    attributes: a module without parameters is known by these alone.

    Attributes
    ----------
    saved : callable
        Names of the parameters and buffers of a module that are no part, as they are kept
        elsewhere.
    untold : list of str
        Attributes that it does not see into, ``"name (type)"``.
    """

    saved: "Callable[[nn.Module], Collection[str]]"
    seal: Any = field(default_factory=hashlib.sha256)
    untold: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # attributes may lead back to their owner

    def digest(self) -> str:
        """SHA-256 of what was read."""
        found: str = self.seal.hexdigest()
        return found

    def module(self, network: "nn.Module") -> None:
        """Read a module."""
        from torch import nn

        if not self._new(network):
            return
        self._say(network)
        saved = self.saved(network)
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
        self._say((name, str(values.dtype), tuple(values.shape)))
        self.seal.update(bytes_of(values))

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


def plain_parts(module: "nn.Module") -> dict[str, str]:
    """Layers of a module, and those attributes that are plain values, as text.

    Less than what a digest sees, but it says where two modules differ: ``"frame.powers"`` to
    ``"(1, 2)"``. Attributes of layers of a library are in the text of the layer.
    """
    from torch import nn

    found = {}
    usual = vars(nn.Module()).keys()
    for place, layer in module.named_modules():
        found[f"layer {place or 'whole'}"] = f"{type(layer).__name__}({layer.extra_repr()})"
        if _from_library(type(layer)):
            continue
        for name, value in vars(layer).items():
            if name not in usual and _is_plain(value) and len(repr(value)) <= _LONGEST:
                found[f"{place}.{name}" if place else name] = repr(value)
    return found


def differing_parts(fitted: Mapping[str, str], given: Mapping[str, str]) -> str:
    """Layers and attributes that are not as in the fit, the first three of them."""
    names = [name for name in {**fitted, **given} if fitted.get(name) != given.get(name)]
    told = [
        f"{name}, which is {given.get(name, 'absent')} and was {fitted.get(name, 'absent')}"
        for name in names[:_SHOWN]
    ]
    return "; ".join(told) or "code or attributes, though not in layers or plain values"


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, _ATOMS)

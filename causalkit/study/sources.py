"""Digests of the source that estimators and generators run on: other source, other records."""

import ast
import dis
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.registry import ESTIMATORS
from causalkit.study.design import EstimatorSpec, GeneratorGrid

_INSTALLED = ("site-packages", "dist-packages")
_LOADED: dict[str, tuple[Any, str]] = {}


def source_digest(spec: EstimatorSpec) -> str:
    """Digest of the source that an estimator runs on, with that of the objects in its arguments.

    Of an installed package it is its version; of causalkit, and of code that is not installed, the
    text of the module and of all modules of the same package that it imports, directly or not. Of
    an object in memory it is that of its class or function, with the values that it holds.

    Raises
    ------
    ArgumentError
        If a module has changed since this session imported it.
    """
    if spec.target is not None:
        return _hash(list(_told(spec.target, ())))
    used = [ESTIMATORS.get(spec.use, spec.use), *_used(spec.args)]
    digests = [module_source_digest(name.partition(":")[0]) for name in used]
    return digests[0] if len(digests) == 1 else _hash([digest.encode() for digest in digests])


def generator_digest(grid: GeneratorGrid) -> str:
    """Digest of the source of a generator: of its module, or of the object with what it holds."""
    if grid.target is not None:
        return _hash(list(_told(grid.target, ())))
    return module_source_digest(grid.name.partition(":")[0])


def _used(value: Any) -> Iterator[str]:
    """Objects that tables ``{use = "module:object"}`` inside arguments name."""
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            yield value["use"]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _used(item)


def _told(value: Any, path: tuple[Any, ...]) -> Iterator[bytes]:
    """What tells an object in memory from another, in every session alike."""
    if isinstance(value, bool | int | float | complex | str | bytes | types.NoneType):
        yield repr(value).encode()
        return
    yield type(value).__qualname__.encode()
    if any(value is one for one in path):
        return
    for part in _parts(value):
        if isinstance(part, bytes):
            yield part
        else:
            yield from _told(part, (*path, value))


def _parts(value: Any) -> list[Any]:
    """Bytes, and objects that are to be told in their turn."""
    if isinstance(value, types.ModuleType):
        return [module_source_digest(value.__name__).encode()]
    if isinstance(value, types.FunctionType | type):
        return _code_parts(value)
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, Mapping):
        return [item for pair in value.items() for item in pair]
    if isinstance(value, set | frozenset):
        return sorted(_hash(list(_told(item, ()))).encode() for item in value)
    if isinstance(value, list | tuple):
        return list(value)
    return _object_parts(value)


def _object_parts(value: Any) -> list[Any]:
    """Of an instance its class and what it holds; of compiled code its name and version."""
    if isinstance(getattr(value, "__qualname__", None), str):
        return _named(value)
    if hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        return [type(value), {key: params[key] for key in sorted(params) if key != "random_state"}]
    held = getattr(value, "__dict__", None)
    if held and not isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return [type(value), dict(held)]
    from joblib import hash as digest_of

    try:
        return [type(value), str(digest_of(value)).encode()]
    except Exception:  # a lock or an open file: nothing that results could hang on
        return [type(value)]


def _code_parts(value: Any) -> list[Any]:
    """Of a function or class: its name and module, or its text where no file has it."""
    held: list[Any] = []
    if isinstance(value, types.FunctionType):
        cells = (cell for cell in value.__closure__ or () if cell != types.CellType())
        held = [*(cell.cell_contents for cell in cells), value.__defaults__, value.__kwdefaults__]
    if not _in_session(value):
        # Functions made inside others may share their name.
        nameless = isinstance(value, types.FunctionType) and "<" in value.__qualname__
        return [*_named(value), *([_compiled(value.__code__)] if nameless else []), *held]
    if isinstance(value, types.FunctionType):
        return [_source_text(value), *held, _globals(value)]
    inside = [
        getattr(item, "__func__", getattr(item, "fget", item)) for item in vars(value).values()
    ]
    kept = (types.FunctionType, bool, int, float, str, bytes, tuple)
    return [*(item for item in inside if isinstance(item, kept)), *value.__bases__]


def _named(value: Any) -> list[Any]:
    module = (
        getattr(value, "__module__", None) or type(getattr(value, "__self__", value)).__module__
    )
    return [value.__qualname__.encode(), module_source_digest(module).encode()]


def _in_session(value: Any) -> bool:
    """Whether a function or class was made in this session, as in a notebook."""
    module = value.__module__
    return module == "__main__" or (
        module not in sys.builtin_module_names and _spec(module) is None
    )


def _source_text(function: types.FunctionType) -> bytes:
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):
        return _compiled(function.__code__)


def _compiled(code: types.CodeType) -> bytes:
    inner = [_compiled(one) for one in code.co_consts if isinstance(one, types.CodeType)]
    constants = [one for one in code.co_consts if not isinstance(one, types.CodeType)]
    told = _told((code.co_names, constants), ())
    return _hash([code.co_code, *told, *inner]).encode()


def _globals(function: types.FunctionType) -> list[Any]:
    """What a function refers to by name and does not set: constants, code and arrays.

    Not what a session changes as it goes, such as a list that is appended to.
    """
    read: set[str] = set()
    changed: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(step.argval)
            elif step.opname == "STORE_GLOBAL":
                changed.add(step.argval)
        codes += [item for item in code.co_consts if isinstance(item, types.CodeType)]
    known = function.__globals__
    fixed = (bool, int, float, complex, str, bytes, tuple, frozenset, np.ndarray, type)
    code_like = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType)
    return [
        known[name]
        for name in sorted((read - changed) & known.keys())
        if isinstance(known[name], fixed + code_like) or known[name] is None
    ]


def module_source_digest(module: str) -> str:
    """Digest of a module's source; see :func:`source_digest`.

    Raises
    ------
    ArgumentError
        If it is another than when this session imported the module.
    """
    path = find_module(module)
    if path is None or _is_ours(module) or _is_standard(module) or _is_installed(path):
        return _settled_digest(module)
    digest = _text_digest(module, path)
    spec = getattr(sys.modules.get(module), "__spec__", None)
    known, before = _LOADED.setdefault(module, (spec, digest))
    if spec is not None and spec is known and before != digest:
        raise ArgumentError(
            f"the source of {module!r} has changed since this session imported it; start a new "
            f"session, or importlib.reload it and what it imports, so that what runs is what is "
            "recorded."
        )
    _LOADED[module] = (spec, digest)
    return digest


@functools.cache
def _settled_digest(module: str) -> str:
    """Digest of what does not change during a session."""
    path = find_module(module)
    if path is not None and _is_ours(module):
        return _text_digest(module, path)
    if _is_standard(module):
        return _hash([f"{module} {sys.version_info[:2]}".encode()])
    return _hash([_version(module).encode()])


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "causalkit"


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _text_digest(module: str, path: Path) -> str:
    """Digest of the text of a module and of those that it imports."""
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    seen: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or not _is_own(name, module):
            continue
        stem = root.joinpath(*name.split("."))
        for place in (stem.with_suffix(".py"), stem / "__init__.py"):
            if place.exists():
                seen[name] = place
                waiting.extend(_imported(name, place))
    return _hash([seen[name].read_bytes() for name in sorted(seen)])


def _is_own(name: str, module: str) -> bool:
    """Whether a name belongs to the package of ``module``; any file belongs to a lone module."""
    return "." not in module or name.partition(".")[0] == module.partition(".")[0]


def _hash(parts: list[bytes]) -> str:
    """16 hexadecimal digits of the parts, in order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:16]


def find_module(module: str) -> Path | None:
    """Python file of a module, without running it."""
    spec = _spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _spec(module: str) -> Any:
    """Where a module comes from, or None if from nowhere."""
    try:
        return find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None


def _is_installed(path: Path) -> bool:
    return any(part in _INSTALLED for part in path.parts)


def _version(module: str) -> str:
    """Distribution and version that a module comes from."""
    top = module.split(".")[0]
    names = packages_distributions().get(top, [top])
    try:
        return f"{names[0]}=={version(names[0])}"
    except PackageNotFoundError:
        return top


def _imported(module: str, path: Path) -> Iterator[str]:
    """Names that a module may import, also inside functions; some are objects, not modules."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, *([node.module] if node.module else [])])
            start = base if node.level else (node.module or "")
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)

"""From the names in a study file to the objects behind them, and to a digest of their source."""

import ast
import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from causalkit.errors import ArgumentError
from causalkit.generators.spec import GeneratorSpec, spec_of
from causalkit.registry import ESTIMATORS, GENERATORS, load
from causalkit.study.design import EstimatorSpec

_INSTALLED = ("site-packages", "dist-packages")


def generator_of(name: str) -> Callable[..., Any]:
    """Generator behind a registered name or ``"package.module:function"``.

    Raises
    ------
    ArgumentError
        If there is none, or it was not declared with ``@generator``.
    """
    found: Callable[..., Any] = _load("generator", name, GENERATORS)
    spec_of(found)
    return found


def generator_spec(name: str) -> GeneratorSpec:
    """What the generator of that name says about itself."""
    return spec_of(generator_of(name))


def estimator_of(spec: EstimatorSpec) -> Any:
    """Class, function or instance that an :class:`EstimatorSpec` names.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if spec.target is not None:
        return spec.target
    return _load("estimator", spec.use, ESTIMATORS)


def built(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with every ``{use = "module:object", args = {...}}`` table built.

    Examples
    --------
    >>> built({"learner": {"use": "sklearn.linear_model:Ridge", "args": {"alpha": 2}}})
    {'learner': Ridge(alpha=2)}
    """
    return {key: _built(value) for key, value in args.items()}


def _built(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "use" in value and set(value) <= {"use", "args"}:
            return _load("object", value["use"], {})(**built(value.get("args", {})))
        return built(value)
    if isinstance(value, list | tuple):
        return [_built(item) for item in value]
    return value


def _load(kind: str, name: str, table: dict[str, str]) -> Any:
    try:
        return load(kind, name, table)
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"{kind} {name!r}: no module {error.name!r} can be imported; check the spelling, "
            "install it, or put the file beside the study file."
        ) from error
    except AttributeError as error:
        raise ArgumentError(f"{kind} {name!r}: {error}.") from error


def reach(folder: Path | None) -> None:
    """Let modules that lie beside the study file be imported."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def source_digest(spec: EstimatorSpec) -> str:
    """Digest of the source that an estimator runs on.

    Of an installed package it is its version; of causalkit, and of code that is not installed, the
    text of the module and of all modules of the same package that it imports, directly or not.
    """
    if spec.target is not None:
        return _hash([inspect.getsource(_code_of(spec.target)).encode()])
    module = ESTIMATORS.get(spec.use, spec.use).partition(":")[0]
    return module_digest(module)


def _code_of(target: Any) -> Any:
    """Object whose source can be read: the function itself, or the class of an instance."""
    return target if inspect.isroutine(target) or inspect.isclass(target) else type(target)


@functools.cache
def module_digest(module: str) -> str:
    """Digest of a module's source; see :func:`source_digest`."""
    path = _source(module)
    if path is None or (_is_installed(path) and not module.startswith("causalkit.")):
        return _hash([_version(module).encode()])
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


def _source(module: str) -> Path | None:
    """Python file of a module, without running it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


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

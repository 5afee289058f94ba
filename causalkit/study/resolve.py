"""From the names in a study file to the objects behind them."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from causalkit.errors import ArgumentError
from causalkit.generators.spec import GeneratorSpec, spec_of
from causalkit.registry import ESTIMATORS, GENERATORS, load
from causalkit.study.design import Cell, EstimatorSpec, GeneratorGrid


def generator_of(of: Cell | GeneratorGrid) -> Callable[..., Any]:
    """Generator of a cell or grid: the object that it holds, or what its name leads to.

    Raises
    ------
    ArgumentError
        If there is none, or it was not declared with ``@generator``.
    """
    name = of.generator if isinstance(of, Cell) else of.name
    found = _load("generator", name, GENERATORS) if of.target is None else of.target
    spec_of(found)
    return found  # type: ignore[no-any-return]  # callable, as it has a spec


def generator_spec(name: str) -> GeneratorSpec:
    """What the generator of that name says about itself."""
    return spec_of(generator_of(GeneratorGrid(name)))


def grid_of_object(generator: Callable[..., Any], **rest: Any) -> GeneratorGrid:
    """Grid of a generator that is an object; by name where one leads to it.

    Raises
    ------
    ArgumentTypeError
        If it was not declared with ``@generator``.
    """
    name = spec_of(generator).name
    if name in GENERATORS and load("generator", name, GENERATORS) is generator:
        return GeneratorGrid(name, **rest)
    path, importable = import_path(generator)
    return GeneratorGrid(path, **rest, target=None if importable else generator)


def import_path(owner: Any) -> tuple[str, bool]:
    """``"module:name"`` of a class or function, and whether other processes find it there."""
    importable = (
        owner.__module__ != "__main__"
        and getattr(sys.modules.get(owner.__module__), owner.__qualname__, None) is owner
    )
    return f"{owner.__module__}:{owner.__qualname__}", importable


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

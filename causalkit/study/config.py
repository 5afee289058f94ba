"""Study files: TOML (or YAML) to a Study and back."""

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    CausalKitError,
    StorageError,
    unknown_name,
)
from causalkit.inference.arguments import check_number
from causalkit.optional import require
from causalkit.study.design import (
    EstimatorSpec,
    GeneratorGrid,
    Reps,
    plain,
)
from causalkit.study.resolve import grid_of_object, import_path

if TYPE_CHECKING:
    from causalkit.study.study import Study

Fact = TypeVar("Fact")

_HEADER = (
    "name",
    "seed",
    "reps",
    "level",
    "null",
    "treatment_cost",
    "aims",
    "data_generators",
    "estimands",
    "methods",
    "performance",
    "reference",
)
_REQUIRED = ("name", "seed", "aims")
_TABLES = ("study", "generator", "estimator", "stop", "budget", "run")
_NOT_IN_FILES = ("source_digest", "target")


def read(path: str | Path) -> dict[str, Any]:
    """Arguments of :class:`Study` from a study file.

    Raises
    ------
    ArgumentError
        If the file is no TOML or YAML, or has a key that does not exist.
    StorageError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"study file {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"study file {path} is not UTF-8 ({error}); save it so.") from error
    if path.suffix in (".yaml", ".yml"):
        yaml = require("yaml", package="PyYAML", needed_by=f"reading {path.name}")
        try:
            return arguments(yaml.safe_load(text), where=path.name)
        except yaml.YAMLError as error:
            raise ArgumentError(f"{path.name} is no YAML: {error}") from error
    return parse(text, where=path.name)


def parse(text: str, *, where: str = "study file") -> dict[str, Any]:
    """Arguments of :class:`Study` from the text of a TOML study file."""
    try:
        return arguments(tomllib.loads(text), where=where)
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"{where} is no TOML: {error}.") from error


def arguments(tables: Any, *, where: str) -> dict[str, Any]:
    """Arguments of :class:`Study` from the tables of a study file."""
    if not isinstance(tables, Mapping) or not isinstance(tables.get("study"), Mapping):
        raise ArgumentError(f"{where} has no table [study]; `causalkit sim new` writes a template.")
    for key in tables:
        _known(key, _TABLES, where=where)
    for key in tables["study"]:
        _known(key, _HEADER, where=f"{where}, [study]")
    absent = [key for key in _REQUIRED if key not in tables["study"]]
    if absent:
        raise ArgumentError(
            f"{where}, [study] lacks {', '.join(absent)}; every study has {', '.join(_REQUIRED)}."
        )
    given = dict(tables["study"])
    given["generators"] = tables.get("generator", [])
    given["estimators"] = tables.get("estimator", [])
    for name, argument in (("stop", "stop"), ("budget", "budget"), ("run", "run_options")):
        if name in tables:
            given[argument] = tables[name]
    return given


def to_toml(study: "Study") -> str:
    """Text of the study file that gives an equal study.

    Raises
    ------
    ArgumentError
        If an estimator or generator is an object that no import path leads to, or a value is None.
    """
    nowhere = [f"estimator {s.label!r}" for s in study.estimators if s.target is not None]
    nowhere += [f"generator {g.name!r}" for g in study.generators if g.target is not None]
    if nowhere:
        raise ArgumentError(
            f"{nowhere[0]} is an object in memory, which a study file cannot name; move it to a "
            'file and name it there: "that_file:name".'
        )
    header = {key: getattr(study, key) for key in _HEADER if key != "reps"}
    header["reps"] = _stated(study.reps)
    tables: dict[str, Any] = {
        "study": {key: value for key, value in header.items() if value not in (None, "", ())},
        "generator": [_stated(grid) for grid in study.generators],
        "estimator": [_stated(spec) for spec in study.estimators],
        "stop": dict(study.stop),
        "budget": _stated(study.budget),
        "run": _stated(study.run_options),
    }
    import tomli_w

    kept = {key: table for key, table in tables.items() if table}
    absent = next(_nothings(kept, ""), None)
    if absent is not None:
        raise ArgumentError(
            f"{absent} is None, which a study file cannot hold; leave it out if that is its "
            "default, or keep the study in Python."
        )
    return tomli_w.dumps(plain(kept, where="study"))


def _nothings(value: Any, where: str) -> Iterator[str]:
    """Where a None stands."""
    if value is None:
        yield where
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _nothings(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nothings(item, where)


def _stated(fact: Any) -> dict[str, Any]:
    """Fields of a dataclass that differ from their defaults."""
    return {
        item.name: value
        for item in fields(fact)
        if item.name not in _NOT_IN_FILES and (value := getattr(fact, item.name)) != _default(item)
    }


def _default(item: "Field[Any]") -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def one(kind: type[Fact], value: Any, *, where: str) -> Fact:
    """Dataclass from a table, or the dataclass itself.

    Raises
    ------
    ArgumentError
        If a key does not exist, is missing or has a value of the wrong kind.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ArgumentTypeError(f"{where} must be a table, got {value!r}.")
    places = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    hints = get_type_hints(kind)
    for key, item in value.items():
        _known(key, [name for name in places if name not in _NOT_IN_FILES], where=where)
        _check_fits(item, hints[key], where=f"{where}.{key}")
    absent = [
        name for name, item in places.items() if _default(item) is MISSING and name not in value
    ]
    if absent:
        raise ArgumentError(f"{where} lacks {', '.join(absent)}.")
    return kind(**{key: _settled(item, hints[key]) for key, item in value.items()})


def many(kind: type[Fact], values: Any, *, where: str) -> tuple[Fact, ...]:
    """Tuple of dataclasses from a list of tables."""
    if isinstance(values, kind | Mapping):
        values = [values]
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ArgumentTypeError(f"{where} must be a list of tables, got {values!r}.")
    return tuple(one(kind, value, where=f"{where} {i}") for i, value in enumerate(values, start=1))


def reps_of(value: Any) -> Reps:
    """Replications from a number, a table or themselves."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Reps(min=value, max=value, batch=min(value, 100) or 1)
    return one(Reps, value, where="reps")


def grids_of(values: Any) -> tuple[GeneratorGrid, ...]:
    """Grids of generators from tables, in which the name may be the generator itself."""
    if callable(values) or isinstance(values, GeneratorGrid | Mapping):
        values = [values]
    if isinstance(values, Sequence) and not isinstance(values, str):
        values = [_from_generator(value, place) for place, value in enumerate(values, start=1)]
    grids = many(GeneratorGrid, values, where="generator")
    return tuple(
        replace(
            grid,
            grid=_listed(grid.grid),
            fixed=_listed(grid.fixed),
            exclude=tuple(_listed(item) for item in grid.exclude),
        )
        for grid in grids
    )


def _from_generator(value: Any, place: int) -> Any:
    """Grid of a generator in memory; what names one stays as it is."""
    table = {"name": value} if callable(value) else value
    if not (isinstance(table, Mapping) and callable(table.get("name"))):
        return value
    checked = one(GeneratorGrid, {**table, "name": "in memory"}, where=f"generator {place}")
    rest = {key: getattr(checked, key) for key in ("grid", "fixed", "exclude")}
    return grid_of_object(table["name"], **rest)


def _listed(value: Any) -> Any:
    """Value as a file would give it back; what no file can hold stays for the plan to refuse."""
    try:
        return plain(value, where="grid")
    except CausalKitError:
        return value


def estimators_of(values: Any) -> tuple[EstimatorSpec, ...]:
    """Estimators from tables, or from a mapping of labels to classes, instances or functions."""
    if isinstance(values, Mapping) and not {"label", "use"} & set(values):
        return tuple(_from_object(label, target) for label, target in values.items())
    return many(EstimatorSpec, values, where="estimator")


def _from_object(label: str, target: Any) -> EstimatorSpec:
    """Specification of an object in memory; by import path where one leads to it."""
    if isinstance(target, str):
        return EstimatorSpec(label, target)
    owner = target if hasattr(target, "__qualname__") else type(target)
    use, importable = import_path(owner)
    args = _settings(label, target) if owner is not target else {}
    try:
        args = plain(args, where=f"estimator {label!r}")
    except ArgumentTypeError:
        # Without addresses, which differ from session to session.
        shown = {key: re.sub(r" at 0x[0-9a-f]+", "", repr(value)) for key, value in args.items()}
        return EstimatorSpec(label, use, shown, target=target)
    return EstimatorSpec(label, use, args, target=None if importable else target)


def _settings(label: str, instance: Any) -> dict[str, Any]:
    """Parameters of an estimator that were given; the seed is the study's."""
    if not hasattr(instance, "get_params"):
        raise ArgumentTypeError(
            f"estimator {label!r}: an instance of {type(instance).__name__} is neither a function, "
            "a class nor an estimator with get_params(), which every replication needs to make it "
            "anew; derive the class from sklearn.base.BaseEstimator, or name the class itself."
        )
    defaults = {
        name: item.default for name, item in inspect.signature(type(instance)).parameters.items()
    }
    return {
        key: value
        for key, value in instance.get_params(deep=False).items()
        if key != "random_state"
        and (key not in defaults or value is not defaults[key])
        and not _same(value, defaults.get(key))
    }


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, bool | int | float | str | NoneType) and a == b


def _known(key: str, known: Sequence[str], *, where: str) -> None:
    if key not in known:
        raise ArgumentError(f"{where}: {unknown_name('key', str(key), known)}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a file can stand where a type is annotated; unknown types let all pass."""
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return any(fits(value, kind) for kind in get_args(hint))
    if origin is Literal:
        return any(value == item and type(value) is type(item) for item in get_args(hint))
    if origin not in _KINDS:
        return True
    kind, _ = _KINDS[origin]
    return isinstance(value, kind) and (origin is bool or not isinstance(value, bool))


# What a file can hold of a type, and what it is called there.
_KINDS: Mapping[Any, tuple[Any, str]] = {
    Mapping: (Mapping, "a table"),
    tuple: (list | tuple, "a list"),
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    bool: (bool, "true or false"),
    NoneType: (NoneType, ""),
}


def _check_fits(value: Any, hint: Any, *, where: str) -> None:
    """Raise unless a value of a file has the type of its field."""
    if fits(value, hint):
        return
    if get_origin(hint) is Literal:
        raise unknown_name(where, value, get_args(hint))
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    names = [_KINDS[get_origin(kind) or kind][1] for kind in kinds]
    raise ArgumentTypeError(f"{where} must be {' or '.join(filter(None, names))}, got {value!r}.")


def _settled(value: Any, hint: Any) -> Any:
    """Lists of a file become tuples where the field is one."""
    return tuple(value) if get_origin(hint) is tuple else value


def targets_of(value: Any) -> dict[str, float]:
    """Targets of the stopping rule: measure to largest Monte-Carlo error.

    Raises
    ------
    ArgumentError
        If a measure does not exist, or a target is no positive and finite number.
    """
    from causalkit.metrics import measure_spec

    if not isinstance(value, Mapping):
        raise ArgumentTypeError(f"stop must be a table of measures and targets, got {value!r}.")
    targets = {}
    for name, target in value.items():
        measure_spec(name)
        targets[name] = check_number(f"stop.{name}", target)
        if not targets[name] > 0.0:
            raise ArgumentError(
                f"stop.{name} must be a positive Monte-Carlo error, got {target!r}."
            )
    return targets


def check_text(name: str, value: Any) -> None:
    """Raise unless a value is text.

    Raises
    ------
    ArgumentTypeError
    """
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name} must be text, got {value!r}.")


def beside(source: str | Path, folder: Path | None) -> str | Path:
    """Path relative to the study file, if a file is there; else the source as given."""
    if folder is not None and (folder / source).is_file():
        return folder / source
    return source

"""What a study will do: its cells, its estimators and the replications its targets need."""

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.errors import ArgumentError, CausalKitError, unknown_name
from causalkit.generators.spec import spec_of
from causalkit.metrics import replications_for_share
from causalkit.registry import GENERATORS
from causalkit.study.config import beside, fits
from causalkit.study.design import Cell, EstimatorSpec, GeneratorGrid, canonical_json, plain
from causalkit.study.resolve import built, estimator_of, generator_of, reach
from causalkit.study.results import CELL_COLUMNS
from causalkit.study.sources import generator_digest, source_digest

if TYPE_CHECKING:
    from causalkit.study.study import Study


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells and estimators of a study, checked, with the replications that targets need.

    Attributes
    ----------
    cells : tuple of Cell
    estimators : tuple of EstimatorSpec
        With their source digests.
    sources : mapping of str to str
        Digest of the source of each generator that is not causalkit's own.
    needed : DataFrame
        ``measure, target, replications, because``; replications are NaN where only a pilot tells.
    reps_min, reps_max : int
    """

    cells: tuple[Cell, ...]
    estimators: tuple[EstimatorSpec, ...]
    sources: Mapping[str, str]
    needed: pd.DataFrame
    reps_min: int
    reps_max: int

    def outline(self) -> str:
        """Cells and estimators with their ids."""
        fits = len(self.cells) * len(self.estimators)
        reps = f"{self.reps_min:,}"
        if self.reps_max > self.reps_min:
            reps += f" to {self.reps_max:,}"
        lines = [
            f"{len(self.cells):,} cells × {len(self.estimators)} estimators × {reps} replications: "
            f"at most {fits * self.reps_max:,} fits"
        ]
        lines += [f"  cell {cell.id}  {cell.label}" for cell in self.cells]
        lines += [f"  estimator {spec.id}  {spec.label} ({spec.use})" for spec in self.estimators]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return "\n".join([self.outline(), *told_needs(self.needed)])


def plan(study: "Study") -> Plan:
    """Check the declaration and list what a run will do.

    Raises
    ------
    ArgumentError
        If a generator, estimator, parameter, argument or estimand does not exist, or two cells
        are equal; all findings are in one message.
    """
    reach(study.folder)
    problems: list[str] = []
    cells = [cell for grid in study.generators for cell in _cells(grid, problems)]
    estimators = [_checked(spec, problems) for spec in study.estimators]
    problems += [*_twice(cells), *_alike(estimators), *_unreadable(study)]
    if not problems:
        problems += _unknown_estimands(study)
    if problems:
        raise ArgumentError(f"study {study.name!r} cannot be run:\n  " + "\n  ".join(problems))
    return Plan(
        cells=tuple(cells),
        estimators=tuple(estimators),
        sources={
            grid.name: generator_digest(grid)
            for grid in study.generators
            if grid.name not in GENERATORS
        },
        needed=_needed(study),
        reps_min=study.reps.min if study.stop else study.reps.max,
        reps_max=study.reps.max,
    )


def told_needs(needed: pd.DataFrame) -> list[str]:
    """A line for each target."""
    return [
        f"{row.measure} to a Monte-Carlo error of {row.target:g}: {row.because}"
        for row in needed.itertuples()
    ]


def _cells(grid: GeneratorGrid, problems: list[str]) -> Iterator[Cell]:
    """Cells of a grid; what is wrong with it is added to ``problems``."""
    where = f"generator {grid.name!r}"
    try:
        spec = spec_of(generator_of(grid))
    except (ArgumentError, ImportError) as error:
        problems.append(str(error))
        return
    found = [*_wrong_names(grid, spec.parameters), *_wrong_values(grid, spec.parameters)]
    if found:
        problems.extend(f"{where}: {text}" for text in found)
        return
    count = 0
    for values in itertools.product(*grid.grid.values()):
        params = dict(grid.fixed) | dict(zip(grid.grid, values, strict=True))
        cell = Cell(grid.name, spec.version, plain(params, where=where), grid.target)
        if not any(cell.has(without) for without in grid.exclude):
            count += 1
            yield cell
    if count == 0:
        problems.append(f"{where}: exclude leaves no cell; drop an entry.")


def _wrong_names(grid: GeneratorGrid, known: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for key in [*grid.grid, *grid.fixed]:
        if key not in known:
            yield str(unknown_name("parameter", key, known))
        elif key in CELL_COLUMNS:
            yield (
                f"parameter {key} would hide the column {key} of the tables of results; rename it "
                "in the generator."
            )
    for key in grid.grid.keys() & grid.fixed.keys():
        yield f"{key} is in grid and in fixed; keep one."
    for without in grid.exclude:
        for key, value in without.items():
            values = grid.grid.get(key, [grid.fixed[key]] if key in grid.fixed else [])
            if isinstance(values, Sequence) and value not in values:
                yield f"exclude names {key} = {value!r}, which no cell has."
    needed = [key for key, item in known.items() if item.default is inspect.Parameter.empty]
    absent = [key for key in needed if key not in grid.grid and key not in grid.fixed]
    if absent:
        yield f"parameters without a default are missing: {', '.join(absent)}."


def _wrong_values(grid: GeneratorGrid, known: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    for key, values in grid.grid.items():
        if not isinstance(values, list | tuple) or not values:
            yield f"grid.{key} must be a list of at least one value, got {values!r}."
        elif wrong := [told for value in values if (told := _no_address(f"grid.{key}", value))]:
            yield from wrong
        elif len({canonical_json(value) for value in values}) < len(values):
            yield f"grid.{key} has a value twice: {values!r}."
    for key, value in grid.fixed.items():
        if told := _no_address(f"fixed.{key}", value):
            yield told
    listed = [
        (key, value)
        for key, values in grid.grid.items()
        if isinstance(values, list | tuple)
        for value in values
    ]
    for key, value in [*listed, *grid.fixed.items()]:
        if key in known and not fits(value, known[key].annotation):
            yield f"{key} = {value!r} is not {inspect.formatannotation(known[key].annotation)}."


def _no_address(name: str, value: Any) -> str:
    """Why a value cannot be part of the address of a cell; empty if it can."""
    try:
        plain(value, where=name)
    except ArgumentError as error:
        return str(error)
    return ""


def _twice(cells: Sequence[Cell]) -> list[str]:
    seen: set[str] = set()
    return [
        f"cell {cell.label} is declared twice; drop one."
        for cell in cells
        if cell.id in seen or seen.add(cell.id)  # type: ignore[func-returns-value]  # marks as seen
    ]


def _alike(estimators: Sequence[EstimatorSpec]) -> Iterator[str]:
    """Estimators that differ in their labels only: their records would be one another's."""
    first: dict[str, str] = {}
    for spec in estimators:
        other = first.setdefault(spec.id, spec.label)
        if other != spec.label:
            yield (
                f"estimators {other!r} and {spec.label!r} are the same (use and args); drop one, "
                "or change what shall differ."
            )


def _checked(spec: EstimatorSpec, problems: list[str]) -> EstimatorSpec:
    """Specification with its source digest, if the estimator exists and takes the arguments."""
    where = f"estimator {spec.label!r}"
    try:
        found = estimator_of(spec)
        if hasattr(found, "effect") and not hasattr(found, "estimate"):
            raise ArgumentError(
                "it has effect() and no estimate(), which gives the number that a replication "
                "keeps; add it, or use a function of the data that fits and returns that number."
            )
        if spec.target is None:
            _bind(found, built(plain(spec.args, where=where)))
        return replace(spec, source_digest=source_digest(spec))
    except (ArgumentError, ImportError, TypeError, OSError) as error:
        problems.append(f"{where}: {error}")
        return spec


def _bind(found: Any, args: Mapping[str, Any]) -> None:
    """Raise if a class or function does not take the arguments."""
    accepted = inspect.signature(found).parameters
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in accepted.values()):
        return
    for key in args:
        if key not in accepted:
            raise unknown_name("argument", key, accepted)


def _unknown_estimands(study: "Study") -> list[str]:
    known = {name for grid in study.generators for name in spec_of(generator_of(grid)).estimands}
    return [
        f"estimands: {unknown_name('estimand', name, known)} (those that the generators declare, "
        "@generator(..., estimands=(...)))"
        for name in study.estimands
        if name not in known
    ]


def _unreadable(study: "Study") -> Iterator[str]:
    """What is wrong with the published table, if one is named."""
    from causalkit.study.published_tables import read_reference

    if study.reference:
        try:
            read_reference(beside(study.reference, study.folder))
        except CausalKitError as error:
            yield f"reference: {error}"


def _needed(study: "Study") -> pd.DataFrame:
    """Replications that each target takes, where theory tells before any data."""
    rows = []
    for measure, target in study.stop.items():
        share = study.level if measure in ("coverage", "bias_eliminated_coverage") else None
        share = 1.0 - study.level if measure == "rejection" else share
        if share is None:
            because = "R = (SD/target)², known after a pilot (`causalkit sim check`)"
            rows.append((measure, target, float("nan"), because))
        else:
            count = replications_for_share(target, p=share)
            because = f"{count:,} replications where the share is {share:g}"
            rows.append((measure, target, float(count), because))
    return pd.DataFrame(rows, columns=["measure", "target", "replications", "because"])

"""A fitted TransTEE as a folder of tensors and plain text."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from causalkit.data.plainjson import from_plain, to_plain
from causalkit.errors import ArgumentError, StorageError, unknown_name
from causalkit.provenance import versions
from causalkit.registry import class_path
from causalkit.tensorfile import of_part, read_fit, save_fit
from causalkit.transtee.actions import ActionCode
from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.coding import Coding
from causalkit.transtee.conformal import Calibration, Conformal, Propensity
from causalkit.transtee.covariate_graphs import GraphCode
from causalkit.transtee.covariates import CovariateCode
from causalkit.transtee.fitted import put
from causalkit.transtee.fitting import layout_of
from causalkit.transtee.items import ItemScales, Library
from causalkit.transtee.model import Model
from causalkit.transtee.objective import Network
from causalkit.transtee.own_modules import ROLES, OwnModule
from causalkit.transtee.scales import Scales
from causalkit.transtee.settings import Settings
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape
from causalkit.transtee.stack import Member, Stack

SCHEMA = 10


def save(estimator: Any, folder: Path) -> None:
    """Write the networks, their coding and the arguments."""
    model: Model = estimator.model_
    coding = model.coding
    covariates, actions, library = coding.covariates, coding.actions, coding.library
    facts = {
        "versions": versions(),
        "arguments": _arguments(estimator),
        "seed": estimator.seed_,
        "own": {
            one.role: {"class": one.name, "digest": one.digest, "parts": one.parts}
            for one in _own(estimator._settings)
            if one is not None
        },
        "covariates": asdict(covariates)
        | {"levels": _plain_levels(covariates.levels), "graph": _plain_graph(covariates.graph)},
        "actions": {
            "columns": actions.columns,
            "kinds": actions.kinds,
            "levels": list(_plain_levels(actions.levels).items()),
            "paired": actions.paired,
            "undosed": to_plain(list(actions.undosed), what="an arm without a dose"),
        },
        "library": None
        if library is None
        else {
            "kind": library.kind,
            "items": to_plain(list(library.place), what="the table of items"),
            "names": _plain_names(library.names, coding.item_column),
            "types": _plain_types(library.types),
            "strange": to_plain(list(library.strange.items()), what="the table of edges"),
        },
        "doses": model.doses,
        "stacks": [_stack_facts(stack) for stack in model.stacks],
        "diagnostics": estimator.diagnostics_,
        "data_digest": estimator._digest,
    }
    save_fit(folder, type(estimator).__name__, _tensors(estimator), facts, schema=SCHEMA)


def _plain_levels(levels: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    return {name: to_plain(list(some), what=f"column {name!r}") for name, some in levels.items()}


def _plain_names(names: tuple[Any, ...], column: str) -> Any:
    """Names of features: those of a table of its own may be other than text."""
    return to_plain(list(names), what=f"the table of {column!r} has a column whose name")


def _plain_types(types: tuple[Any, ...] | None) -> Any:
    return to_plain(types, what="the table of edges")


def _plain_graph(graph: GraphCode | None) -> Any:
    if graph is None:
        return None
    return graph.column, _plain_names(graph.features, graph.column), _plain_types(graph.types)


def _graph(stored: Any) -> GraphCode | None:
    if stored is None:
        return None
    column, features, types = stored
    return GraphCode(column, tuple(from_plain(features)), from_plain(types))


def _tensors(estimator: Any) -> dict[str, Any]:
    """All numbers of a fit, by name."""
    import torch

    model: Model = estimator.model_
    found: dict[str, Any] = {}
    for number, stack in enumerate(model.stacks):
        found |= {f"{number}.flat": stack.flat} | _named(f"{number}.", stack.scales)
        if stack.network.item_scales is not None:
            found |= _named(f"{number}.item_", stack.network.item_scales)
        for place, member in enumerate(stack.members):
            found[f"{number}.{place}.train"] = member.train
            found[f"{number}.{place}.valid"] = member.valid
    if model.coding.library is not None:
        arrays = model.coding.library.arrays().items()
        found |= {f"library.{name}": np.array(values) for name, values in arrays}
    for module in _own(estimator._settings):
        if module is not None:
            found |= {f"{module.role}.{name}": values for name, values in module.state().items()}
    if estimator._conformal is not None:
        found |= _named("calibration.", estimator._conformal.calibration)
        found |= _named("propensity.", estimator._conformal.propensity)
    return {name: torch.as_tensor(values) for name, values in found.items()}


def _named(prefix: str, record: Any) -> dict[str, Any]:
    return {prefix + name: getattr(record, name) for name in record.__slots__}


def _stack_facts(stack: Stack) -> dict[str, Any]:
    return {
        "shape": asdict(stack.network.shape),
        "family": stack.network.family,
        "members": [{"data": m.data, "seed": m.seed, "lr": m.lr} for m in stack.members],
        "history": [[epoch, a.tolist(), b.tolist()] for epoch, a, b in stack.history],
        "best_loss": stack.best_loss.tolist(),
        "best_epoch": stack.best_epoch.tolist(),
        "last_epoch": stack.last_epoch.tolist(),
        "partial": stack.partial,
    }


def _arguments(estimator: Any) -> dict[str, Any]:
    """Arguments as plain text: of modules there is the class, of a function nothing.

    Raises
    ------
    ArgumentError
        If there is no way to write one that keeps it as it is.
    """
    found = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in ROLES or callable(value):
            continue
        if isinstance(value, np.random.Generator | np.random.SeedSequence):
            # What they give next is another seed; this is the one that the fit had.
            value = estimator.seed_
        elif isinstance(value, Path) or name == "device":
            value = str(value)
        elif isinstance(value, np.ndarray):
            value = tuple(value.tolist())
        found[name] = to_plain(value, what=f"argument {name}")
    return found


def _own(settings: Settings) -> tuple[OwnModule | None, OwnModule | None]:
    return settings.action_encoder, settings.covariate_encoder


def _check_own(stored: dict[str, dict[str, Any]], given: dict[str, Any]) -> None:
    """Refuse modules that are not of the classes that were saved."""
    for role in ROLES:
        module = OwnModule.of(role, given.get(role))
        wanted = stored[role]["class"] if role in stored else None
        if (module.name if module is not None else None) != wanted:
            seen = "none" if module is None else f"a {module.name}"
            raise ArgumentError(
                f"the fit has {wanted} as its {role}, got {seen}; pass "
                f"such a module: load(path, {role}=...)."
                if wanted is not None
                else f"the fit has no {role}, got {seen}; leave it out."
            )


def load(cls: Any, folder: Path, modules: dict[str, Any]) -> Any:
    """Read what :func:`save` wrote."""
    for name in modules:
        if name not in ROLES:
            raise unknown_name("argument of load", name, ROLES)
    tensors, facts = read_fit(folder, cls.__name__, schema=SCHEMA, path_of=class_path)
    _check_own(facts["own"], modules)
    estimator = cls(**(from_plain(facts["arguments"]) | modules))
    settings = Settings.of(estimator, seed=facts["seed"])
    for module in _own(settings):
        if module is not None:
            module.take(of_part(tensors, module.role))
            told = facts["own"][module.role]
            module.check(told["digest"], told["parts"])
    try:
        model = _model(tensors, facts, settings)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{folder} does not fit together ({type(error).__name__}: {error}); it was changed."
        ) from error
    conformal = None
    if "propensity.centre" in tensors:
        conformal = Conformal(
            _record(Calibration, "calibration", tensors), _record(Propensity, "propensity", tensors)
        )
    put(
        estimator,
        model,
        seed=facts["seed"],
        settings=settings,
        diagnostics=facts["diagnostics"],
        conformal=conformal,
        digest=facts["data_digest"],
        data=None,
    )
    return estimator


def _record(kind: Any, part: str, tensors: dict[str, Any]) -> Any:
    return kind(**{name: values.numpy() for name, values in of_part(tensors, part).items()})


def _model(tensors: dict[str, Any], facts: dict[str, Any], settings: Settings) -> Model:
    c, a = facts["covariates"], facts["actions"]
    covariates = CovariateCode(
        tuple(c["numeric"]),
        {name: tuple(from_plain(levels)) for name, levels in c["levels"].items()},
        c["native_missing"],
        {name: tuple(sizes) for name, sizes in c["sequences"].items()},
        _graph(c["graph"]),
    )
    actions = ActionCode(
        tuple(a["columns"]),
        tuple(a["kinds"]),
        {name: tuple(from_plain(levels)) for name, levels in a["levels"]},
        a["paired"],
        tuple(from_plain(a["undosed"])),
    )
    library = None
    if facts["library"] is not None:
        stored = facts["library"]
        arrays = {name: v.numpy() for name, v in of_part(tensors, "library").items()}
        place = {name: row for row, name in enumerate(from_plain(stored["items"]))}
        library = Library(
            stored["kind"],
            place,
            tuple(from_plain(stored["names"])),
            **arrays,
            types=from_plain(stored["types"]),
            strange=dict(from_plain(stored["strange"])),
        )
    stacks = tuple(
        _stack(number, one, tensors, library, settings)
        for number, one in enumerate(facts["stacks"])
    )
    doses = {name: tuple(ends) for name, ends in facts["doses"].items()}
    return Model(Coding(covariates, actions, library), stacks, doses)


def _stack(
    number: int,
    one: dict[str, Any],
    tensors: dict[str, Any],
    library: Library | None,
    settings: Settings,
) -> Stack:
    device, own = settings.device, _own(settings)
    s = dict(one["shape"])
    s["table"] = TableShape(
        **s["table"]
        | {
            "levels": tuple(s["table"]["levels"]),
            "sequences": tuple(tuple(sizes) for sizes in s["table"]["sequences"]),
        }
    )
    s["actions"] = ActionShape(**s["actions"] | {"dosed": tuple(s["actions"]["dosed"])})
    if s["baseline"] is not None:
        s["baseline"] = Baseline(**s["baseline"])
    shape = NetShape(**s)
    scales = None
    if library is not None:
        ends = (tensors[f"{number}.item_{name}"].to(device) for name in ItemScales.__slots__)
        scales = ItemScales(*ends)
    flat = tensors[f"{number}.flat"]
    layout = layout_of(shape, own)
    if flat.shape[1] != layout.size:
        raise ValueError(f"{flat.shape[1]} parameters for a network of {layout.size}")
    members = tuple(
        Member(
            m["data"],
            m["seed"],
            tensors[f"{number}.{place}.train"].numpy(),
            tensors[f"{number}.{place}.valid"].numpy(),
            m["lr"],
        )
        for place, m in enumerate(one["members"])
    )
    return Stack(
        network=Network(
            shape,
            layout,
            one["family"],
            library,
            scales,
            *own,
            compile=settings.compiles,
        ),
        flat=flat.to(device),
        scales=Scales(*(tensors[f"{number}.{name}"].to(device) for name in Scales.__slots__)),
        members=members,
        history=[(epoch, np.array(a), np.array(b)) for epoch, a, b in one["history"]],
        best_loss=np.array(one["best_loss"]),
        best_epoch=np.array(one["best_epoch"]),
        last_epoch=np.array(one["last_epoch"]),
        partial=one["partial"],
    )

"""A fitted ImageEffectClusters as a folder of tensors and plain text."""

import re
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import plain
from causalkit.data.images import ImageStore
from causalkit.data.imputer import MedianModeImputer
from causalkit.errors import ArgumentError, StorageError
from causalkit.images.batches import Lens
from causalkit.images.encoder_digest import encoder_digest, own_parts
from causalkit.images.encoders import ImageEncoder, resolve_encoder
from causalkit.images.fitting import Fitted, maker
from causalkit.images.honest import Evaluation
from causalkit.images.inputs import Layout
from causalkit.images.model import Mixture
from causalkit.images.posterior import Posterior
from causalkit.images.seal import Seal
from causalkit.images.settings import Settings
from causalkit.images.splits import Parts
from causalkit.images.standard import Standard
from causalkit.images.support import Neighbours, Reference, Whitening
from causalkit.images.survey import Bands
from causalkit.module_digest import differing_parts
from causalkit.provenance import versions
from causalkit.registry import class_path
from causalkit.results import EffectResult
from causalkit.tensorfile import of_part, read_fit, save_fit

SCHEMA = 9
_PLAIN = (bool, int, float, str)
_CNN = re.compile(r"cnn-(\d+)")
_FILTERS = re.compile(r"filters-(\d+)x(\d+)")
_RANDOM = re.compile(r"random(-centred)?-(\d+)x(\d+)-(\d+)")
_REFERENCE: dict[str, Any] = {"features": Neighbours, "bands": Neighbours, "whitening": Whitening}
_FACTS = ("estimator", "outcome", "treatment", "seed", "data_digest", "dropped", "notes")


def save(estimator: Any, folder: Path) -> None:
    """Write encoders, posterior draws, evaluation and arguments."""
    fitted: Fitted = estimator._fitted
    _check_imputer(fitted.standard.imputer)
    arrays = _arrays(estimator)
    networks = _distinct(fitted)
    tensors: dict[str, Any] = {}
    for number, network in enumerate(networks):
        for name, values in network.state_dict().items():
            tensors[f"network.{number}.{name}"] = values
    facts = {
        "versions": versions(),
        "arguments": _arguments(estimator),
        "encoder": _told(estimator, networks[0]),
        "seed": estimator.seed_,
        "members": [
            {
                "network": next(i for i, one in enumerate(networks) if one is member.network),
                "model": asdict(member.posterior.model),
                "centre": member.posterior.centre,
                "scale": member.posterior.scale,
                "score": member.score,
                "history": member.history,
            }
            for member in fitted.members
        ],
        "choice": None if fitted.choice is None else fitted.choice.to_dict("list"),
        "covariates": fitted.standard.names,
        "levels": fitted.standard.levels,
        "layout": asdict(fitted.layout),
        "cluster_name": estimator.evaluation_.cluster_name,
        "data": asdict(estimator._seal),
        "result": estimator.result_.to_dict(),
    }
    tensors |= _as_tensors(arrays)
    save_fit(folder, type(estimator).__name__, tensors, facts, schema=SCHEMA)


def _check_imputer(imputer: Any) -> None:
    if imputer is not None and not isinstance(imputer, MedianModeImputer):
        raise StorageError(
            f"the data of the fit were built with missing={type(imputer).__name__}(...), which "
            "cannot be written without pickle; fit to data with missing='indicator'."
        )


def _imputer(stored: dict[str, Any]) -> MedianModeImputer | None:
    if not stored:
        return None
    found = MedianModeImputer()
    found.fill_, found.flagged_ = stored["fill"], stored["flagged"]
    found.n_features_in_ = found.fill_.size
    return found


def _told(estimator: Any, network: Any) -> dict[str, Any]:
    """What tells the encoder of a fit; of a module of the user's own, its layers and code too."""
    encoder: ImageEncoder = estimator.encoder_
    told: dict[str, Any] = {
        "name": encoder.name,
        "size": encoder.size,
        "bands": encoder.bands,
        "sequence": encoder.sequence,
        "own": _is_own(network),
        "digest": None,
        "parts": {},
    }
    if told["own"]:
        # Built anew: what a module remembers of the images that it has seen is no part of it.
        with suppress(ArgumentError):  # the file of its first weights may have gone
            fresh = _built(estimator, encoder, estimator._fitted.layout)
            told["digest"] = encoder_digest(fresh, weights=False)
            told["parts"] = own_parts(fresh)
    return told


def load(cls: Any, folder: Path, *, encoder: Any = None, device: str | None = None) -> Any:
    """Read what :func:`save` wrote.

    Raises
    ------
    ArgumentError
        If the fit has an encoder of the user's own and it is not passed, or another is.
    StorageError
        If the folder holds something else, or was changed.
    """
    tensors, facts = read_fit(folder, cls.__name__, schema=SCHEMA, path_of=class_path)
    try:
        return _loaded(cls, tensors, facts, encoder, device)
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise StorageError(
            f"{folder} does not fit together ({type(error).__name__}: {error}); fit and save it "
            "anew."
        ) from error


def _loaded(
    cls: Any, tensors: dict[str, Any], facts: dict[str, Any], encoder: Any, device: str | None
) -> Any:
    chosen = _encoder(facts["encoder"], encoder)
    arguments = facts["arguments"] | {"encoder": chosen}
    arguments["split"] = tuple(arguments["split"])
    if device is not None:
        arguments["device"] = device
    estimator = cls(**arguments)
    estimator.encoder_ = chosen
    settings = Settings.of(estimator, seed=facts["seed"])
    estimator._set_fitted(
        _fitted(estimator, tensors, facts, chosen, settings),
        Parts(**_named(tensors, "parts")),
        facts["seed"],
    )
    estimator._reference = Reference(
        **{part: kind(**_named(tensors, f"reference.{part}")) for part, kind in _REFERENCE.items()}
    )
    estimator.evaluation_ = Evaluation(
        **({"clusters": None} | _named(tensors, "evaluation")), cluster_name=facts["cluster_name"]
    )
    estimator._type_effects = tensors["type_effects"].numpy()
    result = facts["result"] | {"influence": tensors["result.influence"].numpy()}
    result["clusters"] = list(_named(tensors, "clusters").values())
    estimator.result_ = EffectResult.from_dict(result)
    estimator.diagnostics_ = dict(estimator.result_.diagnostics)
    names = (*_FACTS, "contrast", "diagnostics", "provenance", "warnings")
    estimator._facts = {name: getattr(estimator.result_, name) for name in names}
    estimator._seal = Seal(facts["data"]["table"], tuple(facts["data"]["images"]))
    estimator._data = None
    return estimator


def _fitted(
    estimator: Any,
    tensors: dict[str, Any],
    facts: dict[str, Any],
    encoder: ImageEncoder,
    settings: Settings,
) -> Fitted:
    from causalkit.images.members import Member

    raw = facts["layout"]
    bands, shape, times = (tuple(raw[part]) for part in ("bands", "shape", "times"))
    layout = Layout(raw["name"], bands, shape, times, raw["crs"])
    count = 1 + max(one["network"] for one in facts["members"])
    _check_code(estimator, encoder, layout, facts["encoder"])
    networks = [
        _network(estimator, encoder, layout, of_part(tensors, f"network.{number}"), settings.device)
        for number in range(count)
    ]
    members = []
    for number, one in enumerate(facts["members"]):
        part = _named(tensors, f"member.{number}")
        posterior = Posterior(
            Mixture(**one["model"]),
            part["draws"],
            part["mean"],
            part["sd"],
            one["centre"],
            one["scale"],
        )
        history = tuple((fit, score) for fit, score in one["history"])
        members.append(
            Member(
                networks[one["network"]],
                posterior,
                one["score"],
                part["place_gains"],
                history,
                mode=part["mode"],
            )
        )
    return Fitted(
        members=tuple(members),
        n_clusters=members[0].posterior.model.n_types,
        choice=None if facts["choice"] is None else pd.DataFrame(facts["choice"]),
        lens=Lens(Bands(**_named(tensors, "bands")), estimator.nan_policy, settings.device),
        standard=Standard(
            tuple(facts["covariates"]),
            **_named(tensors, "standard"),
            levels={name: tuple(known) for name, known in facts["levels"].items()},
            imputer=_imputer(_named(tensors, "imputer")),
        ),
        layout=layout,
        batch_size=2 * estimator.batch_size,
        precision=settings.precision,
    )


def _network(
    estimator: Any, encoder: ImageEncoder, layout: Layout, states: dict[str, Any], device: Any
) -> Any:
    """The encoder built anew, with the weights that were saved."""
    from causalkit.images.untrained import Projected

    network = _built(estimator, encoder, layout)
    if not encoder.trained:
        centre, components = (states[name].numpy() for name in ("centre", "components"))
        network = Projected(network, centre, components)
    network.load_state_dict(states)
    return network.to(device).eval()


def _built(estimator: Any, encoder: ImageEncoder, layout: Layout) -> Any:
    """The encoder as it is before anything is learned."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return maker(estimator, encoder, _blank(layout))()


def _check_code(
    estimator: Any, encoder: ImageEncoder, layout: Layout, stored: dict[str, Any]
) -> None:
    if stored["digest"] is None:
        return
    fresh = _built(estimator, encoder, layout)
    if encoder_digest(fresh, weights=False) != stored["digest"]:
        raise ArgumentError(
            f"the module of encoder {encoder.name!r} differs from the one of the fit in "
            f"{differing_parts(stored['parts'], own_parts(fresh))}, whatever its weights; pass the "
            "module that was fitted, or fit anew. Weights of layers in a plain list or dict are "
            "not stored and so must be the same; nn.ModuleList and nn.ModuleDict hold layers that "
            "are."
        )


def _blank(layout: Layout) -> ImageStore:
    """A store of one image of the layout; dates of frames are among the weights."""
    import xarray as xr

    dims = ("place", *(("time",) if len(layout.shape) == 4 else ()), "band", "y", "x")
    pixels = np.broadcast_to(np.float32(0.0), (1, *layout.shape))
    return ImageStore.bare(xr.DataArray(pixels, dims=dims, name=layout.name))


def _encoder(stored: dict[str, Any], given: Any) -> ImageEncoder:
    """The encoder of the fit: built in by its name, or passed again."""
    name = stored["name"]
    bands = None if stored["bands"] is None else tuple(stored["bands"])
    if given is not None:
        found = resolve_encoder(given)
        for what, ours, theirs in (
            ("the encoder", name, found.name),
            (f"the encoder {name!r} with size", stored["size"], found.size),
            (f"the encoder {name!r} with bands", bands, found.bands),
            (f"the encoder {name!r} with sequence", stored["sequence"], found.sequence),
        ):
            if ours != theirs:
                raise ArgumentError(
                    f"the fit has {what} {ours!r}, got {theirs!r}; pass the encoder of the fit."
                )
        return found
    if stored["own"]:
        raise ArgumentError(
            f"the fit has an encoder of your own, {name!r}, whose code is not saved; pass it: "
            "load(path, encoder=ImageEncoder.of(module, name=...))."
        )
    return replace(_by_name(name), size=stored["size"], bands=bands)


def _by_name(name: str) -> ImageEncoder:
    if match := _CNN.fullmatch(name):
        return ImageEncoder.cnn(width=int(match[1]))
    if match := _FILTERS.fullmatch(name):
        return ImageEncoder.filters(n_filters=int(match[1]), size=int(match[2]))
    match = _RANDOM.fullmatch(name)
    if match is None:
        raise KeyError(f"encoder {name!r}")
    filters, size, seed = map(int, match.groups()[1:])
    return ImageEncoder.random(n_filters=filters, size=size, seed=seed, centred=bool(match[1]))


def _is_own(network: Any) -> bool:
    from causalkit.images.pretrained import Flat

    return any(isinstance(module, Flat) for module in network.modules())


def _distinct(fitted: Fitted) -> list[Any]:
    """Networks of the members, each once."""
    return list({id(member.network): member.network for member in fitted.members}.values())


def _arguments(estimator: Any) -> dict[str, Any]:
    """Arguments that plain text can hold; encoder, generators and functions are left out."""
    found = {}
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, date | np.datetime64 | Path) or (
            name == "device" and value is not None
        ):
            value = str(value)
        if isinstance(value, list | tuple | np.ndarray):
            value = tuple(map(plain, value))
        if value is None or isinstance(plain(value), (*_PLAIN, tuple)):
            found[name] = plain(value)
    found.pop("encoder", None)
    return found


def _arrays(estimator: Any) -> dict[str, Any]:
    """Everything that is a numpy array, by name."""
    fitted: Fitted = estimator._fitted
    found: dict[str, Any] = {
        "result.influence": estimator.result_.influence,
        "type_effects": estimator._type_effects,
    }
    records = (
        ("parts", estimator.parts_),
        ("evaluation", estimator.evaluation_),
        *((f"reference.{part}", getattr(estimator._reference, part)) for part in _REFERENCE),
        ("bands", fitted.lens.bands),
        ("standard", fitted.standard),
        *((f"member.{number}", one.posterior) for number, one in enumerate(fitted.members)),
    )
    if fitted.standard.imputer is not None:
        for part in ("fill", "flagged"):
            found[f"imputer.{part}"] = getattr(fitted.standard.imputer, f"{part}_")
    for prefix, record in records:
        for item in fields(record):
            value = getattr(record, item.name)
            if isinstance(value, np.ndarray):
                found[f"{prefix}.{item.name}"] = value
    for number, member in enumerate(fitted.members):
        found[f"member.{number}.place_gains"] = member.place_gains
        found[f"member.{number}.mode"] = member.mode
    for number, codes in enumerate(estimator.result_.clusters):
        found[f"clusters.{number}"] = codes
    return found


def _as_tensors(arrays: dict[str, Any]) -> dict[str, Any]:
    import torch

    # Copies: a tensor over memory that may not be written to is refused.
    return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


def _named(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Arrays under a prefix, by the rest of their name."""
    return {name: values.numpy() for name, values in of_part(tensors, prefix).items()}

"""What a generator says about itself, and how it gets its random numbers."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.registry import GENERATORS, load
from causalkit.rng import stream

Maker = TypeVar("Maker", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec:
    """Name, version, truth and parameters of a generator.

    Attributes
    ----------
    name : str
        Registered name; also the address of the random stream when a seed is given.
    version : int
        Goes up whenever the numbers for a seed change.
    estimands : tuple of str
        Estimands whose true value the data carry in ``truth``.
    cite : str
        Where the design comes from.
    parameters : mapping of str to inspect.Parameter
        Keyword parameters with annotation and default: the schema of a study file.
    """

    name: str
    version: int
    estimands: tuple[str, ...]
    cite: str
    parameters: Mapping[str, inspect.Parameter]


def generator(
    name: str, *, version: int = 1, estimands: tuple[str, ...] = ("ate",), cite: str
) -> Callable[[Maker], Maker]:
    """Attach a :class:`GeneratorSpec` to a function ``(rng, *, ...) -> CausalData``.

    The same function comes back, not a wrapper, so it pickles by name and worker processes can
    import it.

    Parameters
    ----------
    name : str
        Registered name.
    version : int, default 1
        Raise it whenever the numbers for a seed change.
    estimands : tuple of str, default ("ate",)
        Estimands that the truth holds.
    cite : str
        Where the design comes from.

    Examples
    --------
    >>> @generator("coin", cite="folklore")
    ... def coin(rng, *, n: int = 10): ...
    >>> coin.spec.name, list(coin.spec.parameters)
    ('coin', ['n'])
    """

    def attach(function: Maker) -> Maker:
        keyword = {
            key: parameter
            for key, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        function.spec = GeneratorSpec(  # type: ignore[attr-defined]  # read through spec_of
            name=name,
            version=version,
            estimands=estimands,
            cite=cite,
            parameters=MappingProxyType(keyword),
        )
        return function

    return attach


def spec_of(function: Callable[..., Any]) -> GeneratorSpec:
    """Return the :class:`GeneratorSpec` that ``@generator`` attached.

    Raises
    ------
    ArgumentTypeError
        If the function was not declared with ``@generator``.
    """
    spec = getattr(function, "spec", None)
    if not isinstance(spec, GeneratorSpec):
        shown = getattr(function, "__name__", repr(function))
        raise ArgumentTypeError(
            f"{shown} is not a generator; declare it with @generator(name, cite=...)."
        )
    return spec


def as_rng(rng: np.random.Generator | int, name: str) -> np.random.Generator:
    """Return ``rng`` itself, or the stream of generator ``name`` if ``rng`` is a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise ArgumentTypeError(
            f"{name} needs a numpy Generator or an integer seed, got {type(rng).__name__}."
        )
    if rng < 0:
        raise ArgumentError(f"{name} needs a seed that is not negative, got {rng}.")
    return stream(int(rng), name)


def list_generators() -> pd.DataFrame:
    """One row per registered generator: name, version, estimands, parameters, source.

    Examples
    --------
    >>> import causalkit as ck
    >>> "panel_fp2024" in ck.generators.list()["name"].to_list()
    True
    """
    specs = [spec_of(load("generator", name, GENERATORS)) for name in sorted(GENERATORS)]
    rows = [
        {
            "name": spec.name,
            "version": spec.version,
            "estimands": ", ".join(spec.estimands),
            "parameters": ", ".join(spec.parameters),
            "cite": spec.cite,
        }
        for spec in specs
    ]
    return pd.DataFrame(rows, columns=["name", "version", "estimands", "parameters", "cite"])

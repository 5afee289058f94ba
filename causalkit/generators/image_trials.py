"""Randomised trials whose units have images: places, treatments, noise, and the data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.image_store import Pictures, Shelf, kept
from causalkit.generators.spec import as_rng
from causalkit.typing import Floats, Ints

Noise = Literal["normal", "exponential", "student_t"]
Units = int | Literal["poisson"]
Assignment = float | Literal["unit", "image"]

_NOISE: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "exponential": lambda rng, n: rng.exponential(size=n) - 1.0,
    "student_t": lambda rng, n: rng.standard_t(3.0, size=n) / np.sqrt(3.0),
}
_WEST, _SOUTH, _SIDE = 30.0, -1.0, 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """Units at places, and who is treated.

    Attributes
    ----------
    place : (n,) int array
        Number of the image of each unit, from 0.
    treated : (n,) int array
    propensity : (n,) array
    lottery : (n,) array
        Uniform numbers for what else is drawn for each unit.
    noise : (n,) array
        Mean 0 and variance 1.
    """

    place: Ints
    treated: Ints
    propensity: Floats
    lottery: Floats
    noise: Floats

    def sorted(self) -> "Trial":
        """Controls before treated units, each in their former order."""
        rows = np.argsort(self.treated, kind="stable")
        return Trial(*(getattr(self, field.name)[rows] for field in fields(self)))


def source(
    rng: np.random.Generator | int | None, seed: int | None, name: str
) -> np.random.Generator:
    """Randomness of generator ``name``, which is given as ``rng`` or as ``seed``."""
    if rng is not None and seed is not None:
        raise ArgumentError(f"{name} takes its randomness from rng or from seed; give one of them.")
    given = seed if rng is None else rng
    if given is None:
        raise ArgumentError(f"{name} needs a source of randomness; give seed=0, say.")
    return as_rng(given, name)


def drawn_trial(
    rng: np.random.Generator,
    n_images: int,
    *,
    units: Units = 1,
    assignment: Assignment = "unit",
    rule: Floats | None = None,
    noise: Noise,
) -> Trial:
    """Draw units and treatments.

    Parameters
    ----------
    rng : Generator
    n_images : int
    units : int or "poisson"
        Units of an image; "poisson" is 1 + Poisson(5).
    assignment : {"unit", "image"} or float
        Whose coin decides, or the share of images whose units share one.
    rule : (n_images,) array, optional
        Without overlap: units of images where this is positive are treated, others are not.
    noise : {"normal", "exponential", "student_t"}
    """
    share = _share_by_image(assignment)
    check_choice("noise", noise, _NOISE)
    together = rng.random(n_images) < share
    coin = rng.random(n_images)
    counts = 1 + rng.poisson(5.0, n_images)
    if units != "poisson":
        counts = np.full(n_images, check_count("units_per_image", units, least=1))
    place = np.repeat(np.arange(n_images), counts)
    own = rng.random(place.size)
    lottery = rng.random(place.size)
    treated = np.where(together[place], coin[place], own) < 0.5
    propensity = np.full(place.size, 0.5)
    if rule is not None:
        treated = rule[place] > 0.0
        propensity = treated.astype(np.float64)
    return Trial(
        place, treated.astype(np.int64), propensity, lottery, _NOISE[noise](rng, place.size)
    )


def _share_by_image(assignment: Assignment) -> float:
    """Share of images whose units are all treated alike."""
    if isinstance(assignment, str):
        return float(check_choice("assignment", assignment, ("unit", "image")) == "image")
    if not 0.0 <= assignment <= 1.0:
        raise ArgumentError(
            f"assignment is 'unit', 'image' or the share of images whose units are treated alike, "
            f"in [0, 1]; got {assignment!r}."
        )
    return float(assignment)


def arranged(trial: Trial, n_images: int, sort_by: str | None) -> tuple[Trial, Ints]:
    """Units, and numbers of the images ``(n_images,)``, in the order of table and store.

    Sorted by treatment, controls come first, and images with the smallest share of treated units.
    """
    if sort_by is None:
        return trial, np.arange(n_images)
    check_choice("sort_by", sort_by, ("treatment",))
    treated = np.bincount(trial.place, trial.treated, n_images)
    share = treated / np.bincount(trial.place, minlength=n_images)
    return trial.sorted(), np.argsort(share, kind="stable")


def location(rng: np.random.Generator, n_images: int) -> tuple[Floats, Floats]:
    """Longitudes and latitudes ``(n_images,)`` in a square of two degrees at the equator."""
    lon, lat = rng.random((2, n_images))
    return _WEST + _SIDE * lon, _SOUTH + _SIDE * lat


def image_data(
    y: Floats, trial: Trial, pictures: Pictures, shelf: Shelf, truth: Truth, *, shared: bool
) -> CausalData:
    """Data of units and the images that they have, a cluster each if they are shared."""
    rows = pd.DataFrame({"y": y, "t": trial.treated, "place": trial.place + 1})
    return CausalData.from_frame(
        rows,
        outcome="y",
        treatment="t",
        cluster="place" if shared else None,
        image="image",
        image_key="place",
        kinds=("binary",),
        arrays=kept(pictures, rows, shelf),
        truth=truth,
    )


def checked_effects(tau: Sequence[float], count: int) -> Floats:
    """Effects ``(count,)`` of the types."""
    effects = np.asarray(tau, dtype=np.float64)
    if effects.shape != (count,) or not np.isfinite(effects).all():
        raise ArgumentError(
            f"tau must hold a finite effect for each of {count} types, got {tau!r}."
        )
    return effects


def checked_numbers(**numbers: Any) -> None:
    """Refuse numbers that are not finite."""
    for name, number in numbers.items():
        if not np.isfinite(number):
            raise ArgumentError(f"{name} must be finite, got {number!r}.")


def checked_spreads(**spreads: Any) -> None:
    """Refuse standard deviations that are negative or not finite."""
    checked_numbers(**spreads)
    for name, spread in spreads.items():
        if spread < 0.0:
            raise ArgumentError(f"{name} must not be negative, got {spread!r}.")

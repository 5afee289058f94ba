"""Randomised trials with one image per place, whose pattern decides the effect."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.image_patterns import (
    BLOCK,
    MOTIF,
    MOTIFS,
    STRENGTH,
    add_decoys,
    add_motifs,
    decoy_corners,
    kernel_match,
    motif_boxes,
    smooth,
    white,
    with_brightness,
)
from causalkit.generators.image_store import Pictures, PixelType, Shelf, band_names
from causalkit.generators.image_trials import (
    Assignment,
    Noise,
    Trial,
    Units,
    arranged,
    checked_effects,
    checked_numbers,
    checked_spreads,
    drawn_trial,
    image_data,
    location,
    source,
)
from causalkit.generators.spec import generator
from causalkit.rng import stream
from causalkit.typing import Floats, Ints, Singles

Design = Literal["motif", "soft-kernel", "null", "shared", "shifted"]

# What a design sets where the caller says nothing.
_PLAIN: dict[str, Any] = {
    "units_per_image": 1,
    "assignment": "unit",
    "village_sd": 0.0,
    "shift": (1.0, 0.0),
}
_DESIGNS: dict[str, dict[str, Any]] = {
    "motif": {},
    "soft-kernel": {},
    "null": {},
    "shared": {"units_per_image": "poisson", "assignment": 0.9, "village_sd": 0.3},
    "shifted": {"shift": (1.5, 1.0)},
}
_EFFECTS = {2: (-0.5, 1.5), 3: (-1.0, 0.5, 2.0)}


@generator(
    "image_rct",
    version=1,
    cite="design of this library, after Jerzak, Johansson & Daoud (2023), PMLR 213:531",
)
def image_rct(
    rng: np.random.Generator | int | None = None,
    *,
    n_images: int = 2000,
    design: Design = "motif",
    n_types: int = 2,
    decoys: int = 0,
    tau: Sequence[float] | None = None,
    sigma: float = 1.0,
    noise: Noise = "normal",
    size: int = 32,
    bands: int = 3,
    units_per_image: Units | None = None,
    assignment: Assignment | None = None,
    village_sd: float | None = None,
    shift: tuple[float, float] | None = None,
    steepness: float = 3.0,
    centre: float = 0.0,
    overlap: bool = True,
    seed: int | None = None,
    to_zarr: Any = None,
    chunk: int = 256,
    dtype: PixelType = "float32",
    sort_by: Literal["treatment"] | None = None,
) -> CausalData:
    r"""Randomised trial in which the pattern of a place's image decides the effect.

    .. math::

        Y = .5 \, b_m + T τ_Z + u_m + σ ε, \quad T \sim \mathrm{Bernoulli}(.5)

    for a unit at place m. The image of a place is smooth noise of variance 1 in every pixel, and b
    is its mean over pixels and bands, standardised: b ~ N(0, 1).

    =============  ==========================================================================
    design         what it is
    =============  ==========================================================================
    "motif"        types Z are equally likely; those after the first show in a motif of 8 by 8
                   pixels, each its own, at a random position: stripes, ring, squares, cross
    "soft-kernel"  s is the best match of the image with a fixed kernel of 5 by 5 pixels,
                   standardised over the images; the second of two types has the probability
                   1/(1 + exp(−steepness (s − centre))), and each unit draws its own
    "null"         "motif" with an effect of 1 for all
    "shared"       "motif" with 1 + Poisson(5) units at a place, shocks u with standard
                   deviation .3, and nine places of ten whose units are treated alike
    "shifted"      "motif" whose first band is multiplied by 1.5, plus 1, after all else: other
                   images, same effects
    =============  ==========================================================================

    Parameters
    ----------
    rng : Generator or int, optional
    n_images : int, default 2000
        Places.
    design : {"motif", "soft-kernel", "null", "shared", "shifted"}, default "motif"
        The parameters below override what it sets.
    n_types : int, default 2
        At most 5; "soft-kernel" has 2.
    decoys : int, default 0
        Motifs in every image that mean nothing: of the kinds that no type has, in turn, beside the
        motif of the type and as strong. They tell what matters from what merely stands out.
    tau : sequence of float, optional
        Effect of each type. Default: (−.5, 1.5) for two types, (−1, .5, 2) for three.
    sigma : float, default 1
        Standard deviation of the noise.
    noise : {"normal", "exponential", "student_t"}, default "normal"
        Exponential noise is centred, with skewness 2; Student's t has 3 degrees of freedom, scaled
        to variance 1, and no kurtosis.
    size, bands : int, default 32 and 3
        Height and width in pixels, and number of bands.
    units_per_image : int or "poisson", optional
        Units at a place.
    assignment : {"unit", "image"} or float, optional
        Whether units or places are randomised; a number is the share of places whose units are
        treated alike, while each unit has its own coin elsewhere.
    village_sd : float, optional
        Standard deviation of u.
    shift : tuple of float, optional
        What the first band is multiplied by, and what is added to it.
    steepness, centre : float, default 3 and 0
        For "soft-kernel".
    overlap : bool, default True
        False treats all units of places with b > 0 and no other, so that propensities are 0 and 1
        and treatment is confounded with the image.
    seed : int, optional
        The same as an integer ``rng``.
    to_zarr : path, optional
        New zarr store. Images are written one chunk at a time and stay there: the data read them
        when they are needed. The columns are in the store, too, over the dimension ``obs``, with
        ``place`` as ``obs_place``.
    chunk : int, default 256
        Images in a chunk of the store; no number hangs on it.
    dtype : {"float32", "uint16"}, default "float32"
        Type of pixels in the store; integers are scaled, and reading gives float64 to within half a
        step of .0004 (.0007 for "shifted").
    sort_by : {"treatment"}, optional
        Order of rows and of images in the store: controls first. The same units at the same
        places, which a training loop that trusts the order of a store will get wrong.

    Returns
    -------
    CausalData
        Columns ``y, t, place``; ``place`` is the key of the image, and the cluster if units share
        images. ``arrays`` has ``image`` with dimensions (place, band, y, x) and the coordinates
        ``lon`` and ``lat``. ``truth`` has, by row, ``cate`` and ``mu0`` given the image,
        ``cluster_labels`` Z, and ``image_box`` around the motif or the best match. Of
        "soft-kernel" the average effect is that of the sample.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or something is in the way of the store.
    MissingDependencyError
        If a store is asked for and zarr is not installed.

    Notes
    -----
    The same seed gives the same images, units and noise under "motif", "null" and "shifted", and
    under any effects. Ranked by the true effect, two types that differ by D and of which a share p
    has the larger effect have AUTOC = −D p ln p and QINI = D p (1 − p)/2.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.image_rct(seed=0, n_images=100)
    >>> data.arrays["image"].shape, data.truth.estimands["ate"]
    ((100, 3, 32, 32), 0.5)
    """
    rng = source(rng, seed, "image_rct")
    shelf = Shelf.checked(to_zarr, chunk=chunk, dtype=dtype, by="image_rct")
    check_choice("design", design, _DESIGNS)
    check_count("n_images", n_images, least=2)
    effects = _effects(design, n_types, tau)
    chosen = _settings(
        design,
        units_per_image=units_per_image,
        assignment=assignment,
        village_sd=village_sd,
        shift=shift,
    )
    checked_numbers(steepness=steepness, centre=centre)
    checked_spreads(sigma=sigma, village_sd=chosen["village_sd"])
    scene = _drawn_scene(rng, n_images, effects.size, (bands, size, size), chosen["shift"], decoys)
    shock = chosen["village_sd"] * rng.standard_normal(n_images)
    lon, lat = location(rng, n_images)
    trial = drawn_trial(
        rng,
        n_images,
        units=chosen["units_per_image"],
        assignment=chosen["assignment"],
        rule=None if overlap else scene.brightness,
        noise=noise,
    )
    trial, order = arranged(trial, n_images, sort_by)
    if design == "soft-kernel":
        scene, found = _soft_kernel(scene, trial, effects, steepness, centre)
    else:
        found = _motif(scene, trial, effects)
    mu0 = 0.5 * scene.brightness[trial.place]
    y = mu0 + trial.treated * effects[found.labels] + shock[trial.place] + sigma * trial.noise
    return image_data(
        y,
        trial,
        scene.pictures(order, lon=lon, lat=lat),
        shelf,
        found.truth(mu0, trial.propensity),
        shared=chosen["units_per_image"] != 1,
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the images of all places show."""

    seed: int
    shape: tuple[int, int, int]
    brightness: Floats
    types: Ints
    boxes: Ints
    shift: tuple[float, float]
    decoys: Ints
    decoy_kinds: range

    def unshifted(self, images: Ints) -> Singles:
        """Pixels ``(b, band, y, x)`` as they decide effects."""
        noise = with_brightness(white(self.seed, images, self.shape), self.brightness[images])
        pixels = smooth(noise)
        add_motifs(pixels, self.types[images], self.boxes[images])
        add_decoys(pixels, self.decoys[images], self.decoy_kinds)
        return pixels

    def paint(self, images: Ints) -> Singles:
        """Pixels ``(b, band, y, x)`` as they are seen."""
        scale, offset = map(np.float32, self.shift)
        pixels = self.unshifted(images)
        pixels[:, 0] = scale * pixels[:, 0] + offset
        return pixels

    def pictures(self, order: Ints, *, lon: Floats, lat: Floats) -> Pictures:
        # Normal noise passes 12 standard deviations once in 10³² pixels.
        plain = 12.0 + STRENGTH * max(float(np.abs(motif).max()) for motif in MOTIFS)
        return Pictures(
            paint=self.paint,
            order=order,
            dims=("band", "y", "x"),
            shape=self.shape,
            coords={
                "band": band_names(self.shape[0]),
                "lon": ("place", lon[order]),
                "lat": ("place", lat[order]),
            },
            reach=max(plain, abs(self.shift[0]) * plain + abs(self.shift[1])),
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Types and effects of units."""

    labels: Ints
    cate: Floats
    boxes: Ints
    ate: float
    scope: Literal["population", "sample"]

    def truth(self, mu0: Floats, propensity: Floats) -> Truth:
        return Truth(
            {"ate": self.ate},
            cate=self.cate,
            mu0=mu0,
            mu1=mu0 + self.cate,
            propensity=propensity,
            cluster_labels=self.labels,
            image_box=self.boxes,
            scope=self.scope,
        )


def _settings(design: str, **given: Any) -> dict[str, Any]:
    """What the caller says, else what the design says."""
    told = {name: value for name, value in given.items() if value is not None}
    return _PLAIN | _DESIGNS[design] | told


def _effects(design: str, n_types: int, tau: Sequence[float] | None) -> Floats:
    """Effect of each type."""
    count = check_count("n_types", n_types, least=1)
    if count > 1 + len(MOTIFS):
        raise ArgumentError(f"n_types must be at most {1 + len(MOTIFS)}, got {count}.")
    if design == "soft-kernel" and count != 2:
        raise ArgumentError(f"design 'soft-kernel' has 2 types; got n_types={count}.")
    if tau is not None:
        return checked_effects(tau, count)
    if design == "null":
        return np.ones(count)
    if count not in _EFFECTS:
        raise ArgumentError(f"give tau, the effect of each type, for n_types={count}.")
    return np.array(_EFFECTS[count])


def _drawn_scene(
    rng: np.random.Generator,
    n_images: int,
    n_types: int,
    shape: tuple[int, int, int],
    shift: tuple[float, float],
    decoys: int,
) -> _Scene:
    check_count("bands", shape[0], least=1)
    size = check_count("size", shape[1], least=MOTIF)
    kinds = range(n_types - 1, len(MOTIFS))
    _check_decoys(decoys, size, kinds)
    if len(shift) != 2 or not np.isfinite(shift).all():
        raise ArgumentError(f"shift is a factor and a summand, both finite; got {shift!r}.")
    pixel_seed = int(rng.integers(2**63 - 1))
    brightness = rng.standard_normal(n_images)
    types = rng.integers(n_types, size=n_images)
    boxes = motif_boxes(types, rng.random((n_images, 2)), shape[1])
    # A stream of their own, so that all else is what it is without decoys.
    order = stream(pixel_seed, "decoys").random((n_images, (size // MOTIF) ** 2))
    corners = decoy_corners(order, boxes, size, decoys)
    return _Scene(pixel_seed, shape, brightness, types, boxes, (shift[0], shift[1]), corners, kinds)


def _check_decoys(decoys: int, size: int, kinds: range) -> None:
    check_count("decoys", decoys, least=0)
    # A motif touches at most four cells of the grid.
    room = max(0, (size // MOTIF) ** 2 - 4)
    if decoys > room:
        raise ArgumentError(
            f"decoys must be at most {room} in images of {size} by {size} pixels, got {decoys}."
        )
    if decoys and not kinds:
        raise ArgumentError(
            f"{1 + len(MOTIFS)} types have all motifs; none is left for decoys={decoys}."
        )


def _motif(scene: _Scene, trial: Trial, effects: Floats) -> _Found:
    labels = scene.types[trial.place]
    return _Found(
        labels=labels,
        cate=effects[labels],
        boxes=scene.boxes[trial.place],
        ate=float(effects.mean()),
        scope="population",
    )


def _soft_kernel(
    scene: _Scene, trial: Trial, effects: Floats, steepness: float, centre: float
) -> tuple[_Scene, _Found]:
    """The scene without motifs, and types that follow the match with the kernel."""
    count = scene.brightness.size
    bare = replace(scene, types=np.zeros(count, dtype=np.int64))
    numbers = np.arange(count)
    parts = [
        kernel_match(bare.unshifted(numbers[low : low + BLOCK])) for low in range(0, count, BLOCK)
    ]
    match = np.concatenate([score for score, _ in parts])
    boxes = np.concatenate([box for _, box in parts])
    chance = expit(steepness * ((match - match.mean()) / match.std() - centre))[trial.place]
    cate = effects[0] + chance * (effects[1] - effects[0])
    return bare, _Found(
        labels=(trial.lottery < chance).astype(np.int64),
        cate=cate,
        boxes=boxes[trial.place],
        ate=float(cate.mean()),
        scope="sample",
    )

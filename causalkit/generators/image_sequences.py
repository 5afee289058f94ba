"""Randomised trial with a sequence of images per place, whose change decides the effect."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from causalkit.data import CausalData, Truth
from causalkit.errors import check_count
from causalkit.generators.image_patterns import FILTER, smooth, white
from causalkit.generators.image_store import Pictures, PixelType, Shelf, band_names
from causalkit.generators.image_trials import (
    Noise,
    arranged,
    checked_numbers,
    checked_spreads,
    drawn_trial,
    image_data,
    location,
    source,
)
from causalkit.generators.spec import generator
from causalkit.typing import Floats, Ints, Singles

_FIRST_YEAR = 2010
_BASE, _NOISE, _CHANGE = 0.7, 0.5, 1.2


@generator(
    "image_sequence_rct",
    version=1,
    cite="design of this library, after Jerzak, Vashistha & Daoud (2024), arXiv:2407.11674",
)
def image_sequence_rct(
    rng: np.random.Generator | int | None = None,
    *,
    n_images: int = 2000,
    frames: int = 6,
    size: int = 24,
    bands: int = 3,
    tau: float = 0.5,
    gamma: float = 1.0,
    sigma: float = 1.0,
    noise: Noise = "normal",
    overlap: bool = True,
    seed: int | None = None,
    to_zarr: Any = None,
    chunk: int = 256,
    dtype: PixelType = "float32",
    sort_by: Literal["treatment"] | None = None,
) -> CausalData:
    r"""Randomised trial in which the change of a place over the years decides the effect.

    .. math::

        M_t &= .7 B + .5 E_t + L + 1.2 D (t/(F - 1) - .5), \quad t = 0, ..., F - 1 \\
        Y &= .8 L + T (τ + γ D) + σ ε, \quad T \sim \mathrm{Bernoulli}(.5)

    with level L and change D ~ N(0, 1), B smooth noise and E white noise, both of variance 1 in
    every pixel. The order of the frames tells D; their mean does not.

    Parameters
    ----------
    rng : Generator or int, optional
    n_images : int, default 2000
        Places, each with one unit and one sequence.
    frames : int, default 6
        Frames of a sequence, a year apart.
    size, bands : int, default 24 and 3
        Height and width in pixels, and number of bands.
    tau : float, default 0.5
        Average effect.
    gamma : float, default 1
        Standard deviation of effects; 0 is the null design, in which all effects are equal.
    sigma : float, default 1
        Standard deviation of the noise.
    noise : {"normal", "exponential", "student_t"}, default "normal"
        Exponential noise is centred, with skewness 2; Student's t has 3 degrees of freedom, scaled
        to variance 1, and no kurtosis.
    overlap : bool, default True
        False treats places with L > 0 and no other, so that propensities are 0 and 1 and treatment
        is confounded with the images.
    seed, to_zarr, chunk, dtype, sort_by
        As for :func:`~causalkit.generators.images.image_rct`.

    Returns
    -------
    CausalData
        Columns ``y, t, place``; ``place`` is the key of the sequence. ``arrays`` has ``image`` with
        dimensions (place, time, band, y, x) and the coordinates ``lon`` and ``lat``. ``truth`` has
        ``cate`` and ``mu0`` by row.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or something is in the way of the store.
    MissingDependencyError
        If a store is asked for and zarr is not installed.

    Notes
    -----
    Ranked by the true effect, AUTOC is .9032 γ and QINI is γ/(2√π) = .2821 γ.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.image_sequence_rct(seed=0, n_images=50)
    >>> data.arrays["image"].dims
    ('place', 'time', 'band', 'y', 'x')
    """
    rng = source(rng, seed, "image_sequence_rct")
    shelf = Shelf.checked(to_zarr, chunk=chunk, dtype=dtype, by="image_sequence_rct")
    check_count("n_images", n_images, least=2)
    check_count("frames", frames, least=2)
    check_count("bands", bands, least=1)
    check_count("size", size, least=FILTER)
    checked_numbers(tau=tau, gamma=gamma)
    checked_spreads(sigma=sigma)
    pixel_seed = int(rng.integers(2**63 - 1))
    level, change = rng.standard_normal((2, n_images))
    films = _Films(pixel_seed, (frames, bands, size, size), level, change)
    lon, lat = location(rng, n_images)
    trial = drawn_trial(rng, n_images, rule=None if overlap else level, noise=noise)
    trial, order = arranged(trial, n_images, sort_by)
    mu0, cate = 0.8 * level[trial.place], tau + gamma * change[trial.place]
    y = mu0 + trial.treated * cate + sigma * trial.noise
    pictures = films.pictures(order, lon=lon, lat=lat)
    truth = Truth(
        {"ate": float(tau)}, cate=cate, mu0=mu0, mu1=mu0 + cate, propensity=trial.propensity
    )
    return image_data(y, trial, pictures, shelf, truth, shared=False)


@dataclass(frozen=True, slots=True)
class _Films:
    """What the sequences of all places show."""

    seed: int
    shape: tuple[int, int, int, int]
    level: Floats
    change: Floats

    def paint(self, images: Ints) -> Singles:
        """Pixels ``(b, time, band, y, x)``."""
        frames = self.shape[0]
        noise = white(self.seed, images, (frames + 1, *self.shape[1:]))
        base = smooth(noise[:, :1])
        years = np.arange(frames) / (frames - 1) - 0.5
        drift = self.level[images, None] + _CHANGE * self.change[images, None] * years
        return np.asarray(
            np.float32(_BASE) * base
            + np.float32(_NOISE) * noise[:, 1:]
            + drift.astype(np.float32)[:, :, None, None, None]
        )

    def pictures(self, order: Ints, *, lon: Floats, lat: Floats) -> Pictures:
        years = [f"{_FIRST_YEAR + t}-01-01" for t in range(self.shape[0])]
        variance = _BASE**2 + _NOISE**2 + 1.0 + (_CHANGE / 2.0) ** 2
        return Pictures(
            paint=self.paint,
            order=order,
            dims=("time", "band", "y", "x"),
            shape=self.shape,
            coords={
                "time": np.array(years, dtype="datetime64[ns]"),
                "band": band_names(self.shape[1]),
                "lon": ("place", lon[order]),
                "lat": ("place", lat[order]),
            },
            # Normal pixels pass 12 standard deviations once in 10³².
            reach=12.0 * float(np.sqrt(variance)),
        )

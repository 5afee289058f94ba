"""IHDP with a continuous dose: real infants, a simulated dose and a simulated curve."""

from functools import partial
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.infants import N_INFANTS, infants
from causalkit.generators.responses import (
    UnitResponse,
    check_ranges,
    dosed_units,
    random_split,
    rows_for_test,
)
from causalkit.generators.spec import as_rng, generator
from causalkit.rng import stream
from causalkit.typing import Floats

_FIRST = [3, *range(6, 15)]
_SECOND = list(range(15, 25))
# (a, b) of the two releases; their results cannot be compared.
CONSTANTS = {"transtee": (1.0, 1.0), "vcnet": (1.5, 0.5)}


@generator(
    "ihdp_continuous",
    version=1,
    estimands=("E[Y(0.3)]", "E[Y(0.5)]", "E[Y(0.8)]"),
    cite="Nie, Ye, Liu & Nicolae (2021), ICLR (VCNet); Zhang et al. (2022), arXiv:2202.01336",
)
def ihdp_continuous(
    rng: np.random.Generator | int,
    *,
    h_train: float = 1.0,
    h_test: float = 1.0,
    constants: Literal["transtee", "vcnet"] = "transtee",
    split: int = 0,
    n_test: int = 276,
    effect: float = 1.0,
    overlap: bool = True,
    covariates: str | None = None,
    checksum: str = "published",
) -> CausalData:
    r"""Infants of the IHDP trial with a continuous dose, and other doses in training than in test.

    Each of the 25 covariates of the 747 infants becomes (x − min)/max: by the maximum, not the
    range, as the releases have it. With :math:`S_1, S_2` the sums of columns 3, 6, ..., 14 and 15,
    ..., 24 (from 0), c the grand mean over the first group, and N(m, v) with variance v,

    .. math::

        \tilde t &= \frac{x_1}{1 + x_2} + \frac{\max(x_3, x_5, x_6)}{.2 + \min(x_3, x_5, x_6)}
            + \tanh(5 (S_2 / 10 - c)) - 2 + N(0, .25) \\
        Y &= \frac{\sin(3 π t / h)}{1.2 - t / h} \left[ a \tanh(5 (S_1 / 10 - c))
            + b \frac{e^{.2 (x_1 - x_6)}}{.1 + \min(x_2, x_3, x_5)} \right] + N(0, .25)

    and h = max(h_train, h_test). A training infant has the dose
    :math:`h_{train} / (1 + e^{-2 \tilde t}) + h_{test} - h_{train}`, a test infant
    :math:`h_{test} / (1 + e^{-2 \tilde t})`.

    Parameters
    ----------
    rng : Generator or int
    h_train, h_test : float, default 1
        Largest doses. 1.9 and 2 give training doses in [.1, 2] and test doses in [0, 2].
    constants : {"transtee", "vcnet"}
        (a, b): (1, 1), or (1.5, .5). **Results under the two cannot be compared.**
    split : int, default 0
        Which of the random splits. Where h_train = h_test, doses and outcomes of a seed are the
        same in all of them; else those of test infants follow the test rule.
    n_test : int, default 276
        Test infants; 471 remain.
    effect : float, default 1
        Multiplies the curve; 0 is the null design, in which no dose matters.
    overlap : bool, default True
        False removes the noise of the dose and makes it ten times as steep in the covariates.
    covariates : str, optional
        Path of the table of the 985 infants, where econml, which ships it, is not installed.
    checksum : str, default "published"
        What that file must be: ``"published"`` is that of econml, ``"sha256:<hex>"`` or
        ``"git:<sha1>"`` another; ``"any"`` passes all that hold these infants.

    Returns
    -------
    CausalData
        The extra column ``test`` is 1 for test infants. ``truth`` has scope ``"sample"``:
        ``dose_response`` is the mean over all 747 infants, ``unit_response`` the curve of each; the
        estimands are ``dose_response`` at .3, .5 and .8 of h.

    Raises
    ------
    MissingDependencyError
        If econml is not installed and ``covariates`` is not given.
    ArgumentError
        If a parameter is outside its range.

    References
    ----------
    Nie, Ye, Liu & Nicolae (2021), ICLR; released code of both papers.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.ihdp_continuous(0, h_train=1.9, h_test=2.0)
    >>> data.truth.unit_response([0.5, 1.0, 1.5]).shape
    (747, 3)
    """
    rng = as_rng(rng, "ihdp_continuous")
    check_choice("constants", constants, CONSTANTS)
    h = check_ranges(h_train, h_test)
    if h_train > h_test:
        raise ArgumentError(
            f"h_train must not exceed h_test, or training doses would be negative; got {h_train} "
            f"and {h_test}."
        )
    check_count("split", split, least=0)
    rows_for_test(n_test, n=N_INFANTS)
    frame, _ = infants("ihdp_continuous", covariates, checksum=checksum)
    x = frame.to_numpy(dtype=np.float64)
    x = (x - x.min(axis=0)) / x.max(axis=0)
    noise_t, noise_y = 0.5 * rng.standard_normal((2, N_INFANTS))
    places = stream(int(rng.integers(2**63 - 1)), "split", split)
    test = random_split(places, N_INFANTS, n_test)
    centre = x[:, _FIRST].mean()
    pull = _pull(x, centre)
    share = expit(2.0 * (pull + noise_t if overlap else 10.0 * pull))
    t = np.where(test == 1, h_test * share, h_train * share + (h_test - h_train))
    a, b = CONSTANTS[constants]
    height = a * np.tanh(5.0 * (x[:, _FIRST].sum(axis=1) / 10.0 - centre)) + b * np.exp(
        0.2 * (x[:, 0] - x[:, 5])
    ) / (0.1 + x[:, [1, 2, 4]].min(axis=1))
    curves = UnitResponse(partial(_wave, h=h), effect * height[:, None])
    names = [name.replace(".", "_") for name in frame.columns]
    at = [part * h for part in (0.3, 0.5, 0.8)]
    return dosed_units(x, names, t, curves, noise=noise_y, test=test, at=at)


def _pull(x: Floats, centre: float) -> Floats:
    """What moves the dose of each infant."""
    three = x[:, [2, 4, 5]]
    return np.asarray(
        x[:, 0] / (1.0 + x[:, 1])
        + three.max(axis=1) / (0.2 + three.min(axis=1))
        + np.tanh(5.0 * (x[:, _SECOND].sum(axis=1) / 10.0 - centre))
        - 2.0
    )


def _wave(dose: Any, *, h: float) -> Floats:
    """Part of the curve that all infants share, ``(1, ...)``."""
    share = np.asarray(dose, dtype=np.float64) / h
    return np.asarray((np.sin(3.0 * np.pi * share) / (1.2 - share))[None])

"""Real covariates with simulated outcomes: infants of the IHDP trial, men of the NSW programme."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from causalkit.data import CausalData, Truth, load_dataset
from causalkit.errors import check_choice, check_count
from causalkit.generators.infants import infants, standardised
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Bools, Floats, Ints

_SLOPES_A = (np.arange(5.0), (0.5, 0.2, 0.15, 0.1, 0.05))
_SLOPES_B = (np.array([0.0, 0.1, 0.2, 0.3, 0.4]), (0.6, 0.1, 0.1, 0.1, 0.1))


@generator(
    "ihdp", version=1, estimands=("ate", "att"), cite="Hill (2011), JCGS 20, response surfaces A, B"
)
def ihdp(
    rng: np.random.Generator | int,
    *,
    surface: Literal["A", "B"] = "B",
    effect: float = 4.0,
    null: bool = False,
    overlap: bool = True,
    noise_sd: float = 1.0,
    covariates: str | None = None,
    checksum: str = "published",
) -> CausalData:
    r"""Infants of the Infant Health and Development Program with simulated outcomes.

    The 747 infants that remain when those treated with a nonwhite mother are left out (139
    treated), with their 25 covariates and their treatment. With Z = [1, X], continuous covariates
    standardised and coefficients drawn anew in each call:

    * surface A: :math:`μ_0 = Zβ, μ_1 = Zβ + 4`, slopes 0 to 4 with probabilities .5, .2, .15, .1,
      .05;
    * surface B: :math:`μ_0 = \exp((Z + W)β), μ_1 = Zβ - ω`, W = (0, ½, ..., ½), slopes 0, .1, .2,
      .3, .4 with probabilities .6, .1, .1, .1, .1, an intercept from −1 to 1, and ω such that the
      effect on the treated is 4.

    Parameters
    ----------
    rng : Generator or int
    surface : {"A", "B"}
    effect : float, default 4
        Effect of surface A, and mean effect on the treated of surface B.
    null : bool, default False
        μ₁ = μ₀ for every infant.
    overlap : bool, default True
        False treats exactly the infants of older mothers (above the median age).
    noise_sd : float, default 1
    covariates : str, optional
        Path of the table of the 985 infants, where econml, which ships it, is not installed.
    checksum : str, default "published"
        What that file must be: ``"published"`` is that of econml, ``"sha256:<hex>"`` or
        ``"git:<sha1>"`` another; ``"any"`` passes all that hold these infants.

    Returns
    -------
    CausalData
        ``truth`` has scope ``"sample"``: effects of these infants, by row under ``cate``.

    Raises
    ------
    MissingDependencyError
        If econml is not installed and ``covariates`` is not given.

    References
    ----------
    Hill (2011), Journal of Computational and Graphical Statistics 20, 217-240.
    """
    rng = as_rng(rng, "ihdp")
    check_choice("surface", surface, ("A", "B"))
    frame, treated = infants("ihdp", covariates, checksum=checksum)
    d = treated if overlap else frame["momage"].to_numpy() > frame["momage"].median()
    x = standardised(frame)
    values, shares = _SLOPES_A if surface == "A" else _SLOPES_B
    slopes = rng.choice(values, size=x.shape[1], p=shares)
    intercept = rng.integers(0, 9) * 0.25 - 1.0
    noise = noise_sd * rng.standard_normal(len(x))
    linear = intercept + x @ slopes
    mu0, mu1 = linear, linear + effect
    if surface == "B":
        mu0 = np.exp(intercept + (x + 0.5) @ slopes)
        mu1 = linear - ((linear - mu0)[d].mean() - effect)
    if null:
        mu1 = mu0
    return binary_data(frame, d, mu0, mu1, noise)


@generator(
    "nsw_style",
    version=1,
    estimands=("ate", "att"),
    cite="design of this library on the covariates of LaLonde (1986), Dehejia & Wahba (1999)",
)
def nsw_style(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    effect: float = 1.8,
    selection: float = 1.0,
    overlap: bool = True,
    noise_sd: float = 5.0,
) -> CausalData:
    r"""Men of the National Supported Work programme, resampled, with simulated earnings.

    Rows of covariates are drawn with replacement from the 445 men. With earnings in thousand
    dollars, e = (educ − 10)/2 and m the indicator of no earnings in 1975:

    .. math::

        P(D = 1 | x) &= \mathrm{expit}(selection (.6 m - .5 e + .3 black - .02 (age - 25))) \\
        μ_0 &= 4 + .35\, re75 + .15\, re74 + .6 e - 1.2 black - 1.5 m, \quad
        μ_1 = μ_0 + effect (1 + .5 e)

    so that the men who earned least are treated, as in the observational comparisons that LaLonde
    studied.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 1000
    effect : float, default 1.8
        Thousand dollars, for a man with ten years of schooling; 0 is the null design.
    selection : float, default 1
        0 is a randomised trial.
    overlap : bool, default True
        False treats exactly the men without earnings in 1975.
    noise_sd : float, default 5

    Returns
    -------
    CausalData
        ``truth`` has scope ``"sample"``.

    Raises
    ------
    MissingDependencyError
        If causaldata, which ships the covariates, is not installed.

    References
    ----------
    LaLonde (1986), American Economic Review 76, 604-620.
    """
    rng = as_rng(rng, "nsw_style")
    check_count("n", n, least=2)
    men = load_dataset("nsw").frame.drop(columns=["re78", "treat"])
    frame = men.iloc[rng.integers(0, len(men), n)].reset_index(drop=True)
    coin, noise = rng.random(n), noise_sd * rng.standard_normal(n)
    schooling = (frame["educ"].to_numpy() - 10.0) / 2.0
    idle = frame["re75"].to_numpy() == 0.0
    black, age = frame["black"].to_numpy(), frame["age"].to_numpy()
    score = 0.6 * idle - 0.5 * schooling + 0.3 * black - 0.02 * (age - 25.0)
    share = expit(selection * score) if overlap else idle.astype(np.float64)
    past = (0.35 * frame["re75"] + 0.15 * frame["re74"]).to_numpy() / 1000.0
    mu0 = 4.0 + past + 0.6 * schooling - 1.2 * black - 1.5 * idle
    mu1 = mu0 + effect * (1.0 + 0.5 * schooling)
    return binary_data(frame, coin < share, mu0, mu1, noise, propensity=share)


def binary_data(
    frame: pd.DataFrame,
    d: Bools,
    mu0: Floats,
    mu1: Floats,
    noise: Floats,
    *,
    propensity: Floats | None = None,
    extra: Mapping[str, Ints] | None = None,
) -> CausalData:
    """Data with binary treatment, the truth of these rows, and columns that go along."""
    more = dict(extra or {})
    cate = mu1 - mu0
    names = [name.replace(".", "_") for name in frame.columns]
    full = frame.set_axis(names, axis=1).assign(
        y=np.where(d, mu1, mu0) + noise, d=d.astype(int), **more
    )
    return CausalData.from_frame(
        full,
        outcome="y",
        treatment="d",
        covariates=names,
        extra=tuple(more),
        kinds=("binary",),
        truth=Truth(
            {"ate": float(cate.mean()), "att": float(cate[d].mean())},
            cate=cate,
            mu0=mu0,
            mu1=mu1,
            propensity=propensity,
            scope="sample",
        ),
    )

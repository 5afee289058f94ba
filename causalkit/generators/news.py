"""Articles with a continuous dose: word counts as covariates, and a dose that follows them."""

from functools import partial
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.files import load_news_counts
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

_TOPICS = 20


@generator(
    "news_like",
    version=1,
    estimands=("E[Y(0.1)]", "E[Y(0.3)]", "E[Y(0.8)]"),
    cite="Nie, Ye, Liu & Nicolae (2021), ICLR (VCNet), News; word counts by latent topics",
)
def news_like(
    rng: np.random.Generator | int,
    *,
    n: int = 3000,
    n_words: int = 498,
    n_test: int | None = None,
    split: int = 0,
    h_train: float = 1.0,
    h_test: float = 1.0,
    effect: float = 1.0,
    overlap: bool = True,
    counts: str | None = None,
    checksum: str = "published",
) -> CausalData:
    r"""Articles with a continuous dose, on simulated word counts or on the real ones.

    Each word count is divided by its maximum over the articles. With unit vectors :math:`v_1, v_2,
    v_3` of normal numbers (NumPy's former generator at seed 5, as published), r = v₂'x / v₃'x and
    h = max(h_train, h_test),

    .. math::

        t &\sim h_{train} \, \mathrm{Beta}(2, |2 r| + 10^{-4}) \\
        Y &= 8 (t/h - .5)^2 \sin(.5 π t/h)
            [\max(-2, \min(2, e^{.3 (π r - 1)})) + 20 v_1'x] + N(0, .5),

    with h_test in place of h_train for test articles, and .5 the variance of the noise.

    The simulated counts are those of latent topics: 20 topics with Dirichlet(.1) words, Dirichlet
    (.2) topics of an article, and Poisson counts at a lognormal length.

    Parameters
    ----------
    rng : Generator or int
    n, n_words : int, default 3000 and 498
        Size of the simulated counts; ignored if ``counts`` is given.
    n_test : int, optional
        Test articles; by default a third, 1000 of 3000.
    split : int, default 0
        Which of the random splits of the same draw; published results are over 20.
    h_train, h_test : float, default 1
        Largest doses; the released shift is from 4.5 to 5.
    effect : float, default 1
        Multiplies the curve; 0 is the null design, in which no dose matters.
    overlap : bool, default True
        False gives every article the mean of its dose distribution.
    counts : str, optional
        Path of the real counts; see :func:`~causalkit.generators.files.load_news_counts`.
    checksum : str, default "published"
        What that file must be.

    Returns
    -------
    CausalData
        The extra column ``test`` is 1 for test articles. ``truth`` has scope ``"sample"``:
        ``dose_response`` is the mean over all articles, ``unit_response`` the curve of each; the
        estimands are ``dose_response`` at .1, .3 and .8 of h.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or the file is not what it should be.

    References
    ----------
    Nie, Ye, Liu & Nicolae (2021), ICLR, section 5; Bica, Jordon & van der Schaar (2020), NeurIPS;
    Blei, Ng & Jordan (2003), JMLR 3:993.
    """
    rng = as_rng(rng, "news_like")
    check_count("n", n, least=4)
    check_count("n_words", n_words, least=2)
    check_count("split", split, least=0)
    h = check_ranges(h_train, h_test)
    raw = (
        _topic_counts(rng, n, n_words)
        if counts is None
        else load_news_counts(counts, checksum=checksum)
    )
    n = len(raw)
    n_test = rows_for_test(n_test, n=n, default=n // 3)
    x = raw / np.maximum(raw.max(axis=0), 1.0)
    one, two, three = (x @ v for v in _directions(x.shape[1]))
    if (three == 0.0).any():
        raise ArgumentError(f"{int((three == 0).sum())} articles have v3'x = 0, and so no dose.")
    ratio = two / three
    beta = np.abs(2.0 * ratio) + 1e-4
    drawn = rng.beta(2.0, beta) if overlap else 2.0 / (2.0 + beta)
    noise = np.sqrt(0.5) * rng.standard_normal(n)
    places = stream(int(rng.integers(2**63 - 1)), "split", split)
    test = random_split(places, n, n_test)
    t = np.where(test == 1, h_test, h_train) * drawn
    # The exponent is cut where the minimum with 2 holds anyway, so that it cannot overflow.
    height = np.minimum(2.0, np.exp(np.minimum(0.3 * (np.pi * ratio - 1.0), 1.0))) + 20.0 * one
    curves = UnitResponse(partial(_wave, h=h), effect * height[:, None])
    names = [f"w{j + 1}" for j in range(x.shape[1])]
    at = [part * h for part in (0.1, 0.3, 0.8)]
    return dosed_units(x, names, t, curves, noise=noise, test=test, at=at)


def _topic_counts(rng: np.random.Generator, n: int, n_words: int) -> Floats:
    """Sparse counts ``(n, n_words)`` of latent topics; no article is empty."""
    topics = rng.dirichlet(np.full(n_words, 0.1), size=_TOPICS)
    shares = rng.dirichlet(np.full(_TOPICS, 0.2), size=n)
    length = np.exp(4.5 + 0.5 * rng.standard_normal(n))
    counts = rng.poisson(length[:, None] * (shares @ topics)).astype(np.float64)
    empty = counts.sum(axis=1) == 0.0
    counts[empty, (shares @ topics)[empty].argmax(axis=1)] = 1.0
    return counts


def _directions(n_words: int) -> list[Floats]:
    """The three published unit vectors."""
    former = np.random.RandomState(5)
    drawn = [former.randn(n_words) for _ in range(3)]
    return [v / np.linalg.norm(v) for v in drawn]


def _wave(dose: Any, *, h: float) -> Floats:
    """Part of the curve that all articles share, ``(1, ...)``."""
    share = np.asarray(dose, dtype=np.float64) / h
    return np.asarray((8.0 * (share - 0.5) ** 2 * np.sin(0.5 * np.pi * share))[None])

"""Text whose concept is the treatment: who a sentence is about, and what that does to a reader."""

from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_choice, check_count
from causalkit.generators.responses import rows_for_test
from causalkit.generators.sentences import (
    EMOTIONS,
    NAMES,
    drawn_choices,
    embed_sentences,
    written,
)
from causalkit.generators.spec import as_rng, generator

_CLASSES = len(EMOTIONS)
# Share of concept 1 among the sentences of each emotion.
_SHARES = {
    "balanced": (0.5, 0.5, 0.5, 0.5, 0.5),
    "gentle": (0.7, 0.6, 0.5, 0.4, 0.3),
    "aggressive": (0.9, 0.8, 0.5, 0.2, 0.1),
}
_CERTAIN = (1.0, 1.0, 0.0, 0.0, 0.0)


@generator(
    "text_concept",
    version=1,
    estimands=("concept_effect", "ate"),
    cite="design of this library after Feder, Oved, Shalit & Reichart (2021), Comp. Linguistics 47",
)
def text_concept(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_test: int | None = None,
    concept: Literal["gender", "race"] = "gender",
    confounding: Literal["balanced", "gentle", "aggressive"] = "gentle",
    effect: float = 1.0,
    sharpness: float = 4.0,
    target: int | None = None,
    named: bool = False,
    dimension: int = 64,
    overlap: bool = True,
) -> CausalData:
    r"""Sentences about a person, whose gender or race is the treatment and an emotion the outcome.

    A sentence has an emotion word of one of five classes e (anger, fear, neutral, sadness, joy), a
    name that tells the concept t, and filler. The concept has probability s(e): one half
    (``balanced``), .7, .6, .5, .4, .3 (``gentle``) or .9, .8, .5, .2, .1 (``aggressive``), so that
    the emotion confounds. The outcome is the class that a reader names,

    .. math:: P(Y = c | e, t) \propto \exp(sharpness \, 1\{c = e\} + effect \, t \, 1\{c = 0\}),

    a reader, that is, who hears more anger where t = 1. Every sentence has a twin with the other
    concept and nothing else changed, so the effect on each unit is known exactly.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 1000
        All sentences, those of the test included.
    n_test : int, optional
        Test sentences: the last rows, by default a fifth.
    concept : {"gender", "race"}
        What the name tells.
    confounding : {"balanced", "gentle", "aggressive"}
    effect : float, default 1
        Log odds by which the concept raises class 0; 0 is the null design.
    sharpness : float, default 4
        Log odds of the class of the emotion word; readers agree with it in 93 % at 4.
    target : int, optional
        0 to 4: the outcome is then whether the class is this one. By default it is the class.
    named : bool, default False
        Whether the word vectors show the name. A name tells the concept, so given all words there
        is no overlap; by default it reads "somebody" in all of them.
    dimension : int, default 64
        Length of a word vector.
    overlap : bool, default True
        False gives concept 1 to the classes anger and fear and to no other.

    Returns
    -------
    CausalData
        Columns ``y, concept, sentence`` and the extra columns ``twin``, ``emotion`` and ``test``.
        ``arrays["tokens"] (obs, step, feature)`` has the role ``sequence``, and
        ``arrays["tokens_mask"]`` is true where there is a word;
        :func:`~causalkit.generators.sentences.embed_sentences` does the same for twins. ``truth``
        has scope ``"sample"``: ``mu0, mu1 (n, 5)`` are the class probabilities, or ``(n,)`` those
        of the target, and ``cate (n,)`` the change of that of the target (by default of class 0).
        The estimands are the mean over units of
        :math:`||p_i(1) - p_i(0)||_2` and the mean of ``cate``.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range.

    References
    ----------
    Feder, Oved, Shalit & Reichart (2021), Computational Linguistics 47:333; Kiritchenko & Mohammad
    (2018), *SEM; names of the concept race: Greenwald, McGhee & Schwartz (1998), JPSP 74:1464.
    """
    rng = as_rng(rng, "text_concept")
    n_test = rows_for_test(n_test, n=check_count("n", n, least=4), default=n // 5)
    check_choice("concept", concept, NAMES)
    check_choice("confounding", confounding, _SHARES)
    if not 0.0 <= sharpness < np.inf:
        raise ArgumentError(f"sharpness must be finite and not negative, got {sharpness!r}.")
    if target is not None and not 0 <= check_count("target", target, least=0) < _CLASSES:
        raise ArgumentError(f"target must be a class from 0 to {_CLASSES - 1}, got {target}.")
    emotion = rng.integers(0, _CLASSES, n)
    share = np.asarray(_SHARES[confounding] if overlap else _CERTAIN)[emotion]
    t = (rng.random(n) < share).astype(np.int64)
    sentences, twins, nameless = written(
        concept, group=t, emotion=emotion, choices=drawn_choices(rng, n)
    )
    base = sharpness * np.eye(_CLASSES)[emotion]
    lift = effect * np.eye(_CLASSES)[0]
    without, with_it = softmax(base, axis=1), softmax(base + lift, axis=1)
    likely = np.where(t[:, None] == 1, with_it, without)
    seen = (likely.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=_CLASSES - 1)
    moved = float(np.linalg.norm(with_it - without, axis=1).mean())
    told = 0 if target is None else int(target)
    cate = (with_it - without)[:, told]
    mu0, mu1 = (p if target is None else p[:, told] for p in (without, with_it))
    tokens, mask = embed_sentences(sentences if named else nameless, dimension=dimension)
    frame = pd.DataFrame(
        {
            "y": seen if target is None else (seen == told).astype(np.int64),
            "concept": t,
            "sentence": sentences,
            "twin": twins,
            "emotion": emotion,
            "test": (np.arange(n) >= n - n_test).astype(np.int64),
        }
    )
    return CausalData.from_frame(
        frame,
        outcome="y",
        treatment="concept",
        text="sentence",
        sequence="tokens",
        extra=("twin", "emotion", "test"),
        kinds=("binary",),
        arrays=xr.Dataset(
            {
                "tokens": (("obs", "step", "feature"), tokens.astype(np.float32)),
                "tokens_mask": (("obs", "step"), mask),
            },
            coords={"obs": np.arange(n)},
        ),
        truth=Truth(
            {"concept_effect": moved, "ate": float(cate.mean())},
            cate=cate,
            mu0=mu0,
            mu1=mu1,
            propensity=share,
            scope="sample",
        ),
    )

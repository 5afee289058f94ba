"""Sentences about a person and an emotion, their twins, and a fixed table of word vectors."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np

from causalkit.errors import ArgumentError, check_count
from causalkit.rng import stream
from causalkit.typing import Bools, Floats, Ints

NAMES = {
    "gender": (
        ("Adam", "Brian", "Carl", "David", "Eric", "Frank", "George", "Henry", "Ian", "Jacob"),
        ("Alice", "Betty", "Clara", "Diana", "Emma", "Fiona", "Grace", "Helen", "Irene", "Julia"),
    ),
    "race": (
        ("Alan", "Andrew", "Frank", "Harry", "Jack", "Josh", "Justin", "Roger", "Ryan", "Todd"),
        (
            *("Alonzo", "Alphonse", "Darnell", "Jamel", "Jerome"),
            *("Lamar", "Leroy", "Malik", "Terrence", "Torrance"),
        ),
    ),
}
EMOTIONS = {
    "anger": ("angry", "furious", "irritated", "annoyed", "outraged"),
    "fear": ("afraid", "anxious", "scared", "worried", "terrified"),
    "neutral": ("calm", "composed", "steady", "settled", "neutral"),
    "sadness": ("sad", "gloomy", "miserable", "unhappy", "tearful"),
    "joy": ("happy", "cheerful", "delighted", "glad", "joyful"),
}
_TEMPLATES = (
    "{name} felt {emotion} {time} because of {topic}",
    "{time} the talk about {topic} made {name} feel {emotion}",
    "we met {name} {time} and saw somebody {emotion} about {topic}",
    "when {topic} came up {name} was {emotion} {time}",
    "everybody at the office knew that {topic} left {name} {emotion} {time}",
)
_TOPICS = (
    *("the exam", "the weather", "the new job", "the move", "the game", "the letter"),
    *("the meeting", "the journey", "the news", "the results"),
)
_TIMES = ("yesterday", "today", "this morning", "last week", "on Monday", "at noon")
NAMELESS = "somebody"


def written(
    concept: str, *, group: Ints, emotion: Ints, choices: Ints
) -> tuple[list[str], list[str], list[str]]:
    """Sentences, their twins, and the same sentences without a name.

    Parameters
    ----------
    concept : {"gender", "race"}
        What the name tells.
    group : (n,) int array
        0 or 1: from which list the name comes.
    emotion : (n,) int array
        Class of the emotion word, 0 to 4.
    choices : (5, n) int array
        Template, pair of names, emotion word, topic and time, each from 0.

    Returns
    -------
    sentences, twins, nameless : lists of n str
        A twin differs in the name alone, which is that of the other group with the same number.
    """
    names, words = NAMES[concept], list(EMOTIONS.values())
    made: tuple[list[str], list[str], list[str]] = ([], [], [])
    for who, feels, (form, name, word, topic, time) in zip(
        group.tolist(), emotion.tolist(), choices.T.tolist(), strict=True
    ):
        persons = (names[who][name], names[1 - who][name], NAMELESS)
        for texts, person in zip(made, persons, strict=True):
            texts.append(
                _TEMPLATES[form].format(
                    name=person,
                    emotion=words[feels][word],
                    topic=_TOPICS[topic],
                    time=_TIMES[time],
                )
            )
    return made


def drawn_choices(rng: np.random.Generator, n: int) -> Ints:
    """Draw what does not depend on concept or emotion, ``(5, n)``: template, name, word, ...."""
    tops = (len(_TEMPLATES), 10, 5, len(_TOPICS), len(_TIMES))
    return np.stack([rng.integers(0, top, n) for top in tops])


def embed_sentences(sentences: Sequence[str], *, dimension: int = 64) -> tuple[Floats, Bools]:
    """Vectors of the words of sentences, from a table that is the same everywhere.

    The vector of a word is normal with variance 1/dimension, drawn from a stream whose address is
    the word, so that it depends neither on the other words nor on the order. Nothing is loaded.

    Parameters
    ----------
    sentences : sequence of str
        Words are runs of letters, in lower case.
    dimension : int, default 64

    Returns
    -------
    tokens : (n, L, dimension) array
        Zero beyond the end of a sentence.
    mask : (n, L) bool array
        True where there is a word.

    Raises
    ------
    ArgumentError
        If a sentence has no word.

    Examples
    --------
    >>> tokens, mask = embed_sentences(["Ada felt glad", "Ada wrote"])
    >>> tokens.shape, mask.tolist()
    ((2, 3, 64), [[True, True, True], [True, True, False]])
    """
    check_count("dimension", dimension, least=1)
    words = [re.findall(r"[a-z']+", sentence.lower()) for sentence in sentences]
    lengths = np.array([len(part) for part in words], dtype=np.int64)
    if not words or (lengths == 0).any():
        row = int((lengths == 0).argmax()) if words else 0
        raise ArgumentError(f"sentence {row} of {len(words)} has no word.")
    known = sorted({word for part in words for word in part})
    place = {word: number for number, word in enumerate(known)}
    table = np.stack([_vector(word, dimension) for word in known])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.zeros((*mask.shape, dimension))
    tokens[mask] = table[[place[word] for part in words for word in part]]
    return tokens, mask


@cache
def _vector(word: str, dimension: int) -> Floats:
    drawn = stream(0, "word vectors", word).standard_normal(dimension)
    return np.asarray(drawn / np.sqrt(dimension), dtype=np.float64)

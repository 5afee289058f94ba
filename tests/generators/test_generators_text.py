"""Sentences and their twins: what differs, exact effects, confounding, and fixed word vectors."""

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.generators.sentences import EMOTIONS, NAMES, embed_sentences
from causalkit.metrics import concept_effect_error

G = ck.generators


@pytest.mark.parametrize("concept", ["gender", "race"])
def test_twins_differ_in_one_name_and_nothing_else(concept):
    frame = G.text_concept(0, n=300, concept=concept).frame
    for sentence, twin, t in zip(frame["sentence"], frame["twin"], frame["concept"], strict=True):
        one, two = sentence.split(), twin.split()
        (place,) = [k for k, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
        assert one[place] in NAMES[concept][t]
        assert two[place] in NAMES[concept][1 - t]
        assert NAMES[concept][t].index(one[place]) == NAMES[concept][1 - t].index(two[place])


def test_the_emotion_word_is_of_the_class_that_is_told():
    frame = G.text_concept(1, n=200).frame
    words = list(EMOTIONS.values())
    for sentence, emotion in zip(frame["sentence"], frame["emotion"], strict=True):
        assert [k for k in range(5) if set(words[k]) & set(sentence.split())] == [emotion]


def test_effects_on_units_are_exact():
    data = G.text_concept(2, n=50, effect=1.5, sharpness=2.0)
    truth, emotion = data.truth, data.frame["emotion"].to_numpy()
    for row in range(50):
        for t, found in ((0, truth.mu0[row]), (1, truth.mu1[row])):
            odds = np.exp([2.0 * (c == emotion[row]) + 1.5 * t * (c == 0) for c in range(5)])
            np.testing.assert_allclose(found, odds / odds.sum())
    size = np.linalg.norm(truth.mu1 - truth.mu0, axis=1).mean()
    assert truth.estimands["concept_effect"] == pytest.approx(size)
    assert concept_effect_error(truth.mu1, truth.mu0, truth=size) == pytest.approx(0.0, abs=1e-15)
    assert truth.estimands["ate"] == pytest.approx((truth.mu1 - truth.mu0)[:, 0].mean())


def test_classes_are_seen_as_often_as_the_truth_says():
    data = G.text_concept(3, n=20_000, n_test=0, effect=1.5, sharpness=1.0, dimension=1)
    y, t, emotion = (data.frame[name].to_numpy() for name in ("y", "concept", "emotion"))
    for arm, chance in ((0, data.truth.mu0), (1, data.truth.mu1)):
        for e in range(5):
            rows = (t == arm) & (emotion == e)
            seen = np.bincount(y[rows], minlength=5) / rows.sum()
            spread = np.sqrt(0.25 / rows.sum())
            np.testing.assert_allclose(seen, chance[rows][0], atol=4.5 * spread)


@pytest.mark.parametrize(
    ("confounding", "shares"),
    [
        ("balanced", [0.5] * 5),
        ("gentle", [0.7, 0.6, 0.5, 0.4, 0.3]),
        ("aggressive", [0.9, 0.8, 0.5, 0.2, 0.1]),
    ],
)
def test_emotions_confound_as_much_as_is_asked_for(confounding, shares):
    data = G.text_concept(4, n=20_000, n_test=0, confounding=confounding, effect=0.0, dimension=1)
    frame = data.frame
    found = frame.groupby("emotion")["concept"].mean()
    # Standard error of a share of 4000: at most .008; four and a half of them.
    np.testing.assert_allclose(found, shares, atol=0.036)
    np.testing.assert_allclose(data.truth.propensity, np.array(shares)[frame["emotion"]])
    anger = (frame["y"] == 0).groupby(frame["concept"]).mean()
    if confounding == "balanced":
        assert anger[1] - anger[0] == pytest.approx(0.0, abs=0.03)
    else:
        assert anger[1] - anger[0] > 0.05


def test_null_no_overlap_and_a_single_class():
    null = G.text_concept(5, effect=0.0).truth
    assert set(null.estimands.values()) == {0.0}
    certain = G.text_concept(5, overlap=False).frame
    assert (certain["concept"] == (certain["emotion"] <= 1)).all()
    joy = G.text_concept(5, target=4)
    assert set(joy.frame["y"]) == {0, 1}
    whole = G.text_concept(5)
    assert ((whole.frame["y"] == 4) == (joy.frame["y"] == 1)).all()
    np.testing.assert_array_equal(joy.truth.mu1, whole.truth.mu1[:, 4])
    assert joy.truth.cate.mean() == pytest.approx(joy.truth.estimands["ate"])


def test_word_vectors_do_not_tell_the_concept_unless_asked_to():
    data, named = G.text_concept(6, n=100), G.text_concept(6, n=100, named=True)
    frame = data.frame
    twins, mask = embed_sentences(list(frame["twin"]))
    same = (named.arrays["tokens"].values == twins.astype(np.float32)).all(axis=2)
    # A twin differs from its sentence at one word; without names there is no difference to see.
    assert ((~same) & mask).sum(axis=1).tolist() == [1] * 100
    hidden = [text for text in frame["sentence"]]
    for k, names in enumerate(zip(frame["sentence"], frame["twin"], strict=True)):
        one, two = (text.split() for text in names)
        hidden[k] = " ".join(a if a == b else "somebody" for a, b in zip(one, two, strict=True))
    tokens, mask = embed_sentences(hidden)
    np.testing.assert_array_equal(data.arrays["tokens"], tokens.astype(np.float32))
    np.testing.assert_array_equal(data.arrays["tokens_mask"], mask)


def test_a_word_has_the_same_vector_wherever_it_stands():
    one, _ = embed_sentences(["felt glad today", "glad"])
    two, _ = embed_sentences(["glad"])
    np.testing.assert_array_equal(one[0, 1], two[0, 0])
    np.testing.assert_array_equal(one[1, 0], two[0, 0])
    assert not one[1, 1:].any()
    assert two.shape == (1, 1, 64)
    assert np.linalg.norm(two) == pytest.approx(1.0, abs=0.4)


def test_rows_carry_their_tokens_and_estimators_do_not_see_twins():
    data = G.text_concept(7, n=60)
    some = data.subset([5, 2])
    np.testing.assert_array_equal(some.arrays["tokens"], data.arrays["tokens"].values[[5, 2]])
    assert list(data.blind().frame) == ["y", "concept", "sentence"]
    assert data.roles.sequence == ("tokens",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"concept": "age"}, "unknown concept 'age'"),
        ({"confounding": "mild"}, "unknown confounding 'mild'"),
        ({"target": 5}, "target must be a class from 0 to 4, got 5"),
        ({"sharpness": -1.0}, "sharpness must be finite and not negative, got -1.0"),
        ({"n": 10, "n_test": 9}, "n_test must lie between"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.text_concept(0, **wrong)
    with pytest.raises(ArgumentError, match="sentence 1 of 2 has no word"):
        embed_sentences(["a word", "!"])

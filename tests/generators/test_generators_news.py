"""Articles with doses: the formula one article at a time, laws of doses, splits, real counts."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.generators.files import load_news_counts

G = ck.generators
SMALL = {"n": 400, "n_words": 60, "n_test": 100}


def directions(p):
    """The published vectors, drawn as the source draws them."""
    legacy = np.random.RandomState(5)
    return [v / np.sqrt(np.sum(v**2)) for v in (legacy.randn(p) for _ in range(3))]


def slowly(x, t, h):
    """Mean outcome of one article, written out as in the source."""
    v1, v2, v3 = directions(len(x))
    first = max(-2.0, min(2.0, math.exp(min(0.3 * (math.pi * (v2 @ x) / (v3 @ x) - 1), 50.0))))
    wave = 4 * (t / h - 0.5) ** 2 * math.sin(0.5 * math.pi * t / h)
    return 2 * wave * (first + 20 * (v1 @ x))


def test_curves_are_the_formula_one_article_at_a_time():
    data = G.news_like(0, **SMALL, h_train=4.5, h_test=5.0)
    x = data.matrix("covariates")
    assert x.max() == 1.0
    for row, t in ((0, 0.5), (11, 3.0), (399, 4.9)):
        found = data.truth.unit_response([t], rows=[row])[0, 0]
        assert found == pytest.approx(slowly(x[row], t, 5.0), rel=1e-9)


def test_outcomes_are_curves_plus_noise_of_variance_a_half():
    data = G.news_like(1, n=3000, n_words=60)
    own = data.truth.unit_response(data.column("treatment")[:, None])[:, 0]
    error = data.column("outcome") - own
    # Standard error of a variance: .5 sqrt(2/3000) = .013; five of them.
    assert error.var() == pytest.approx(0.5, abs=0.065)


def test_doses_have_the_beta_law_of_the_article():
    data = G.news_like(2, n=5000, n_words=60, n_test=2000, h_train=4.0, h_test=5.0)
    x, t = data.matrix("covariates"), data.column("treatment")
    _, v2, v3 = directions(60)
    second = np.abs(2 * (x @ v2) / (x @ v3)) + 1e-4
    top = np.where(data.frame["test"] == 1, 5.0, 4.0)
    assert (t <= top).all()
    mean, total = 2 / (2 + second), 2 + second
    sd = np.sqrt(2 * second / (total**2 * (total + 1)))
    standard = (t / top - mean)[sd > 1e-3] / sd[sd > 1e-3]
    assert standard.mean() == pytest.approx(0.0, abs=4 / math.sqrt(standard.size))
    assert standard.std() == pytest.approx(1.0, abs=0.05)
    certain = G.news_like(2, n=5000, n_words=60, overlap=False)
    np.testing.assert_allclose(certain.column("treatment"), mean)


def test_counts_are_sparse_and_no_article_is_empty():
    data = G.news_like(3)
    x = data.matrix("covariates")
    assert x.shape == (3000, 498)
    assert 0.7 < (x == 0).mean() < 0.95
    assert (x.sum(axis=1) > 0).all()


def test_splits_are_of_one_draw_and_the_null_is_flat():
    one, two = (G.news_like(4, **SMALL, split=k).frame for k in (0, 1))
    assert one["y"].equals(two["y"])
    assert not one["test"].equals(two["test"])
    assert one["test"].sum() == 100
    null = G.news_like(4, **SMALL, effect=0.0).truth
    assert not null.unit_response([0.1, 0.9]).any()


@pytest.fixture
def counts(tmp_path):
    values = np.random.default_rng(0).poisson(0.8, (30, 8)).astype(float)
    values[:, 0] += 1.0
    np.save(tmp_path / "news_pp.npy", values)
    return values


def test_real_counts_come_from_a_file_or_its_folder(tmp_path, counts):
    for path in (tmp_path, tmp_path / "news_pp.npy"):
        data = G.news_like(5, counts=str(path), checksum="any", n_test=10)
        np.testing.assert_allclose(data.matrix("covariates"), counts / counts.max(axis=0))


def test_triples_of_document_word_and_count_become_a_matrix(tmp_path, counts):
    rows, columns = np.nonzero(counts)
    triples = np.column_stack([rows + 100, columns * 3 + 7, counts[rows, columns]])
    mixed = triples[np.random.default_rng(1).permutation(len(triples))]
    pd.DataFrame(mixed).to_csv(tmp_path / "news_p.csv", index=False, header=False)
    found = load_news_counts(str(tmp_path / "news_p.csv"), checksum="any")
    np.testing.assert_array_equal(found, counts)


def test_a_file_that_is_not_the_published_one_is_refused_until_it_is_named(tmp_path, counts):
    content = (tmp_path / "news_pp.npy").read_bytes()
    seal = hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content).hexdigest()
    with pytest.raises(ArgumentError, match=f"has checksum git:{seal}, not git:1fffc7e7"):
        G.news_like(0, counts=str(tmp_path))
    named = G.news_like(0, counts=str(tmp_path), checksum=f"git:{seal}", n_test=10)
    assert named.n == 30


def test_absent_and_impossible_counts_are_refused(tmp_path):
    with pytest.raises(
        ArgumentError, match=r"counts='.*' is not a folder with news_pp.npy or.*UCI"
    ):
        load_news_counts(str(tmp_path))
    for values in (np.zeros((4, 4)), -np.ones((4, 4))):
        np.save(tmp_path / "news_pp.npy", values)
        with pytest.raises(ArgumentError, match="nonnegative counts with at least one word"):
            load_news_counts(str(tmp_path), checksum="any")
    with pytest.raises(ArgumentError, match="n_test must lie between 0 and n - 2 = 8"):
        G.news_like(0, n=10, n_words=5, n_test=9)

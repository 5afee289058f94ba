"""Texts become sequences: once each, padded, kept on disk, and read by the network."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitWarning, DataError

TABLE = np.random.default_rng(0).standard_normal((128, 3))
CALLS: list[list[str]] = []


def letters(texts):
    """A row of the table for every letter."""
    CALLS.append(texts)
    return [TABLE[list(text.encode())] for text in texts]


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def test_tokens_are_those_of_the_encoder_and_the_rest_is_padding():
    found = ck.embed_texts(["ab", "c", "ab"], letters)
    assert found.dims == ("obs", "step", "feature")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], TABLE[[97, 98]].astype(np.float32))
    np.testing.assert_array_equal(found[1, 0], TABLE[99].astype(np.float32))
    assert np.isnan(found[1, 1]).all()
    np.testing.assert_array_equal(found[2], found[0])


def test_every_distinct_text_is_encoded_once_in_batches():
    lines = []
    ck.embed_texts(["a", "b", "a", "c", "b"], letters, batch_size=2, progress=lines.append)
    assert CALLS == [["a", "b"], ["c"]]
    assert lines == ["2 of 3 texts", "3 of 3 texts"]


def test_tensors_of_one_block_will_do():
    def block(texts):
        return torch.ones(len(texts), 4, 2, dtype=torch.bfloat16, requires_grad=True)

    assert ck.embed_texts(["a", "b"], block).shape == (2, 4, 2)


def test_an_embedding_is_read_again_only_for_the_same_texts_and_encoder(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "kept.zarr"
    first = ck.embed_texts(["ab", "c"], letters, encoder_name="letters 1", cache=path)
    again = ck.embed_texts(["ab", "c"], letters, encoder_name="letters 1", cache=path)
    xr.testing.assert_identical(first, again)
    assert len(CALLS) == 1
    with pytest.warns(CausalKitWarning, match="of other texts, another encoder"):
        ck.embed_texts(["ab", "c"], letters, encoder_name="letters 2", cache=path)
    with pytest.warns(CausalKitWarning, match="made again"):
        ck.embed_texts(["ab", "d"], letters, encoder_name="letters 2", cache=path)
    assert len(CALLS) == 3


def test_a_network_reads_what_a_text_says():
    rng = np.random.default_rng(1)
    texts = np.where(rng.random(400) < 0.5, "well", "no change")
    frame = pd.DataFrame({"t": rng.integers(0, 2, 400), "x": rng.standard_normal(400)})
    frame["y"] = np.where(texts == "well", 2.0, 0.0) * frame["t"]
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="t",
        covariates="x",
        sequence="notes",
        arrays=xr.Dataset({"notes": ck.embed_texts(texts, letters)}),
    )
    effect = ck.TransTEE(**(SMALL | {"max_epochs": 60})).fit(data).effect(data)["effect"].values
    assert effect[texts == "well"].mean() == pytest.approx(2.0, abs=0.3)
    assert effect[texts != "well"].mean() == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    ("texts", "encoder", "error", "words"),
    [
        ("one string", letters, ArgumentError, "one text per row"),
        ([], letters, ArgumentError, "texts is empty"),
        (["a", None, 3.0], letters, DataError, "2 of 3 texts are no strings; first: None in row 1"),
        (["a", "b"], lambda _: [TABLE], ArgumentError, "returned 1 arrays for 2 texts"),
        (["a"], lambda _: [TABLE[0]], ArgumentError, r"got shape \(3,\) for 'a'"),
        (["a"], lambda _: [TABLE[:0]], ArgumentError, "at least one token"),
        (["a"], lambda _: [TABLE * np.nan], ArgumentError, "not finite for 'a'"),
        (["a", "b"], lambda _: [TABLE, TABLE[:, :2]], ArgumentError, "2 features for one text"),
    ],
)
def test_what_cannot_be_embedded_is_said(texts, encoder, error, words):
    with pytest.raises(error, match=words):
        ck.embed_texts(texts, encoder)


def test_a_cache_needs_the_name_of_its_encoder(tmp_path):
    with pytest.raises(ArgumentError, match="cache needs encoder_name="):
        ck.embed_texts(["a"], letters, cache=tmp_path / "kept.zarr")

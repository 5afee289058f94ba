"""Addresses: what moves a stream and what does not."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalkit.errors import ArgumentError
from causalkit.study.design import (
    Budget,
    Cell,
    EstimatorSpec,
    Reps,
    RunOptions,
    canonical_json,
    data_stream,
    estimator_seed,
)

CELL = Cell("g", 1, {"n": 100, "rho": 0.5})
SPEC = EstimatorSpec("a", "pkg.mod:f", {"k": 3})


def test_ids_are_the_first_eight_bytes_of_the_hash_of_canonical_json():
    text = '{"generator":"g","params":{"n":100,"rho":0.5},"version":1}'
    assert CELL.id == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert CELL.words == (int(CELL.id[:8], 16), int(CELL.id[8:], 16))


def test_the_stream_is_numpys_at_the_documented_address():
    sequence = np.random.SeedSequence(7, spawn_key=(*CELL.words, 3, 0))
    expected = np.random.default_rng(sequence).standard_normal(4)
    assert np.array_equal(data_stream(7, CELL, 3).standard_normal(4), expected)
    key = (*CELL.words, 3, 1, *SPEC.words)
    word = np.random.SeedSequence(7, spawn_key=key).generate_state(1, np.uint32)[0]
    assert estimator_seed(7, CELL, 3, SPEC) == int(word) >> 1


@pytest.mark.parametrize(
    "other",
    [
        Cell("g", 2, CELL.params),
        Cell("h", 1, CELL.params),
        Cell("g", 1, {"n": 100.0, "rho": 0.5}),
        Cell("g", 1, {"n": 100, "rho": 0.5, "more": True}),
    ],
)
def test_another_cell_has_another_stream(other):
    assert other.id != CELL.id
    assert data_stream(7, other, 3).random() != data_stream(7, CELL, 3).random()


def test_order_of_parameters_label_and_source_move_no_stream():
    assert Cell("g", 1, {"rho": 0.5, "n": np.int64(100)}).id == CELL.id
    renamed = EstimatorSpec("b", SPEC.use, SPEC.args)
    mended = EstimatorSpec("a", SPEC.use, SPEC.args, source_digest="new")
    assert renamed.id == SPEC.id
    assert mended.id != SPEC.id
    assert mended.words == SPEC.words
    assert EstimatorSpec("a", SPEC.use, {"k": 4}).words != SPEC.words


def test_ids_do_not_depend_on_the_process_or_its_hash_seed():
    code = "from causalkit.study.design import Cell; print(Cell('g', 1, {'n': 100, 'rho': .5}).id)"
    for seed in ("0", "1"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == CELL.id


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_canonical_json_loses_nothing(value):
    text = canonical_json(value)
    back = json.loads(text)
    assert canonical_json(back) == text
    assert back == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1.0, float("nan")]}])
def test_numbers_that_are_no_address_are_refused(value):
    with pytest.raises(ArgumentError, match="must be finite"):
        canonical_json(value)


def test_objects_and_keys_that_a_file_cannot_hold_are_refused():
    with pytest.raises(ArgumentError, match=r"value.a is <object.*study file cannot hold"):
        canonical_json({"a": object()})
    with pytest.raises(ArgumentError, match="keys that are no text"):
        canonical_json({1: 2})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reps(min=10, max=5), "reps.min is 10 and reps.max is 5"),
        (lambda: Reps(batch=0), "reps.batch must be at least 1"),
        (lambda: Budget(wall_s=0), "budget.wall_s must be positive"),
        (lambda: Budget(max_fail_share=2), r"max_fail_share must lie in \[0, 1\]"),
        (lambda: RunOptions(backend="proceses"), "Did you mean 'processes'"),
        (lambda: RunOptions(workers=0), "run.workers must be at least 1"),
        (lambda: RunOptions(block=0), "run.block must be at least 1"),
    ],
)
def test_limits_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()

"""Streams by address: numpy's own SeedSequence is the oracle."""

import hashlib
import itertools
import struct

import numpy as np
import pytest

from causalkit.errors import ArgumentTypeError
from causalkit.rng import as_seed, seed_of, stream


def draws(seed: int, *address: str | int) -> tuple[float, ...]:
    """First numbers of a stream."""
    return tuple(stream(seed, *address).random(4))


def test_a_name_enters_as_the_first_two_words_of_its_sha256():
    high, low = struct.unpack(">II", hashlib.sha256(b"fold").digest()[:8])
    expected = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(high, low, 3)))
    assert np.array_equal(stream(7, "fold", 3).random(8), expected.random(8))


def test_integer_addresses_are_spawn_keys_as_they_stand():
    # A study passes (cell word, cell word, replication, 0).
    expected = np.random.default_rng(np.random.SeedSequence(11, spawn_key=(123, 456, 17, 0)))
    assert np.array_equal(stream(11, 123, 456, 17, 0).random(8), expected.random(8))


def test_the_empty_address_is_the_seed_itself():
    assert np.array_equal(stream(5).random(8), np.random.default_rng(5).random(8))


def test_the_same_address_gives_the_same_numbers_whatever_ran_before():
    before = draws(0, "nuisance", "outcome", 0, 1)
    stream(0, "a new stage").random(1000)
    assert draws(0, "nuisance", "outcome", 0, 1) == before


def test_different_addresses_give_different_numbers():
    addresses: list[tuple[str | int, ...]] = [
        ("fold",),
        ("fold", 0),
        ("fold", 1),
        ("fold", 0, 1),
        ("fold", 1, 0),
        ("folds",),
        ("fo", "ld"),
        (0, "fold"),
        (),
    ]
    numbers = [draws(seed, *address) for seed in (0, 1) for address in addresses]
    assert all(a != b for a, b in itertools.combinations(numbers, 2))


def test_neighbouring_streams_are_uncorrelated():
    # Of 19900 correlations of independent streams the largest is above 6/sqrt(500) once in 2e4
    # suites; streams that overlap correlate at 1.
    table = np.array([stream(0, "rep", r).standard_normal(500) for r in range(200)])
    correlations = np.corrcoef(table)[np.triu_indices(200, 1)]
    assert np.abs(correlations).max() < 6.0 / np.sqrt(500)


def test_streams_do_not_touch_the_global_generator():
    np.random.seed(1)  # noqa: NPY002 - the state that must not move
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    stream(0, "fold").random(10)
    as_seed(None)
    assert np.array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_seed_of_fits_libraries_that_take_31_bits_and_differs_by_address():
    seeds = [seed_of(0, "learner", k) for k in range(200)]
    assert all(type(seed) is int and 0 <= seed < 2**31 - 1 for seed in seeds)
    assert len(set(seeds)) == 200


@pytest.mark.parametrize("value", [0, 42, np.int64(42), np.uint8(7)])
def test_integers_are_their_own_seed(value):
    assert as_seed(value) == int(value)
    assert type(as_seed(value)) is int


def test_a_generator_gives_its_next_number_so_that_two_fits_differ():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert as_seed(first) == as_seed(second)
    assert as_seed(first) != as_seed(np.random.default_rng(3))


def test_a_seed_sequence_gives_one_number_per_spawn_key_and_stays_unchanged():
    sequence = np.random.SeedSequence(3)
    assert as_seed(sequence) == as_seed(sequence) == as_seed(np.random.SeedSequence(3))
    children = [as_seed(child) for child in np.random.SeedSequence(3).spawn(10)]
    assert len({as_seed(sequence), *children}) == 11


def test_none_asks_the_machine_so_that_two_calls_differ():
    # Three draws of 32 bits agree once in 2^64.
    assert len({as_seed(None) for _ in range(3)}) > 1


@pytest.mark.parametrize("value", [True, 1.0, "1", np.random.RandomState(0)])
def test_other_seeds_are_refused_by_type(value):
    with pytest.raises(
        ArgumentTypeError, match=rf"random_state must be an int.*got .*{type(value).__name__}"
    ):
        as_seed(value)


def test_every_seed_that_as_seed_returns_can_start_a_stream():
    states = (0, np.random.default_rng(0), np.random.SeedSequence(0), None)
    for state in states:
        assert stream(as_seed(state), "fold").random() < 1.0

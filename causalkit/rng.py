"""Random streams that belong to an address, so that results do not depend on what ran before."""

import hashlib

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError

RandomState = int | np.random.Generator | np.random.SeedSequence | None


def words(part: str | int) -> list[int]:
    """32-bit words that stand for one part of an address."""
    if isinstance(part, int):
        return [part]
    digest = hashlib.sha256(part.encode()).digest()
    return [int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")]


def stream(seed: int, *address: str | int) -> np.random.Generator:
    """Random generator of an address such as ``("fold", 0)``.

    Adding a stage to a program adds an address and shifts no other stream.
    """
    key = [word for part in address for word in words(part)]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(key)))


def seed_of(seed: int, *address: str | int) -> int:
    """31-bit seed of an address, for libraries that take only an integer."""
    return int(stream(seed, *address).integers(2**31 - 1))


def as_seed(random_state: RandomState) -> int:
    """Turn what a user gives into one integer, which the result records."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(random_state, np.random.SeedSequence):
        return int(random_state.generate_state(1, np.uint64)[0])
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63 - 1))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise ArgumentTypeError(
            f"random_state must be an int, a numpy Generator, a SeedSequence or None, "
            f"got {random_state!r} ({type(random_state).__name__})."
        )
    if random_state < 0:
        raise ArgumentError(f"random_state must not be negative, got {random_state}.")
    return int(random_state)

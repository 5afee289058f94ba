"""Declaration of generators, and where their randomness comes from."""

import pickle

import numpy as np
import pytest

from causalkit import generators
from causalkit.errors import ArgumentError
from causalkit.generators.spec import as_rng, generator, list_generators, spec_of
from causalkit.registry import GENERATORS
from causalkit.rng import stream


@generator("coin", version=3, estimands=("ate", "att"), cite="folklore")
def coin(rng, n=1, *, sides: int = 2):
    return as_rng(rng, "coin").integers(sides, size=n)


def test_declared_function_is_the_same_function_and_pickles():
    assert pickle.loads(pickle.dumps(coin)) is coin


def test_spec_holds_version_estimands_and_the_keyword_parameters_only():
    spec = spec_of(coin)
    assert (spec.name, spec.version, spec.estimands) == ("coin", 3, ("ate", "att"))
    assert {key: p.default for key, p in spec.parameters.items()} == {"sides": 2}
    assert spec.parameters["sides"].annotation is int


def test_undeclared_function_is_refused_by_name():
    with pytest.raises(TypeError, match=r"stream is not a generator; declare it with @generator"):
        spec_of(stream)


def test_a_seed_means_the_stream_of_the_generators_name():
    drawn = as_rng(7, "coin").random(3)
    np.testing.assert_array_equal(drawn, stream(7, "coin").random(3))
    assert not np.array_equal(drawn, stream(7, "other").random(3))


def test_a_generator_is_used_as_it_is():
    rng = np.random.default_rng(0)
    assert as_rng(rng, "coin") is rng


@pytest.mark.parametrize("wrong", [None, True, 1.5, "0"])
def test_other_sources_of_randomness_are_refused(wrong):
    with pytest.raises(TypeError, match=r"coin needs a numpy Generator or an integer seed, got "):
        as_rng(wrong, "coin")


def test_a_negative_seed_is_refused():
    with pytest.raises(ArgumentError, match="coin needs a seed that is not negative, got -1"):
        as_rng(-1, "coin")


def test_every_registered_generator_is_an_attribute_and_in_the_list():
    listed = list_generators().set_index("name")
    assert set(listed.index) == set(GENERATORS)
    for name in GENERATORS:
        assert spec_of(getattr(generators, name)).name == name
        assert name in dir(generators)
    assert "gamma" in listed.loc["panel_fp2024", "parameters"]
    assert generators.list is list_generators


def test_unknown_generator_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'panel_fp2025'"):
        generators.panel_fp2025  # noqa: B018  the access is the test

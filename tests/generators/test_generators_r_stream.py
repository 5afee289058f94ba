"""R's random numbers, against numbers that R prints."""

import numpy as np
import pytest

from causalkit.errors import ArgumentError
from causalkit.generators.r_stream import RStream

# set.seed(k); runif(3) and set.seed(k); rnorm(3), as every R since 1.7 prints them: seven digits of
# the former, fifteen of the latter, for a normal number uses 59 bits.
UNIFORM = {42: (0.9148060, 0.9370754, 0.2861395), 123: (0.2875775, 0.7883051, 0.4089769)}
NORMAL = {
    1: (-0.626453810742332, 0.183643324222082, -0.835628612410047),
    42: (1.37095844714667, -0.564698171396089, 0.363128411337339),
    123: (-0.560475646552213, -0.23017748948328, 1.55870831414912),
}


@pytest.mark.parametrize("seed", UNIFORM)
def test_uniform_numbers_are_those_of_runif(seed):
    np.testing.assert_allclose(RStream(seed).uniforms(3), UNIFORM[seed], rtol=0, atol=5e-8)


@pytest.mark.parametrize("seed", NORMAL)
def test_normal_numbers_are_those_of_rnorm(seed):
    np.testing.assert_allclose(RStream(seed).normals(3), NORMAL[seed], rtol=0, atol=2e-14)


def test_numbers_do_not_depend_on_how_many_are_asked_for_at_a_time():
    whole = RStream(7).uniforms(1500)
    parts = RStream(7)
    np.testing.assert_array_equal(
        whole, np.concatenate([parts.uniforms(n) for n in (1, 623, 1, 875)])
    )
    assert whole.min() > 0.0
    assert whole.max() < 1.0


def test_the_global_stream_is_left_alone_and_seeds_are_counts():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global stream must have no say
    RStream(0).normals(5)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    with pytest.raises(ArgumentError, match="seed must be at least 0, got -1"):
        RStream(-1)

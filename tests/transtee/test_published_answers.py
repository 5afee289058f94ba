"""Averages of real data lie where those who published them found them."""

import pytest

import causalkit as ck


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nsw", "nhefs"])
def test_the_average_is_within_a_standard_error_of_the_published_one(name):
    data = ck.load_dataset(name)
    published, apart = data.published["estimate"], data.published["std_error"]
    naive = data.published["others"].get("naive")
    assert naive is None or abs(naive["estimate"] - published) > apart
    found = ck.TransTEE(random_state=0).fit(data).estimate()
    assert abs(found.estimate - published) < apart
    assert found.std_error == pytest.approx(apart, rel=0.1)

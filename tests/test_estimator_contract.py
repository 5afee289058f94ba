"""What every registered estimator promises: cloning, parameters, one seed, and pickles of fits."""

import pickle
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import causalkit as ck
from causalkit.registry import ESTIMATORS, load

pytestmark = [
    pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

NETWORK = {"max_epochs": 2, "n_ensemble": 1, "n_folds": 2}
TRIAL = {"propensity": 0.5, "split": (0.4, 0.2, 0.4)}
MODES = {"inference": "map", "n_ensemble": 2, "n_restarts": 1}


@dataclass(frozen=True)
class Case:
    """The smallest fit of an estimator: data, settings, optional packages, numbers to compare."""

    data: str
    settings: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    by_row: bool = False


CASES = {
    "dragonnet": Case("cross_section", NETWORK, ("torch",), by_row=True),
    "drnet": Case("doses", NETWORK, ("torch",)),
    "embedding-effect-clusters": Case("embeddings", TRIAL | MODES, ("torch",), by_row=True),
    "image-causal-forest": Case("images", TRIAL | {"n_trees": 8}, ("torch", "econml"), by_row=True),
    "image-effect-clusters": Case(
        "images", TRIAL | MODES | {"encoder": "filters", "epochs": 1}, ("torch",), by_row=True
    ),
    "invalid-iv": Case("instrument", {"learners": "linear", "n_folds": 2}),
    "panel-dml": Case("panel", {"learner": "linear", "n_folds": 2}),
    "panel-regression": Case("panel"),
    "tarnet": Case("cross_section", NETWORK, ("torch",), by_row=True),
    "transtee": Case("cross_section", NETWORK | {"d_model": 8}, ("torch",), by_row=True),
    "vcnet": Case("doses", NETWORK, ("torch",)),
}
MAKERS = {
    "doses": lambda: ck.generators.dose_synthetic(0, n=150),
    "embeddings": lambda: ck.generators.embedding_rct(0, n=250),
    "images": lambda: ck.generators.image_rct(0, n_images=250),
    "instrument": lambda: ck.generators.invalid_iv(0, n=400),
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def name(request):
    for package in CASES[request.param].needs:
        pytest.importorskip(package, reason=f"{request.param} needs {package}")
    return request.param


@pytest.fixture(scope="module")
def data(name, request):
    source = CASES[name].data
    return MAKERS[source]().blind() if source in MAKERS else request.getfixturevalue(source)


def small(name):
    """Estimator with tiny settings, and a seed if it draws anything."""
    cls = load("estimator", name, ESTIMATORS)
    seed = {"random_state": 7} if "random_state" in cls().get_params() else {}
    return cls(**(CASES[name].settings | seed))


@pytest.fixture(scope="module")
def fitted(name, data):
    return small(name).fit(data)


def numbers(name, estimator, data):
    """Estimates with their errors, and the effects of the rows where there are some."""
    again = {"data": data} if "data" in signature(estimator.estimate).parameters else {}
    result = estimator.estimate(**again)
    effects = [np.ravel(estimator.effect(data)["effect"])] if CASES[name].by_row else []
    return np.concatenate([result.estimates, result.std_errors, *effects])


def test_every_registered_estimator_has_a_case_here():
    assert CASES.keys() == ESTIMATORS.keys()


def test_defaults_make_an_estimator_and_cloning_keeps_what_it_was_given(name):
    for estimator in (load("estimator", name, ESTIMATORS)(), small(name)):
        again = clone(estimator)
        assert again is not estimator
        assert again.get_params() == estimator.get_params()


def test_parameters_are_stored_as_given_and_can_be_set_from_those_of_another(name):
    given = small(name).get_params(deep=False)
    other = load("estimator", name, ESTIMATORS)().set_params(**given)
    assert other.get_params(deep=False) == given
    for parameter, value in given.items():
        assert getattr(other, parameter) is value
    with pytest.raises(ValueError, match="no_such_parameter"):
        other.set_params(no_such_parameter=1)


def test_fitting_changes_no_parameter(name, fitted):
    assert fitted.get_params(deep=False) == small(name).get_params(deep=False)


def test_one_seed_gives_the_same_numbers_twice(name, data, fitted):
    again = clone(fitted).fit(data)
    np.testing.assert_array_equal(numbers(name, again, data), numbers(name, fitted, data))


def test_a_pickle_of_a_fit_gives_the_same_estimates(name, data, fitted):
    expected = numbers(name, fitted, data)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(numbers(name, again, data), expected)

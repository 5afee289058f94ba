"""The released recipe of ``benchmarks/transtee_released.py`` has the traits of the release."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import causalkit as ck  # noqa: E402
from benchmarks import transtee_released as released  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(0)
    return released.Released(25, released.Recipe())


def test_it_has_3597_parameters_of_which_six_never_learn(model):
    assert sum(p.numel() for p in model.parameters()) == 3597
    model(torch.randn(8, 25), torch.rand(8)).sum().backward()
    assert sum(p.numel() for p in model.parameters() if p.grad is None) == 6


def test_the_order_of_covariates_means_nothing_before_training(model):
    x, t = torch.randn(8, 25), torch.rand(8)
    gap = model(x, t) - model(x[:, torch.randperm(25)], t)
    assert gap.abs().max() < 1e-6


def test_the_schedule_is_that_of_the_whole_recipe_where_it_is_cut_short(monkeypatch):
    rates = []
    step = torch.optim.lr_scheduler.CosineAnnealingLR.step

    def watched(self, *args):
        step(self, *args)
        rates.extend(self.get_last_lr())

    monkeypatch.setattr(torch.optim.lr_scheduler.CosineAnnealingLR, "step", watched)
    rng = np.random.default_rng(0)
    x, t, y = rng.standard_normal((64, 3)), rng.random(64), rng.standard_normal(64)
    released.train(x, t, y, released.Recipe(epochs=100), seed=0, epochs=10)
    expected = 5e-4 * 0.5 * (1 + np.cos(np.pi * np.arange(11) / 100))
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_an_oracle_has_no_error_and_a_network_that_diverged_has_nan():
    data = released.draw("synthetic", 1)

    def oracle(test, doses):
        return test.truth.unit_response(doses)

    # The released error averages the truth over all rows and the prediction over those of the test.
    assert released.error("synthetic", data, oracle) < 0.01
    nothing = released.error(
        "synthetic", data, lambda test, t: np.full((len(test), len(t)), np.nan)
    )
    assert np.isnan(nothing)


@pytest.mark.slow
def test_effects_of_infants_are_found_as_well_as_small_first_tokens_find_them():
    # Geometric mean of √PEHE .39, and .48 where tokens began thrice as long, beneath norms; on
    # replications that the evidence does not use.
    datasets = [released.draw("binary", number) for number in range(101, 109)]
    fits = ck.TransTEE.fit_many([released.parts(d)[0] for d in datasets], random_state=0)
    errors = released.binary_errors(fits, datasets)
    assert np.exp(np.mean(np.log(errors))) < 0.43

"""Selection where half of the candidates are wrong, and wrong ones of two nuisances lose less."""

from dataclasses import dataclass

import iv_candidates as candidates
import numpy as np
import pytest

import causalkit as ck
from causalkit.iv import selection

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning"),
]
N_SIM, N = 60, 3000


@dataclass(frozen=True)
class Draws:
    """Over replications: estimates of all combinations, what was chosen, and the smooth one."""

    every: np.ndarray
    chosen: dict
    smooth: np.ndarray

    def of(self, rule):
        """Estimates of the combinations that a rule chose."""
        return np.array([one[k] for one, k in zip(self.every, self.chosen[rule], strict=True)])


@pytest.fixture(scope="module")
def draws():
    # Without calibration, which mends some wrong candidates: nothing but selection protects here.
    every, smooth = [], []
    chosen = {"minimax": [], "mixed-minimax": [], "loss": []}
    for seed in range(N_SIM):
        fit = ck.InvalidIV(
            learners=candidates.learners(),
            basis=None,
            n_folds=2,
            calibrate=False,
            random_state=0,
        ).fit(candidates.sample(seed, N))
        found = fit.fit_.selection
        every.append(found.parts.estimates)
        chosen["minimax"].append(found.choice)
        chosen["mixed-minimax"].append(selection.choose(found.risks, "mixed-minimax"))
        chosen["loss"].append(tuple(found.pools[name].best for name in selection.AXES))
        rng = np.random.default_rng(seed)
        by_block = found.parts.by_block
        variance = selection.smoothed_variance(by_block, "minimax", rng=rng, n_boot=20)
        smooth.append((selection.smoothed(by_block, "minimax")[0], variance))
    return Draws(np.stack(every), chosen, np.array(smooth))


def error_of_mean(values):
    return values.std(ddof=1) / np.sqrt(values.size)


def sufficient(choice):
    pi, mu, omega, effect = (k < candidates.N_RIGHT for k in choice)
    return (pi and mu) or (effect and (mu or omega))


@pytest.mark.parametrize("criterion", ["minimax", "mixed-minimax"])
def test_the_selected_combination_holds_a_sufficient_set_of_right_models(draws, criterion):
    # Half of all combinations do. 54 of 60 have a chance of 1e-10 if the choice were blind.
    assert sum(map(sufficient, draws.chosen[criterion])) >= 54


def test_the_loss_prefers_wrong_models_and_is_far_off(draws):
    # Without this a selection by loss would pass for one by the estimate.
    by_loss = draws.of("loss")
    assert sum(map(sufficient, draws.chosen["loss"])) <= 6
    assert abs(by_loss.mean() - candidates.ATE) > 8.0 * error_of_mean(by_loss)


@pytest.mark.parametrize("criterion", ["minimax", "mixed-minimax"])
def test_the_selected_estimate_is_unbiased_where_others_are_not(draws, criterion):
    # A5. Beyond 4 Monte-Carlo errors: chance 6e-5.
    selected, by_loss = draws.of(criterion), draws.of("loss")
    bias = abs(selected.mean() - candidates.ATE)
    assert bias < 4.0 * error_of_mean(selected)
    assert bias <= abs(by_loss.mean() - candidates.ATE) + 2.0 * error_of_mean(selected)
    every = abs(draws.every.mean(axis=0) - candidates.ATE)
    assert bias <= np.median(every) / 3.0
    assert np.quantile(every, 0.75) > 0.2


def test_the_smooth_estimate_is_as_variable_as_its_bootstrap_says(draws):
    # The ratio has a Monte-Carlo error of 1/sqrt(2 * 60) = 9 %: 4 of them each way.
    estimate, variance = draws.smooth.T
    assert abs(estimate.mean() - candidates.ATE) < 4.0 * error_of_mean(estimate)
    ratio = np.sqrt(variance.mean()) / estimate.std(ddof=1)
    assert abs(ratio - 1.0) < 4.0 / np.sqrt(2 * N_SIM)

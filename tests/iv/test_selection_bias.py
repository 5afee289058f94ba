"""Selection where half of the candidates are wrong: bias of what it chooses, spread if smooth."""

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
    # Calibration would mend most wrong candidates (their median departure falls to .04), and leave
    # selection little to do.
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
        for criterion in ("minimax", "mixed-minimax"):
            chosen[criterion].append(selection.choose(found.risks, criterion))
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


@pytest.mark.parametrize("criterion", ["minimax", "mixed-minimax"])
def test_the_selected_estimate_is_unbiased_beside_the_median_combination(draws, criterion):
    # A5. Departures are from the first, right model of everything in the same sample, which takes
    # out the noise that combinations share. Beyond 4 Monte-Carlo errors: chance 6e-5.
    selected, by_loss = draws.of(criterion), draws.of("loss")
    bias = abs(selected.mean() - candidates.ATE)
    assert bias < 4.0 * error_of_mean(selected)
    assert bias <= abs(by_loss.mean() - candidates.ATE) + 2.0 * error_of_mean(selected)
    right = draws.every[:, 0, 0, 0, 0]
    departures = (draws.every - right[:, None, None, None, None]).mean(axis=0)
    assert abs((selected - right).mean()) <= np.median(abs(departures)) / 3.0
    assert np.quantile(abs(departures), 0.75) > 0.2


def test_the_smooth_estimate_is_as_variable_as_its_bootstrap_says(draws):
    # The ratio has a Monte-Carlo error of 1/sqrt(2 * 60) = 9 %: 4 of them each way.
    estimate, variance = draws.smooth.T
    assert abs(estimate.mean() - candidates.ATE) < 4.0 * error_of_mean(estimate)
    ratio = np.sqrt(variance.mean()) / estimate.std(ddof=1)
    assert abs(ratio - 1.0) < 4.0 / np.sqrt(2 * N_SIM)

"""Selection among candidates: sums and pseudo-risks by brute force, counted fits, failures."""

from collections import Counter
from itertools import product
from typing import ClassVar

import iv_designs as designs
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression

import causalkit as ck
from causalkit.errors import CausalKitWarning
from causalkit.iv import selection

SETS = {"M1": (0, 1), "M2": (0, 2, 3), "M3": (1, 3), "M4": (2, 3)}


def some_predictions(rng, n, shape=(2, 3, 2, 2)):
    n_pi, n_mu, n_omega, n_beta = shape
    return selection.Predictions(
        pi=rng.uniform(0.2, 0.8, (n_pi, n)),
        mu=rng.uniform(0.1, 0.9, (n_mu, n)),
        delta_v=rng.choice([-1, 1], (n_mu, n)) * rng.uniform(0.1, 0.2, (n_mu, n)),
        eta=rng.standard_normal((n_omega, n)),
        exposure=rng.uniform(0.1, 0.9, (n_omega, n)),
        beta=rng.standard_normal((n_beta, n)),
        rho=rng.standard_normal((n_beta, n)),
    )


def combinations(shape):
    return product(*(range(size) for size in shape))


@pytest.mark.parametrize("chunk", [7, 4096])
def test_sums_by_block_equal_a_loop_over_all_combinations(chunk, monkeypatch):
    monkeypatch.setattr(selection, "_CHUNK", chunk)
    rng = np.random.default_rng(1)
    n, n_blocks = 60, 4
    y, a, z = rng.standard_normal(n), rng.integers(0, 2, n), rng.integers(0, 2, n).astype(float)
    hats, block = some_predictions(rng, n), rng.integers(0, n_blocks, n)
    weights, kept = rng.uniform(0.5, 2.0, n), rng.random(n) < 0.8
    found = selection.block_sums(
        y, a, z, hats, block=block, n_blocks=n_blocks, weights=weights, kept=kept
    )
    for i, j, k, m in combinations(hats.shape):
        f = np.where(z == 1, hats.pi[i], 1 - hats.pi[i])
        omega = hats.eta[k] - hats.beta[m] * hats.exposure[k]
        residual = (a - hats.mu[j]) * (y - hats.beta[m] * a - omega) - hats.rho[m]
        phi = hats.beta[m] + (2 * z - 1) / (f * hats.delta_v[j]) * residual
        for b in range(n_blocks):
            rows = (block == b) & kept
            expected = (weights * phi)[rows].sum() / weights[kept].sum()
            assert found[b, i, j, k, m] == pytest.approx(expected, rel=1e-10, abs=1e-12)


def agreeing(shape, here, members):
    return (k for k in combinations(shape) if all(k[axis] == here[axis] for axis in members))


@pytest.mark.parametrize(("n_rep", "even"), [(1, True), (3, True), (1, False)])
def test_pseudo_risks_equal_a_loop_over_sets_combinations_and_rivals(n_rep, even):
    rng = np.random.default_rng(2)
    shape, n_blocks = (2, 3, 2, 2), 6
    by_fold = tuple(rng.standard_normal((4, *shape)) for _ in range(n_rep))
    by_block = rng.standard_normal((n_blocks, *shape)) + rng.standard_normal(shape)
    share = np.ones(n_blocks) if even else np.array([0.2, 0.4, 0.6, 1.0, 1.8, 2.0])
    parts = selection.Contributions(by_fold, by_block, None if even else share)
    found = selection.pseudo_risks(parts)
    splits = np.concatenate(by_fold)
    for name, members in SETS.items():
        for here in combinations(shape):
            raw, corrected = 0.0, 0.0
            for there in agreeing(shape, here, members):
                change = splits[(slice(None), *there)] - splits[(slice(None), *here)]
                raw = max(raw, (change**2).mean())
                change = by_block[(slice(None), *there)] - by_block[(slice(None), *here)]
                # Of a ratio of sums: contributions less the block's share of the mean.
                noise = ((change - change.mean() * share) ** 2).sum() / (n_blocks * (n_blocks - 1))
                corrected = max(corrected, change.mean() ** 2 - noise)
            assert found.raw[name][here] == pytest.approx(raw, rel=1e-10)
            assert found.corrected[name][here] == pytest.approx(corrected, rel=1e-9, abs=1e-12)


def risks(corrected, raw):
    shape = (len(corrected), 1, 1, 1)
    return selection.PseudoRisks(
        {"M1": np.reshape(raw, shape), "M2": np.zeros(shape)},
        {"M1": np.reshape(corrected, shape), "M2": np.reshape(corrected[::-1], shape)},
    )


def test_minimax_takes_the_worst_set_and_mixed_minimax_the_sum():
    # Worst of (5, 0), (2, 2.9), (2.9, 2), (0, 5): the middle two; sums 5, 4.9, 4.9, 5.
    found = risks([5.0, 2.0, 2.9, 0.0], [0.0, 2.0, 1.0, 0.0])
    np.testing.assert_allclose(found.criterion("minimax").ravel(), [5.0, 2.9, 2.9, 5.0])
    np.testing.assert_allclose(found.criterion("mixed-minimax").ravel(), [5.0, 4.9, 4.9, 5.0])
    lopsided = risks([4.0, 0.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0])
    assert selection.choose(lopsided, "minimax") == (1, 0, 0, 0)
    assert selection.choose(lopsided, "mixed-minimax") == (1, 0, 0, 0)


def test_ties_of_the_corrected_criterion_go_to_the_smaller_raw_one():
    assert selection.choose(risks([0.0, 0.0, 0.0], [3.0, 1.0, 2.0]), "minimax") == (1, 0, 0, 0)


def noisy_and_bent(rng, l1, l2, z, true):
    """Two candidates each: the truth with noise of its own, and a smooth error of smaller size."""

    def noise(size):
        return size * rng.choice([-1.0, 1.0], l1.size)

    bend = np.sin(2.0 * l1 + 0.3)
    mu, eta = designs.received(z, true.mu), designs.received(z, true.eta)
    side = np.where(z == 1.0, 1.0, -1.0)
    return selection.Predictions(
        pi=np.stack([true.pi + noise(0.15), true.pi + 0.15 * bend]),
        mu=np.stack([mu + noise(0.09), mu + 0.09 * bend]),
        delta_v=np.stack([true.delta_v, true.delta_v]),
        eta=np.stack([eta + noise(0.9), eta + 0.9 * side * bend]),
        exposure=np.stack([mu, mu]),
        beta=np.stack([true.beta + noise(1.2), true.beta + 1.2 * bend]),
        rho=np.stack([true.rho, true.rho]),
    )


@pytest.mark.parametrize("criterion", ["minimax", "mixed-minimax"])
def test_selection_sees_an_error_that_makes_the_out_of_fold_loss_smaller(criterion):
    # A5. Noise of a candidate costs loss and averages out of the effect; a smooth error of smaller
    # size costs less loss and, times that of another nuisance, does not.
    rng = np.random.default_rng(10)
    l1, l2, z, a, y = designs.draw(rng, 40_000)
    true = designs.truth_at(l1, l2)
    hats = noisy_and_bent(rng, l1, l2, z, true)
    product = (a - designs.received(z, true.mu)) * (y - designs.received(z, true.eta))
    variance = designs.received(z, true.variance)
    losses = [
        -np.log(np.where(z == 1.0, hats.pi, 1.0 - hats.pi)).mean(axis=1),
        ((a - hats.mu) ** 2).mean(axis=1),
        ((y - hats.eta) ** 2).mean(axis=1),
        ((product - hats.beta * variance - hats.rho) ** 2).mean(axis=1),
    ]
    by_loss = tuple(int(np.argmin(loss)) for loss in losses)
    assert by_loss == (1, 1, 1, 1)
    block = rng.integers(0, selection.N_BLOCKS, z.size)
    by_block = selection.N_BLOCKS * selection.block_sums(
        y, a, z, hats, block=block, n_blocks=selection.N_BLOCKS
    )
    parts = selection.Contributions((by_block,), by_block)
    choice = selection.choose(selection.pseudo_risks(parts), criterion)
    pi, mu, omega, effect = (k == 0 for k in choice)
    assert (pi and mu) or (effect and (mu or omega))
    estimates = parts.estimates
    assert abs(estimates[by_loss] - designs.ATE) > 0.2
    assert abs(estimates[choice] - designs.ATE) < 4.0 * error_of(by_block[(slice(None), *choice)])


def error_of(blocks):
    return blocks.std(ddof=1) / np.sqrt(blocks.size)


def test_blocks_keep_groups_together_and_are_even():
    groups = np.random.default_rng(3).integers(0, 200, 2000)
    block = selection.random_blocks(groups, rng=np.random.default_rng(4))
    assert all(np.unique(block[groups == g]).size == 1 for g in np.unique(groups))
    assert np.unique(block).size == selection.N_BLOCKS


class Counting(BaseEstimator):
    """Counts the fits of each tag."""

    fits: ClassVar[Counter] = Counter()

    def __init__(self, tag="", alpha=0.0):
        self.tag = tag
        self.alpha = alpha

    def count(self):
        self.fits[self.tag] += 1


class CountingMean(Counting, LinearRegression):
    def __init__(self, tag="", alpha=0.0):
        LinearRegression.__init__(self)
        Counting.__init__(self, tag, alpha)

    def fit(self, x, y, sample_weight=None):
        self.count()
        return super().fit(x, y, sample_weight)


class CountingShare(Counting, LogisticRegression):
    def __init__(self, tag="", alpha=0.0):
        LogisticRegression.__init__(self)
        Counting.__init__(self, tag, alpha)

    def fit(self, x, y, sample_weight=None):
        self.count()
        return super().fit(x, y, sample_weight)


def counted(n_candidates, n_folds=2):
    Counting.fits.clear()
    kinds = {
        "instrument": CountingShare,
        "treatment": CountingShare,
        "outcome": CountingMean,
        "effect": CountingMean,
    }
    learners = {
        name: [kind(f"{name} {k}") for k in range(n_candidates)] for name, kind in kinds.items()
    }
    data = designs.as_data(*designs.draw(np.random.default_rng(5), 1000))
    fit = ck.InvalidIV(learners=learners, n_folds=n_folds, basis=None, random_state=0).fit(data)
    return fit, dict(Counting.fits)


def test_every_candidate_is_fitted_once_per_fold_and_never_per_combination():
    # By arm: μ; η and E[A | z, L] for ω. Effect: C_z by arm, and β directly.
    per_fold = {"instrument": 1, "treatment": 2, "outcome": 4, "effect": 3}
    for n_candidates in (1, 3):
        fit, fits = counted(n_candidates)
        assert fits == {
            f"{name} {k}": 2 * times
            for name, times in per_fold.items()
            for k in range(n_candidates)
        }
        assert fit.fit_.selection.n_fits == sum(fits.values())


def test_a_learner_of_both_treatment_and_outcome_is_not_fitted_twice_to_the_treatment():
    # Two folds: π once; μ, η and C_z by arm; β once. E[A | z, L] for ω is μ of the same learner.
    data = designs.as_data(*designs.draw(np.random.default_rng(9), 1000))
    fit = ck.InvalidIV(
        learners=["linear"], basis=None, n_folds=2, trim_delta_v=0.0, random_state=0
    ).fit(data)
    assert fit.fit_.selection.n_fits == 2 * (1 + 2 + 2 + 2 + 1)


class Fails(LinearRegression):
    def fit(self, *_, **__):
        raise RuntimeError("no luck today")


def test_a_candidate_that_fails_is_left_out_and_reported():
    data = designs.as_data(*designs.draw(np.random.default_rng(6), 1000))
    learners = {name: ["linear"] for name in ("instrument", "treatment", "outcome")}
    learners["effect"] = [LinearRegression(), Fails()]
    common = {"basis": None, "n_folds": 2, "trim_delta_v": 0.0, "random_state": 0}
    words = "Fails for the effect failed and is left out .*no luck today"
    with pytest.warns(CausalKitWarning, match=words):
        fit = ck.InvalidIV(learners=learners, **common).fit(data)
    table = fit.candidates().set_index(["nuisance", "learner"])
    assert "no luck today" in table.loc[("effect", "Fails"), "failure"]
    assert not table.loc[("effect", "Fails"), "selected"]
    assert any("no luck today" in warning for warning in map(str, fit.result_.warnings))
    without = ck.InvalidIV(learners=learners | {"effect": [LinearRegression()]}, **common).fit(data)
    assert fit.result_.estimate == without.result_.estimate


def test_an_effect_candidate_that_fails_in_one_of_its_two_ways_keeps_the_other_and_says_so():
    # It learns C_z by arm and fails where it sees both arms, as the direct regression does.
    class FailsOnAll(LinearRegression):
        def fit(self, x, y, sample_weight=None):
            if len(x) > 450:
                raise RuntimeError("too many rows")
            return super().fit(x, y, sample_weight)

    data = designs.as_data(*designs.draw(np.random.default_rng(6), 1000))
    learners = {name: ["linear"] for name in ("instrument", "treatment", "outcome")}
    learners["effect"] = ["linear", FailsOnAll()]
    with pytest.warns(CausalKitWarning, match=r"FailsOnAll .* by arm alone: .*too many rows"):
        fit = ck.InvalidIV(learners=learners, basis=None, n_folds=2, random_state=0).fit(data)
    assert fit.fit_.selection.pools["effect"].labels == ("linear", "FailsOnAll")
    assert any("by arm alone" in warning for warning in map(str, fit.result_.warnings))


def test_the_variance_of_a_continuous_treatment_is_learned_by_the_candidate_of_least_loss():
    class Flat(LinearRegression):
        def fit(self, x, y, sample_weight=None):
            return super().fit(np.zeros_like(x), y, sample_weight)

    data = ck.generators.invalid_iv(5, n=800, exposure="continuous").blind()
    plain = {name: ["linear"] for name in ("instrument", "outcome", "effect")}
    common = {"basis": None, "n_folds": 2, "random_state": 0}

    def fit(*treatment):
        learners = plain | {"treatment": list(treatment)}
        return ck.InvalidIV(learners=learners, **common).fit(data).fit_.fitted.hats.delta_v

    alone = fit(LinearRegression())
    np.testing.assert_array_equal(fit(Flat(), LinearRegression()), alone)
    with pytest.warns(CausalKitWarning, match="no luck today"):
        np.testing.assert_array_equal(fit(Fails(), LinearRegression()), alone)


def test_losses_of_candidates_count_rows_by_their_weight():
    sample = designs.draw(np.random.default_rng(8), 1000)
    weights = np.random.default_rng(9).uniform(0.5, 1.5, 1000)
    data = designs.as_data(*sample, weights=weights, weight_kind="sampling")
    fit = ck.InvalidIV(learners=["linear"], basis=None, n_folds=2, random_state=0).fit(data)
    seen = fit.augment()
    z, y = (data.frame[name].to_numpy() for name in "zy")
    eta = designs.received(z, [seen[f"outcome:{arm}_hat"].to_numpy() for arm in (0, 1)])
    loss = fit.candidates().set_index("nuisance")["loss"]
    assert loss["outcome"] == pytest.approx(np.average((y - eta) ** 2, weights=weights))
    assert abs(loss["outcome"] / np.mean((y - eta) ** 2) - 1.0) > 1e-4


def test_the_table_of_candidates_shows_losses_risks_and_the_choice():
    data = designs.as_data(*designs.draw(np.random.default_rng(7), 1000))
    fit = ck.InvalidIV(
        learners=["linear", "ridge"], basis=None, n_folds=2, trim_delta_v=0.0, random_state=0
    ).fit(data)
    table = fit.candidates()
    assert table.groupby("nuisance").size().to_dict() == dict.fromkeys(selection.AXES, 2)
    for flag in ("selected", "chosen_by_loss"):
        assert table.groupby("nuisance")[flag].sum().tolist() == [1, 1, 1, 1]
    best = table.loc[table.groupby("nuisance")["loss"].idxmin()]
    assert best["chosen_by_loss"].all()
    parts, choice = fit.fit_.selection.parts, fit.fit_.selection.choice
    assert parts.estimates[choice] == pytest.approx(fit.result_.estimate, rel=1e-9)


@pytest.mark.parametrize("criterion", ["minimax", "mixed-minimax"])
def test_the_estimate_is_that_of_the_combination_that_the_criterion_chooses(criterion):
    # A sample in which both criteria and the losses each choose another combination.
    data = designs.as_data(*designs.draw(np.random.default_rng(3), 1000))
    fit = ck.InvalidIV(
        learners=["linear", "ridge", "lasso"],
        basis=None,
        n_folds=2,
        criterion=criterion,
        trim_delta_v=0.0,
        random_state=0,
    ).fit(data)
    found = fit.fit_.selection
    rules = [selection.choose(found.risks, rule) for rule in ("minimax", "mixed-minimax")]
    by_loss = tuple(found.pools[name].best for name in selection.AXES)
    assert len({*rules, by_loss}) == 3
    assert found.choice == rules[criterion == "mixed-minimax"]
    assert fit.result_.estimate == pytest.approx(found.parts.estimates[found.choice], rel=1e-9)


def test_the_log_loss_and_squared_loss_of_candidates_are_out_of_fold():
    data = designs.as_data(*designs.draw(np.random.default_rng(8), 1000))
    fit = ck.InvalidIV(learners=["linear"], basis=None, n_folds=2, random_state=0).fit(data)
    seen, sample = fit.augment(), fit.fit_.sample
    frame = seen.set_index("row").loc[sample.rows]
    p = frame["instrument_hat"].to_numpy()
    z = sample.z[:, 0]
    eta = designs.received(z, [frame[f"outcome:{arm}_hat"].to_numpy() for arm in (0, 1)])
    loss = fit.candidates().set_index("nuisance")["loss"]
    assert loss["instrument"] == pytest.approx(-np.mean(np.log(np.where(z == 1, p, 1 - p))))
    assert loss["outcome"] == pytest.approx(np.mean((sample.y - eta) ** 2))

"""The Anderson-Rubin set of InvalidIV: its formula, its orthogonality, its shapes and its level."""

import re

import iv_designs as designs
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import causalkit as ck
from causalkit.errors import WeakIdentificationWarning
from causalkit.inference.solve import solve_linear
from causalkit.iv.influence import Products, variance_weighted

PLAIN = {"learners": "linear", "basis": None, "n_folds": 2, "random_state": 0}
ANY = "ignore::causalkit.errors.CausalKitWarning"


def fit(data, predictions=None, **arguments):
    made = ck.InvalidIV(**({"method": "debiased"} | PLAIN | arguments))
    return made.fit(data, predictions=predictions)


def one_instrument(seed, weak, n=800):
    return ck.generators.invalid_iv(seed, n=n, weak=weak, effect="constant").blind()


def two_instruments(seed, move, n=800):
    """Effect 1; each instrument adds so much to the variance of the exposure."""
    rng = np.random.default_rng(seed)
    l1, u = rng.uniform(-1.0, 1.0, (2, n))
    z1, z2 = (rng.random((2, n)) < 0.5).astype(float)
    a = 1.0 + 0.5 * l1 + 0.5 * u + np.sqrt(0.5 + move * (z1 + z2)) * rng.standard_normal(n)
    y = a + 1.5 * u + 0.7 * z1 - 0.5 * z2 + 0.3 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "a": a, "z": z1, "z2": z2, "l1": l1})
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments=["z", "z2"], covariates="l1"
    )


def wrong_everywhere(l1, l2):
    """Nuisances from elsewhere, all wrong: a part that is left out of the formula then shows."""
    true, bend = designs.truth_at(l1, l2), np.sin(2.0 * l1 + 0.3)
    given = {"instrument": true.pi + 0.1 * bend}
    for arm in (0, 1):
        given |= {
            f"treatment:{arm}": true.mu[arm] + 0.03 * bend,
            f"outcome:{arm}": true.eta[arm] + 0.4 * bend - 0.2 * arm,
            f"product:{arm}": 0.3 + 0.2 * l2 - 0.1 * arm,
        }
    return given


def products_of(found, y, a, z):
    """P − E[P | L], Q − E[Q | L] and Z − π (or V − E[V | L]) from the predictions of a fit."""
    seen = found.augment()
    hat = {name[:-4]: seen[name].to_numpy() for name in seen if name.endswith("_hat")}
    if "variance mean" in hat:
        mu, mean_square = hat["treatment"], hat["variance mean"]
        outcome = (a - mu) * (y - hat["outcome"]) - hat["product"]
        return outcome, (a - mu) ** 2 - mean_square, hat["variance"] - mean_square

    def arms(name):
        return hat[f"{name}:0"], hat[f"{name}:1"]

    pi, (low, high) = hat["instrument"], arms("treatment")
    mu = designs.received(z, (low, high))
    mean_square = (1.0 - pi) * low * (1.0 - low) + pi * high * (1.0 - high)
    if "outcome:0" in hat:
        eta = designs.received(z, arms("outcome"))
    else:
        place = np.argsort(found.fit_.sample.rows)
        hats = found.fit_.fitted.hats
        eta = (hats.omega + hats.beta * hats.mu)[place, 0]
    if "product:0" in hat:
        mean_product = (1.0 - pi) * hat["product:0"] + pi * hat["product:1"]
    else:
        mean_product = hat["effect"] * mean_square + hat["confounding"]
    return (a - mu) * (y - eta) - mean_product, (a - mu) ** 2 - mean_square, z - pi


def closed_form(outcome, treatment, instrument, *, level):
    """Statistic as a function of δ, and the roots of the quadratic in δ that ends the set."""
    total = (instrument**2).sum()
    up = [(instrument * part).sum() for part in (outcome, treatment)]
    rest = [
        instrument * (part - instrument * slope / total)
        for part, slope in zip((outcome, treatment), up, strict=True)
    ]
    square, cross, other = (rest[0] ** 2).sum(), (rest[0] * rest[1]).sum(), (rest[1] ** 2).sum()

    def statistic(delta):
        return (up[0] - delta * up[1]) ** 2 / (square - 2.0 * delta * cross + delta**2 * other)

    c = stats.f.ppf(level, 1, outcome.size - 1)
    quadratic = [up[1] ** 2 - c * other, 2.0 * (c * cross - up[0] * up[1]), up[0] ** 2 - c * square]
    return statistic, np.sort(np.roots(quadratic))


def sample_and_fit(kind):
    if kind == "several":
        data = two_instruments(1, 1.0)
        return data, fit(data, ssc="none")
    l1, l2, *rest = designs.draw(np.random.default_rng(40), 1500)
    data = designs.as_data(l1, l2, *rest)
    if kind == "debiased":
        return data, fit(data, wrong_everywhere(l1, l2), ssc="none")
    if kind == "parametric":
        return data, ck.InvalidIV(method=kind, ssc="none").fit(data)
    return data, fit(data, method=kind, ssc="none")


@pytest.mark.parametrize("kind", ["debiased", "selective", "parametric", "several"])
def test_the_set_inverts_the_test_of_the_orthogonal_moment(kind):
    data, found = sample_and_fit(kind)
    y, a, z = (data.frame[name].to_numpy(dtype=float) for name in "yaz")
    products = products_of(found, y, a, z)
    statistic, roots = closed_form(*products, level=0.9)
    for delta in (-0.5, 0.0, 1.0, 4.0):
        test = found.anderson_rubin(null=delta).test
        assert test.statistic == pytest.approx(statistic(delta), rel=1e-8)
        assert test.p_value == pytest.approx(stats.f.sf(statistic(delta), 1, y.size - 1), rel=1e-6)
    ((low, high),) = found.conf_int(0.9, kind="anderson-rubin").intervals
    assert [low, high] == pytest.approx(roots, rel=1e-6)
    # The parametric method solves for the effect with its nuisances, not after them.
    centre = (products[2] @ products[0]) / (products[2] @ products[1])
    near = 0.05 if kind == "parametric" else 1e-8
    assert found.estimate("variance-weighted").estimate == pytest.approx(centre, rel=near)


def moved_products(step, names, *, centred=True):
    """Products on the exact population, with some nuisances moved from the truth."""
    l1, l2, z, a, y, _ = designs.population()
    true = designs.truth_at(l1, l2)
    first, second = np.sin(2.0 * l1 + 0.3) + 0.4 * l2, np.cos(l1 - 2.0 * l2) + 0.2
    size = {name: step * (name in names) for name in ("pi", "mu", "eta", "product", "square")}
    mu = designs.received(z, true.mu) + 0.05 * size["mu"] * (first + z * second)
    eta = designs.received(z, true.eta) + size["eta"] * (second - z * first)
    square = true.pi * true.variance[1] + (1.0 - true.pi) * true.variance[0]
    product = true.beta * square + true.rho + size["product"] * second
    square = square + 0.1 * size["square"] * first
    return Products(
        ((a - mu) * (y - eta) - centred * product)[:, None],
        ((a - mu) ** 2 - centred * square)[:, None],
        (z - true.pi - 0.1 * size["pi"] * first)[:, None],
    )


def weighted_effect(step, names, **more):
    w = designs.population()[-1]
    score = variance_weighted(moved_products(step, names, **more))
    return float(solve_linear(score, weights=w)[0].theta[0])


@pytest.mark.parametrize("name", ["pi", "mu", "eta", "product", "square"])
def test_the_moment_does_not_move_with_a_small_error_of_any_nuisance(name):
    up, down = (weighted_effect(step, [name]) for step in (1e-4, -1e-4))
    assert abs(up - down) / 2e-4 < 1e-6


def test_without_its_conditional_means_the_moment_moves_with_the_propensity():
    up, down = (weighted_effect(step, ["pi"], centred=False) for step in (1e-4, -1e-4))
    assert abs(up - down) / 2e-4 > 0.05


def test_the_moment_is_that_of_the_effect_weighted_by_the_move_of_the_variance():
    l1, l2, *_, w = designs.population()
    true = designs.truth_at(l1, l2)
    weight = w * true.delta_v * true.pi * (1.0 - true.pi)
    assert weighted_effect(0.0, []) == pytest.approx(np.average(true.beta, weights=weight))


NUMBER = r"-?\d\S*"
WORDS = {
    "interval": rf"set: \[{NUMBER}, {NUMBER}\]\. Anderson-Rubin: F\(1, 799\) = ",
    "line": r"set: \(-inf, inf\) \(no value is rejected\)\. Anderson-Rubin: F",
    "disjoint": rf"set: \(-inf, {NUMBER}\] or \[{NUMBER}, inf\)\. Anderson-Rubin: F",
}


@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize(
    ("make", "strength", "seed", "shape"),
    [
        (one_instrument, 0.0, 0, "interval"),
        (one_instrument, 1.0, 0, "line"),
        (one_instrument, 1.0, 2, "disjoint"),
        (two_instruments, 1.0, 0, "interval"),
        (two_instruments, 0.0, 0, "line"),
        (two_instruments, 0.0, 5, "disjoint"),
    ],
)
def test_each_shape_of_the_set_is_shown_and_unbounded_ones_are_warned_of(
    make, strength, seed, shape
):
    fitted = fit(make(seed, strength))
    found = fitted.conf_int(kind="anderson-rubin")
    assert found.shape == shape
    assert re.search(WORDS[shape], str(found))
    assert str(found).endswith("Null: the variance-weighted effect is 0.")
    weak = "hardly moves the variance of the treatment .* Read conf_int\\(kind='anderson-rubin'\\)"
    assert bool(re.search(weak, " ".join(fitted.result_.warnings))) == (shape != "interval")
    inside = {"interval": (1.0,), "line": (-1e6, 0.0, 1e6), "disjoint": (-1e6, 1e6)}[shape]
    assert all(value in found for value in inside)
    if shape == "disjoint":
        gap = np.mean([found.intervals[0][1], found.intervals[1][0]])
        assert gap not in found


@pytest.mark.filterwarnings(ANY)
@pytest.mark.parametrize("make", [one_instrument, two_instruments])
def test_no_set_is_empty_because_its_one_moment_has_a_root(make):
    for seed, strength in ((0, 0.0), (2, 1.0), (5, 0.0)):
        fitted = fit(make(seed, strength))
        found = fitted.anderson_rubin(level=0.01)
        assert found.test.df[0] == 1
        assert fitted.estimate("variance-weighted").estimate in found


@pytest.mark.filterwarnings(ANY)
def test_instruments_that_contradict_each_other_leave_no_empty_set_either():
    # Two instruments whose ratios of covariance to variance differ by far, and two repeats.
    rng = np.random.default_rng(7)
    l1, z1, z2 = rng.uniform(-1.0, 1.0, 1500), *(rng.random((2, 1500)) < 0.5).astype(float)
    a = np.sqrt(0.5 + 1.2 * z1 + 1.2 * z2) * rng.standard_normal(1500)
    y = np.where(z1 == z2, 1.0, 3.0) * z1 * a - 2.0 * z2 * a + rng.standard_normal(1500)
    frame = pd.DataFrame({"y": y, "a": a, "z": z1, "z2": z2, "l1": l1})
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments=["z", "z2"], covariates="l1"
    )
    found = fit(data, n_rep=2).anderson_rubin(level=0.01)
    assert found.shape == "interval"
    assert found.test.df[0] == 1


def moves_that_cancel(seed, n=2000):
    """The variance rises with the instrument for half of the rows and falls for the others."""
    rng = np.random.default_rng(seed)
    l1, u = rng.uniform(-1.0, 1.0, (2, n))
    z = (rng.random(n) < 0.5).astype(float)
    a = 0.5 * u + np.sqrt(1.5 + 1.2 * l1 * (2.0 * z - 1.0)) * rng.standard_normal(n)
    frame = pd.DataFrame({"y": a + 1.5 * u + 0.7 * z, "a": a, "z": z, "l1": l1})
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="a", instruments="z", covariates="l1"
    )


@pytest.mark.filterwarnings(ANY)
def test_a_strong_instrument_whose_moves_cancel_is_told_to_read_the_average_effect():
    with pytest.warns(WeakIdentificationWarning, match="set of the variance-weighted effect is un"):
        found = fit(moves_that_cancel(0))
    assert not found.strength().weak
    assert found.anderson_rubin().shape == "line"
    words = " ".join(found.result_.warnings)
    assert "z moves the variance of the treatment: up in some rows and down in others" in words
    assert "Read estimate('ate')" in words
    low, high = found.estimate("ate").conf_int()
    assert low < 1.0 < high
    assert high - low < 1.0


@pytest.mark.slow
@pytest.mark.filterwarnings(ANY)
def test_the_set_covers_under_weak_identification_where_wald_does_not():
    # A6. Beyond 3 Monte-Carlo errors of a share, or of the mean 1 of a statistic of variance 2.
    n_sim = 400
    inside, statistics = np.empty((n_sim, 2), dtype=bool), np.empty(n_sim)
    for k in range(n_sim):
        found = fit(one_instrument(1000 + k, 0.9, n=2000))
        low, high = found.estimate("variance-weighted").conf_int()
        inside[k] = 1.0 in found.conf_int(kind="anderson-rubin"), low < 1.0 < high
        statistics[k] = found.anderson_rubin(null=1.0).test.statistic
    robust, wald = inside.mean(axis=0)
    band = 3.0 * np.sqrt(0.95 * 0.05 / n_sim)
    assert abs(robust - 0.95) < band
    assert abs(wald - 0.95) > band
    assert abs(statistics.mean() - 1.0) < 3.0 * np.sqrt(2.0 / n_sim)

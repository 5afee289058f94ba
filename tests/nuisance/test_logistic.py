import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, lasso_path

from causalkit.errors import ConvergenceWarning, IdentificationError
from causalkit.nuisance import DenseFeatures, Nuisance, cross_fit
from causalkit.nuisance.folds import FoldKeys, draw_folds
from causalkit.nuisance.logistic import fit_logistic
from causalkit.nuisance.proximal import signed_search
from causalkit.nuisance.training import rows_of
from causalkit.warn import collect_warnings

TIGHT = {"tol": 1e-10, "max_iter": 50_000}


def problem(n=300, p=6, *, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) @ (np.eye(p) + 0.4 * rng.normal(size=(p, p)))
    x = x * np.linspace(0.3, 4.0, p) + 5.0
    odds = (x - 5.0) @ np.linspace(0.8, -0.4, p)
    d = (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    w = rng.uniform(0.2, 3.0, n) if weighted else None
    return x, d, w


def rows(x, d, w=None, inner=None):
    n = d.size
    inner = np.arange(n) % 5 if inner is None else inner
    return rows_of(DenseFeatures(x), np.arange(n), d, inner=inner, weights=w)


def moments(x, w):
    w = np.ones(len(x)) if w is None else w
    mean = np.average(x, axis=0, weights=w)
    return mean, np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w)), w


def peer(kind, penalty, total):
    """scikit-learn's sum of losses plus ‖b‖/C is ours, of means, for C = 1 / (penalty · total)."""
    if kind == "lasso":
        return LogisticRegression(C=1 / (penalty * total), l1_ratio=1.0, solver="saga", **TIGHT)
    settings = {"C": np.inf if kind == "linear" else 1 / (penalty * total), "tol": 1e-12}
    return LogisticRegression(solver="newton-cholesky", max_iter=500, **settings)


def mean_loss(d, odds, w):
    return float(w @ (np.logaddexp(0.0, odds) - d * odds) / w.sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "penalty"),
    [
        *(("linear", 0.0), ("ridge", 0.3), ("ridge", 1e-3)),
        *(("lasso", 0.1), ("lasso", 0.02), ("lasso", 5e-4)),
    ],
)
def test_coefficients_and_deviance_equal_scikit_learn_at_a_given_penalty(kind, penalty, weighted):
    x, d, w = problem(weighted=weighted)
    fit = fit_logistic(rows(x, d, w), kind, grid=np.array([penalty]), tune=False)
    mean, scale, w = moments(x, w)
    z = (x - mean) / scale
    other = peer(kind, penalty, w.sum()).fit(z, d, w)
    np.testing.assert_allclose(fit.coefficients * scale, other.coef_[0], atol=1e-5)
    np.testing.assert_allclose(fit.intercept + mean @ fit.coefficients, other.intercept_, atol=1e-5)
    ours = mean_loss(d, x @ fit.coefficients + fit.intercept, w)
    assert ours == pytest.approx(mean_loss(d, other.decision_function(z), w), abs=1e-9)
    assert fit.problem is None
    if kind == "lasso":
        np.testing.assert_array_equal(fit.coefficients != 0, np.abs(other.coef_[0]) > 1e-9)


def test_rows_in_many_pieces_count_once_each():
    x, d, _ = problem(n=13_001)
    fit = fit_logistic(rows(x, d, inner=np.zeros(d.size, dtype=int)), "linear")
    mean, scale, w = moments(x, None)
    other = peer("linear", 0.0, 1.0).fit((x - mean) / scale, d, w)
    np.testing.assert_allclose(fit.coefficients * scale, other.coef_[0], atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("kind", "grid"), [("ridge", [1.0, 0.1, 0.02, 1e-3]), ("lasso", [0.1, 0.03, 0.01, 1e-3])]
)
def test_the_penalty_is_that_of_a_grid_search_over_rows(kind, grid, weighted):
    x, d, w = problem(n=200, p=10, weighted=weighted, seed=3)
    inner = np.random.default_rng(1).integers(5, size=d.size)
    mean, scale, weight = moments(x, w)
    z = (x - mean) / scale
    losses = np.zeros((5, len(grid)))
    for fold in range(5):
        rest, out = inner != fold, inner == fold
        for column, penalty in enumerate(grid):
            other = peer(kind, penalty, weight[rest].sum()).fit(z[rest], d[rest], weight[rest])
            odds = other.decision_function(z[out])
            losses[fold, column] = weight[out].sum() * mean_loss(d[out], odds, weight[out])
    best = int(losses.sum(axis=0).argmin())
    assert 0 < best < len(grid) - 1
    fit = fit_logistic(rows(x, d, w, inner), kind, grid=np.array(grid))
    np.testing.assert_allclose([fit.losses[f] for f in range(5)], losses[:, best], rtol=2e-4)
    alone = fit_logistic(rows(x, d, w), kind, grid=np.array([grid[best]]), tune=False)
    np.testing.assert_allclose(fit.coefficients, alone.coefficients, atol=1e-9)


def test_the_default_path_loses_nothing_to_a_finer_one():
    x, d, _ = problem(n=400, p=12, seed=5)
    top = np.abs(((x - x.mean(0)) / x.std(0)).T @ (d - d.mean())).max() / d.size
    for kind, fine in (
        ("lasso", np.geomspace(top, top * 1e-4, 300)),
        ("ridge", np.geomspace(10, 1e-7, 300)),
    ):
        default = sum(fit_logistic(rows(x, d), kind).losses.values())
        best = sum(fit_logistic(rows(x, d), kind, grid=fine).losses.values())
        assert default <= best * 1.002


@pytest.mark.parametrize("seed", range(4))
def test_the_quadratic_step_equals_the_lasso_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 25)) @ rng.normal(size=(25, 25))
    x /= x.std(axis=0)
    y = x[:, :5].sum(axis=1) + rng.normal(size=60)
    gram, cross = x.T @ x / 60, x.T @ y / 60
    penalty = 0.05 * np.abs(cross).max()
    _, want, _ = lasso_path(x, y, alphas=[penalty], tol=1e-14, max_iter=10**6)
    for start in (np.zeros(25), rng.normal(size=25)):
        found = signed_search(gram, cross, penalty, start)
        np.testing.assert_allclose(found, want[:, 0], atol=1e-6)


def test_more_features_than_rows_meets_the_optimality_conditions():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 150))
    d = (x[:, 0] + rng.normal(size=80) > 0).astype(float)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    penalty = 0.1 * np.abs(z.T @ (d - d.mean())).max() / 80
    fit = fit_logistic(rows(x, d), "lasso", grid=np.array([penalty]), tune=False)
    left = d - 1.0 / (1.0 + np.exp(-(x @ fit.coefficients + fit.intercept)))
    slope, chosen = z.T @ left / 80, fit.coefficients != 0
    assert 10 < chosen.sum() < 80
    np.testing.assert_allclose(
        slope[chosen], penalty * np.sign(fit.coefficients[chosen]), rtol=1e-8
    )
    assert np.abs(slope[~chosen]).max() <= penalty * (1 + 1e-8)
    assert abs(left.mean()) < 1e-10


@pytest.mark.parametrize("kind", ["linear", "ridge", "lasso"])
def test_constant_duplicated_and_far_off_columns_are_harmless(kind):
    x, d, _ = problem(p=3)
    wide = np.column_stack([x + 1e6, x[:, 0], np.full(d.size, 4.0)])
    settings = {"grid": np.array([0.01]), "tune": False}
    a = fit_logistic(rows(x, d), kind, **settings)
    b = fit_logistic(rows(wide, d), kind, **settings)
    near, far = x @ a.coefficients + a.intercept, wide @ b.coefficients + b.intercept
    assert b.coefficients[4] == 0.0
    # Two copies share a ridge penalty, so that together they are shrunk half as much.
    np.testing.assert_allclose(far, near, atol=0.05 if kind == "ridge" else 1e-6)


def separable(n=200):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    return x, (x[:, 0] > 0.1).astype(float)


@pytest.mark.parametrize("kind", ["ridge", "lasso"])
def test_separable_classes_leave_penalised_coefficients_finite_and_optimal(kind):
    x, d = separable()
    fit = fit_logistic(rows(x, d), kind)
    assert fit.problem is None
    right = (x @ fit.coefficients + fit.intercept > 0) == (d == 1)
    assert right.mean() > 0.97
    # λ Σ|b| ≤ log 2 and λ Σ b² / 2 ≤ log 2, else zero would be better.
    penalty = float(fit.description.split("penalty ")[1][:-1])
    b = fit.coefficients * x.std(axis=0)
    size = np.abs(b).sum() if kind == "lasso" else (b**2).sum() / 2
    assert penalty * size <= np.log(2) * 1.01


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_separable_classes_without_penalty_are_bounded_and_warned_of(n_jobs):
    x, d = separable()
    folds = draw_folds(FoldKeys(d.size, unit=np.arange(d.size)), rule="unit", n_folds=2, seed=0)
    nuisance = Nuisance("propensity", d, DenseFeatures(x), "linear", kind="probability")
    says = r"'propensity' perfectly.*'ridge' or 'lasso'"
    with collect_warnings() as kept, pytest.warns(ConvergenceWarning, match=says):
        p = cross_fit([nuisance], folds, seed=0, n_jobs=n_jobs)["propensity"][:, 0]
    assert len(kept) == 1
    assert np.isfinite(p).all()
    assert ((p > 0.5) == (d == 1)).mean() > 0.95
    assert np.abs(fit_logistic(rows(x, d), "linear").coefficients).max() < 1e4


def test_outliers_with_extreme_odds_are_no_separation():
    rng = np.random.default_rng(1)
    x = np.exp(1.5 * rng.normal(size=(1500, 3)))
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    d = (rng.random(1500) < 1 / (1 + np.exp(-z @ [2.0, -1.0, 0.5]))).astype(float)
    fit = fit_logistic(rows(x, d), "linear")
    assert np.abs(x @ fit.coefficients + fit.intercept).max() > 15
    assert fit.problem is None


def test_one_class_is_refused_and_an_inner_fold_that_leaves_one_is_left_out():
    x, d, _ = problem()
    with pytest.raises(IdentificationError, match=r"single class 1, .*fewer folds"):
        rows(x, np.ones(d.size))
    with pytest.raises(IdentificationError, match=r"single class"):
        rows(x, d, w=d)
    inner = np.where(d == 1, 0, 1 + np.arange(d.size) % 3)
    assert set(fit_logistic(rows(x, d, inner=inner), "lasso").losses) == {1, 2, 3}


def test_two_jobs_give_the_same_probabilities():
    x, d, _ = problem()
    folds = draw_folds(FoldKeys(d.size, unit=np.arange(d.size)), rule="unit", n_folds=3, seed=0)
    nuisance = Nuisance("propensity", d, DenseFeatures(x), "lasso", kind="probability")
    one, two = (cross_fit([nuisance], folds, seed=0, n_jobs=n)["propensity"] for n in (1, 2))
    np.testing.assert_array_equal(one, two)

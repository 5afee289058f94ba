"""The relaxed lasso on moments against the same by rows, and what it is for."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression

from causalkit.nuisance.features import DenseFeatures
from causalkit.nuisance.folds import N_INNER, FoldKeys, draw_folds
from causalkit.nuisance.gram import accumulate
from causalkit.nuisance.penalised import fit_penalised
from causalkit.nuisance.relaxed import SHARES, fit_relaxed


def problem(n=400, p=60, *, noise=1.0, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 2.0
    y = x[:, 0] - x[:, 1] + noise * rng.normal(size=n)
    folds = draw_folds(FoldKeys(n, unit=np.repeat(np.arange(n // 4), 4)), rule="unit", n_folds=4)
    atoms = accumulate(
        DenseFeatures(x),
        y[:, None],
        atom=folds.block[0] * N_INNER + folds.inner[0],
        shape=(4, N_INNER),
        weights=None,
        rows=np.arange(n),
    )
    return x, y, folds, atoms


def by_rows(x, y, penalty, share):
    """Coefficients and intercept of a mixture of the lasso and its refit, by scikit-learn."""
    lasso = Lasso(alpha=penalty, tol=1e-10, max_iter=50_000).fit(x, y)
    active = np.flatnonzero(lasso.coef_)
    free = np.zeros(x.shape[1])
    if active.size:
        free[active] = LinearRegression().fit(x[:, active], y).coef_
    beta = share * lasso.coef_ + (1 - share) * free
    return beta, y.mean() - x.mean(axis=0) @ beta


def test_it_equals_a_grid_search_over_rows():
    x, y, folds, atoms = problem(p=10)
    train, _ = folds.split(0, 0)
    (fit,) = fit_relaxed(atoms, folds.train[0][0], [0], label="relaxed")
    z = (x[train] - x[train].mean(axis=0)) / x[train].std(axis=0)
    target, inner = y[train], folds.inner[0][train]
    top = np.abs(z.T @ (target - target.mean())).max() / target.size
    grid = np.geomspace(top, top * 1e-4, 60)
    losses = np.zeros((N_INNER, len(SHARES), 40))
    for fold in range(N_INNER):
        rest, held = inner != fold, inner == fold
        for i, share in enumerate(SHARES):
            for k in range(40):
                beta, start = by_rows(z[rest], target[rest], grid[k], share)
                losses[fold, i, k] = ((target[held] - start - z[held] @ beta) ** 2).sum()
    i, k = np.unravel_index(losses.sum(axis=0).argmin(), losses.shape[1:])
    assert f"(penalty {grid[k]:.2g}, {1 - SHARES[i]:.0%} relaxed)" in fit.description
    np.testing.assert_allclose([fit.losses[f] for f in range(N_INNER)], losses[:, i, k], rtol=1e-4)
    beta, _ = by_rows(z, target, grid[k], SHARES[i])
    np.testing.assert_allclose(fit.coefficients * x[train].std(axis=0), beta, atol=1e-4)


def test_it_takes_back_the_shrinkage_of_the_few_columns_that_matter():
    errors = {"lasso": [], "relaxed": []}
    for seed in range(5):
        _, _, folds, atoms = problem(seed=seed, noise=2.0)
        train = folds.train[0][0]
        (lasso,) = fit_penalised(atoms, train, "lasso", [0])
        (relaxed,) = fit_relaxed(atoms, train, [0], label="relaxed")
        errors["lasso"].append(1.0 - lasso.coefficients[0])
        errors["relaxed"].append(1.0 - relaxed.coefficients[0])
    assert np.mean(errors["lasso"]) > 0.1
    assert abs(np.mean(errors["relaxed"])) < 0.5 * np.mean(errors["lasso"])


def test_a_weak_column_is_found_behind_a_strong_one():
    x, _, folds, _ = problem()
    y = 50.0 * x[:, 0] + 0.5 * x[:, 1] + np.random.default_rng(1).normal(size=400)
    atoms = accumulate(
        DenseFeatures(x),
        y[:, None],
        atom=folds.block[0] * N_INNER + folds.inner[0],
        shape=(4, N_INNER),
        weights=None,
        rows=np.arange(400),
    )
    (fit,) = fit_relaxed(atoms, folds.train[0][0], [0], label="relaxed")
    assert fit.coefficients[1] == pytest.approx(0.5, abs=0.2)


def test_a_target_without_variance_is_predicted_by_its_mean():
    x, _, folds, _ = problem()
    atoms = accumulate(
        DenseFeatures(x),
        np.full((400, 1), 3.0),
        atom=folds.block[0] * N_INNER + folds.inner[0],
        shape=(4, N_INNER),
        weights=None,
        rows=np.arange(400),
    )
    (fit,) = fit_relaxed(atoms, folds.train[0][0], [0], label="relaxed")
    assert fit.intercept + x[0] @ fit.coefficients == pytest.approx(3.0, abs=1e-6)

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from causalkit.nuisance.features import DenseFeatures
from causalkit.nuisance.folds import N_INNER, FoldKeys, draw_folds
from causalkit.nuisance.gram import accumulate
from causalkit.nuisance.penalised import fit_penalised


def problem(n=600, p=8, *, weights=False, offset=3.0):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, p)) * np.linspace(0.5, 3, p) + offset
    y = np.column_stack([x[:, 0] - 0.4 * x[:, 1], 0.2 * x[:, 2]]) + rng.normal(size=(n, 2))
    unit = np.repeat(np.arange(n // 6), 6)
    folds = draw_folds(FoldKeys(n, unit=unit), rule="unit", n_folds=4, seed=2)
    w = rng.uniform(0.5, 2.0, n) if weights else None
    atoms = accumulate(
        DenseFeatures(x),
        y,
        atom=folds.block[0] * N_INNER + folds.inner[0],
        shape=(4, N_INNER),
        weights=w,
        rows=np.arange(n),
    )
    return x, y, w, folds, atoms


@pytest.mark.parametrize("weights", [False, True])
def test_least_squares_on_leave_out_moments_equals_sklearn(weights):
    x, y, w, folds, atoms = problem(weights=weights)
    for fold in range(4):
        train, _ = folds.split(0, fold)
        fits = fit_penalised(atoms, folds.train[0][fold], "linear", [0, 1])
        for target, fit in enumerate(fits):
            sample_weight = None if w is None else w[train]
            peer = LinearRegression().fit(x[train], y[train, target], sample_weight)
            np.testing.assert_allclose(fit.coefficients, peer.coef_, atol=1e-11)
            np.testing.assert_allclose(fit.intercept, peer.intercept_, atol=1e-10)


def grid_search(make, grid, x, y, inner):
    """Penalty with the least grouped-CV loss, and the sum of squared errors by fold at it."""
    losses = np.zeros((N_INNER, len(grid)))
    for fold in range(N_INNER):
        for column, penalty in enumerate(grid):
            model = make(penalty, (inner != fold).sum()).fit(x[inner != fold], y[inner != fold])
            losses[fold, column] = ((y[inner == fold] - model.predict(x[inner == fold])) ** 2).sum()
    best = int(losses.sum(axis=0).argmin())
    return grid[best], losses[:, best]


def test_ridge_equals_a_grid_search_over_rows():
    x, y, _, folds, atoms = problem()
    train, _ = folds.split(0, 0)
    z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    grid = np.logspace(1, -7, 40)
    penalty, losses = grid_search(
        lambda a, m: Ridge(alpha=a * m), grid, z[train], y[train, 0], folds.inner[0][train]
    )
    peer = Ridge(alpha=penalty * train.size).fit(z[train], y[train, 0])
    (fit,) = fit_penalised(atoms, folds.train[0][0], "ridge", [0])
    np.testing.assert_allclose(fit.coefficients, peer.coef_ / x[train].std(axis=0), rtol=1e-8)
    np.testing.assert_allclose([fit.losses[f] for f in range(N_INNER)], losses, rtol=1e-8)


def test_lasso_equals_a_grid_search_over_rows():
    x, y, _, folds, atoms = problem()
    train, _ = folds.split(0, 0)
    z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    centred = y[train, 1] - y[train, 1].mean()
    top = np.abs(z[train].T @ centred).max() / train.size
    grid = np.geomspace(top, top * 1e-4, 60)
    penalty, losses = grid_search(
        lambda a, _m: Lasso(alpha=a, tol=1e-10, max_iter=100_000),
        grid,
        z[train],
        y[train, 1],
        folds.inner[0][train],
    )
    peer = Lasso(alpha=penalty, tol=1e-12, max_iter=100_000).fit(z[train], y[train, 1])
    (fit,) = fit_penalised(atoms, folds.train[0][0], "lasso", [1])
    np.testing.assert_allclose(fit.coefficients * x[train].std(axis=0), peer.coef_, atol=2e-4)
    np.testing.assert_allclose([fit.losses[f] for f in range(N_INNER)], losses, rtol=1e-4)


def test_a_large_common_offset_costs_no_digits():
    _, _, _, folds, near = problem(offset=0.0)
    _, _, _, _, far = problem(offset=1e6)
    (a,) = fit_penalised(near, folds.train[0][0], "linear", [0])
    (b,) = fit_penalised(far, folds.train[0][0], "linear", [0])
    np.testing.assert_allclose(a.coefficients, b.coefficients, atol=1e-8)


def test_constant_and_duplicated_columns_are_harmless():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    wide = np.column_stack([x, x[:, 0], np.full(300, 4.0)])
    y = (x[:, 0] + rng.normal(size=300))[:, None]
    folds = draw_folds(FoldKeys(300, unit=np.arange(300)), rule="unit", n_folds=3, seed=0)
    atom = folds.block[0] * N_INNER + folds.inner[0]
    settings = {"atom": atom, "shape": (3, N_INNER), "weights": None, "rows": np.arange(300)}
    _, test = folds.split(0, 0)
    for penalty in ("linear", "ridge", "lasso"):
        narrow = accumulate(DenseFeatures(x), y, **settings)
        broad = accumulate(DenseFeatures(wide), y, **settings)
        (a,) = fit_penalised(narrow, folds.train[0][0], penalty, [0])
        (b,) = fit_penalised(broad, folds.train[0][0], penalty, [0])
        predicted = wide[test] @ b.coefficients + b.intercept
        tolerance = 1e-9 if penalty == "linear" else 0.05
        np.testing.assert_allclose(
            predicted, x[test] @ a.coefficients + a.intercept, atol=tolerance
        )

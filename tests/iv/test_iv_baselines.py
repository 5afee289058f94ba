"""Linear rows of compare() have the standard errors that regression packages print."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.iv import IV2SLS, IVLIML

import causalkit as ck

N, WIDTH = 400, 27


@pytest.fixture(scope="module")
def frame():
    """Few rows for many covariates, of which one is the sum of two others."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, WIDTH))
    x[:, 2] = x[:, 0] + x[:, 1]
    z = rng.integers(0, 2, N).astype(float)
    a = (rng.random(N) < np.where(z == 1, 0.1, 0.5)).astype(float)
    y = a + x[:, 0] + (1.0 + np.abs(x[:, 1])) * rng.standard_normal(N)
    made = pd.DataFrame(x, columns=[f"x{i}" for i in range(WIDTH)])
    return made.assign(y=y, a=a, z=z, z2=rng.standard_normal(N) + a, firm=np.arange(N) // 4)


def rows(frame, *, instruments="z", cluster=None, **more):
    """Rows of the comparison, by name."""
    data = ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="a",
        instruments=instruments,
        covariates=[f"x{i}" for i in range(WIDTH)],
        cluster=cluster,
    )
    fit = ck.InvalidIV(
        method="debiased", learners="ridge", basis=None, n_folds=2, random_state=0, **more
    )
    table = fit.fit(data).compare()
    return dict(zip(table.names, table.results, strict=True))


def exogenous(frame):
    """Constant and covariates of full rank."""
    kept = [f"x{i}" for i in range(WIDTH) if i != 2]
    return np.column_stack([np.ones(N), frame[kept].to_numpy()])


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_linear_rows_count_their_regressors_as_hc1_does(frame):
    found = rows(frame)
    x = exogenous(frame)
    ols = sm.OLS(frame["y"].to_numpy(), np.column_stack([frame["a"], x])).fit(
        cov_type="HC1", use_t=True
    )
    assert found["OLS"].std_error == pytest.approx(ols.bse[0], rel=1e-9)
    np.testing.assert_allclose(found["OLS"].conf_int(), ols.conf_int()[0], rtol=1e-8)
    two = IV2SLS(frame["y"], x, frame["a"], frame["z"]).fit(cov_type="robust", debiased=True)
    assert found["2SLS"].std_error == pytest.approx(two.std_errors["a"], rel=1e-9)
    assert found["2SLS"].df == two.df_resid == N - 28
    # What learners estimate is not counted.
    assert found["PLIV"].df == N - 1
    assert found["AIPW, given L"].df == N - 1


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_liml_counts_its_regressors_too_and_takes_covariates_that_are_sums(frame):
    found = rows(frame, instruments=("z", "z2"))["LIML"]
    plain = rows(frame, instruments=("z", "z2"), ssc="none")["LIML"]
    theirs = IVLIML(frame["y"], exogenous(frame), frame["a"], frame[["z", "z2"]]).fit(debiased=True)
    assert found.df == theirs.df_resid
    assert found.std_error / plain.std_error == pytest.approx(np.sqrt(N / theirs.df_resid))


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_clustered_linear_rows_count_clusters_alone(frame):
    found = rows(frame, cluster="firm")["OLS"]
    design = np.column_stack([frame["a"], exogenous(frame)])
    # statsmodels has (n − 1)/(n − k) beside G/(G − 1), or neither.
    g = frame["firm"].nunique()
    plain = sm.OLS(frame["y"].to_numpy(), design).fit(
        cov_type="cluster", cov_kwds={"groups": frame["firm"], "use_correction": False}
    )
    assert found.std_error == pytest.approx(plain.bse[0] * np.sqrt(g / (g - 1)), rel=1e-9)
    assert found.df == g - 1


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_slopes_by_instruments_are_local_averages_only_between_two_arms(frame):
    one, two = rows(frame), rows(frame, instruments=["z", "z2"])
    assert [one[name].estimand for name in ("2SLS", "PLIV", "LATE (IIVM)")] == ["late"] * 3
    assert [two[name].estimand for name in ("2SLS", "LIML", "PLIV")] == ["iv-slope"] * 3

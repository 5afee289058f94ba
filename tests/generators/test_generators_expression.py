"""Arms with doses: outcomes one patient at a time, best doses, who gets what, and real matrices."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.generators import expression as module
from causalkit.generators.files import load_expression
from causalkit.rng import stream

G = ck.generators


def slowly(scores, arm, u):
    """Mean outcome of one patient, written out as in the source."""
    zero, one, two = scores[arm]
    if arm == 0:
        return 10 * (zero + 12 * u * (u - 0.75 * one / two) ** 2)
    if arm == 1:
        return 10 * (zero + math.sin(math.pi * u * one / two))
    return 10 * (zero + 12 * (one * u - two * u**2))


def test_curves_are_the_formula_one_patient_at_a_time():
    truth = G.dosage(0, n=50).truth
    for row in (0, 17, 49):
        for arm in range(3):
            found = truth.unit_response(arm, [0.0, 0.4, 1.0], rows=[row])[0]
            expected = [slowly(truth.unit_response.scores[row], arm, u) for u in (0.0, 0.4, 1.0)]
            assert found == pytest.approx(expected, rel=1e-12)


def test_outcomes_are_curves_plus_noise():
    data = G.dosage(1, n=2000, n_genes=50)
    arm, dose = data.frame["arm"].to_numpy(), data.frame["dose"].to_numpy()[:, None]
    own = np.stack([data.truth.unit_response(k, dose)[:, 0] for k in range(3)])
    error = data.column("outcome") - own[arm, np.arange(2000)]
    # Standard errors .2/sqrt(2000) and .2/sqrt(4000); five of them.
    assert error.mean() == pytest.approx(0.0, abs=0.023)
    assert error.std() == pytest.approx(0.2, abs=0.016)


def test_no_dose_on_a_fine_grid_beats_the_best_one():
    truth = G.dosage(2, n=300, n_genes=30).truth
    grid = np.linspace(0.0, 1.0, 2001)
    top = np.empty((300, 3))
    for arm in range(3):
        top[:, arm] = truth.unit_response(arm, truth.best_dose[:, [arm]])[:, 0]
        curves = truth.unit_response(arm, grid)
        assert (top[:, arm] >= curves.max(axis=1) - 1e-9).all()
        assert (top[:, arm] <= curves.max(axis=1) + 1e-3).all()
    assert truth.estimands["outcome[best]"] == pytest.approx(top.max(axis=1).mean())


def test_arms_are_chosen_by_outcomes_over_the_best_of_the_patient():
    """Softmax of κ y / max y by patient, not over all patients: 20,000 of them tell."""
    n, kappa = 20_000, 3.0
    data = G.dosage(3, n=n, n_genes=10, selection=kappa, dose_selection=1.0)
    arm = data.frame["arm"].to_numpy()
    # With α = 1 doses are uniform and those not taken unknown, so average over them.
    rng = np.random.default_rng(0)
    share = np.zeros(3)
    for _ in range(20):
        y = np.stack([data.truth.unit_response(k, rng.random((n, 1)))[:, 0] for k in range(3)])
        weights = np.exp(kappa * y / y.max(axis=0))
        share += (weights / weights.sum(axis=0)).mean(axis=1) / 20
    for k in range(3):
        assert (arm == k).mean() == pytest.approx(share[k], abs=4 * math.sqrt(0.25 / n))


def test_doses_are_around_the_best_one():
    """Arm 1, chosen at random: the mean of Beta(α, b) is α/(α + b), b from the best dose."""
    data = G.dosage(4, n=20_000, n_genes=10, selection=0.0, dose_selection=5.0)
    took = data.frame["arm"].to_numpy() == 1
    best = data.truth.best_dose[took, 1]
    second = np.where(best < 1.0, 4.0 / best - 3.0, 1.0)
    residual = data.frame["dose"].to_numpy()[took] - 5.0 / (5.0 + second)
    assert residual.mean() == pytest.approx(0.0, abs=4 * residual.std() / math.sqrt(took.sum()))
    mode = 4.0 / (3.0 + second)
    assert np.corrcoef(mode[best < 1.0], best[best < 1.0])[0, 1] == pytest.approx(1.0)


def test_parts_have_the_shares_of_arms():
    frame = G.dosage(5, n=1000).frame
    assert frame["part"].value_counts(normalize=True)[0] == pytest.approx(0.7, abs=0.005)
    table = pd.crosstab(frame["part"], frame["arm"], normalize="index")
    assert (table.max() - table.min() < 0.02).all()
    again = G.dosage(5, n=1000, split=1).frame
    assert again["y"].equals(frame["y"])
    assert not again["part"].equals(frame["part"])
    part = module.stratified_parts(stream(0), np.array([0] * 10 + [1] * 30))
    assert np.bincount(part).tolist() == [28, 4, 8]


def test_rows_follow_and_the_null_is_flat():
    data = G.dosage(6, n=60)
    some = data.subset([3, 9]).truth
    expected = data.truth.unit_response(2, [0.1, 0.6])[[3, 9]]
    np.testing.assert_array_equal(some.unit_response(2, [0.1, 0.6]), expected)
    np.testing.assert_array_equal(some.best_dose, data.truth.best_dose[[3, 9]])
    null = G.dosage(6, n=60, effect=0.0).truth
    np.testing.assert_allclose(null.unit_response(0, [0.3]), null.unit_response(2, [0.9]))
    assert null.estimands["outcome[best]"] == pytest.approx(null.dose_response(1, 0.2))


def test_real_expression_is_scaled_by_gene_and_patient(tmp_path):
    raw = np.random.default_rng(0).lognormal(size=(40, 12))
    np.save(tmp_path / "tcga.npy", raw)
    for path in (tmp_path, tmp_path / "tcga.npy"):
        x = G.dosage(7, expression=str(path)).matrix("covariates")
        assert x.shape == (40, 12)
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0)
    unit = (raw - raw.min(axis=0)) / (raw.max(axis=0) - raw.min(axis=0))
    np.testing.assert_allclose(x, unit / np.linalg.norm(unit, axis=1, keepdims=True))
    named = pd.DataFrame(raw).rename(columns="g{}".format)
    named.to_csv(tmp_path / "named.csv", index=False)
    pd.DataFrame(raw).to_csv(tmp_path / "bare.csv", index=False, header=False)
    named.to_parquet(tmp_path / "x.parquet")
    np.savez(tmp_path / "x.npz", raw)
    for name in ("named.csv", "bare.csv", "x.parquet", "x.npz"):
        np.testing.assert_allclose(load_expression(str(tmp_path / name)), raw)


def test_files_that_are_not_the_right_ones_are_refused_and_told_where_to_get(tmp_path):
    with pytest.raises(
        ArgumentError, match=r"is not a file\. The data are gene expression.*SCIGAN"
    ):
        load_expression(str(tmp_path / "tcga.npy"))
    with pytest.raises(ArgumentError, match=r"is not a folder with tcga\.npy"):
        load_expression(str(tmp_path))
    still = np.random.default_rng(0).random((5, 4))
    still[:, 2] = 1.0
    np.save(tmp_path / "still.npy", still)
    with pytest.raises(ArgumentError, match=r"1 genes do not vary .*first: column 2"):
        load_expression(str(tmp_path / "still.npy"))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ArgumentError, match="cannot be read"):
        load_expression(str(tmp_path / "objects.npy"))
    (tmp_path / "tcga.p").write_bytes(b"pickle")
    with pytest.raises(ArgumentError, match=r"must end in \.npy, \.npz, \.csv or \.parquet"):
        load_expression(str(tmp_path / "tcga.p"))


def test_checksums_tell_one_file_from_another(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).random((5, 4)))
    seal = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_expression(str(path), checksum=f"sha256:{seal}").shape == (5, 4)
    wrong = "sha256:" + "0" * 64
    with pytest.raises(ArgumentError, match=f"has checksum sha256:{seal}, not {wrong}"):
        load_expression(str(path), checksum=wrong)
    with pytest.raises(ArgumentError, match=r"no published checksum of a file 'x\.npy' is known"):
        load_expression(str(path), checksum="published")
    with pytest.raises(ArgumentError, match=r"checksum must be 'published', 'any'.*got 'md5:1'"):
        load_expression(str(path), checksum="md5:1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"effect": -1.0}, "effect must not be negative, got -1.0"),
        ({"n": 5}, "n must be at least 10, got 5"),
        ({"split": -1}, "split must be at least 0"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(wrong, message):
    with pytest.raises(ArgumentError, match=message):
        G.dosage(0, **wrong)
    with pytest.raises(ArgumentError, match="arm must be 0, 1 or 2, got 3"):
        G.dosage(0, n=20).truth.unit_response(3, [0.1])

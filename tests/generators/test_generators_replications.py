"""The published IHDP replications: fingerprints, tails, splits, and a known result on them."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, MissingDependencyError
from causalkit.generators import infants as module
from causalkit.metrics import ate_error, pehe

G = ck.generators
# Beside the repository on the machines that have it; never part of it.
SHARED = Path(__file__).parents[3] / "shared" / "data" / "ihdp"
TABLE = SHARED / "ihdp_npci_1-100.split.npz"
needs_table = pytest.mark.skipif(
    not TABLE.exists(), reason="the table of published splits (../shared/data) is not here"
)
needs_covariates = pytest.mark.skipif(
    not (SHARED / "ihdp_covariates_985.csv").exists(),
    reason="the table of the 985 infants (../shared/data) is not here",
)


@pytest.fixture(autouse=True)
def _with_econml():
    pytest.importorskip("econml")


@pytest.mark.parametrize(("k", "ate"), [(1, 4.016067), (9, 10.466037), (100, 4.031655)])
def test_mean_effects_are_those_of_the_distributed_files(k, ate):
    assert G.ihdp_published(0, replication=k).truth.estimands["ate"] == pytest.approx(ate, abs=5e-7)


def test_surfaces_and_outcomes_are_those_of_the_distributed_files():
    first = G.ihdp_published(0, replication=1).truth
    np.testing.assert_allclose(first.mu0[:3], [3.268256, 6.636059, 1.570536], atol=5e-7)
    assert G.ihdp_published(0, replication=9).truth.cate.std() == pytest.approx(27.36, abs=5e-3)
    hundred = G.ihdp_published(0, replication=100).frame["y"][0]
    assert hundred == pytest.approx(14.566429, abs=5e-7)


def test_above_500_the_seeds_start_anew():
    last = G.ihdp_published(0, replication=1000)
    assert last.truth.estimands["ate"] == pytest.approx(5.105444, abs=5e-7)
    assert last.frame["y"][0] == pytest.approx(19.903448, abs=5e-7)


@pytest.mark.slow
def test_a_quarter_of_the_first_hundred_has_heavy_tails():
    spread = [G.ihdp_published(0, replication=k).truth.cate.std() for k in range(1, 101)]
    assert sum(sd > 5 for sd in spread) == 26
    assert max(spread) == pytest.approx(43.0, abs=0.5)


def test_a_replication_is_a_function_of_its_number():
    one, two = G.ihdp_published(0, replication=7), G.ihdp_published(99, replication=7)
    assert one.frame.equals(two.frame)
    drawn = {round(G.ihdp_published(s).truth.estimands["ate"], 6) for s in range(20)}
    assert len(drawn) > 15


def test_null_and_no_overlap_keep_the_covariates():
    plain = G.ihdp_published(0, replication=3)
    null = G.ihdp_published(0, replication=3, null=True)
    assert not null.truth.cate.any()
    assert (plain.truth.mu0 == null.truth.mu0).all()
    older = G.ihdp_published(0, replication=3, overlap=False).frame
    assert older.loc[older["d"] == 1, "momage"].min() > older.loc[older["d"] == 0, "momage"].max()


@pytest.mark.parametrize("k", [1, 100, 101, 1000])
def test_splits_are_672_and_75_and_ours_depend_on_the_number_alone(k):
    train, test = G.ihdp_split(k)
    assert (len(train), len(test)) == (672, 75)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(747))
    assert np.array_equal(test, G.ihdp_split(k)[1])
    assert not np.array_equal(test, G.ihdp_split(k - 1 if k > 1 else 2)[1])


@needs_table
def test_the_published_split_comes_from_the_table_up_to_a_hundred_and_no_further():
    with np.load(TABLE) as file:
        rows = file["test_idx"]
    for k in (1, 57, 100):
        assert np.array_equal(G.ihdp_split(k, table=str(TABLE))[1], np.sort(rows[:, k - 1]))
    assert np.array_equal(G.ihdp_split(101, table=str(TABLE))[1], G.ihdp_split(101)[1])
    data = G.ihdp_published(0, replication=57, split_table=str(TABLE))
    assert set(np.flatnonzero(data.frame["test"])) == set(rows[:, 56].tolist())


@pytest.mark.slow
@needs_table
def test_two_regressions_have_the_error_that_is_published_for_them():
    """OLS by arm on replications 1-100: 2.476 out, 2.271 in sample, |mean| .296, median 1.127.

    In 11 of them the treated training infants do not span the covariates; the coefficients are then
    the shortest ones, as numpy has them for standardised covariates with a constant.
    """
    out, inside, mean = [], [], []
    for k in range(1, 101):
        data = G.ihdp_published(0, replication=k, split_table=str(TABLE))
        x, y = data.matrix("covariates"), data.column("outcome")
        x = np.column_stack([np.ones(len(x)), x])
        d, test = data.column("treatment") == 1, data.frame["test"].to_numpy() == 1
        arms = [np.linalg.lstsq(x[r], y[r], rcond=None)[0] for r in (~test & ~d, ~test & d)]
        hat, tau = x @ (arms[1] - arms[0]), data.truth.cate
        out.append(pehe(hat[test], tau[test]))
        inside.append(pehe(hat[~test], tau[~test]))
        mean.append(ate_error(hat[test], tau[test]))
    assert np.mean(out) == pytest.approx(2.476, abs=1e-3)
    assert np.std(out) / 10 == pytest.approx(0.392, abs=1e-3)
    assert np.median(out) == pytest.approx(1.127, abs=1e-3)
    assert np.mean(inside) == pytest.approx(2.271, abs=1e-3)
    assert np.mean(mean) == pytest.approx(0.296, abs=1e-3)


def test_without_econml_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"ihdp_published needs the package 'econml'"):
        G.ihdp_published(0, replication=1)


@needs_covariates
def test_without_econml_a_path_does(monkeypatch):
    expected = G.ihdp_published(0, replication=1)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    path = str(SHARED / "ihdp_covariates_985.csv")
    for make in (G.ihdp_published, G.ihdp, G.ihdp_continuous):
        assert make(0, covariates=path).n == 747
    given = G.ihdp_published(0, replication=1, covariates=path)
    assert given.frame.equals(expected.frame)


def test_wrong_numbers_and_files_are_refused_by_name(tmp_path):
    with pytest.raises(ArgumentError, match="replication must lie between 1 and 1000, got 1001"):
        G.ihdp_published(0, replication=1001)
    with pytest.raises(ArgumentError, match="replication must be at least 1, got 0"):
        G.ihdp_split(0)
    with pytest.raises(ArgumentError, match=r"covariates='.*nowhere.csv' cannot be read"):
        G.ihdp_published(0, covariates=str(tmp_path / "nowhere.csv"))
    pd.DataFrame({"treat": [1], "momwhite": [0]}).to_csv(tmp_path / "few.csv")
    with pytest.raises(ArgumentError, match=r"lacks 25 columns of the IHDP table: bw, b.head"):
        G.ihdp_continuous(0, covariates=str(tmp_path / "few.csv"))
    with pytest.raises(ArgumentError, match=r"table='.*few.csv' cannot be read"):
        G.ihdp_split(1, table=str(tmp_path / "few.csv"))
    for rows, told in (
        (np.zeros((75, 99), dtype=int), r"shape \(75, 99\)"),
        (np.full((75, 100), 747), "from 0 to 746"),
        (np.zeros((75, 100), dtype=int), "names an infant twice"),
    ):
        path = tmp_path / f"{len(told)}.npz"
        np.savez(path, test_idx=rows)
        with pytest.raises(ArgumentError, match=told):
            G.ihdp_split(1, table=str(path))


def digest_of(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_files_of_infants_and_splits_are_checked_where_asked(tmp_path):
    shipped = module._shipped("ihdp")
    for make in (G.ihdp, G.ihdp_continuous, G.ihdp_published):
        assert make(0, covariates=str(shipped)).n == 747
    other = tmp_path / "infants.csv"
    other.write_bytes(shipped.read_bytes().replace(b"\n", b"\r\n"))
    assert G.ihdp(0, covariates=str(other), checksum=digest_of(other)).n == 747
    for make in (G.ihdp, G.ihdp_continuous, G.ihdp_published):
        with pytest.raises(ArgumentError, match=r"has checksum sha256:.* it is another file"):
            make(0, covariates=str(other))
        assert make(0, covariates=str(other), checksum="any").n == 747
    table = tmp_path / "splits.npz"
    np.savez(table, test_idx=np.argsort(np.random.default_rng(0).random((747, 100)), axis=0)[:75])
    ask = {"replication": 1, "split_table": str(table)}
    assert G.ihdp_published(0, **ask, split_checksum=digest_of(table)).n == 747
    with pytest.raises(ArgumentError, match=r"table=.* has checksum sha256:.*not sha256:00"):
        G.ihdp_published(0, **ask, split_checksum="sha256:00")
    with pytest.raises(ArgumentError, match=r"no published checksum of a file 'splits.npz'"):
        G.ihdp_split(1, table=str(table), checksum="published")

"""Results folder of a study: what goes in comes out, and nothing else counts."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from store_cases import CELLS, RECORD_COLUMNS, SEED, SPECS, block_of, canonical_bytes, facts_of

from causalkit.errors import ArgumentError, StorageError
from causalkit.study import store as module
from causalkit.study import store_read
from causalkit.study.design import Cell, EstimatorSpec
from causalkit.study.ranges import missing
from causalkit.study.store import open_store, read_store
from causalkit.study.store_write import write_block

A, B = (spec.id for spec in SPECS)
C1, C2 = (cell.id for cell in CELLS)
BY_ID = {spec.id: [spec] for spec in SPECS}


def opened(folder, facts=None, toml="text", **options):
    facts = facts_of() if facts is None else facts
    store = open_store(folder, facts, toml, **options)
    store.begin(facts)
    return store


@pytest.fixture
def store(tmp_path):
    return opened(tmp_path / "demo")


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def at(table, cell, est, span):
    return f"{table}/cell={cell}/est={est}/block-{span}.parquet"


# What goes in comes out


def test_records_come_back_bit_for_bit_by_cell_estimator_and_replication(store):
    blocks = [block_of(10, 19), block_of(0, 9), block_of(0, 4, cell=CELLS[1])]
    for block in blocks:
        write_block(store.folder, block)
    given = pd.concat([block.records for block in blocks])
    given = given.sort_values(["cell_id", "est_id", "rep"], kind="stable", ignore_index=True)
    found = store.records()
    assert list(found) == RECORD_COLUMNS == list(store_read.TABLES["records"])
    pd.testing.assert_frame_equal(found, given, check_exact=True)
    metrics = pd.concat([block.metrics for block in blocks])
    metrics = metrics.sort_values(["cell_id", "est_id", "rep"], ignore_index=True)
    pd.testing.assert_frame_equal(store.metrics(), metrics, check_exact=True)


def test_failures_and_texts_come_back(store):
    block = block_of(0, 9, failed=(2, 5))
    block.warnings["ab"] = "a warning: ≥ \udcff"
    write_block(store.folder, block)
    expected = block.failures.sort_values(["est_id", "rep"], ignore_index=True)
    pd.testing.assert_frame_equal(store.failures(), expected)
    assert store.tracebacks() == block.tracebacks
    assert store.warnings() == {"ab": "a warning: ≥ \\udcff"}
    assert store.records()["estimate"].isna().sum() == 8


def test_extreme_numbers_survive(store):
    block = block_of(0, 4, specs=SPECS[:1], estimands=("ate",))
    values = np.array([np.inf, -0.0, 5e-324, np.nextafter(1.0, 2.0), np.nan])
    block.records["estimate"] = values
    write_block(store.folder, block)
    np.testing.assert_array_equal(
        store.records()["estimate"].to_numpy().view(np.int64)[:4], values.view(np.int64)[:4]
    )
    assert np.isnan(store.records()["estimate"].iloc[4])


def test_files_are_where_and_what_the_contract_says_and_another_reader_reads_them(store):
    write_block(store.folder, block_of(0, 99))
    paths = [p for p in files(store.folder) if p.startswith("records")]
    assert paths == sorted(at("records", C1, est, "0000000-0000099") for est in (A, B))
    # No failures, no file.
    assert not (store.folder / "failures").exists()
    frame = pl.read_parquet(str(store.folder / "records" / "*" / "*" / "*.parquet"))
    assert frame.columns[:21] == RECORD_COLUMNS
    # Of both estimators and both estimands; a missing number is missing there too.
    assert frame.filter(pl.col("est_id") == B)["estimate"].sum() == pytest.approx(
        2 * sum(range(100)) + 200 * 100.3 + 100 * 0.1
    )
    assert frame["p_value"].null_count() == 400
    footer = pq.read_metadata(store.folder / paths[0]).metadata
    assert list(footer) == [b"causalkit"]
    assert json.loads(footer[b"causalkit"])["seed"] == SEED


def test_rows_that_are_read_can_be_changed(store):
    write_block(store.folder, block_of(0, 9, specs=SPECS[:1]))
    for frame in (store.records(), store.metrics()):
        frame.loc[0, frame.select_dtypes("float").columns[0]] = -1.0
        assert (frame.iloc[0] == -1.0).sum() == 1


def test_empty_store_has_the_types_of_a_full_one(store):
    empty = [store.records(), store.metrics(), store.failures()]
    assert store.covered(C1, A) == []
    assert store.tracebacks() == {}
    assert len(store.stale()) == 0
    write_block(store.folder, block_of(0, 9, failed=(1,)))
    full = [store.records(), store.metrics(), store.failures()]
    for none, some in zip(empty, full, strict=True):
        assert len(none) == 0
        assert len(some) > 0
        pd.testing.assert_series_equal(none.dtypes, some.dtypes)
    kinds = full[0].dtypes.map(lambda dtype: dtype.kind)
    assert (kinds[["rep", "n_obs", "attempt"]] == "i").all()
    assert all(pd.api.types.is_string_dtype(full[0][name]) for name in ("cell_id", "status"))


def test_rows_and_columns_can_be_chosen(store):
    for first in range(0, 40, 10):
        write_block(store.folder, block_of(first, first + 9))
        write_block(store.folder, block_of(first, first + 9, cell=CELLS[1]))
    whole = store.records()
    some = store.records(cells=[C2], estimators=[A], first=5, last=24, columns=["estimate", "rep"])
    keep = (whole["cell_id"] == C2) & (whole["est_id"] == A) & whole["rep"].between(5, 24)
    pd.testing.assert_frame_equal(some, whole.loc[keep, ["estimate", "rep"]].reset_index(drop=True))
    assert len(some) == 2 * 20
    assert list(store.records(first=40, columns=["truth"])) == ["truth"]
    assert len(store.records(first=40)) == 0
    with pytest.raises(ArgumentError, match=r"unknown column of records 'estimat'.*'estimate'\?"):
        store.records(columns=["estimat"])


# Coverage and attempts


def test_covered_joins_blocks_and_leaves_gaps(store):
    for first, last in ((10, 19), (0, 9), (30, 39), (35, 44), (60, 60)):
        write_block(store.folder, block_of(first, last, specs=SPECS[:1]))
    assert store.covered(C1, A) == [(0, 19), (30, 44), (60, 60)]
    assert store.covered(C1, B) == store.covered(C2, A) == []
    assert missing(store.covered(C1, A), 69) == [(20, 29), (45, 59), (61, 69)]


@pytest.mark.parametrize("later_first", [False, True])
def test_second_attempt_replaces_all_of_the_first(store, later_first):
    # The failed attempt knew two estimands, the successful one found one.
    once = block_of(0, 9, specs=SPECS[:1], failed=(7,))
    again = block_of(7, 7, specs=SPECS[:1], attempt=2, estimands=("ate",))
    for block in (again, once) if later_first else (once, again):
        write_block(store.folder, block)
    records = store.records()
    seventh = records[records["rep"] == 7]
    assert seventh[["estimand", "status", "attempt"]].values.tolist() == [["ate", "ok", 2]]
    assert len(records) == 2 * 9 + 1
    assert records["rep"].is_monotonic_increasing
    assert len(store.failures()) == 0
    # Metrics carry the attempt in their decimals.
    assert store.metrics()["value"].tolist() == [
        rep + (0.2 if rep == 7 else 0.1) for rep in range(10)
    ]
    assert store.covered(C1, A) == [(0, 9)]
    assert store.records(first=7, last=8, columns=["attempt"])["attempt"].tolist() == [2, 1, 1]


def test_attempts_at_the_same_replications_are_told_apart(store):
    write_block(store.folder, block_of(3, 3, failed=(3,)))
    write_block(store.folder, block_of(3, 3, attempt=2))
    assert set(store.records()["attempt"]) == {2}
    assert set(store.records()["status"]) == {"ok"}
    assert len(store.failures()) == 0
    assert store.repair() == []
    # And a second failure counts as one.
    write_block(store.folder, block_of(5, 5, failed=(5,)))
    write_block(store.folder, block_of(5, 5, failed=(5,), attempt=2))
    assert len(store.failures()) == len(SPECS)


def test_overlapping_blocks_count_once(store):
    parts = [block_of(0, 99), block_of(0, 49, attempt=2), block_of(50, 74, attempt=2)]
    for block in parts:
        write_block(store.folder, block)
    records = store.records()
    assert not records.duplicated(["cell_id", "est_id", "estimand", "rep"]).any()
    one = records[(records["est_id"] == B) & (records["estimand"] == "att")]
    assert one["rep"].tolist() == list(range(100))
    assert one["attempt"].tolist() == [2] * 75 + [1] * 25
    assert canonical_bytes(records) == canonical_bytes(parts[0].records)


def test_written_twice_is_there_once_and_its_former_failures_are_gone(store):
    write_block(store.folder, block_of(0, 9, failed=(1,)))
    write_block(store.folder, block_of(0, 9))
    assert len(store.failures()) == 0
    assert set(store.records()["status"]) == {"ok"}
    assert store.repair() == []


# One study per folder


@pytest.mark.parametrize(
    ("key", "other", "shown"),
    [
        ("name", "else", "name is 'demo' there and 'else' here"),
        ("seed", 8, "seed is 7 there and 8 here"),
        ("level", 0.9, "level is 0.95 there and 0.9 here"),
        ("null", 1.0, r"null is 0.0 there and 1.0 here"),
        ("treatment_cost", 1.0, r"treatment_cost is 0.0 there and 1.0 here"),
    ],
)
def test_folder_of_another_study_is_refused_with_the_field_and_the_mend(store, key, other, shown):
    before = (store.folder / "manifest.json").read_bytes()
    with pytest.raises(ArgumentError, match=rf"{shown}. Use --fresh .* or give the study another"):
        open_store(store.folder, facts_of(**{key: other}))
    assert (store.folder / "manifest.json").read_bytes() == before


def test_run_that_began_meanwhile_is_seen_when_this_one_begins(tmp_path):
    late = open_store(tmp_path / "demo", facts_of(seed=8))
    opened(tmp_path / "demo")
    with pytest.raises(ArgumentError, match="seed is 7 there and 8 here"):
        late.begin(facts_of(seed=8))


def test_other_layout_is_refused_by_writers_and_readers(store):
    path = store.folder / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 99'))
    with pytest.raises(ArgumentError, match=r"schema\) 99; .* version 2\. .*--fresh"):
        open_store(store.folder, facts_of())
    with pytest.raises(ArgumentError, match=r"schema\) 99"):
        read_store(store.folder)


def test_damaged_manifest_names_both_ways_out(store):
    path = store.folder / "manifest.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(StorageError, match=r"manifest\.json is damaged .* copy, or use --fresh"):
        open_store(store.folder, facts_of())
    opened(store.folder, fresh=True)
    assert len(read_store(store.folder).records()) == 0


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.tex").write_text("x")
    for fresh in (False, True):
        with pytest.raises(ArgumentError, match=r"other files \('thesis.tex'\)"):
            open_store(tmp_path / "demo", facts_of(), fresh=fresh)
    assert files(tmp_path) == ["demo/thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match=r"is a file; name another folder"):
        open_store(tmp_path / "file", facts_of())
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "manifest.json").write_text("{}")
    with pytest.raises(ArgumentError, match="not the manifest of a causalkit study"):
        open_store(tmp_path / "json", facts_of())
    with pytest.raises(ArgumentError, match=r"no results of a study .* run the study first"):
        read_store(tmp_path / "nowhere")


def test_folder_of_a_run_that_was_killed_before_it_began_is_joined(tmp_path):
    store = open_store(tmp_path / "demo", facts_of())
    (store.folder / "study.toml").write_text("half")
    (store.folder / "run.lock").write_text("")
    (store.folder / ".manifest.json.abc.tmp").write_text("{")
    again = opened(store.folder)
    assert again.repair() == ["Removed 1 unfinished file of a run that was cut off."]
    assert again.toml() == "text"


def test_fresh_moves_the_whole_folder_aside(store):
    write_block(store.folder, block_of(0, 9))
    before = {name: (store.folder / name).read_bytes() for name in files(store.folder)}
    new = opened(store.folder, facts_of(seed=8), fresh=True)
    newer = opened(store.folder, facts_of(seed=9), fresh=True)
    assert len(newer.records()) == 0
    assert newer.facts()["seed"] == 9
    aside = sorted(p for p in store.folder.parent.iterdir() if p != store.folder)
    assert len(aside) == 2
    assert all(path.match("demo.old-????????-??????*") for path in aside)
    assert {name: (aside[0] / name).read_bytes() for name in files(aside[0])} == before
    assert [str(aside[0]) in new.notes[0], str(aside[1]) in newer.notes[0]] == [True, True]
    assert len(read_store(aside[0]).records()) == 40


def test_fresh_does_not_pull_the_folder_from_under_a_run(store):
    with store.lock(), pytest.raises(ArgumentError, match="held by this Python session"):
        open_store(store.folder, facts_of(), fresh=True)
    assert read_store(store.folder).facts()["name"] == "demo"


# What the manifest says


def test_manifest_holds_the_study_the_versions_and_the_host(store):
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["schema"] == 2
    assert manifest["study"] == facts_of() == store.facts()
    assert store.toml() == "text"
    host = store.provenance()
    assert host["versions"]["numpy"] == np.__version__
    assert {"platform", "cpus", "thread_settings"} <= set(host)
    assert "earlier" not in host


def test_hash_is_that_of_the_study_and_not_of_how_it_was_run(tmp_path):
    def hashed(number, **changes):
        store = opened(tmp_path / str(number), facts_of(**changes))
        return json.loads((store.folder / "manifest.json").read_text())["study_hash"]

    first = hashed(1, run={"workers": 1})
    assert hashed(2, run={"workers": 2}) == first
    assert hashed(3, seed=8) != first
    assert len(first) == 16


def test_run_on_another_machine_is_recorded_beside_the_first(store, monkeypatch):
    first = store.provenance()
    monkeypatch.setattr(module, "info", lambda: {"platform": "other", "cpus": 1})
    store.begin(facts_of())
    store.begin(facts_of())
    assert store.provenance() == {"platform": "other", "cpus": 1, "earlier": [first]}


def test_ending_is_that_of_the_last_run(store):
    assert store.ending() == ""
    store.end("budget")
    assert read_store(store.folder).ending() == "budget"
    store.begin(facts_of())
    assert store.ending() == ""


def test_study_file_goes_once_no_file_can_hold_the_study(store):
    opened(store.folder, toml=None)
    assert store.toml() == ""


def test_blocks_of_a_changed_estimator_stay_and_are_told_as_stale(store):
    write_block(store.folder, block_of(0, 9))
    write_block(store.folder, block_of(5, 19, cell=CELLS[1], specs=SPECS[:1]))
    changed = EstimatorSpec("A", "pkg:a", source_digest="new")
    for _ in range(2):
        store.begin(facts_of(specs=(changed, SPECS[1])))
    stale = store.stale().sort_values("n_reps", ignore_index=True)
    assert stale["est_id"].tolist() == [A, A]
    assert stale["cell_id"].tolist() == [C1, C2]
    assert stale["label"].tolist() == ["A", "A"]
    assert stale["generator"].tolist() == ["g", "g"]
    assert stale["n_reps"].tolist() == [10, 15]
    assert set(store.records()["est_id"]) == {B}
    assert len(store.records(estimators=[A])) == 2 * 25
    assert store.repair() == []
    # The estimator is back as it was: nothing is stale.
    store.begin(facts_of(specs=(changed, *SPECS)))
    assert len(store.stale()) == 0
    manifest = json.loads((store.folder / "manifest.json").read_text())
    assert manifest["former"] == {"cells": {}, "estimators": {}, "sources": {}}


def test_stale_blocks_of_unknown_origin_have_no_label(store):
    write_block(store.folder, block_of(0, 1, cell=Cell("h", 1, {"n": 1}), specs=SPECS[:1]))
    row = store.stale().iloc[0]
    assert (row["generator"], row["label"], row["n_reps"]) == ("", "A", 2)

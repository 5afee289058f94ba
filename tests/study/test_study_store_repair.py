"""Damaged blocks: set aside, said, missing, and never read as results."""

import json
import random

import pandas as pd
import pyarrow.parquet as pq
import pytest
from store_cases import CELLS, RECORD_COLUMNS, SPECS, block_of, canonical_bytes, facts_of

from causalkit.errors import StorageError
from causalkit.study.store import open_store
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


def truncate(folder, paths):
    path = folder / paths["records"]
    path.write_bytes(path.read_bytes()[:-20])


def empty(folder, paths):
    (folder / paths["records"]).write_bytes(b"")


def flip(folder, paths):
    path = folder / paths["records"]
    column = pq.read_metadata(path).row_group(0).column(RECORD_COLUMNS.index("estimate"))
    content = bytearray(path.read_bytes())
    # The last bytes of a page are values.
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(content)


def other_table(folder, paths):
    pd.DataFrame({"x": [1.0]}).to_parquet(folder / paths["records"])


def no_footer(folder, paths):
    table = pq.read_table(folder / paths["records"])
    pq.write_table(table.replace_schema_metadata(None), folder / paths["records"])


def other_cell(folder, paths):
    write_block(folder, block_of(0, 9, cell=CELLS[1], specs=SPECS[:1]))
    source = folder / paths["records"].replace(C1, C2)
    source.replace(folder / paths["records"])
    for table in ("metrics", "failures"):
        (folder / paths[table].replace(C1, C2)).unlink(missing_ok=True)


def other_seed(folder, paths):
    write_block(folder, block_of(0, 9, specs=SPECS[:1], seed=8, failed=(1,)))


def fewer_rows(folder, paths):
    path = folder / paths["records"]
    table = pq.read_table(path)
    _write(table.slice(0, 18), path)


def same_rows_twice(folder, paths):
    path = folder / paths["records"]
    table = pq.read_table(path)
    _write(table.take([0, 0, *range(2, 20)]), path)


def one_row_less(folder, paths):
    path = folder / paths["records"]
    table = pq.read_table(path)
    _write(table.take([0, *range(2, 20)]), path)


def no_cost(folder, paths):
    path = folder / paths["records"]
    footer = json.loads(pq.read_metadata(path).metadata[b"causalkit"])
    del footer["treatment_cost"]
    _write(pq.read_table(path), path, footer=json.dumps(footer))


def _write(table, path, *, footer=None):
    footer = footer or pq.read_metadata(path).metadata[b"causalkit"]
    with pq.ParquetWriter(path, table.schema.remove_metadata(), store_schema=False) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({b"causalkit": footer})


def broken_metrics(folder, paths):
    path = folder / paths["metrics"]
    path.write_bytes(path.read_bytes()[:-1])


def lost_metrics(folder, paths):
    (folder / paths["metrics"]).unlink()


def lost_records(folder, paths):
    (folder / paths["records"]).unlink()


DAMAGE = [
    (truncate, "cannot be read"),
    (empty, "cannot be read"),
    (flip, "cannot be read"),
    (other_table, "does not have the columns of records"),
    (no_footer, "does not say which study it comes from"),
    (no_cost, "does not say which study it comes from"),
    (other_cell, "holds rows whose cell_id is '"),
    (other_seed, "comes from another study, whose seed is 8"),
    (fewer_rows, r"does not hold the replications of its name (0 to 8, 9 in all)"),
    (same_rows_twice, "holds a replication of an estimand twice"),
    (one_row_less, "counted 20 rows of records, of which 19 are there"),
    (broken_metrics, "belongs to a file of metrics that cannot be read"),
    (lost_metrics, "counted 10 rows of metrics, of which 0 are there"),
    (lost_records, "has no whole block of records beside it"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGE, ids=[d.__name__ for d, _ in DAMAGE])
def test_damaged_block_is_set_aside_said_and_missing_and_can_be_written_again(store, damage, why):
    good = block_of(0, 9, failed=(1,))
    write_block(store.folder, good)
    write_block(store.folder, block_of(10, 19))
    before = canonical_bytes(store.records())
    paths = {t: at(t, C1, A, "0000000-0000009") for t in ("records", "metrics", "failures")}
    damage(store.folder, paths)
    damaged = {name: (store.folder / name).read_bytes() for name in files(store.folder)}

    said = store.repair()
    left = [name for name in paths.values() if name in damaged]
    assert len(said) == len(left)
    for name in left:
        assert [name in line and f"moved to damaged/{name}" in line for line in said].count(True)
        # Moved and not changed.
        assert (store.folder / "damaged" / name).read_bytes() == damaged[name]
        assert not (store.folder / name).exists()
    assert any(why in line for line in said)
    if paths["records"] in left:
        line = next(line for line in said if line.startswith("records/"))
        assert "replications 0 to 9 are missing until the study is run" in line
    assert store.covered(C1, A) == [(10, 19)]
    assert store.covered(C1, B) == [(0, 19)]
    assert len(store.records()) == 20 + 40
    assert set(store.failures()["est_id"]) == {B}
    assert store.repair() == []

    write_block(store.folder, good)
    assert canonical_bytes(store.records()) == before
    assert store.repair() == []


@pytest.mark.parametrize("damage", [truncate, empty, flip, other_table])
def test_damaged_block_is_never_read_as_results(store, damage):
    write_block(store.folder, block_of(0, 9, failed=(1,)))
    paths = {"records": at("records", C1, A, "0000000-0000009")}
    damage(store.folder, paths)
    with pytest.raises(StorageError, match=r"block-0000000-0000009.parquet .*Run the study again"):
        store.records()
    assert len(store.records(estimators=[B])) == 20


def test_same_file_set_aside_twice_keeps_both(store):
    for cut in (10, 20):
        write_block(store.folder, block_of(0, 9, specs=SPECS[:1]))
        path = store.folder / at("records", C1, A, "0000000-0000009")
        path.write_bytes(path.read_bytes()[:-cut])
        store.repair()
    aside = sorted((store.folder / "damaged").rglob("block-*"))
    sizes = {path.name: path.stat().st_size for path in aside if "records" in str(path)}
    assert sorted(sizes) == ["block-0000000-0000009.parquet", "block-0000000-0000009.parquet.2"]
    assert len(set(sizes.values())) == 2


@pytest.mark.parametrize(
    "name",
    [
        "block-0000010-0000009.parquet",
        "block-0-9.parquet",
        "block-0000000-0000009-1.parquet",
        "block-0000000-0000009 (1).parquet",
        "notes.txt",
    ],
)
def test_files_that_are_not_named_like_blocks_do_not_count_and_are_set_aside(store, name):
    write_block(store.folder, block_of(0, 9))
    path = store.folder / at("records", C1, A, "0000000-0000009")
    path.with_name(name).write_bytes(path.read_bytes())
    assert len(store.records()) == 40
    (line,) = store.repair()
    assert f"{name} is not named like a block: moved to damaged/" in line
    assert len(store.records()) == 40


def test_block_renamed_to_a_later_attempt_does_not_win(store):
    write_block(store.folder, block_of(0, 9, specs=SPECS[:1]))
    write_block(store.folder, block_of(0, 9, specs=SPECS[:1], attempt=2))
    path = store.folder / at("records", C1, A, "0000000-0000009")
    path.with_name("block-0000000-0000009-3.parquet").write_bytes(path.read_bytes())
    (line,) = store.repair()
    assert "is of attempt 1 and not of 3" in line
    assert set(store.records()["attempt"]) == {2}


def test_any_flipped_bit_is_found_or_changes_nothing(store):
    write_block(store.folder, block_of(0, 9, specs=SPECS[:1]))
    path = store.folder / at("records", C1, A, "0000000-0000009")
    whole = path.read_bytes()
    expected = canonical_bytes(store.records())
    rng = random.Random(5)
    found = 0
    for _ in range(400):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            assert canonical_bytes(store.records()) == expected
        except StorageError:
            found += 1
    # Most of a file is pages with a checksum.
    assert found > 200

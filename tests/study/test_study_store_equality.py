"""Two runs are equal if the bytes of their projected records are."""

import numpy as np
import pytest
from store_cases import CELLS, RECORD_COLUMNS, SPECS, block_of, canonical_bytes, facts_of

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


def test_canonical_bytes_do_not_depend_on_order_cost_or_blocks(tmp_path):
    found = []
    for number, spans in enumerate(([(0, 59)], [(30, 59), (0, 9), (10, 29)])):
        store = opened(tmp_path / str(number))
        for first, last in spans:
            write_block(store.folder, block_of(first, last, wall=float(number)))
        found.append(store.records())
    assert not found[0].equals(found[1])
    text = canonical_bytes(found[0])
    assert text == canonical_bytes(found[1])
    assert text == canonical_bytes(found[0].sample(frac=1.0, random_state=1))
    assert text.decode().splitlines()[0].split(",") == [*RECORD_COLUMNS[:14], "warnings_digest"]
    first = text.decode().splitlines()[1].split(",")
    assert first[:5] == [repr(C1), repr(min(A, B)), "'ate'", "0", "100.0" if A < B else "100.3"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("estimate", np.nextafter(100.0, 200.0)),
        ("estimate", np.nan),
        ("std_error", -0.0),
        ("status", "error"),
        ("n_obs", 99),
    ],
)
def test_canonical_bytes_tell_every_result_apart(column, value):
    records = block_of(0, 3, specs=SPECS[:1]).records
    records["std_error"] = 0.0
    changed = records.copy()
    changed.loc[0, column] = value
    assert canonical_bytes(changed) != canonical_bytes(records)

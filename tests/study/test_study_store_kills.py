"""Writers that are killed, disks that are full, and several writers at once."""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_cases import CELLS, SPECS, block_of, canonical_bytes, facts_of

from causalkit.errors import StorageError
from causalkit.study import store_write
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


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_cases import block_of
from causalkit.study.store_write import write_block
print("ready", flush=True)
for turn in range(10_000):
    first = 10 * (turn % 50)
    failed = tuple(range(first, first + 10, 3))
    write_block(Path(sys.argv[1]), block_of(first, first + 9, failed=failed))
"""


def test_killed_writers_leave_whole_blocks_and_repair_leaves_a_clean_folder(store):
    rng = random.Random(11)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.35))
        process.kill()
        process.wait()
        process.stdout.close()

        # Before any repair: every block that counts is whole.
        _check_whole(store)
        for line in store.repair():
            assert "unfinished" in line or "has no whole block of records beside it" in line
        _check_whole(store)
        assert store.repair() == []
        names = [name for name in files(store.folder) if not name.startswith("damaged")]
        assert not [name for name in names if "tmp" in name]
        records = {name.partition("/")[2] for name in names if name.startswith("records")}
        for table in ("metrics", "failures"):
            assert {n.partition("/")[2] for n in names if n.startswith(table)} == records
    assert store.covered(C1, A)


def _check_whole(store):
    records, failures = store.records(), store.failures()
    tens = (records["rep"] // 10).rename("tens")
    for (est, ten), part in records.groupby(["est_id", tens]):
        first = 10 * int(ten)
        failed = list(range(first, first + 10, 3))
        block = block_of(first, first + 9, specs=BY_ID[est], failed=failed)
        assert canonical_bytes(part) == canonical_bytes(block.records)
        own = (failures["est_id"] == est) & (failures["rep"] // 10 == ten)
        assert failures.loc[own, "rep"].tolist() == failed


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_cases import block_of
from causalkit.errors import StorageError
from causalkit.study.store_write import write_block
write_block(Path(sys.argv[1]), block_of(0, 9, failed=(1,)))
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    write_block(Path(sys.argv[1]), block_of(10, 3009, failed=(1,)))
except StorageError as error:
    sys.exit(str(error))
"""


def test_disk_that_takes_no_more_keeps_what_is_whole_and_leaves_nothing_partial(store):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(store.folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"cannot write {store.folder}" in done.stderr
    assert "File too large; " in done.stderr
    assert "MB are free on that disk. Make room" in done.stderr
    assert "running again computes only what is missing" in done.stderr
    assert [n for n in files(store.folder) if "0000010" in n or n.endswith(".tmp")] == []
    assert store.covered(C1, A) == [(0, 9)]
    assert store.repair() == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_full_disk_at_any_moment_leaves_no_partial_file(store, monkeypatch, call, nth):
    calls = []

    def refuse(real):
        def maybe(*args):
            calls.append(args)
            if len(calls) == nth:
                raise OSError(28, "No space left on device")
            return real(*args)

        return maybe

    owner = store_write.os if call == "fsync" else store_write.Path
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, refuse(getattr(owner, call)))
        # A traceback, and metrics, failures and records of each estimator.
        with pytest.raises(StorageError, match=r"No space left on device; [\d,.]+ MB are free"):
            write_block(store.folder, block_of(0, 9, failed=(1,)))
    assert not [name for name in files(store.folder) if name.endswith(".tmp")]
    # Records are renamed last, so what is left of an estimator never counts.
    assert len(store.records()) == 0
    assert len(store.failures()) == len(store.metrics()) == 0
    store.repair()
    write_block(store.folder, block_of(0, 9, failed=(1,)))
    assert len(store.records()) == 40
    assert store.repair() == []


def test_place_that_cannot_be_written_says_what_to_do(tmp_path, store):
    (store.folder / "records").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match=r"cannot write .*Make the folder writable, or name"):
        write_block(store.folder, block_of(0, 9))
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*out/demo: Not a directory"):
        open_store(tmp_path / "out" / "demo", facts_of())


def test_several_writers_of_the_same_block_and_a_reader_do_not_disturb_each_other(store):
    block = block_of(0, 9, failed=(1,))
    write_block(store.folder, block)
    expected = canonical_bytes(store.records())
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write_block, store.folder, block) for _ in range(40)]
        while not all(write.done() for write in writes):
            assert canonical_bytes(store.records()) == expected
        for write in writes:
            write.result()
    assert store.repair() == []

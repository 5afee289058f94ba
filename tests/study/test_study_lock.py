"""Lock of a results folder: one run at a time; a dead run holds nothing."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from causalkit.errors import ArgumentError
from causalkit.study.lock import FILE, locked, refuse_if_locked

HOLD = """
import sys, time
from pathlib import Path
from causalkit.study.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def held_by_other(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def holder(**changes):
    me = psutil.Process()
    facts = {"pid": me.pid, "host": socket.gethostname(), "started": me.create_time()}
    return json.dumps(facts | {"since": "2026-01-01", "token": "t"} | changes)


def test_lock_is_gone_afterwards_also_after_an_error(tmp_path):
    with locked(tmp_path) as said:
        assert said == []
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_second_run_is_refused_while_the_first_lives_and_takes_over_once_it_is_killed(tmp_path):
    process = held_by_other(tmp_path)
    try:
        with (
            pytest.raises(ArgumentError, match=rf"held by process {process.pid}, .* Wait for it"),
            locked(tmp_path),
        ):
            pass
        with pytest.raises(ArgumentError, match=rf"held by process {process.pid}"):
            refuse_if_locked(tmp_path)
    finally:
        end(process)
    refuse_if_locked(tmp_path)
    with locked(tmp_path) as said:
        assert len(said) == 1
        assert f"process {process.pid}" in said[0]
        assert "took it over" in said[0]
        assert json.loads((tmp_path / FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_own_session_is_named(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(ArgumentError, match="held by this Python session"),
        locked(tmp_path),
    ):
        pass


def test_zombie_holds_nothing(tmp_path):
    # A killed process whose parent has not asked for its end still has its number.
    process = held_by_other(tmp_path)
    process.send_signal(signal.SIGKILL)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with locked(tmp_path) as said:
        assert len(said) == 1
    end(process)


def test_number_of_a_dead_process_that_another_one_has_now_holds_nothing(tmp_path):
    (tmp_path / FILE).write_text(holder(started=psutil.Process().create_time() - 3600.0))
    with locked(tmp_path) as said:
        assert len(said) == 1


def test_process_of_another_machine_is_never_taken_over(tmp_path):
    text = holder(host="elsewhere", pid=2**22 + 1)
    (tmp_path / FILE).write_text(text)
    refused = pytest.raises(ArgumentError, match=r"machine 'elsewhere' .* delete .*run\.lock")
    with refused, locked(tmp_path):
        pass
    assert (tmp_path / FILE).read_text() == text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_lock_that_does_not_say_whose_it_is_names_the_file_to_delete(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    refused = pytest.raises(ArgumentError, match=r"does not say by whom.*delete that file")
    with refused, locked(tmp_path):
        pass
    assert (tmp_path / FILE).read_text() == text


def test_lock_that_someone_else_put_there_meanwhile_is_not_removed(tmp_path):
    with locked(tmp_path):
        (tmp_path / FILE).write_text(holder(token="other"))
    assert json.loads((tmp_path / FILE).read_text())["token"] == "other"


FULL = """
import resource, sys
from pathlib import Path
from causalkit.errors import StorageError
from causalkit.study.lock import locked
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    with locked(Path(sys.argv[1])):
        pass
except StorageError as error:
    sys.exit(str(error))
"""


def test_disk_that_takes_no_more_leaves_no_lock_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert f"cannot write {tmp_path / FILE}: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


ROUNDS, RACERS = 20, 4


def race(folder, number, barrier, found):
    """Per round: all find the lock of a dead process at once."""
    won = []
    for _ in range(ROUNDS):
        if number == 0:
            (folder / FILE).write_text(holder(started=0.0))
        barrier.wait(30)
        try:
            with locked(folder) as said:
                won.append(len(said))
                barrier.wait(30)
        except ArgumentError:
            won.append(0)
            barrier.wait(30)
        barrier.wait(30)
    found.put(won)


def test_of_several_runs_that_find_a_dead_one_exactly_one_takes_over(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(RACERS), context.Queue()
    racers = [
        context.Process(target=race, args=(tmp_path, number, barrier, found))
        for number in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    won = [found.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert [sum(each) for each in zip(*won, strict=True)] == [1] * ROUNDS
    assert list(tmp_path.iterdir()) == []

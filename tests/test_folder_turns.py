"""Turns at a folder: one after the other, and nobody waits for what is gone or never was."""

import os
import threading

import pytest

from causalkit import folder_turns
from causalkit.folder_turns import one_by_one


def waiting(folder):
    """Thread that takes a turn, and whether it has had it."""
    had = threading.Event()

    def turn():
        with one_by_one(folder):
            had.set()

    thread = threading.Thread(target=turn)
    thread.start()
    return thread, had


def test_the_second_has_its_turn_when_the_first_has_had_it(tmp_path):
    with one_by_one(tmp_path):
        thread, had = waiting(tmp_path)
        assert not had.wait(0.2)
    thread.join()
    assert had.is_set()
    assert not list(tmp_path.iterdir())


def test_a_turn_that_fails_is_over(tmp_path):
    with pytest.raises(KeyboardInterrupt), one_by_one(tmp_path):
        raise KeyboardInterrupt
    waiting(tmp_path)[0].join()


def test_a_process_that_was_forked_in_a_turn_does_not_hold_it(tmp_path):
    read, write = os.pipe()
    with one_by_one(tmp_path):
        child = os.fork()
        if child == 0:
            os.read(read, 1)
            os._exit(0)
    _, had = waiting(tmp_path)
    assert had.wait(10.0)
    os.write(write, b"x")
    os.waitpid(child, 0)


def test_turns_in_two_folders_or_in_none_do_not_wait(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    with one_by_one(tmp_path), one_by_one(tmp_path / "other"), one_by_one(tmp_path / "absent"):
        pass
    monkeypatch.setattr(folder_turns, "_fcntl", lambda: None)
    with one_by_one(tmp_path), one_by_one(tmp_path):
        pass

"""A folder of a fit at any moment of being written: the old one or the new one, and whole."""

import os
import threading
from pathlib import Path

import pytest
import torch

from causalkit import tensorfile
from causalkit.errors import StorageError
from causalkit.tensorfile import read_fit, read_tensors, save_fit, write_tensors

STEPS = (
    *((torch, "save"), (os, "fsync")),
    *((Path, name) for name in ("open", "write_text", "replace", "unlink")),
)


class Cut(BaseException):
    """What no code catches."""


def save(folder, number, **more):
    tensors = {"a": torch.full((3,), float(number)), "none": torch.zeros(0, 2)}
    save_fit(folder, "Fit", tensors, {"number": number} | more, schema=1)


def saved(folder):
    tensors, facts = read_fit(folder, "Fit", schema=1, path_of=str)
    assert tensors["a"].tolist() == [facts["number"]] * 3
    return facts["number"]


def cut_at(patch, step, how):
    """Have the system stop before one of its steps; list of the steps that were done."""
    done = []

    def stopping(name, real):
        def call(*args, **kwargs):
            done.append(name)
            if len(done) == step:
                how()
            return real(*args, **kwargs)

        return call

    for owner, name in STEPS:
        patch.setattr(owner, name, stopping(name, getattr(owner, name)))
    return done


def raised():
    raise Cut


N_STEPS = 10


def test_the_steps_of_a_save_are_those_that_are_cut(tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        done = cut_at(patch, 0, raised)
        save(tmp_path, 2)
    assert len(done) >= N_STEPS
    assert done.count("replace") == 2, "of the tensors, and of the facts"


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_failed_save_leaves_the_old_fit_or_the_new(tmp_path, monkeypatch, step):
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        done = cut_at(patch, step, raised)
        with pytest.raises(Cut):
            save(tmp_path, 2)
    # The second replacement is that of the facts: before it has happened there is the old fit.
    assert saved(tmp_path) == (1 if done[: step - 1].count("replace") < 2 else 2)
    save(tmp_path, 3)
    assert saved(tmp_path) == 3


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_killed_save_leaves_the_old_fit_or_the_new(tmp_path, monkeypatch, step):
    save(tmp_path, 1)
    child = os.fork()
    if child == 0:  # killed: nothing is tidied up
        cut_at(monkeypatch, step, lambda: os._exit(9))
        save(tmp_path, 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert saved(tmp_path) in (1, 2)
    save(tmp_path, 3)
    assert saved(tmp_path) == 3
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left of the one that was killed"


def test_the_same_fit_is_the_same_folder_and_nothing_is_left_of_the_former(tmp_path):
    contents = []
    for number in (1, 2, 1):
        save(tmp_path, number)
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
        assert len(contents[-1]) == 2
    assert contents[0] == contents[2]
    assert contents[0].keys() & contents[1].keys() == {"config.json"}


def test_a_save_reads_every_tensor_once_for_digest_and_name(tmp_path, monkeypatch):
    read = []
    real = tensorfile.bytes_of
    monkeypatch.setattr(
        tensorfile, "bytes_of", lambda values: read.append(values.numel()) or real(values)
    )
    save(tmp_path, 1)
    assert sorted(read) == [0, 3]
    _, facts = read_tensors(tmp_path)
    assert [path.name for path in tmp_path.glob("*.pt")] == [f"weights-{facts['digest'][:32]}.pt"]


def meanwhile(call, *arguments):
    """Thread that does something while this one waits, but not for ever: it may wait for us."""
    other = threading.Thread(target=call, args=arguments)
    other.start()
    other.join(0.3)
    return other


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_two_saves_at_once_leave_one_of_the_two_fits(tmp_path, monkeypatch, step):
    save(tmp_path, 1)
    others = []
    with monkeypatch.context() as patch:
        cut_at(patch, step, lambda: others.append(meanwhile(save, tmp_path, 3)))
        save(tmp_path, 2)
    for other in others:
        other.join()
    assert len(others) == 1
    assert saved(tmp_path) in (2, 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_fit_that_is_replaced_while_it_is_read_is_the_old_or_the_new(tmp_path, monkeypatch):
    save(tmp_path, 1)
    others, load = [], torch.load

    def slow(*args, **kwargs):
        others.append(meanwhile(save, tmp_path, 2))
        return load(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", slow)
        assert saved(tmp_path) == 1
    others[0].join()
    assert saved(tmp_path) == 2


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_first_save_that_was_killed_does_not_stand_in_the_way(tmp_path, monkeypatch, step):
    child = os.fork()
    if child == 0:
        cut_at(monkeypatch, step, lambda: os._exit(9))
        save(tmp_path, 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    save(tmp_path, 2)
    assert saved(tmp_path) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["weights.pt", "weights-0123456789ab.pt", "notes.txt"])
def test_a_file_of_the_user_is_neither_overwritten_nor_removed(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(StorageError, match=f"holds {name}, which is no part of a fit"):
        save(tmp_path, 1)
    write_tensors(tmp_path, {}, {"number": 1})
    write_tensors(tmp_path, {}, {"number": 2})
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_of_facts_that_name_no_tensors_is_refused(tmp_path):
    write_tensors(tmp_path, {}, {"number": 1})
    for text in ("[]", '{"number": 1}', '{"weights": 3}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(StorageError, match="is not a causalkit folder"):
            read_tensors(tmp_path)

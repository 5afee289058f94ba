"""Folders that are there whole, or not at all."""

import os
from pathlib import Path

import pytest

from causalkit.data.new_folder import free_folder, new_folder, set_aside
from causalkit.errors import ArgumentError, StorageError


def write(path, text, *, error=None, **arguments):
    with new_folder(path, **arguments) as folder:
        (folder / "text").write_text(text)
        if error is not None:
            raise error


@pytest.fixture(params=["file", "folder"])
def taken(request, tmp_path):
    """A path at which there is something of the user's."""
    path = tmp_path / "taken"
    if request.param == "file":
        path.write_text("mine")
    else:
        write(path, "mine")
    return path


def test_a_folder_is_there_after_the_block_and_nothing_beside_it(tmp_path):
    path = tmp_path / "deep" / "er" / "new"
    with new_folder(path) as folder:
        assert not list(folder.iterdir())
        (folder / "text").write_text("mine")
        assert not path.exists()
    assert (path / "text").read_text() == "mine"
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_folder_gives_way(tmp_path):
    path = tmp_path / "empty"
    path.mkdir()
    assert free_folder(path) == path
    write(path, "mine")
    assert (path / "text").read_text() == "mine"


def test_what_is_there_is_refused_before_and_after_the_work(taken, tmp_path):
    with pytest.raises(ArgumentError, match=r"to_zarr='.*taken' exists.* or name a new one"):
        free_folder(str(taken))
    with pytest.raises(StorageError, match=r"cannot write .*taken: "):
        write(taken, "other")
    assert (taken / "text" if taken.is_dir() else taken).read_text() == "mine"
    assert list(tmp_path.iterdir()) == [taken]


def test_two_may_write_the_same_at_once_and_the_last_is_kept(tmp_path):
    path = tmp_path / "shared"
    with new_folder(path, replace=True) as one:
        (one / "text").write_text("one")
        write(path, "other", replace=True)
        assert (path / "text").read_text() == "other"
    assert (path / "text").read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def between_the_renames(patch, how):
    """Have something happen once the old folder is aside and the new not yet in its place."""
    rename = Path.rename

    def cut(self, target):
        if ".new-" in self.name:
            how()
        return rename(self, target)

    patch.setattr(Path, "rename", cut)


def test_what_was_there_is_put_back_when_the_user_interrupts(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    write(path, "mine")

    def interrupt():
        assert not path.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        between_the_renames(patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(path, "other", replace=True)
    assert (path / "text").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_is_beside_after_a_kill_and_the_next_is_written(tmp_path, monkeypatch):
    path = tmp_path / "[kept]"  # no pattern, but a name
    write(path, "mine")
    assert set_aside(path) is None
    child = os.fork()
    if child == 0:
        between_the_renames(monkeypatch, lambda: os._exit(9))
        write(path, "other", replace=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    former = set_aside(path)
    assert (former / "text").read_text() == "mine"
    write(path, "third", replace=True)
    assert (path / "text").read_text() == "third"
    assert set_aside(path) is None
    assert (former / "text").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ArgumentError])
def test_work_that_fails_leaves_what_was_there(tmp_path, error):
    write(tmp_path / "kept", "mine")
    with pytest.raises(error):
        write(tmp_path / "kept", "half", error=error, replace=True)
    assert (tmp_path / "kept" / "text").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]


def test_a_system_that_refuses_is_quoted(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*new: (File exists|Not a directory)"):
        write(tmp_path / "file" / "new", "mine")
    with pytest.raises(StorageError, match=r"cannot write .*new: the disk is full"):
        write(tmp_path / "new", "half", error=OSError("the disk is full"))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_file_that_cannot_be_read_on_the_way_is_not_called_unwritten(tmp_path):
    with pytest.raises(FileNotFoundError, match="lost"), new_folder(tmp_path / "new"):
        (tmp_path / "lost").read_text()
    assert not list(tmp_path.iterdir())

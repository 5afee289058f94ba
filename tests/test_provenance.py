"""Facts about the installation agree with the package metadata and can be written as JSON."""

import json
import platform
import shutil
import subprocess
from importlib import metadata

import pytest

import causalkit
from causalkit.provenance import info, record, revision, versions


def test_the_version_is_one_number_everywhere():
    assert causalkit.__version__ == metadata.version("causalkit") == versions()["causalkit"]


@pytest.mark.parametrize("name", ["numpy", "pandas", "scipy", "scikit-learn", "lightgbm"])
def test_versions_are_those_of_the_installed_packages(name):
    assert versions()[name] == metadata.version(name)


def test_packages_that_are_absent_are_left_out():
    installed = {dist.metadata["Name"].lower() for dist in metadata.distributions()}
    for name in ("torch", "pymc", "econml"):
        assert (name in versions()) == (name in installed)


def test_info_names_the_python_that_runs():
    assert info()["versions"]["python"] == platform.python_version()


def test_info_shows_the_thread_settings_that_are_made(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    settings = info()["thread_settings"]
    assert settings["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in settings


def test_info_and_records_can_be_written_as_json():
    for facts in (info(), record(seed=7, wall_s=0.5)):
        assert json.loads(json.dumps(facts)) == facts


def test_a_record_holds_seed_time_and_versions():
    facts = record(seed=7, wall_s=0.5)
    assert (facts["seed"], facts["wall_s"]) == (7, 0.5)
    assert facts["versions"] == versions()


@pytest.fixture
def git(tmp_path):
    """Runs git in a new repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def run(*words, at=tmp_path):
        who = ["-c", "user.name=n", "-c", "user.email=e@e"]
        done = subprocess.run(
            ["git", *who, *words], cwd=at, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "-q")
    run("commit", "-q", "--allow-empty", "-m", "first")
    return run


@pytest.mark.parametrize("form", ["loose", "packed", "detached", "other tree", "deeper"])
def test_a_record_has_the_commit_that_is_checked_out(git, tmp_path, monkeypatch, form):
    here = tmp_path
    if form == "packed":
        git("pack-refs", "--all")
        assert not list((tmp_path / ".git" / "refs" / "heads").iterdir())
    elif form == "detached":
        git("checkout", "-q", "--detach")
    elif form == "other tree":
        here = tmp_path / "tree"
        git("worktree", "add", "-q", "-b", "topic/one", str(here))
        git("commit", "-q", "--allow-empty", "-m", "second", at=here)
    elif form == "deeper":
        here = tmp_path / "code" / "paper"
        here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert revision() == git("rev-parse", "HEAD", at=here)
    assert record(seed=7, wall_s=0.5)["revision"] == revision()


def test_a_repository_without_a_commit_has_no_revision(git, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    git("init", "-q", str(empty))
    monkeypatch.chdir(empty)
    assert revision() is None


def test_a_record_outside_of_git_has_no_revision(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if any((folder / ".git").exists() for folder in tmp_path.parents):
        pytest.skip("the temporary folder is inside of a repository")
    assert "revision" not in record(seed=7, wall_s=0.5)

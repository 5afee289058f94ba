"""Facts about the installation agree with the package metadata and can be written as JSON."""

import json
import platform
from importlib import metadata

import pytest

import causalkit
from causalkit.provenance import info, record, versions


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

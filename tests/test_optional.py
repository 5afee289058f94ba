"""An absent package is named with the command that installs it; a broken one is not hidden."""

import json
import sys

import pytest

from causalkit.errors import MissingDependencyError
from causalkit.images.pretrained_loaders import timm_normalisation, torchgeo_weights
from causalkit.images.report import effect_report
from causalkit.optional import require
from causalkit.study.config import read


def test_an_installed_package_comes_back_as_the_module_itself():
    assert require("json", extra="", needed_by="a test") is json


def test_a_submodule_comes_back_and_not_its_parent():
    found = require("importlib.metadata", extra="", needed_by="a test")
    assert found is sys.modules["importlib.metadata"]


@pytest.mark.parametrize("name", ["no_such_package", "no_such_package.inner"])
def test_an_absent_package_is_named_with_who_needs_it_and_the_command(name):
    with pytest.raises(MissingDependencyError) as caught:
        require(name, extra="deep", needed_by="TransTEE")
    text = str(caught.value)
    assert "TransTEE" in text
    assert "'no_such_package'" in text
    assert 'pip install ".[deep]"' in text


def test_a_core_package_is_mended_by_the_plain_install():
    with pytest.raises(MissingDependencyError, match=r'pip install "\."$'):
        require("no_such_package", extra="", needed_by="from_formula")


def test_a_package_that_no_extra_brings_is_named_as_pip_calls_it():
    with pytest.raises(MissingDependencyError, match=r"'absent_one'.*pip install Absent-One$"):
        require("absent_one.inner", package="Absent-One", needed_by="ImageEncoder.such")


@pytest.mark.parametrize(
    ("package", "asks"),
    [
        ("timm", lambda: timm_normalisation("resnet18")),
        ("torchgeo", lambda: torchgeo_weights("resnet18", "ANY")),
    ],
)
def test_encoders_from_elsewhere_name_their_own_package(monkeypatch, package, asks):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install {package}$"):
        asks()


def test_a_report_of_images_names_the_extra_that_draws_its_pictures(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingDependencyError, match=r"report.*pip install \"\.\[plots\]\""):
        effect_report(None, None)


def test_a_study_file_in_yaml_names_pyyaml(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "study.yaml").write_text("study: {}\n", encoding="utf-8")
    with pytest.raises(MissingDependencyError, match=r"pip install PyYAML$"):
        read(tmp_path / "study.yaml")


def test_callers_may_catch_import_error():
    with pytest.raises(ImportError):
        require("no_such_package", extra="plots", needed_by="plot")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import another_absent_package\n", ModuleNotFoundError),
        ("raise ImportError('wrong binary')\n", ImportError),
        ("raise OSError('shared library not found')\n", OSError),
    ],
)
def test_a_broken_install_keeps_its_own_error(tmp_path, monkeypatch, source, expected):
    (tmp_path / "broken_package.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(expected) as caught:
        require("broken_package", extra="deep", needed_by="TransTEE")
    assert not isinstance(caught.value, MissingDependencyError)

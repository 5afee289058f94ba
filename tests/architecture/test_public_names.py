"""Public names: documented, and the lazy table agrees with what type checkers are told."""

import ast
import doctest
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import causalkit as ck
from causalkit import registry

ROOT = Path(__file__).parents[2]
PUBLIC = {
    **{name: f"{home}:{name}" for name, home in ck._HOME.items()},
    **registry.ESTIMATORS,
    **registry.GENERATORS,
}
MODULES = sorted(
    info.name for info in pkgutil.walk_packages(ck.__path__, "causalkit.") if not info.ispkg
)


def told_to_type_checkers(path: Path) -> dict[str, str]:
    """Names imported under ``if TYPE_CHECKING``, with the module of each."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    (block,) = [
        node
        for node in body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_object_has_a_reference_or_an_example(name):
    text = inspect.getdoc(registry.load("object", PUBLIC[name], {})) or ""
    assert text.splitlines()[0].endswith(".")
    assert "\nExamples\n--------" in text or "\nReferences\n----------" in text


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_method_has_a_docstring(name):
    value = registry.load("object", PUBLIC[name], {})
    for key, member in vars(value).items() if inspect.isclass(value) else ():
        if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{name}.{key}"


def test_the_lazy_table_and_the_type_checkers_agree():
    told = told_to_type_checkers(ROOT / "causalkit" / "__init__.py")
    modules = {name for name, home in told.items() if home == "causalkit"}
    assert modules == ck._MODULES
    assert {name: home for name, home in told.items() if name not in modules} == ck._HOME


def test_public_names_are_the_two_tables():
    assert ck.__all__ == sorted(ck._MODULES | ck._HOME.keys())


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_give_the_output_they_show(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0

"""Length, prints and names: rules about the text of the code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "causalkit").rglob("*.py"))
ALL = [
    *PACKAGE,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
]
MOST_LINES = 400


def short(path: Path) -> str:
    """Path below the root, for the names of parametrised tests."""
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ALL, ids=short)
def test_a_file_holds_one_idea_and_so_at_most_400_lines(path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES


@pytest.mark.parametrize("path", PACKAGE, ids=short)
def test_the_library_does_not_print(path):
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


@pytest.mark.parametrize(
    "path", [path for path in PACKAGE if path.name == "__init__.py"], ids=short
)
def test_a_package_file_only_re_exports(path):
    # Lazy roots define the two module hooks; everything else has a file with its own name.
    defined = {
        node.name
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assert defined <= {"__getattr__", "__dir__"}


@pytest.mark.parametrize(
    "path", [path for path in PACKAGE if path.name == "__init__.py"], ids=short
)
def test_no_public_name_is_also_a_module_beside_it(path):
    # Python rebinds the name on the first import of the module, and the object vanishes.
    beside = {p.stem for p in path.parent.glob("*.py")}
    beside |= {p.parent.name for p in path.parent.glob("*/__init__.py")}
    body = tree(path).body
    body += [node for block in body if isinstance(block, ast.If) for node in block.body]
    exported = {
        alias.asname or alias.name
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module != "causalkit"
        for alias in node.names
    }
    assert exported & beside == set()


def test_test_files_have_unique_names():
    # Without __init__.py files pytest imports test modules by their base name.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", PACKAGE, ids=short)
def test_no_module_name_looks_like_a_test(path):
    assert not path.stem.startswith("test_")
    assert not path.stem.endswith("_test")

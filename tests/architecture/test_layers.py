"""Imports point down: import-linter checks each edge, and no module escapes its contract."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "causalkit"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


def test_no_import_points_up_or_sideways():
    done = subprocess.run(
        [sys.executable, "-c", LINT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_beside_the_root_has_a_layer():
    (contract,) = CONFIG["tool"]["importlinter"]["contracts"]
    placed = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    found = {
        f"causalkit.{path.stem}"
        for path in PACKAGE.iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert found == placed


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "constants", "types"])
def test_no_module_is_a_dumping_ground(name):
    assert not list(PACKAGE.rglob(f"{name}.py"))

"""README, docs and packaging say what is there, no more and no less."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import causalkit as ck
from causalkit.registry import ESTIMATORS, GENERATORS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = {"deep", "bayes", "econml", "images", "dask", "big", "plots", "data", "all", "dev"}
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks(text: str, language: str) -> list[str]:
    """Fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def package(requirement: str) -> str:
    """Name in a requirement such as ``pandas>=2.2``."""
    return re.split(r"[^\w-]", requirement)[0]


def table_under(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its two header lines."""
    rest = re.split(rf"^#+ {heading}$", text, flags=re.MULTILINE)[1]
    lines = re.search(r"(?:^\|.*\|\n)+", rest, flags=re.MULTILINE)
    assert lines is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return rows[2:]


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_estimator_table_is_the_registry(page):
    rows = table_under((ROOT / page).read_text(encoding="utf-8"), "Estimators")
    shown = {row[1].strip("`"): row[0].strip("`").removeprefix("ck.") for row in rows}
    assert shown == {name: path.partition(":")[2] for name, path in ESTIMATORS.items()}


def test_the_generator_table_is_the_registry():
    rows = table_under((ROOT / "docs/index.md").read_text(encoding="utf-8"), "Generators")
    assert {row[0].strip("`").removeprefix("ck.generators.") for row in rows} == set(GENERATORS)


def test_the_dependency_table_is_what_a_plain_install_brings():
    names = {package(line) for line in CONFIG["project"]["dependencies"]}
    rows = table_under(README, "Dependencies")
    assert {row[0].strip("`") for row in rows} == names


def test_extras_are_the_agreed_ones_and_all_holds_every_one_for_users():
    extras = CONFIG["project"]["optional-dependencies"]
    assert set(extras) == EXTRAS
    inside = re.fullmatch(r"causalkit\[(.*)\]", extras["all"][0])
    assert inside is not None
    assert set(inside[1].split(",")) == EXTRAS - {"all", "dev"}


def test_every_core_dependency_is_pinned_in_the_lock():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    pinned = {line.partition("==")[0] for line in lock.split()}
    wanted = [
        *CONFIG["project"]["dependencies"],
        *CONFIG["project"]["optional-dependencies"]["dev"],
    ]
    names = {package(line).lower() for line in wanted}
    assert names - {"causalkit"} <= pinned


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_parse_and_name_only_what_exists(path):
    for block in blocks(path.read_text(encoding="utf-8"), "python"):
        tree = ast.parse(block)
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "ck"
        }
        assert used <= set(ck.__all__)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    for link in links:
        if not link.startswith(("http:", "https:")):
            assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_make_targets_and_commands_on_the_pages_exist(path):
    text = "\n".join(blocks(path.read_text(encoding="utf-8"), "(?:bash|console)"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    from causalkit.cli import main

    for command in re.findall(r"^causalkit ([a-z]+)", text, flags=re.MULTILINE):
        assert command in main.commands


# The 401(k) study is one-sided, and its warning is what the text below it is about.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the treatment is constant where e401k is 0")
@pytest.mark.parametrize("block", blocks(README, "python"))
def test_python_blocks_of_the_readme_run(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.stem
)
def test_a_decision_is_one_page_with_context_decision_and_consequences(path):
    text = path.read_text(encoding="utf-8")
    assert re.match(r"\d{4}-[a-z-]+$", path.stem)
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
    ]
    assert len(text.splitlines()) <= 60

"""The small files in ``data/``: they are what their page says, and its commands run on them."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run

import causalkit as ck

FOLDER = Path(__file__).parents[1] / "data"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
DRAWN = dict(re.findall(r"^\| `(\w+\.csv)` .*\| `(\w+\(.*\))` \|", PAGE, flags=re.MULTILINE))
_BLOCK = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[0]
COMMANDS = [shlex.split(line) for line in _BLOCK.replace("\\\n", " ").splitlines()]


def drawn(name: str) -> ck.CausalData:
    """What the page says that a file was drawn by."""
    generator, arguments = re.fullmatch(r"(\w+)\((.*)\)", DRAWN[name]).groups()
    return eval(f"getattr(ck.generators, {generator!r})({arguments})", {"ck": ck})


def test_the_page_tells_of_every_file():
    assert {path.name for path in FOLDER.glob("*.csv")} == set(DRAWN)
    assert {Path(command[2]).name for command in COMMANDS} == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_a_file_is_what_its_generator_draws(name):
    data = drawn(name)
    expected = data.frame.drop(columns=list(data.roles.extra))
    found = pd.read_csv(FOLDER / name)
    assert list(found) == list(expected)
    for column in found:
        numbers = expected[column].to_numpy(dtype=np.float64)
        np.testing.assert_allclose(found[column].to_numpy(np.float64), numbers, rtol=1e-5)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: Path(command[2]).name)
def test_a_command_finds_the_truth(command, monkeypatch):
    """Within four standard errors, at every term whose truth is known."""
    monkeypatch.chdir(FOLDER.parent)
    ran = run(*command[1:], "--json")
    assert ran.exit_code == 0
    facts = json.loads(ran.stdout)
    truth = drawn(Path(command[2]).name).truth
    known = list(truth.estimands.values())
    if facts["estimand"] == "adrf":
        doses = [float(re.search(r"\(([\d.]+)\)", term)[1]) for term in facts["terms"]]
        known = list(truth.dose_response(doses))
    errors = np.sqrt(np.diag(np.array(facts["vcov"])))
    assert (np.abs(np.array(facts["estimates"]) - known) < 4 * errors).all()

"""Codes of problems are listed for users, and each says one thing."""

import re
from pathlib import Path

import causalkit

ROOT = Path(causalkit.__file__).parent
CODE = re.compile(r"\bE\d\d-[a-z-]*[a-z]\b")


def test_the_list_of_codes_is_that_of_the_package():
    used = {code for file in ROOT.rglob("*.py") for code in CODE.findall(file.read_text())}
    listed = CODE.findall((ROOT.parent / "docs" / "datasets.md").read_text())
    assert sorted(listed) == sorted(used)
    assert len({code[:3] for code in used}) == len(used)

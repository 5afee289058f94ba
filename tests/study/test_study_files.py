"""The studies that are shipped: they can be planned, and name what their published table names."""

from pathlib import Path

import pytest

from causalkit.study.published_tables import read_reference
from causalkit.study.study import Study

FILES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


def test_there_are_studies():
    assert {path.stem for path in FILES} >= {"invalid_iv", "panel_fp2024", "panel_cp2025"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_study_can_be_planned_and_compared(path):
    study = Study.from_toml(path)
    assert study.plan().cells
    if not study.reference:
        return
    reference = read_reference(study.reference)
    labels = {spec.label for spec in study.estimators}
    assert len(labels & set(reference["estimator"])) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_study_is_what_its_own_text_says(path):
    study = Study.from_toml(path)
    assert Study.from_toml(study.to_toml()) == study

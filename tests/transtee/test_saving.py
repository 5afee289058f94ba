"""Saved networks: the same in a fresh process, no pickle, and refused when changed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.errors import ArgumentError, StorageError

AGAIN = """
import sys, numpy as np, pandas as pd
import causalkit as ck
frame = pd.read_parquet(sys.argv[2])
data = ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])
fit = ck.TransTEE.load(sys.argv[1])
np.save(sys.argv[3], fit.effect(data)["effect"].values)
"""


def test_a_fresh_process_predicts_the_same_to_the_bit(arms, arms_fit, tmp_path):
    arms_fit.save(tmp_path / "fit")
    arms_frame().to_parquet(tmp_path / "frame.parquet")
    paths = [str(tmp_path / name) for name in ("fit", "frame.parquet", "effect.npy")]
    subprocess.run([sys.executable, "-c", AGAIN, *paths], check=True)
    expected = arms_fit.effect(arms)["effect"].values
    np.testing.assert_allclose(np.load(paths[2]), expected, rtol=0, atol=1e-6)
    here = ck.TransTEE.load(paths[0])
    assert np.array_equal(here.effect(arms)["effect"].values, expected)
    assert here.get_params() == arms_fit.get_params()
    assert here.history_.equals(arms_fit.history_)


def test_the_folder_holds_text_and_tensors_without_rows_of_the_data(arms_fit, tmp_path):
    arms_fit.save(tmp_path)
    facts = json.loads((tmp_path / "config.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", facts["weights"]}
    assert facts["schema"] == 10
    assert facts["versions"]["torch"] == torch.__version__
    tensors = torch.load(tmp_path / facts["weights"], weights_only=True)
    assert not any(len(values) == 240 and values.is_floating_point() for values in tensors.values())


def test_conformal_and_dose_fits_come_back(doses, dose_fit, arms, tmp_path):
    dose_fit.save(tmp_path / "dose")
    again = ck.TransTEE.load(tmp_path / "dose")
    for fit in (again,):
        left, right = (one.dose_response(doses, grid=7) for one in (dose_fit, fit))
        assert left.equals(right)
    fit = ck.TransTEE(**SMALL, interval="conformal").fit(arms)
    fit.save(tmp_path / "arms")
    again = ck.TransTEE.load(tmp_path / "arms")
    assert again.effect(arms, level=0.8).equals(fit.effect(arms, level=0.8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: weights(folder).unlink(), r"lacks weights-\w+\.pt"),
        (lambda folder: weights(folder).write_bytes(b"no tensors"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: _edit(folder, schema=99), "schema 99"),
        (lambda folder: _edit(folder, **{"class": "Other"}), "'Other'"),
        (lambda folder: _edit(folder, seed=1), "was changed: its files are not those"),
    ],
)
def test_a_folder_that_was_changed_is_refused(arms_fit, tmp_path, change, said):
    arms_fit.save(tmp_path)
    change(tmp_path)
    with pytest.raises(StorageError, match=said):
        ck.TransTEE.load(tmp_path)


def weights(folder: Path) -> Path:
    (file,) = folder.glob("weights-*.pt")
    return file


def _edit(folder: Path, **changed):
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(facts | changed))


def test_a_place_that_cannot_be_written_is_said(arms_fit, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        arms_fit.save(tmp_path / "file" / "fit")


def test_a_loaded_estimator_asks_for_the_data(arms, arms_fit, tmp_path):
    arms_fit.save(tmp_path)
    again = ck.TransTEE.load(tmp_path)
    with pytest.raises(ArgumentError, match="pass the data again"):
        again.estimate()
    np.testing.assert_allclose(
        again.estimate(data=arms).estimate, arms_fit.estimate().estimate, rtol=1e-6
    )
    with pytest.raises(ArgumentError, match="differ from those that the estimator was fitted on"):
        again.estimate(data=arms_data(seed=3))

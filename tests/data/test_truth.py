"""What is known by row follows the rows; what is known on average stays."""

import pickle

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError


def curves(arm, doses, rows=None):
    """Outcome of unit i at a dose: 10 i + 100 arm + dose."""
    units = np.arange(6.0) if rows is None else np.arange(6.0)[rows]
    return 10.0 * units[:, None] + 100.0 * arm + np.asarray(doses)


def made():
    frame = pd.DataFrame({"y": np.arange(6.0), "d": [0.1, 0.5, 0.2, 0.7, 0.9, 0.4]})
    truth = Truth({"ate": 1.0}, unit_response=curves, best_dose=np.arange(12.0).reshape(6, 2))
    return CausalData.from_frame(frame, outcome="y", treatment="d", kinds="dose", truth=truth)


def test_curves_and_best_doses_of_units_follow_the_rows():
    truth = made().subset([4, 1, 3]).truth
    assert truth.unit_response(1, [0.0, 0.5]).tolist() == [
        [140.0, 140.5],
        [110.0, 110.5],
        [130.0, 130.5],
    ]
    assert truth.best_dose.tolist() == [[8.0, 9.0], [2.0, 3.0], [6.0, 7.0]]
    assert truth.estimands == {"ate": 1.0}


def test_rows_of_rows_are_rows():
    truth = made().subset([4, 1, 3]).filter("y > 2").truth
    assert truth.unit_response(0, [0.0])[:, 0].tolist() == [40.0, 30.0]
    assert truth.unit_response(0, [0.0], rows=[1])[:, 0].tolist() == [30.0]
    again = pickle.loads(pickle.dumps(truth))
    assert again.unit_response(0, [0.0])[:, 0].tolist() == [40.0, 30.0]


def test_curves_are_hidden_from_estimators_and_kept_out_of_files(tmp_path):
    assert made().blind().truth is None
    with pytest.raises(ArgumentError, match=r"function \(unit_response\).*data\.blind\(\)"):
        made().save(tmp_path / "data")


def test_best_doses_are_kept_in_files(tmp_path):
    from dataclasses import replace

    data = made()
    plain = replace(data, truth=replace(data.truth, unit_response=None))
    plain.save(tmp_path / "data")
    kept = CausalData.load(tmp_path / "data").truth
    assert kept.best_dose.tolist() == plain.truth.best_dose.tolist()
    assert kept.unit_response is None

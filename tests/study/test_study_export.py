"""Files for other software: the summary beside the records, and the records with their names."""

import io

import numpy as np
import pandas as pd
import pytest
from study_cases import results_of, rows_of
from study_toys import declared

from causalkit.errors import ArgumentError
from causalkit.study import run as run_module
from causalkit.study.export import export, records_table
from causalkit.study.summary import summarise


def test_the_summary_lies_beside_the_records_and_any_reader_has_it(tmp_path):
    study = declared(tmp_path)
    study.run()
    content = (study.results_folder / "summary.parquet").read_bytes()
    found, expected = pd.read_parquet(io.BytesIO(content)), summarise(study.results())
    assert list(found) == list(expected)
    assert np.array_equal(found["value"], expected["value"], equal_nan=True)
    assert np.array_equal(found["mcse"], expected["mcse"], equal_nan=True)


def test_a_run_that_is_cut_off_leaves_no_summary_of_other_records(tmp_path, monkeypatch):
    study = declared(tmp_path)
    study.run(max_reps=10)
    assert (study.results_folder / "summary.parquet").exists()

    def cut_off(*_):
        raise SystemExit

    monkeypatch.setattr(run_module._Loop, "run", cut_off)
    with pytest.raises(SystemExit):
        study.run()
    assert not (study.results_folder / "summary.parquet").exists()


def test_parameters_that_are_lists_or_mixed_or_named_like_a_column_are_kept(tmp_path):
    cells = pd.DataFrame(
        {
            "cell_id": ["c0", "c1"],
            "generator": "g",
            "version": 1,
            "beta": [[1.0, 0.5], [2.0]],
            "form": ["u", 3],
            "level": [7, 8],
        }
    )
    results = results_of(rows_of([1.0, 2.0], cell="c0"), rows_of([3.0], cell="c1"), cells=cells)
    assert export(results, tmp_path / "new" / "r.parquet") == 3
    assert export(results, tmp_path / "new" / "r.csv") == 3
    for found in (pd.read_parquet(tmp_path / "new/r.parquet"), pd.read_csv(tmp_path / "new/r.csv")):
        assert found["param_level"].to_list() == [7, 7, 8]
        assert found["level"].to_list() == [0.95] * 3
        assert found["form"].astype(str).to_list() == ["u", "u", "3"]
        assert found["estimate"].to_list() == [1.0, 2.0, 3.0]
    assert pd.read_parquet(tmp_path / "new/r.parquet")["beta"].to_list() == [
        "[1.0,0.5]",
        "[1.0,0.5]",
        "[2.0]",
    ]
    assert len(records_table(results)) == 3
    with pytest.raises(ArgumentError, match=r"must end in \.csv or \.parquet"):
        export(results, tmp_path / "r.xlsx")

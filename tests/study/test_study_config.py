"""Study files: round trip, and what is wrong with a file said in its own words."""

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import causalkit as ck
from causalkit.errors import ArgumentError, CausalKitError, StorageError
from causalkit.study import EstimatorSpec, GeneratorGrid
from causalkit.study.config import estimators_of, fits
from causalkit.study.study import Study

FULL = """
[study]
name = "panel-coverage"
seed = 20260101
reps = { min = 20, max = 500, batch = 10 }
level = 0.9
null = 0.5
treatment_cost = 0.25
aims = "Does it cover?"
estimands = ["ate"]
methods = "two"

[[generator]]
name = "panel_cp2025"
grid = { n_units = [100, 500], rho = [0.0, 0.5] }
fixed = { theta = 0.5 }
exclude = [{ n_units = 500, rho = 0.5 }]

[[estimator]]
label = "ridge"
use = "panel-dml"
args = { learner = { use = "sklearn.linear_model:Ridge", args = { alpha = 2.0 } }, n_folds = 4 }

[stop]
coverage = 0.005
bias = 0.01

[budget]
wall_s = 3600
task_s = 120

[run]
backend = "serial"
workers = 2
out = "results"
"""


def test_the_example_of_a_study_file_is_read_whole():
    study = Study.from_toml(FULL)
    assert (study.name, study.seed) == ("panel-coverage", 20260101)
    assert (study.level, study.null, study.treatment_cost) == (0.9, 0.5, 0.25)
    assert (study.reps.min, study.reps.max, study.reps.batch) == (20, 500, 10)
    assert study.stop == {"coverage": 0.005, "bias": 0.01}
    assert (study.budget.wall_s, study.budget.task_s, study.budget.rss_mb) == (3600, 120, None)
    assert (study.run_options.backend, study.run_options.workers) == ("serial", 2)
    assert [cell.params for cell in study.plan().cells] == [
        {"theta": 0.5, "n_units": 100, "rho": 0.0},
        {"theta": 0.5, "n_units": 100, "rho": 0.5},
        {"theta": 0.5, "n_units": 500, "rho": 0.0},
    ]


def test_a_file_comes_back_from_the_study_it_gives():
    study = Study.from_toml(FULL)
    text = study.to_toml()
    again = Study.from_toml(text)
    assert again == study
    assert again.to_toml() == text
    ids = [[cell.id for cell in one.plan().cells] for one in (study, again)]
    assert ids[0] == ids[1]


def test_python_and_file_declare_the_same_study():
    made = Study(
        name="panel-coverage",
        seed=20260101,
        reps={"min": 20, "max": 500, "batch": 10},
        level=0.9,
        null=0.5,
        treatment_cost=0.25,
        aims="Does it cover?",
        estimands=["ate"],
        methods="two",
        generators=[
            GeneratorGrid(
                "panel_cp2025",
                {"n_units": [100, 500], "rho": [0.0, 0.5]},
                {"theta": 0.5},
                ({"n_units": 500, "rho": 0.5},),
            )
        ],
        estimators=[
            {
                "label": "ridge",
                "use": "panel-dml",
                "args": {
                    "learner": {"use": "sklearn.linear_model:Ridge", "args": {"alpha": 2.0}},
                    "n_folds": 4,
                },
            }
        ],
        stop={"coverage": 0.005, "bias": 0.01},
        budget={"wall_s": 3600, "task_s": 120},
        run_options={"backend": "serial", "workers": 2},
    )
    assert made == Study.from_toml(FULL)


def test_yaml_gives_the_same_study(tmp_path):
    import tomllib

    path = tmp_path / "study.yaml"
    path.write_text(json.dumps(tomllib.loads(FULL)))
    assert Study.from_toml(path) == Study.from_toml(FULL)


def test_yaml_cannot_make_objects(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("study: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ArgumentError, match="is no YAML"):
        Study.from_toml(path)


def test_objects_are_named_by_import_path_where_there_is_one():
    study = Study(
        name="s",
        seed=1,
        aims="a",
        generators=[{"name": "panel_cp2025"}],
        estimators={"mine": ck.PanelDML(learner="ridge", n_folds=3, random_state=4)},
    )
    spec = study.estimators[0]
    assert spec == EstimatorSpec(
        "mine", "causalkit.panel.estimator:PanelDML", {"learner": "ridge", "n_folds": 3}
    )
    assert Study.from_toml(study.to_toml()) == study


def test_an_object_in_memory_runs_but_has_no_file():
    study = Study(
        name="s",
        seed=1,
        aims="a",
        generators=[{"name": "panel_cp2025"}],
        estimators={"mine": lambda data: data},
    )
    assert study.estimators[0].target is not None
    with pytest.raises(ArgumentError, match="'mine' is an object in memory"):
        study.to_toml()


def changed(old, new):
    assert old in FULL
    return FULL.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[study\n", "is no TOML"),
        ("[stdy]\nname = 1\n", r"no table \[study\].*sim new"),
        (changed("aims =", "aim ="), "unknown key 'aim'. Did you mean 'aims'"),
        (changed("[budget]", "[budgett]"), "unknown key 'budgett'. Did you mean 'budget'"),
        (changed("wall_s", "wal_s"), "budget: unknown key 'wal_s'. Did you mean 'wall_s'"),
        (changed("grid =", "gird ="), "generator 1: unknown key 'gird'. Did you mean 'grid'"),
        (changed('label = "ridge"\n', ""), "estimator 1 lacks label"),
        (changed("workers = 2", 'workers = "2"'), "run.workers must be a whole number, got '2'"),
        (changed("task_s = 120", "task_s = true"), "budget.task_s must be a number, got True"),
        (changed("fixed = { theta = 0.5 }", "fixed = 3"), "generator 1.fixed must be a table"),
        (changed('"serial"', '"serail"'), "Did you mean 'serial'"),
        (changed("coverage = 0.005", "covrage = 0.005"), "Did you mean 'coverage'"),
        (changed("coverage = 0.005", "coverage = 0"), "stop.coverage must be a positive"),
        (changed("coverage = 0.005", "coverage = inf"), "stop.coverage must be a finite number"),
        (changed("coverage = 0.005", 'coverage = "a"'), "stop.coverage must be one number"),
        (changed("coverage = 0.005", "coverage = true"), "stop.coverage must be one number"),
        (changed("min = 20", "min = 600"), "reps.min is 600 and reps.max is 500"),
        (changed("seed = 20260101", "seed = -1"), "seed must be a whole number ≥ 0, got -1"),
        (changed('"Does it cover?"', '" "'), "aims is empty"),
        (changed('aims = "Does it cover?"\n', ""), r"\[study\] lacks aims; every study has name"),
        (changed('"panel-coverage"', '"../elsewhere"'), "name must be made of letters"),
        (changed("level = 0.9", "level = 95"), "95"),
        (changed("level = 0.9", 'level = "a"'), "level must be one number, got str 'a'"),
        (
            changed("null = 0.5", 'null = "0"'),
            "null must be one number, got str '0'",
        ),
        (
            changed("null = 0.5", "null = nan"),
            "null must be a finite number, got nan",
        ),
        (changed("null = 0.5", "null = true"), "null must be one number, got bool True"),
        (
            changed("treatment_cost = 0.25", "treatment_cost = inf"),
            "treatment_cost must be a finite number, got inf",
        ),
        (changed('"Does it cover?"', "3"), "aims must be text, got 3"),
        (changed("level = 0.9", "level = 0.9\nreference = 3"), "reference must be text, got 3"),
        (changed('methods = "two"', "methods = 2"), "methods must be text, got 2"),
        (
            changed('estimands = ["ate"]', "estimands = 3"),
            "estimands must be a list of texts, got 3",
        ),
        (changed('label = "ridge"', 'label = " "'), "an estimator has an empty label"),
    ],
)
def test_a_wrong_file_is_refused_with_its_mend(text, message):
    with pytest.raises(CausalKitError, match=message):
        Study.from_toml(text)


def test_a_grid_of_tuples_comes_back_from_its_file():
    study = Study(
        name="s",
        seed=1,
        aims="a",
        generators=[{"name": "panel_cp2025", "grid": {"n_units": (40, np.int64(80))}}],
        estimators=[{"label": "r", "use": "panel-dml"}],
    )
    assert Study.from_toml(study.to_toml()) == study


def test_a_study_with_a_none_runs_but_has_no_file(tmp_path):
    study = Study(
        name="s",
        seed=1,
        aims="a",
        generators=[{"name": "study_toys:toy"}],
        estimators={"none": ck.PanelDML(learner="linear", ssc=None)},
    )
    with pytest.raises(ArgumentError, match=r"args\.ssc is None, which a study file cannot hold"):
        study.to_toml()
    assert study.plan().estimators[0].args == {"learner": "linear", "ssc": None}


class Shifted(BaseEstimator):
    def __init__(self, shift):
        self.shift = shift

    def fit(self, data):
        return self


def test_an_instance_whose_class_needs_an_argument_is_taken():
    (spec,) = estimators_of({"f": Shifted(1.0)})
    assert spec.label == "f"


def test_a_file_of_other_bytes_is_refused(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes('[study]\naims = "é"\n'.encode("latin-1"))
    with pytest.raises(ArgumentError, match=r"latin\.toml is not UTF-8"):
        Study.from_toml(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"absent\.toml"):
        Study.from_toml(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        (True, bool, True),
        (None, float | None, True),
        ("1", float | None, False),
        ([1, 2], tuple[int, ...], True),
        ("ab", tuple[str, ...], False),
        ("a", Literal["a", "b"], True),
        (1, Literal[True], False),
        ({}, Mapping[str, float], True),
        ("anything", Sequence[float], True),
    ],
)
def test_a_value_fits_its_annotation_and_unknown_ones_take_all(value, hint, expected):
    assert fits(value, hint) is expected

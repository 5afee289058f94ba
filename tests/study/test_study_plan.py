"""Plans: cells of a grid, and everything wrong with a declaration in one message."""

import sys

import pytest

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.generators import generator
from causalkit.study.resolve import built
from causalkit.study.study import Study


def declared(**changes):
    given = {
        "name": "s",
        "seed": 1,
        "aims": "a",
        "generators": [{"name": "panel_cp2025", "grid": {"n_units": [50, 100], "dgp": [1, 3]}}],
        "estimators": [{"label": "ridge", "use": "panel-dml", "args": {"learner": "ridge"}}],
    }
    return Study(**(given | changes))


def grid(**parts):
    return {"generators": [{"name": "panel_cp2025"} | parts]}


def test_cells_are_all_combinations_but_the_excluded():
    cells = (
        declared(
            **grid(
                grid={"n_units": [50, 100], "dgp": [1, 2, 3]},
                fixed={"rho": 0.5},
                exclude=[{"dgp": 2}, {"dgp": 3, "n_units": 50}],
            )
        )
        .plan()
        .cells
    )
    assert [(cell.params["n_units"], cell.params["dgp"]) for cell in cells] == [
        (50, 1),
        (100, 1),
        (100, 3),
    ]
    assert all(cell.params["rho"] == 0.5 for cell in cells)


def test_a_longer_grid_keeps_the_ids_of_the_cells_it_had():
    few = declared(**grid(grid={"n_units": [50, 100]})).plan().cells
    more = declared(**grid(grid={"n_units": [25, 50, 100]})).plan().cells
    assert {cell.id for cell in few} < {cell.id for cell in more}


def test_replications_that_shares_need_are_those_of_the_binomial():
    needed = declared(stop={"coverage": 0.005, "bias": 0.01}).plan().needed.set_index("measure")
    assert needed.loc["coverage", "replications"] == 1900
    assert needed.loc["bias", "because"].startswith("R = (SD/target)²")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (grid(grid={"n_unit": [1]}), "unknown parameter 'n_unit'. Did you mean 'n_units'"),
        (grid(grid={"n_units": ["many"]}), "n_units = 'many' is not int"),
        (grid(grid={"dgp": [4]}), r"dgp = 4 is not Literal\[1, 2, 3\]"),
        (grid(grid={"n_units": []}), "grid.n_units must be a list of at least one value"),
        (grid(grid={"n_units": [5, 5]}), r"grid.n_units has a value twice: \[5, 5\]"),
        (grid(grid={"n_units": [5]}, fixed={"n_units": 5}), "n_units is in grid and in fixed"),
        (
            grid(grid={"n_units": [5]}, exclude=[{"n_units": 6}]),
            "exclude names n_units = 6, which no cell has",
        ),
        (grid(grid={"dgp": [1]}, exclude=[{"dgp": 1}]), "exclude leaves no cell"),
        ({"generators": [{"name": "panel_cp"}]}, "Did you mean 'panel_cp2025'"),
        ({"generators": [{"name": "json:loads"}]}, "not a generator; declare it with @generator"),
        ({"generators": [{"name": "panel_cp2025"}] * 2}, "declared twice"),
        ({"estimators": [{"label": "a", "use": "panl-dml"}]}, "Did you mean 'panel-dml'"),
        ({"estimators": [{"label": "a", "use": "nowhere:f"}]}, "no module 'nowhere'"),
        ({"estimators": [{"label": "a", "use": "json:nothing"}]}, "no attribute 'nothing'"),
        (
            {"estimators": [{"label": "a", "use": "panel-dml", "args": {"folds": 2}}]},
            "unknown argument 'folds'. Did you mean 'n_folds'",
        ),
        (
            {"estimators": [{"label": name, "use": "panel-dml"} for name in "ab"]},
            r"estimators 'a' and 'b' are the same \(use and args\); drop one",
        ),
        (grid(grid={"theta": [0.5, float("nan")]}), "grid.theta is nan; a parameter must be"),
        (grid(fixed={"theta": float("inf")}), "fixed.theta is inf; a parameter must be finite"),
        ({"reference": "fp2024_figure44"}, "reference: .*fp2024_figure4"),
        ({"estimands": ["atee"]}, "unknown estimand 'atee'. Did you mean 'ate'"),
    ],
)
def test_a_declaration_that_cannot_run_is_refused_with_its_mend(changes, message):
    with pytest.raises(ArgumentError, match=message):
        declared(**changes).plan()


def test_all_findings_are_in_one_message():
    wrong = grid(grid={"n_unit": [1], "dgp": [7]}) | {
        "estimators": [{"label": "a", "use": "panl-dml"}]
    }
    with pytest.raises(ArgumentError) as caught:
        declared(**wrong).plan()
    assert all(word in str(caught.value) for word in ("n_unit", "dgp = 7", "panl-dml"))


def test_two_estimators_of_one_label_are_refused():
    spec = {"label": "a", "use": "panel-dml"}
    with pytest.raises(ArgumentError, match="two estimators have the label 'a'"):
        declared(estimators=[spec, spec])


def test_tables_in_arguments_become_objects():
    forest = {"use": "sklearn.ensemble:RandomForestRegressor", "args": {"n_estimators": 7}}
    made = built({"learner": forest, "list": [forest], "plain": {"a": 1}})
    assert made["learner"].n_estimators == 7
    assert made["list"][0].n_estimators == 7
    assert made["plain"] == {"a": 1}


def test_a_parameter_named_as_a_column_of_the_results_is_refused(monkeypatch):
    @generator("columns", version=1, cite="test")
    def columns(rng, *, version: int = 1): ...

    monkeypatch.setattr(sys.modules[__name__], "columns", columns, raising=False)
    study = declared(generators=[{"name": f"{__name__}:columns", "grid": {"version": [1, 2]}}])
    with pytest.raises(ArgumentError, match="parameter version would hide the column version"):
        study.plan()


class Mine:
    def fit(self, data):
        return self

    def effect(self, data):
        return data.column("treatment")


def test_an_estimator_that_no_replication_could_use_is_refused_before_any():
    with pytest.raises(ArgumentError, match=r"estimator 'mine': it has effect\(\) and no estimate"):
        declared(estimators={"mine": Mine}).plan()
    told = r"estimator 'mine': an instance of Mine is neither .*BaseEstimator, or name the class"
    with pytest.raises(ArgumentTypeError, match=told):
        declared(estimators={"mine": Mine()})

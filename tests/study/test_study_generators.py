"""Generators that are objects: functions of a notebook or script, and those of the library."""

import numpy as np
import pytest
from study_toys import HERE, difference, toy

import causalkit as ck
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.study.pilot import pilot
from causalkit.study.study import Study


def study_of(tmp_path, generators, backend="serial", **more):
    given = {
        "name": "objects",
        "seed": 4,
        "aims": "x",
        "reps": 3,
        "generators": generators,
        "estimators": [{"label": "difference", "use": "study_toys:difference"}],
        "run_options": {"backend": backend, "out": str(tmp_path)},
        "folder": HERE,
    }
    return Study(**(given | more))


def local(theta=1.0, version=1):
    """A generator that no import path leads to."""

    @ck.generators.generator("local", version=version, cite="test")
    def made(rng, *, n: int = 20):
        return toy(rng, n=n, theta=theta)

    return made


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_a_generator_in_memory_runs_in_this_process_and_in_workers(tmp_path, backend):
    study = study_of(tmp_path, [{"name": local(3.0), "grid": {"n": [10, 20]}}], backend)
    study.run()
    results = study.results()
    assert set(results.records["truth"]) == {3.0}
    assert set(results.cells["n"]) == {10, 20}
    cell = study.plan().cells[0]
    row = results.records[results.records["cell_id"] == cell.id].iloc[1]
    assert difference(study.replay(cell, 1).data).estimate == row["estimate"]


def test_a_generator_may_stand_alone_or_in_a_list():
    for given in (local(), [local()], {"name": local()}):
        cells = study_of("x", given).plan().cells
        assert [cell.params for cell in cells] == [{}]


def test_an_object_that_a_name_leads_to_is_that_name(tmp_path):
    named = study_of(tmp_path, [{"name": "study_toys:toy"}])
    given = study_of(tmp_path, [{"name": toy}])
    assert given == named
    assert given.plan().cells == named.plan().cells
    assert given.to_toml() == named.to_toml()
    library = study_of(tmp_path, [ck.generators.ihdp])
    assert library == study_of(tmp_path, [{"name": "ihdp"}])


def test_another_source_or_captured_value_needs_another_version(tmp_path):
    study_of(tmp_path, [local(1.0)]).run()
    assert study_of(tmp_path, [local(1.0)]).run().n_new == 0
    with pytest.raises(ArgumentError, match=r"the source of generator .*local.* has changed"):
        study_of(tmp_path, [local(2.0)]).run()
    assert study_of(tmp_path, [local(2.0, version=2)]).run().n_new == 3


def test_what_no_file_can_name_is_said(tmp_path):
    with pytest.raises(ArgumentError, match=r"generator .*made' is an object in memory"):
        study_of(tmp_path, [local()]).to_toml()
    with pytest.raises(ArgumentTypeError, match="declare it with @generator"):
        study_of(tmp_path, [lambda rng: toy(rng, n=20)])
    with pytest.raises(ArgumentError, match=r"generator 1: .*Did you mean 'grid'"):
        study_of(tmp_path, [{"name": local(), "gird": {"n": [1]}}])


def test_a_pilot_finds_generators_with_random_numbers_of_their_own(tmp_path):
    @ck.generators.generator("drifting", cite="test")
    def drifting(rng, *, n: int = 20):
        return toy(rng, n=n, theta=np.random.random())  # noqa: NPY002

    told = pilot(study_of(tmp_path, [{"name": drifting, "grid": {"n": [10, 20]}}]), reps=1).problems
    assert len(told) == 1
    assert "replication 0 drawn twice gives different data" in told[0]
    assert pilot(study_of(tmp_path, [local()]), reps=1).problems == ()

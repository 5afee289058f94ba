"""Estimators and generators that try to end the study, and generators that give no data."""

import pytest
from click.testing import CliRunner
from study_toys import HERE, difference, slow, toy

from causalkit.cli import main
from causalkit.generators import generator
from causalkit.study.pilot import pilot
from causalkit.study.study import Study


@generator("leaving", version=1, cite="test")
def leaving(rng, *, n: int = 20):
    """Ends the program when the first draw is negative."""
    if rng.standard_normal() < 0:
        raise SystemExit("no more")
    return toy(rng, n=n)


@generator("dry", version=1, cite="test")
def dry(rng):
    """Never any data."""
    raise RuntimeError("no data at all")


def study_of(tmp_path, name="study_toys:toy", **estimators):
    return Study(
        name="endings",
        seed=3,
        aims="x",
        reps=20,
        generators=[{"name": name}],
        estimators=estimators,
        run_options={"backend": "serial", "out": str(tmp_path)},
        folder=HERE,
    )


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "message"),
    [(SystemExit(3), "it ended the program with code 3"), (Cancelled("by a peer"), "by a peer")],
)
def test_an_estimator_that_ends_the_program_has_failed_and_the_study_goes_on(
    tmp_path, error, message
):
    def ending(data, random_state):
        if random_state % 2:
            raise error
        return difference(data)

    study = study_of(tmp_path, ending=ending, difference=difference)
    study.run()
    results = study.results()
    failed = results.failures
    assert 0 < len(failed) < 20
    assert set(failed["exception"]) == {type(error).__name__}
    assert set(failed["message"]) == {message}
    assert (results.records["status"] == "ok").sum() == 40 - len(failed)


def test_an_interruption_still_ends_the_study(tmp_path):
    def interrupted(data):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study_of(tmp_path, it=interrupted).run()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "study_toys:broken",
            "generator 'study_toys:broken' raised RuntimeError: no data today",
        ),
        (f"{__name__}:leaving", "raised SystemExit: it ended the program with code 'no more'"),
    ],
)
def test_a_generator_that_fails_is_told_once_and_not_as_that_of_estimators(tmp_path, name, words):
    study = study_of(tmp_path, name, one=difference, two=lambda data: difference(data))
    problems = pilot(study, reps=20).problems
    assert len(problems) == 1
    assert words in problems[0]
    study.run()
    lost = study.results().failures
    assert set(lost["status"]) == {"no_data"}
    told = CliRunner().invoke(main, ["sim", "failures", str(study.results_folder)])
    assert told.exit_code == 0
    assert told.output.count("the generator") == 1
    assert str(lost["rep"].nunique()) in told.output
    table = study.summarise(measures=["bias"])
    assert list(table["n_failed"]) == [lost["rep"].nunique()] * 2


def test_replications_without_data_are_no_fits_of_no_seconds(tmp_path):
    found = pilot(study_of(tmp_path, "study_toys:broken", slow=lambda data: slow(data)), reps=20)
    assert 0 < found.costs["failed"].item() < 20
    assert found.costs["seconds"].item() >= 0.05
    never = pilot(study_of(tmp_path, f"{__name__}:dry", one=difference), reps=2)
    assert never.to_dict()["costs"][0]["seconds"] is None
    assert never.hours(100) == 0.0

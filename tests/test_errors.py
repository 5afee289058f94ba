"""Messages say what was seen and what to do; types let old ``except`` clauses work."""

import pickle

import numpy as np
import pytest

from causalkit import errors
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    Problem,
    check_choice,
    check_count,
    check_flag,
    check_jobs,
    check_level,
    unknown_name,
)

FIRST = Problem("E12-duplicate-unit-time", "row 3 repeats unit 1 at time 1980.", "unit", (3,))
SECOND = Problem("E03-infinite", "column 'wage' holds 2 infinite values.", "wage", (5, 9))


def exception_classes() -> list[type[Exception]]:
    """Every exception that the module defines."""
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]


def test_every_exception_has_one_of_two_roots():
    for cls in exception_classes():
        assert issubclass(cls, errors.CausalKitError | errors.CausalKitWarning)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.DataError, ValueError),
        (errors.ArgumentError, ValueError),
        (errors.ArgumentTypeError, TypeError),
        (errors.ArgumentTypeError, ValueError),
        (errors.IdentificationError, ValueError),
        (errors.NotFittedError, RuntimeError),
        (errors.MissingDependencyError, ImportError),
        (errors.CausalKitWarning, UserWarning),
    ],
)
def test_builtin_except_clauses_catch_our_errors(cls, builtin):
    assert issubclass(cls, builtin)


def test_one_problem_reads_as_one_line_with_its_code():
    assert str(DataError(FIRST)) == f"[{FIRST.code}] {FIRST.message}"


def test_all_problems_are_listed_with_their_number():
    error = DataError([FIRST, SECOND])
    text = str(error)
    assert text.startswith("2 problems:")
    assert all(f"[{p.code}] {p.message}" in text for p in (FIRST, SECOND))
    assert error.problems == (FIRST, SECOND)


def test_code_column_and_rows_are_those_of_the_first_problem():
    error = DataError([SECOND, FIRST])
    assert (error.code, error.column, error.rows) == (SECOND.code, "wage", (5, 9))


def test_data_error_survives_pickle_with_its_problems():
    # Worker processes send errors back by pickle.
    back = pickle.loads(pickle.dumps(DataError([FIRST, SECOND])))
    assert back.problems == (FIRST, SECOND)
    assert str(back) == str(DataError([FIRST, SECOND]))


def test_unknown_name_suggests_the_nearest_and_lists_all():
    error = unknown_name("approach", "cre_norm", ["within", "cre_normal", "cre"])
    assert isinstance(error, ArgumentError)
    assert str(error) == (
        "unknown approach 'cre_norm'. Did you mean 'cre_normal'? Known: cre, cre_normal, within"
    )


def test_unknown_name_without_a_near_match_suggests_nothing():
    assert str(unknown_name("split", "zzz", ["unit", "period"])) == (
        "unknown split 'zzz'. Known: period, unit"
    )


def test_known_choice_is_returned_unchanged():
    assert check_choice("split", "unit", ["unit", "period"]) == "unit"


@pytest.mark.parametrize("value", ["units", None, 3, ["unit"]])
def test_other_choices_raise_and_list_the_known_ones(value):
    with pytest.raises(ArgumentError, match=r"unknown split .* Known: period, unit"):
        check_choice("split", value, ["unit", "period"])


@pytest.mark.parametrize("value", [2, np.int32(2), np.uint8(2)])
def test_whole_numbers_become_plain_integers(value):
    count = check_count("n_folds", value, least=2)
    assert count == 2
    assert type(count) is int


@pytest.mark.parametrize("value", [2.0, "2", None, True])
def test_what_is_not_a_whole_number_is_a_type_error_that_names_the_argument(value):
    with pytest.raises(ArgumentTypeError, match=r"n_folds must be a whole number .* at least 2"):
        check_count("n_folds", value, least=2)


def test_a_count_below_the_least_names_argument_bound_and_value():
    with pytest.raises(ArgumentError, match=r"n_folds must be at least 2, got 1\."):
        check_count("n_folds", 1, least=2)


@pytest.mark.parametrize("value", [1, 0, "yes", None, np.True_])
def test_a_flag_is_true_or_false_and_nothing_like_it(value):
    assert check_flag("use_t", True) is True
    with pytest.raises(ArgumentTypeError, match=r"use_t must be True or False, got "):
        check_flag("use_t", value)


@pytest.mark.parametrize("value", [0, np.int64(0), 0.5, "2", None, True])
def test_jobs_are_a_whole_number_and_not_zero(value):
    assert [check_jobs(jobs) for jobs in (1, -1, np.int64(3))] == [1, -1, 3]
    with pytest.raises(ArgumentTypeError, match="n_jobs must be a whole number, not 0, got"):
        check_jobs(value)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_levels_between_zero_and_one_pass(level):
    assert check_level(level) == level


@pytest.mark.parametrize("level", ["0.95", None, [0.95], True])
def test_levels_that_are_no_numbers_are_refused_by_type(level):
    with pytest.raises(ArgumentTypeError, match=r"must be one number, got \w+; use 0\.95"):
        check_level(level)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_levels_outside_raise_and_say_how_to_write_95_percent(level):
    with pytest.raises(ArgumentError, match=r"strictly between 0 and 1.*use 0\.95 for a 95 %"):
        check_level(level)

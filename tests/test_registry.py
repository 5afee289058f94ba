"""Names resolve to the objects they promise; wrong names answer with the known ones."""

import re
import subprocess
import sys

import pytest
from sklearn.base import BaseEstimator

from causalkit import registry
from causalkit.errors import ArgumentError
from causalkit.registry import ESTIMATORS, GENERATORS, load

TABLE = {"ordered": "collections:OrderedDict", "decode": "json.decoder:JSONDecoder"}


def test_a_name_gives_the_object_it_stands_for():
    import collections
    import json.decoder

    assert load("thing", "ordered", TABLE) is collections.OrderedDict
    assert load("thing", "decode", TABLE) is json.decoder.JSONDecoder


def test_an_import_path_needs_no_registration():
    import fractions

    assert load("thing", "fractions:Fraction", TABLE) is fractions.Fraction


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(
        ArgumentError,
        match=r"unknown thing 'order'\. Did you mean 'ordered'\? Known: decode, ordered",
    ):
        load("thing", "order", TABLE)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_a_scikit_learn_estimator_that_declares_what_it_needs(name):
    cls = load("estimator", name, ESTIMATORS)
    assert issubclass(cls, BaseEstimator)
    assert cls.requires.roles


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_knows_its_registered_name(name):
    assert load("generator", name, GENERATORS).spec.name == name


def test_estimator_names_are_words_joined_by_hyphens_as_the_command_line_has_them():
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in ESTIMATORS)


def test_entries_are_strings_so_that_reading_the_tables_imports_nothing():
    code = (
        "import sys; from causalkit import registry; "
        "print(sorted(m for m in sys.modules if m.startswith(('causalkit', 'numpy', 'pandas'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = ["causalkit", "causalkit.errors", "causalkit.provenance", registry.__name__]
    assert done.stdout.strip() == str(expected)

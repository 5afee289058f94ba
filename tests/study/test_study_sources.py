"""Digests of sources: code that would give other records has another digest, in every session."""

import functools
import importlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from sklearn.linear_model import Lasso, Ridge
from study_toys import declared

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.study.design import EstimatorSpec
from causalkit.study.sources import module_source_digest, source_digest
from causalkit.study.study import Study


def of(target):
    return source_digest(EstimatorSpec("a", "here:a", target=target))


def shifted(by):
    return lambda data: data + by


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported; forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    names = set()

    def write(name, text):
        names.add(name)
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_the_digest_of_a_module_follows_what_it_imports(module):
    module("lonely_estimator", "import lonely_helper\nimport numpy\n")
    digests = []
    for text in ("x = 1\n", "x = 2\n", "x = 1\n"):
        module("lonely_helper", text)
        digests.append(module_source_digest("lonely_estimator"))
    assert digests[0] == digests[2] != digests[1]


def test_the_digest_follows_the_file_of_a_learner_in_the_arguments(module):
    learner = {"use": "own_learner:Own"}
    spec = EstimatorSpec("a", "panel-dml", {"learner": learner})
    module("own_learner", "class Own:\n    pass\n")
    before = source_digest(spec)
    module("own_learner", "class Own:\n    other = 1\n")
    assert source_digest(spec) != before
    assert source_digest(EstimatorSpec("a", "panel-dml")) not in (before, source_digest(spec))


def test_what_a_function_captures_is_part_of_its_digest():
    assert of(shifted(1.0)) == of(shifted(1.0))
    assert of(shifted(1.0)) != of(shifted(2.0))
    assert of(functools.partial(shifted, 1.0)) != of(functools.partial(shifted, 2.0))


def test_functions_that_capture_other_values_are_other_estimators():
    plan = Study(
        name="s",
        seed=1,
        aims="a",
        generators=[{"name": "panel_cp2025"}],
        estimators={"one": shifted(1), "two": shifted(2)},
    ).plan()
    assert len({spec.id for spec in plan.estimators}) == 2


def test_learners_of_an_instance_are_part_of_its_digest():
    assert of(ck.PanelDML(learner=Lasso())) == of(ck.PanelDML(learner=Lasso()))
    others = [Lasso(alpha=2.0), Ridge()]
    assert of(ck.PanelDML(learner=Lasso())) not in [
        of(ck.PanelDML(learner=other)) for other in others
    ]


def in_session(text, **names):
    """A function of the session, as a cell of a notebook makes it."""
    given = {"__name__": "__main__", **names}
    exec(text, given)
    return given["estimator"]


@pytest.mark.parametrize(
    "text",
    [
        "from math import exp\ndef estimator(data): return exp(1)",
        "from random import random\ndef estimator(data): return random()",
        "from itertools import product\ndef estimator(data): return product([1])",
        "from numpy.random import default_rng\ndef estimator(data): return default_rng(1)",
        "import logging, re\ndef estimator(data): return re.compile('a'), logging.INFO",
        "class Helper:\n  k = 1\n  def go(self): return self.k\n"
        "def estimator(data): return Helper().go()",
    ],
)
def test_functions_of_a_session_may_use_whatever_they_like(text):
    assert of(in_session(text)) == of(in_session(text))


def test_helpers_and_constants_of_a_session_count_and_what_it_changes_does_not():
    text = "def estimator(data):\n  SEEN.append(K)\n  return helper(data.frame)"
    one, two = (lambda x: x), (lambda x: 2 * x)
    base = of(in_session(text, K=1, SEEN=[], helper=one))
    assert base == of(in_session(text, K=1, SEEN=[1, 2], helper=one, frame="unrelated"))
    assert base != of(in_session(text, K=2, SEEN=[], helper=one))
    assert base != of(in_session(text, K=1, SEEN=[], helper=two))
    counting = "COUNT = {}\ndef estimator(data):\n  global COUNT\n  COUNT += 1\n  return COUNT"
    assert of(in_session(counting.format(0))) == of(in_session(counting.format(5)))


def test_classes_of_a_session_are_told_apart_by_their_methods():
    text = "class estimator:\n  def fit(self, data): return {}"
    assert of(in_session(text.format(1))) == of(in_session(text.format(1)))
    assert of(in_session(text.format(1))) != of(in_session(text.format(2)))


def test_locks_generators_and_sets_have_a_digest():
    assert of(shifted(threading.Lock())) == of(shifted(threading.Lock()))
    draws = [of(shifted(np.random.default_rng(seed))) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert of(shifted(frozenset("abc"))) == of(shifted(frozenset("cba")))
    assert of(shifted(np.arange(3))) != of(shifted(np.arange(4)))


def test_digests_are_the_same_in_another_process():
    code = (
        "from causalkit.study.sources import source_digest\n"
        "from causalkit.study.design import EstimatorSpec\n"
        "names = frozenset(['a', 'b', 'c', 'd'])\n"
        "def f(data, s={'x', 'y', 'z'}): return names, s, data in {'u', 'v', 'w'}\n"
        "print(source_digest(EstimatorSpec('a', 'here:a', target=f)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_code_that_changed_since_it_was_imported_is_refused_until_it_is_reloaded(module):
    module("edited_estimator", "value = 1\n")
    found = importlib.import_module("edited_estimator")
    before = module_source_digest("edited_estimator")
    module("edited_estimator", "value = 2\n")
    with pytest.raises(ArgumentError, match="'edited_estimator' has changed since this session"):
        module_source_digest("edited_estimator")
    importlib.reload(found)
    assert module_source_digest("edited_estimator") != before


def test_a_generator_edited_while_it_was_no_part_of_the_study_is_refused(module, tmp_path):
    text = """
from causalkit.generators import generator
from study_toys import toy

@generator("edited", version=1, cite="test")
def edited(rng, *, n: int = 20):
    return toy(rng, n=n, theta={theta})
"""
    mine, other = {"name": "edited_generator:edited"}, {"name": "study_toys:toy"}
    module("edited_generator", text.format(theta=1.0))
    two = {"generators": [mine, other], "reps": 4}
    declared(tmp_path, **two).run()
    declared(tmp_path, **two | {"generators": [other]}).run()
    module("edited_generator", text.format(theta=3.0))
    importlib.reload(sys.modules["edited_generator"])
    with pytest.raises(ArgumentError, match="the source of generator 'edited_generator:edited'"):
        declared(tmp_path, **two | {"reps": 8}).run()

"""A generator and estimators that cost nothing and fail on demand, for tests that run studies."""

import os
import signal
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.generators import generator
from causalkit.results import EffectResult
from causalkit.study.study import Study

HERE = Path(__file__).parent


@generator("toy", version=1, cite="test")
def toy(rng: np.random.Generator, *, n: int = 20, theta: float = 1.0) -> CausalData:
    """Two arms, normal outcomes, and a column that nobody may see."""
    d = np.arange(n) % 2
    noise = rng.standard_normal(n)
    frame = pd.DataFrame({"y": theta * d + noise, "d": d, "secret": theta * np.ones(n)})
    return CausalData.from_frame(
        frame, outcome="y", treatment="d", extra="secret", truth=Truth({"ate": theta})
    )


@generator("ranked", version=1, cite="test")
def ranked(rng: np.random.Generator, *, n: int = 20) -> CausalData:
    """As ``toy``, with the effect of each row in the truth."""
    data = toy(rng, n=n)
    return replace(data, truth=Truth({"ate": 1.0}, cate=np.linspace(0.0, 2.0, n)))


@generator("broken", version=1, cite="test")
def broken(rng: np.random.Generator, *, n: int = 20) -> CausalData:
    """No data when the first draw is negative."""
    if rng.standard_normal() < 0:
        raise RuntimeError("no data today")
    return toy(rng, n=n)


def result_of(value: float, error: float, n: int, **more) -> EffectResult:
    given = {
        "terms": ("d",),
        "estimates": np.array([value]),
        "vcov": np.array([[error**2]]),
        "estimand": "ate",
        "estimator": "toy",
        "outcome": "y",
        "treatment": ("d",),
        "n": n,
        "inference": "classical",
    }
    return EffectResult(**(given | more))


def difference(data: CausalData) -> EffectResult:
    """Difference in means."""
    frame = data.frame
    arms = [frame.loc[frame["d"] == arm, "y"] for arm in (0, 1)]
    error = np.sqrt(sum(arm.var() / len(arm) for arm in arms))
    return result_of(arms[1].mean() - arms[0].mean(), error, len(frame))


def jittered(data: CausalData, *, random_state: int, width: float = 0.1) -> EffectResult:
    """The same with noise from its seed."""
    shift = width * np.random.default_rng(random_state).standard_normal()
    found = difference(data)
    return result_of(found.estimate + shift, found.std_error, found.n)


def slow(data: CausalData, *, seconds: float = 0.05) -> EffectResult:
    """The same after a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        time.sleep(0.002)
    return difference(data)


def failing(data: CausalData, *, random_state: int, share: float = 0.3) -> EffectResult:
    """Raises in some replications."""
    if np.random.default_rng(random_state).random() < share:
        raise ValueError("the dice fell badly")
    return difference(data)


def deadly(data: CausalData, *, random_state: int, share: float = 0.02) -> EffectResult:
    """Takes its worker with it in some replications."""
    if np.random.default_rng(random_state).random() < share:
        os.kill(os.getpid(), signal.SIGKILL)
    return difference(data)


def warned(data: CausalData) -> EffectResult:
    """The same with a warning."""
    warnings.warn("mind the gap", RuntimeWarning, stacklevel=1)
    return difference(data)


def seeing(data: CausalData) -> EffectResult:
    """An oracle: the truth itself."""
    return result_of(data.truth.estimands["ate"], 1.0, len(data))


def declared(out, **changes) -> Study:
    """A study of two cells and two estimators, 20 replications."""
    given = {
        "name": "toy",
        "seed": 5,
        "aims": "test",
        "reps": {"min": 20, "max": 20, "batch": 10},
        "generators": [{"name": "study_toys:toy", "grid": {"n": [20, 40]}}],
        "estimators": [
            {"label": "difference", "use": "study_toys:difference"},
            {"label": "jittered", "use": "study_toys:jittered"},
        ],
        "run_options": {"backend": "serial", "out": str(out)},
        "folder": HERE,
    }
    return Study(**(given | changes))


FILE = """
[study]
name = "toy"
seed = 5
reps = {{ min = 20, max = 20, batch = 10 }}
aims = "test"
[[generator]]
name = "study_toys:toy"
grid = {{ n = [20, 40] }}
[[estimator]]
label = "slow"
use = "study_toys:slow"
args = {{ seconds = {seconds} }}
[run]
backend = "{backend}"
workers = 2
out = "{out}"
block = 5
"""

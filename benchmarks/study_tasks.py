"""Generator and estimators of fixed cost, for ``benchmarks/study.py``."""

import time

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.truth import Truth
from causalkit.generators import generator
from causalkit.results import EffectResult

_FRAME = pd.DataFrame({"y": np.arange(10.0), "d": np.arange(10) % 2})
_DATA = CausalData.from_frame(_FRAME, outcome="y", treatment="d", truth=Truth({"ate": 0.0}))


@generator("fixed", version=1, cite="benchmark")
def fixed(rng: np.random.Generator, *, cell: int = 0) -> CausalData:
    """The same ten rows for every replication, at no cost."""
    del rng, cell
    return _DATA


def trivial(data: CausalData, *, random_state: int) -> EffectResult:
    """A number from the seed."""
    value = np.random.default_rng(random_state).standard_normal()
    return EffectResult(
        terms=("d",),
        estimates=np.array([value]),
        vcov=np.eye(1),
        estimand="ate",
        estimator="trivial",
        outcome="y",
        treatment=("d",),
        n=len(data),
        inference="none",
    )


def twenty_ms(data: CausalData, *, random_state: int) -> EffectResult:
    """The same after 20 ms of work."""
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    return trivial(data, random_state=random_state)

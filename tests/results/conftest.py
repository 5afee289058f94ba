"""Results with known numbers."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from causalkit.results import EffectResult

# The same examples on every run and no clock: a failure here is a failure everywhere.
settings.register_profile("results", derandomize=True, deadline=None)
settings.load_profile("results")

Maker = Callable[..., EffectResult]
VOID = ("meta", "img")


class Cells(HTMLParser):
    """Text of each element, by tag, as a browser would show it; tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)
            self.found.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.found[self.open[-1]][-1] += data


@pytest.fixture(scope="session")
def read_html() -> Callable[[str], dict[str, list[str]]]:
    """Reads HTML into the text of its elements, by tag."""
    return lambda text: Cells(text).found


@pytest.fixture(scope="session")
def make() -> Maker:
    """Builds the union wage premium of the wage panel; any field can be replaced."""

    def build(estimate: float = 0.08, std_error: float = 0.0227, **fields: Any) -> EffectResult:
        known: dict[str, Any] = {
            "terms": ("union",),
            "estimates": np.array([estimate]),
            "vcov": np.array([[std_error**2]]),
            "estimand": "ate",
            "estimator": "PanelDML (cre)",
            "outcome": "lwage",
            "treatment": ("union",),
            "contrast": ("1 vs 0",),
            "n": 4360,
            "n_units": 545,
            "n_periods": 8,
            "n_clusters": 545,
            "df": 544.0,
            "cov_type": "clustered",
            "ssc": "G/(G-1)",
            "inference": "cluster-robust (unit, 545 clusters), small-sample factor G/(G-1)",
            "seed": 7,
            "n_folds": 5,
            "n_rep": 1,
        }
        return EffectResult(**(known | fields))

    return build


@pytest.fixture(scope="session")
def make_clustered(make: Maker) -> Maker:
    """Builds a result of several terms from influence values of 200 clusters of 5 rows."""

    def build(estimates: Any, *, names: Any = None, correlation: float = 0.0) -> EffectResult:
        estimates = np.atleast_1d(np.asarray(estimates, dtype=np.float64))
        k, codes = estimates.size, np.repeat(np.arange(200), 5)
        rng = np.random.default_rng(3)
        common = rng.standard_normal((codes.size, 1))
        own = rng.standard_normal((codes.size, k))
        influence = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        influence -= influence.mean(axis=0)
        sums = np.stack([np.bincount(codes, column) for column in influence.T], axis=1)
        return make(
            terms=tuple(names or [f"group {place}" for place in range(k)]),
            estimates=estimates,
            vcov=sums.T @ sums / codes.size**2,
            contrast=(),
            influence=influence,
            clusters=(codes,),
            n=codes.size,
            n_clusters=200,
            df=199.0,
            estimand="gate",
        )

    return build

"""Networks trained once."""

import pytest
from edge_designs import FEW, MAKERS, rings
from transtee_designs import SMALL, arms_data

import causalkit as ck

pytest.importorskip("torch", reason="causalkit.TransTEE needs torch")


@pytest.fixture(scope="session")
def arms():
    return arms_data()


@pytest.fixture(scope="session")
def arms_fit(arms):
    return ck.TransTEE(**SMALL).fit(arms)


@pytest.fixture(scope="session")
def doses():
    return ck.generators.dose_synthetic(0, n=300).blind()


@pytest.fixture(scope="session")
def dose_fit(doses):
    return ck.TransTEE(**(SMALL | {"n_ensemble": 3})).fit(doses)


@pytest.fixture(scope="session")
def typed_rings():
    return rings(400)


@pytest.fixture(scope="session")
def typed_fits(typed_rings):
    """A fit of each use of graphs, trained just enough for everything to matter."""
    return {make: ck.TransTEE(**FEW).fit(make(*typed_rings)) for make in MAKERS}

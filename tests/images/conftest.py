"""One trained fit that the tests of salience, transport, pictures and storage share."""

import pytest


@pytest.fixture(scope="session")
def motif_rct():
    """1,200 places; those of the second type show a motif of eight by eight pixels."""
    import causalkit as ck

    return ck.generators.image_rct(0, n_images=1200)


@pytest.fixture(scope="session")
def motif_fit(motif_rct):
    """Trained in a quarter of a minute; assigns 98 % of the evaluation rows to their type."""
    import torch

    import causalkit as ck

    torch.set_num_threads(1)
    estimator = ck.ImageEffectClusters(
        likelihood="normal", epochs=15, n_restarts=1, n_draws=200, random_state=0
    )
    return estimator.fit(motif_rct.blind())


@pytest.fixture
def close_figures():
    """Leave no figure open."""
    import matplotlib.pyplot as plt

    yield
    plt.close("all")

"""What a picture shows, read back from its axes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex


@pytest.fixture(autouse=True)
def no_traces(monkeypatch):
    """Nothing is shown, no setting changes, and figures are closed."""
    before = dict(mpl.rcParams)
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show() was called"))
    yield
    assert dict(mpl.rcParams) == before
    plt.close("all")


def lines_of(ax, colour):
    """Segments of the line collections of one colour, as rows (x0, y0, x1, y1)."""
    found = [
        np.asarray(c.get_segments()).reshape(-1, 4)
        for c in ax.collections
        if hasattr(c, "get_segments") and len(c.get_segments())
        and to_hex(c.get_edgecolor()[0]) == to_hex(colour)
    ]  # fmt: skip
    return np.vstack(found) if found else np.empty((0, 4))


def texts(drawn):
    """Everything written in a figure."""
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    inside = [
        t.get_text() for ax in figure.axes for t in [*ax.texts, ax.xaxis.label, ax.yaxis.label]
    ]
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    return " ".join("\n".join([*(t.get_text() for t in figure.texts), *inside, *titles]).split())


def markers(ax, marker):
    """Places of the markers of a kind."""
    found = [line.get_xydata() for line in ax.lines if line.get_marker() == marker]
    return np.vstack(found) if found else np.empty((0, 2))

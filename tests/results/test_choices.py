"""Weights and time effects of a fit stand in every rendering of its result."""

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.results import canvas, table


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((300, 3)), columns=["x", "d", "y"])
    frame["unit"], frame["time"] = np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60)
    return frame.assign(y=frame["y"] + frame["d"], w=rng.uniform(0.5, 2.0, 300))


def fitted(panel, time_effects=None, **weights):
    data = ck.CausalData.from_frame(
        panel, outcome="y", treatment="d", covariates="x", unit="unit", time="time", **weights
    )
    est = ck.PanelDML(learner="linear", time_effects=time_effects, random_state=0)
    return est.fit(data)


def test_weights_and_time_effects_are_in_summaries_tables_and_records(panel):
    fit = fitted(panel, "dummies", weights="w", weight_kind="precision")
    found = fit.estimate()
    for text in (found.summary(), found.to_latex(), found.to_html(), fit.compare().to_text()):
        plain = " ".join(text.split())
        assert "w (precision)" in plain
        assert "dummies" in plain.partition("Time effects")[2][:60]
    back = ck.EffectResult.from_dict(found.to_dict())
    assert back.choices == {"Weights": "w (precision)", "Time effects": "dummies"}


def test_weighted_and_unweighted_columns_can_be_told_apart(panel):
    plain = fitted(panel).estimate()
    weighted = fitted(panel, weights="w", weight_kind="sampling").estimate()
    text = table([plain, weighted], names=["plain", "weighted"]).to_text()
    assert [line.split() for line in text.splitlines() if "(sampling)" in line] == [
        ["Weights", "w", "(sampling)"]
    ]
    assert "Weights" not in plain.summary()


def test_series_differ_in_colour_and_marker_beyond_the_sixth():
    series = list(canvas.colours(36))
    assert len(set(series)) == 36
    assert [colour for colour, _ in series[:6]] == list(canvas.PALETTE)

"""Missing values and unknown levels at prediction, in columns that had none in training."""

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.errors import DataError, ExtrapolationWarning
from causalkit.transtee.baselines import TARNet

SHORT = SMALL | {"max_epochs": 3, "n_ensemble": 2}


def build(frame, missing="raise"):
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "g"], missing=missing
    )


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = arms_frame().assign(g=pd.Categorical(rng.choice(list("uvw"), 240)))
    return made.assign(y=made["y"] + made["g"].cat.codes)


@pytest.fixture(scope="module")
def data(frame):
    return build(frame)


@pytest.fixture(scope="module")
def fit(data):
    return ck.TransTEE(**SHORT).fit(data)


def without(frame, column, rows):
    return frame.assign(**{column: frame[column].where(~frame.index.isin(rows))})


def test_an_unknown_level_is_answered_at_the_mean_of_the_known(fit, data, frame):
    new = frame.assign(g="x")
    with pytest.warns(ExtrapolationWarning, match=r"'g' has an unknown level, or none, in 240"):
        found = fit.predict(data.like(new, on_new_levels="nan"), treatment=1)
    # The same by hand: a fourth level whose vector is the mean of the others'.
    stack = fit.model_.stacks[0]
    p = stack.network.layout.unpack(stack.flat)
    mean = p["table.level0"][:, 1:].mean(dim=1)
    before = p["table.level0"][:, 1].clone()
    p["table.level0"][:, 1] = mean
    try:
        expected = fit.predict(data.like(frame.assign(g="u")), treatment=1)
    finally:
        p["table.level0"][:, 1] = before
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_mean_does_not_change_what_is_known(fit, data, frame):
    before = fit.predict(data, treatment=1)
    with pytest.warns(ExtrapolationWarning):
        mixed = fit.predict(build(without(frame, "g", [5]), "native"), treatment=1)
    rest = np.arange(240) != 5
    np.testing.assert_allclose(mixed[rest], before[rest], atol=1e-6)


def test_a_number_is_refused_where_no_training_row_lacked_it(frame):
    fit = ck.TransTEE(**SHORT).fit(build(without(frame, "a", range(0, 240, 9)), "native"))
    said = r"'b' is missing in row 7, and no training row lacked it"
    with pytest.raises(DataError, match=said):
        fit.effect(build(without(frame, "b", [7]), "native"))
    assert fit.effect(build(without(frame, "a", [7]), "native")).sizes["obs"] == 240


def test_a_level_that_training_rows_lacked_is_learned(frame, recwarn):
    data = build(without(frame, "g", range(0, 240, 9)), "native")
    fit = ck.TransTEE(**SHORT).fit(data)
    assert fit.predict(data, treatment=1).shape == (240,)
    assert not [w for w in recwarn if w.category is ExtrapolationWarning]


def test_holes_are_known_after_loading(fit, data, frame, tmp_path):
    fit.save(tmp_path / "fit")
    loaded = ck.TransTEE.load(tmp_path / "fit")
    new = build(without(frame, "g", [5]), "native")
    with pytest.warns(ExtrapolationWarning):
        np.testing.assert_array_equal(
            loaded.predict(new, treatment=1), fit.predict(new, treatment=1)
        )


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize(
    "network",
    [
        ck.TransTEE(**SHORT, max_tokens=1, n_tokens=2),
        TARNet(max_epochs=1, n_ensemble=1, random_state=0),
    ],
)
def test_networks_without_vectors_of_levels_refuse_unknown_ones(network, data, frame):
    fit = network.fit(data)
    with pytest.raises(DataError, match=r"'g' is missing or unknown in row 5"):
        fit.predict(build(without(frame, "g", [5]), "native"), treatment=1)

"""Clusters of places by sequences: order and dates of frames, in fit and at a target."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import causalkit as ck
from causalkit.errors import CausalKitWarning, DataError

torch.set_num_threads(1)


def clusters(**more):
    return ck.ImageEffectClusters(
        encoder=ck.ImageEncoder.random(n_filters=16),
        n_restarts=1,
        n_components=6,
        n_draws=100,
        random_state=0,
        **more,
    )


@pytest.fixture(scope="module")
def films():
    """A trial of six frames a place, 2010 to 2015, and its fit."""
    data = ck.generators.image_sequence_rct(0, n_images=600, size=12)
    last = data.arrays["time"].values[-1]
    return data, clusters(treatment_date=last, allow_later_frames=True).fit(data.blind())


def test_sequences_need_dates_in_order_and_before_treatment(films):
    data, fit = films
    last = pd.Timestamp(data.arrays["time"].values[-1])
    with pytest.raises(DataError, match=r"1 frames .* not from before treatment_date"):
        clusters(treatment_date=last).fit(data.blind())
    assert np.corrcoef(fit.predict_cate(data), data.truth.cate)[0, 1] > 0.5
    backwards = ck.CausalData.from_frame(
        data.frame,
        outcome="y",
        treatment="t",
        image="image",
        image_key="place",
        arrays=data.arrays.isel(time=slice(None, None, -1)),
    )
    for use in (clusters().fit, fit.predict_cate):
        with pytest.raises(DataError, match=r"times of 'image' are not in order.*sortby"):
            use(backwards)


def test_a_target_with_another_number_of_frames_is_refused(films):
    _, fit = films
    target = ck.generators.image_sequence_rct(1, n_images=5, frames=4, size=12)
    message = r"have 4 frames \(2010-01-01, .*2013-01-01\), and the fit saw 6 frames \(2010.*2015-"
    for use in (fit.effect, fit.transport, fit.salience, fit.predict_proba):
        with pytest.raises(DataError, match=message):
            use(target)
    with pytest.raises(DataError, match="have single images, and the fit saw 6 frames"):
        fit.effect(target.arrays["image"].isel(time=0))


def test_a_target_of_other_dates_is_warned_of_with_both_lists(films):
    data, fit = films
    images = data.arrays["image"].isel(place=slice(0, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = fit.predict_cate(images)
    later = images.assign_coords(time=images["time"] + np.timedelta64(3653, "D"))
    message = r"have 6 frames \(2020-01-02, .*\), and the fit saw 6 frames \(2010-01-01, .*2015-01"
    with pytest.warns(CausalKitWarning, match=message):
        moved = fit.predict_cate(later)
    np.testing.assert_allclose(moved, same)
    with pytest.warns(CausalKitWarning, match=r"have 6 frames \(frame 1, frame 2, "):
        fit.transport(images.drop_vars("time"))


@pytest.fixture(scope="module")
def changes():
    """A trial whose effects are half plus 1.5 times the change of the place."""
    return ck.generators.image_sequence_rct(0, n_images=800, frames=4, size=8, gamma=1.5, sigma=0.5)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize(
    ("temporal", "finds"), [("transformer", True), ("difference", True), ("mean", False)]
)
def test_trained_encoders_find_a_change_where_their_rule_keeps_the_order(changes, temporal, finds):
    fit = ck.ImageEffectClusters(
        encoder=ck.ImageEncoder.filters(n_filters=8),
        likelihood="normal",
        temporal=temporal,
        inference="map",
        epochs=20,
        n_restarts=1,
        n_ensemble=1,
        random_state=0,
    ).fit(changes.blind())
    found = fit.evaluation_
    close = np.corrcoef(found.cate, changes.truth.cate[found.rows])[0, 1]
    # .84 by the transformer, .90 by differences and .04 by the mean.
    assert close > 0.7 if finds else abs(close) < 0.2
    assert fit.rate().ratio > 6.0 if finds else abs(fit.rate().ratio) < 2.5

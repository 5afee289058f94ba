"""Numbers far from zero for their spread, such as dates in seconds."""

import numpy as np
import pytest
from transtee_designs import SMALL, arms_data, arms_frame

import causalkit as ck
from causalkit.transtee.objective import NetObjective
from causalkit.transtee.scales import origin_of


def moved(column, offset, scale=1.0):
    frame = arms_frame()
    frame[column] = scale * frame[column] + offset
    return ck.CausalData.from_frame(frame, outcome="y", treatment="t", covariates=["a", "b", "c"])


@pytest.mark.parametrize("offset", [1e8, -3e6])
def test_effects_do_not_hang_on_where_the_outcome_lies(arms, arms_fit, offset):
    data = moved("y", offset)
    fit = ck.TransTEE(**SMALL).fit(data)
    expected = arms_fit.effect(arms)["effect"].values
    np.testing.assert_allclose(fit.effect(data)["effect"], expected, atol=0.02)
    received = arms.frame["t"].to_numpy()
    np.testing.assert_allclose(
        fit.predict(data, treatment=received) - offset,
        arms_fit.predict(arms, treatment=received),
        atol=0.02,
    )


def test_effects_do_not_hang_on_where_a_covariate_lies(arms, arms_fit, tmp_path):
    data = moved("a", 1.7e9, scale=10.0)
    fit = ck.TransTEE(**SMALL).fit(data)
    expected = arms_fit.effect(arms)["effect"].values
    np.testing.assert_allclose(fit.effect(data)["effect"], expected, atol=0.02)
    weights, before = fit.attention(data, treatment=1), arms_fit.attention(arms, treatment=1)
    np.testing.assert_allclose(weights, before, atol=0.02)
    fit.save(tmp_path / "fit")
    loaded = ck.TransTEE.load(tmp_path / "fit")
    assert np.array_equal(loaded.effect(data)["effect"], fit.effect(data)["effect"])


def test_data_sets_with_origins_of_their_own_train_together():
    several = [moved("a", offset) for offset in (0.0, 5e6)]
    together = ck.TransTEE.fit_many(several, **SMALL)
    alone = ck.TransTEE(**(SMALL | {"random_state": 1})).fit(several[1])
    assert np.array_equal(
        together[1].effect(several[1])["effect"], alone.effect(several[1])["effect"]
    )


def test_an_origin_is_where_single_precision_would_not_do():
    rng = np.random.default_rng(0)
    near, far = 500.0 + rng.standard_normal(50), 2e9 + rng.standard_normal(50)
    found = origin_of(np.column_stack([near, far, np.full(50, 7e8), np.full(50, np.nan)]))
    assert found[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]
    assert abs(found[1] - 2e9) < 200.0
    assert float(np.float32(found[1])) == found[1]


def test_the_largest_outcome_is_told_in_the_units_of_the_user(monkeypatch):
    seen = []
    monkeypatch.setattr(
        NetObjective,
        "validation",
        lambda self, flat: seen.append(self.largest_outcome()) or real(self, flat),
    )
    data = moved("y", 1e8)
    ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(data)
    assert seen[0] == pytest.approx(data.frame["y"].abs().max(), abs=1e-3)


real = NetObjective.validation


def test_well_scaled_numbers_are_left_alone():
    scales = ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(arms_data()).model_.stacks[0].scales
    assert not scales.origin.any()
    assert not scales.y_origin.any()

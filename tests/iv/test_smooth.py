"""The soft-min average: its standard error, and what can be asked of it."""

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.iv import selection


def clustered(shift=0.0):
    """A continuous exposure in clusters of 10 and of 100 rows, with a further effect of it."""
    data = ck.generators.invalid_iv(1, n=1500, exposure="continuous").blind()
    frame = data.frame
    sizes = np.r_[np.full(50, 10), np.full(10, 100)]
    moved = frame["y"] + shift * frame["a"]
    made = data.assign(y=moved, g=np.repeat(np.arange(sizes.size), sizes))
    return made.with_roles(cluster="g")


def smooth(data, **more):
    # By arm and without calibration, linear regressions move one to one with the outcome.
    return ck.InvalidIV(
        learners=dict.fromkeys(selection.AXES, "linear") | {"instrument": ["linear", "lasso"]},
        smooth=True,
        basis=None,
        n_folds=2,
        effect_loss="arms",
        calibrate=False,
        random_state=0,
        **more,
    ).fit(data)


def test_a_larger_effect_moves_the_estimate_by_as_much_and_its_standard_error_by_nothing():
    plain, moved = smooth(clustered()).estimate(), smooth(clustered(20.0)).estimate()
    assert moved.estimate - plain.estimate == pytest.approx(20.0, rel=1e-9)
    assert moved.std_error == pytest.approx(plain.std_error, rel=1e-6)


def test_the_bootstrap_of_unequal_blocks_does_not_see_a_common_shift():
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.1, 2.0, 20)
    weight /= weight.mean()
    by_block = rng.standard_normal((20, 2, 2, 2, 2))

    def variance(shift):
        moved = by_block + shift * weight[:, None, None, None, None]
        rng = np.random.default_rng(1)
        return selection.smoothed_variance(moved, "minimax", rng=rng, block_weight=weight)

    assert variance(50.0) == pytest.approx(variance(0.0), rel=1e-8)


def test_a_soft_min_average_says_how_its_standard_error_came_about():
    fitted = smooth(clustered(), n_rep=3)
    result = fitted.estimate()
    words = "multiplier bootstrap of the selection, 50 blocks; mean over 3 repeated splits"
    assert (result.inference, result.n_rep) == (words, 3)
    # The soft-min average is over what each repeat gives, not of the selected combination.
    found = fitted.fit_.selection
    assert result.estimate == pytest.approx((found.weights * found.parts.estimates).sum())


def test_differences_from_a_soft_min_average_are_refused_and_not_made_up():
    # Its bootstrap also has how the weights move, of which no influence function knows.
    fitted = smooth(clustered())
    assert fitted.estimate().influence is None
    assert fitted.estimate("variance-weighted").influence is not None
    with pytest.raises(ArgumentError, match="smooth=True takes its standard error from a bootstr"):
        fitted.hausman()
    compared = fitted.compare()
    assert compared.names[-1] == fitted.estimate().estimator
    assert any(note.startswith("No differences: smooth=True") for note in compared.notes)

"""Averages over several splits into folds, and networks that are trained once for each."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import causalkit as ck
from causalkit.errors import ArgumentError, OverlapWarning
from causalkit.transtee import crossfit
from causalkit.transtee.coding import code_data
from causalkit.transtee.crossfit import splits_of
from causalkit.warn import collect_warnings, news_only, warn

FAST = {
    "d_model": 8,
    "n_heads": 1,
    "n_encoder_layers": 0,
    "n_ensemble": 1,
    "max_epochs": 3,
    "n_folds": 2,
    "random_state": 0,
}
ARMS = ck.generators.multi_arm(3, n=200, n_arms=2).blind()
KNOWN = {"propensity": 0.5}


def fitted(data=ARMS, **arguments):
    return ck.TransTEE(**FAST | arguments).fit(data)


@pytest.fixture
def trained(monkeypatch):
    """Number of times that networks of a split were trained."""
    real, calls = crossfit.fit_ensembles, []

    def counted(*arguments, **named):
        calls.append(1)
        return real(*arguments, **named)

    monkeypatch.setattr(crossfit, "fit_ensembles", counted)
    return calls


def test_repeats_are_joined_by_the_median_and_their_spread_is_in_the_error():
    fit = fitted()
    one = fit.estimate(**KNOWN)
    three = fit.set_params(n_rep=3).estimate(**KNOWN)
    by_repeat = three.diagnostics["theta_by_repeat"][:, 0]
    assert (one.n_rep, three.n_rep) == (1, 3)
    assert by_repeat[0] == one.estimate
    assert len(set(by_repeat)) == 3
    assert three.estimate == np.median(by_repeat)
    # Chernozhukov et al. (2018), definition 3.3, from the errors of each split by itself.
    within = []
    coding, coded = fit.model_.coding, code_data(fit.model_.coding, ARMS)
    for split in splits_of(coding, coded, fit._of_averages(), digest="", kept={}):
        alone = fitted()
        alone._settings = split.settings
        within.append(alone.estimate(**KNOWN).std_error)
    expected = np.sqrt(np.median(np.square(within) + (by_repeat - three.estimate) ** 2))
    assert three.std_error == pytest.approx(expected, rel=1e-10)
    assert "median over 3 repeated splits" in three.inference
    assert "repeated 3 times" in three.summary()


def test_mean_outcomes_along_a_dose_are_repeated_too():
    data = ck.generators.dose_synthetic(0, n=200).blind()
    fit = fitted(data, n_rep=2)
    found = fit.estimate(doses=[0.3, 0.6], propensity=LinearRegression())
    by_repeat = found.diagnostics["theta_by_repeat"]
    assert by_repeat.shape == (2, 2)
    np.testing.assert_allclose(found.estimates, by_repeat.mean(axis=0))
    one = fit.set_params(n_rep=1).estimate(doses=[0.3, 0.6], propensity=LinearRegression())
    assert (found.df_by_term <= one.df_by_term).all()
    assert set(found.diagnostics["plug-in"]) == set(one.diagnostics["plug-in"])


def test_other_averages_of_one_split_train_no_network_again(trained):
    fit = fitted()
    first = fit.estimate(**KNOWN)
    fit.estimate("att", **KNOWN)
    fit.estimate("gate", groups=np.arange(200) % 2, propensity=LogisticRegression())
    again = fit.estimate(**KNOWN)
    assert len(trained) == 1
    assert (again.estimate, again.std_error) == (first.estimate, first.std_error)
    fit.set_params(n_folds=3).estimate(**KNOWN)
    assert len(trained) == 2
    fit.set_params(n_folds=2).fit(ARMS).estimate(**KNOWN)
    assert len(trained) == 3


def test_networks_whose_training_warned_are_trained_again_so_that_the_result_says_it(monkeypatch):
    real = crossfit.fit_ensembles

    def warning(*arguments, **named):
        warn("a step was too long", OverlapWarning)
        return real(*arguments, **named)

    fit = fitted()
    monkeypatch.setattr(crossfit, "fit_ensembles", warning)
    for estimand in ("ate", "att"):
        with pytest.warns(OverlapWarning, match="too long"):
            found = fit.estimate(estimand, **KNOWN)
        assert "a step was too long" in found.warnings


def test_a_warning_that_every_split_gives_is_told_once():
    data = ck.generators.multi_arm(0, n=300, n_arms=2).blind()
    frame = data.frame.copy()
    column = data.roles.covariates[0]
    frame["t"] = (frame[column].rank(pct=True) > 0.9).astype(int)
    frame.loc[frame.index[:4], "t"] = [0, 1, 0, 1]
    rare = ck.CausalData.from_frame(
        frame, outcome=data.roles.outcome[0], treatment="t", covariates=[column]
    )
    with pytest.warns(OverlapWarning) as shown:
        found = fitted(rare, n_rep=3).estimate(propensity=LogisticRegression(C=1e6))
    raised = [told for told in found.warnings if "raised to that" in told]
    assert len(raised) == 1
    assert sum("raised to that" in str(one.message) for one in shown) == 1


def test_news_of_another_split_are_told():
    with warnings.catch_warnings(record=True) as shown, collect_warnings() as kept:
        warnings.simplefilter("always")
        warn("arm 1: 3.2% below", OverlapWarning)
        with news_only():
            warn("arm 1: 4.1% below", OverlapWarning)
            warn("arm 2: 4.1% below", OverlapWarning)
        warn("arm 1: 4.1% below", OverlapWarning)
    assert kept == ["arm 1: 3.2% below", "arm 2: 4.1% below", "arm 1: 4.1% below"]
    assert len(shown) == 3


def test_training_for_averages_shows_progress_and_goes_on_where_it_was_interrupted(tmp_path):
    whole = fitted(max_epochs=6).estimate(**KNOWN)
    told = []

    def cut(line):
        told.append(line)
        if len(told) == 6 + 3:
            raise KeyboardInterrupt

    arguments = {"max_epochs": 6, "checkpoint": tmp_path / "state"}
    with pytest.warns(ck.errors.CausalKitWarning, match="interrupted in epoch"):
        part = fitted(**arguments, progress=cut).estimate(**KNOWN)
    assert part.estimate != whole.estimate
    told.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = fitted(**arguments, progress=told.append).estimate(**KNOWN)
    assert resumed.estimate == whole.estimate
    assert [line.split("/")[0] for line in told] == [f"epoch {k}" for k in (3, 4, 5, 6)]


def test_the_number_of_repeats_is_checked():
    with pytest.raises(ArgumentError, match="n_rep"):
        fitted(n_rep=0)
    with pytest.raises(ArgumentError, match="n_rep"):
        fitted().set_params(n_rep=1.5).estimate(**KNOWN)

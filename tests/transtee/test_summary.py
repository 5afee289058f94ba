"""What a fit says of itself, before and after it was saved."""

import re

import pytest
from transtee_designs import SMALL, arms_data

import causalkit as ck
from causalkit.errors import NotFittedError


def test_a_summary_has_sizes_epochs_interval_and_diagnostics(arms_fit):
    text = arms_fit.summary()
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    for words in (
        "TransTEE: mean outcome by action",
        "Treatment: t (binary)",
        f"Parameters of each: {arms_fit.n_parameters_:,}",
        "Bottleneck: none",
        f"Epochs trained: {arms_fit.diagnostics_['epochs trained'][0]} of 12",
        f"Best epoch: {arms_fit.diagnostics_['best epoch'][0]}",
        "none: one network has no spread",
        "rows by arm: 0 (",
        "validation loss: ",
    ):
        assert words in flat, words


def test_a_summary_names_the_bottleneck_and_the_warnings():
    with pytest.warns(ck.errors.CausalKitWarning):
        fit = ck.TransTEE(**(SMALL | {"max_epochs": 1}), max_tokens=2, n_tokens=2).fit(arms_data())
    text = " ".join(fit.summary().split())
    assert "3 columns become 2 tokens" in text
    assert "attention by covariate is not available" in text
    assert fit.config_["bottleneck"] == 2


def test_a_conformal_fit_says_so(arms):
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 1}), interval="conformal").fit(arms)
    assert "conformal, for the outcomes of a unit" in " ".join(fit.summary().split())


def test_what_was_used_arms_and_doses_come_back(arms_fit, dose_fit, tmp_path):
    assert arms_fit.arms_ == (0, 1)
    assert arms_fit.dose_range_ == {}
    assert (arms_fit.config_["d_model"], arms_fit.config_["d_ff"]) == (8, 16)
    assert list(dose_fit.dose_range_) == list(dose_fit.arms_) == ["t"]
    dose_fit.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    for name in ("config_", "arms_", "dose_range_"):
        assert getattr(again, name) == getattr(dose_fit, name)
    assert again.summary() == dose_fit.summary()
    with pytest.raises(NotFittedError):
        ck.TransTEE().summary()


def test_progress_tells_the_learning_rate():
    said = []
    ck.TransTEE(**(SMALL | {"max_epochs": 4}), lr=1e-2, progress=said.append).fit(arms_data())
    rates = [float(re.search(r"learning rate ([\d.e-]+),", line)[1]) for line in said]
    # Warm-up of fifty updates against a cosine to zero: up, and down at the end.
    assert len(rates) == 4
    assert max(rates) < 1e-2
    assert rates[-1] < max(rates)

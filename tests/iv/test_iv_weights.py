"""Counts, shares and trimming: frequency weights stand for rows, left-out rows for uncertainty."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import CausalKitWarning
from causalkit.iv.sensitivity import departure_bounds

ROLES = {"outcome": "y", "treatment": "a", "instruments": "z", "covariates": ["l1", "l2"]}


def as_data(frame, **more):
    return ck.CausalData.from_frame(frame, **ROLES, **more)


def quietly(data, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        return ck.InvalidIV(method="parametric", **settings).fit(data)


def both(frame, counts, **settings):
    """The fit of counted rows and that of the rows written out."""
    counted = as_data(frame.assign(w=counts), weights="w", weight_kind="frequency")
    written = as_data(frame.loc[frame.index.repeat(counts)].reset_index(drop=True))
    return quietly(counted, **settings), quietly(written, **settings)


def same(left, right):
    first, second = left.estimate(), right.estimate()
    assert first.estimate == pytest.approx(second.estimate, rel=1e-8)
    assert first.std_error == pytest.approx(second.std_error, rel=1e-8)
    assert (first.n, first.dropped) == (second.n, second.dropped)
    assert (first.notes, first.warnings) == (second.notes, second.warnings)
    assert str(left.strength()) == str(right.strength())


def test_counted_rows_are_those_written_out_where_the_bound_is_in_units_of_the_variance():
    frame = ck.generators.invalid_iv(1, n=1000, exposure="continuous").blind().frame
    frame = frame.reset_index(drop=True)
    far = np.abs(frame["a"] - frame["a"].mean()) > frame["a"].std()
    counts = np.random.default_rng(0).integers(1, 4, 1000) * np.where(far, 4, 1)
    left, right = both(frame, counts, trim_delta_v=0.145)
    assert left.fit_.least == pytest.approx(right.fit_.least, rel=1e-12)
    assert left.fit_.sample.variance == pytest.approx(np.var(right.fit_.sample.a), rel=1e-12)
    assert any("|ΔV| below" in reason for reason in left.estimate().dropped)
    same(left, right)


def test_counted_cells_of_a_table_are_those_written_out():
    # Sixty cells of thousands of people: few rows, but nowhere few observations.
    frame = ck.generators.invalid_iv(0, n=6000).blind().frame
    frame = frame.assign(y=(frame["y"] > 1).astype(float))
    frame = frame.assign(l1=np.sign(frame["l1"]), l2=np.sign(frame["l2"]))
    cells = frame.groupby(list(frame.columns), as_index=False).size()
    left, right = both(cells.drop(columns="size"), cells["size"].to_numpy(), clip=0.45)
    assert any("propensities" in words for words in left.estimate().warnings)
    same(left, right)


def misspecified(n=600):
    """A quadratic effect for a fit of a constant one, so that every nuisance matters."""
    rng = np.random.default_rng(3)
    l1 = rng.standard_normal(n)
    z = (rng.random(n) < 1 / (1 + np.exp(-0.8 * l1))).astype(float)
    a = (rng.random(n) < np.where(z == 1, 1 / (1 + np.exp(1.5 - 1.2 * l1)), 0.5)).astype(float)
    y = (1 + 2 * l1 + l1**2) * a + 3 * np.exp(0.7 * l1) + z * l1**2 + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "a": a, "z": z, "l1": l1, "l2": rng.standard_normal(n)})


def test_rows_left_out_of_the_average_still_count_in_the_variance_of_its_nuisances():
    # Their influence is the derivative of the estimate in their weight.
    frame, n = misspecified(), 600
    settings = {"trim_delta_v": 0.1, "effect_terms": (), "confounding_terms": ()}

    def fit(weights):
        data = as_data(frame.assign(w=weights), weights="w", weight_kind="sampling")
        return quietly(data, **settings)

    fitted = fit(np.ones(n))
    result, used, rows = fitted.estimate(), fitted.fit_.used, fitted.fit_.sample.rows
    assert result.influence.shape == (n, 1)
    assert result.n == used.sum() < n
    assert result.std_error == pytest.approx(np.sqrt((result.influence**2).sum() / (n * (n - 1))))
    for place in (*np.flatnonzero(~used)[:3], *np.flatnonzero(used)[:2]):
        ends = []
        for step in (1e-4, -1e-4):
            weights = np.ones(n)
            weights[rows[place]] += step
            ends.append(fit(weights).estimate().estimate)
        slope = n * (ends[0] - ends[1]) / 2e-4
        assert result.influence[place, 0] == pytest.approx(slope, rel=1e-3, abs=1e-3)
    assert fitted.augment()["influence"].notna().all()


def test_departures_divide_by_what_the_estimate_divides_by():
    # A selected candidate may put a row below the bound that another one put above it.
    fitted = ck.InvalidIV(method="debiased", learners="linear", random_state=0).fit(
        ck.generators.invalid_iv(0, n=1000).blind()
    )
    fit, result = fitted.fit_, fitted.estimate()
    hats = fit.fitted.hats
    assert fit.used[0]

    def unit(value):
        delta_v = hats.delta_v.copy()
        delta_v[0] = value
        moved = replace(fit, fitted=replace(fit.fitted, hats=replace(hats, delta_v=delta_v)))
        return departure_bounds(moved, result, departure=0.1, null=0.0, level=0.95).unit

    assert unit(1e-9) == pytest.approx(unit(fit.least))
    assert unit(-1e-9) == pytest.approx(unit(-fit.least))


def test_the_note_says_by_whose_move_of_the_variance_rows_are_left_out():
    data = ck.generators.invalid_iv(0, n=1000).blind()
    common = {"trim_delta_v": 0.13, "basis": None, "calibrate": False, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        selective = ck.InvalidIV(learners=["linear"], **common).fit(data).estimate()
        debiased = ck.InvalidIV(method="debiased", learners="linear", **common).fit(data).estimate()
    by = "|ΔV|, by the treatment candidate of least loss, of at least 0.13."
    assert any(note.endswith(by) for note in selective.notes)
    assert any(note.endswith("rows with |ΔV| of at least 0.13.") for note in debiased.notes)

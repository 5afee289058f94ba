"""What data look like: the tables against pandas computations on the same columns."""

import numpy as np
import pandas as pd
import pytest

from causalkit.data import CausalData
from causalkit.errors import ArgumentError


@pytest.fixture(scope="module")
def frame():
    """Unbalanced panel with holes in a covariate, a category, dates and three arms."""
    rng = np.random.default_rng(21)
    n = 150
    unit, year = np.repeat(np.arange(30), 5), np.tile(np.arange(2001, 2006), 30)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "d": rng.integers(0, 2, n),
            "arm": pd.Categorical(rng.choice(["low", "mid", "top"], n)),
            "x": rng.normal(50.0, 4.0, n),
            "fixed": rng.normal(size=30)[unit],
            "g": pd.Categorical(rng.choice(list("ab"), n)),
            "w": rng.integers(1, 4, n),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 99, n), unit="D"),
            "unit": unit,
            "year": year,
        }
    )
    frame.loc[::11, "x"] = np.nan
    return frame[rng.random(n) < 0.7].reset_index(drop=True)


ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x", "fixed", "g"], "missing": "native"}


def test_describe_has_a_row_for_each_role_of_a_column(frame):
    data = CausalData.from_frame(
        frame, **ROLES, modifiers="fixed", unit="unit", time="year", cluster="unit", extra="seen"
    )
    table = data.describe()
    assert table.columns.tolist() == [
        *("role", "column", "dtype", "n", "missing", "unique", "mean", "sd", "min", "max")
    ]
    assert list(zip(table["role"], table["column"], strict=True)) == [
        ("outcome", "y"),
        ("treatment", "d"),
        ("covariates", "x"),
        ("covariates", "fixed"),
        ("covariates", "g"),
        ("modifiers", "fixed"),
        ("unit", "unit"),
        ("time", "year"),
        ("cluster", "unit"),
        ("extra", "seen"),
    ]


def test_describe_has_the_moments_of_pandas(frame):
    data = CausalData.from_frame(frame, **ROLES, extra="seen")
    table = data.describe().set_index("column")
    expected = frame[["y", "d", "x", "fixed"]].agg(["mean", "std", "min", "max"]).T
    got = table.loc[expected.index, ["mean", "sd", "min", "max"]].astype(float)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert table["missing"].to_dict() == frame[table.index].isna().sum().to_dict()
    assert table["unique"].to_dict() == frame[table.index].nunique().to_dict()
    assert table.loc["seen", "max"] == frame["seen"].max()
    assert pd.isna(table.loc["g", "mean"])


def test_balance_is_the_difference_of_means_in_pooled_standard_deviations(frame):
    table = CausalData.from_frame(frame, **ROLES).balance().set_index("covariate")
    assert table.index.tolist() == ["x", "fixed", "g=b"]
    assert set(table["contrast"]) == {"1 vs 0"}
    columns = frame.assign(**{"g=b": (frame["g"] == "b") * 1.0})[["x", "fixed", "g=b"]]
    one, zero = columns[frame["d"] == 1], columns[frame["d"] == 0]
    sd = np.sqrt((one.var() + zero.var()) / 2)
    np.testing.assert_allclose(table["mean"], one.mean(), rtol=1e-12)
    np.testing.assert_allclose(table["mean_reference"], zero.mean(), rtol=1e-12)
    np.testing.assert_allclose(table["smd"], (one.mean() - zero.mean()) / sd, rtol=1e-10)
    np.testing.assert_allclose(table["variance_ratio"], one.var() / zero.var(), rtol=1e-11)


def test_balance_compares_every_arm_with_the_first_level(frame):
    data = CausalData.from_frame(frame, **(ROLES | {"treatment": "arm"}))
    table = data.balance()
    assert table["contrast"].unique().tolist() == ["mid vs low", "top vs low"]
    means = frame.groupby("arm", observed=True)["fixed"].mean()
    fixed = table[table["covariate"] == "fixed"]
    np.testing.assert_allclose(fixed["mean"], means[["mid", "top"]], rtol=1e-12)
    np.testing.assert_allclose(fixed["mean_reference"], means["low"], rtol=1e-12)


def test_balance_with_frequency_weights_is_that_of_the_expanded_rows(frame):
    kinds = {"weights": "w", "weight_kind": "frequency"}
    weighted = CausalData.from_frame(frame, **ROLES, **kinds).balance()
    expanded = frame.loc[frame.index.repeat(frame["w"])]
    pd.testing.assert_frame_equal(weighted, CausalData.from_frame(expanded, **ROLES).balance())


def test_balance_with_sampling_weights_does_not_depend_on_their_scale(frame):
    kinds = {"weights": "w", "weight_kind": "sampling"}
    once = CausalData.from_frame(frame, **ROLES, **kinds).balance()
    scaled = CausalData.from_frame(frame.assign(w=frame["w"] * 7.5), **ROLES, **kinds).balance()
    pd.testing.assert_frame_equal(once, scaled)
    treated = frame[(frame["d"] == 1) & frame["x"].notna()]
    expected = np.average(treated["x"], weights=treated["w"])
    assert once["mean"][0] == pytest.approx(expected, rel=1e-12)


def test_balance_needs_arms(frame):
    data = CausalData.from_frame(frame, **(ROLES | {"treatment": "y", "outcome": "d"}))
    with pytest.raises(
        ArgumentError, match=r"compares arms, but the treatment \(y\) is continuous"
    ):
        data.balance()


def test_the_panel_summary_counts_units_periods_gaps_and_singletons(frame):
    data = CausalData.from_frame(frame, **ROLES, unit="unit", time="year")
    table = data.panel_summary()
    shape = table[table["column"] == ""].set_index("measure")["value"]
    lengths = frame.groupby("unit").size()
    years = frame.groupby("unit")["year"]
    skipped = years.max() - years.min() + 1 - lengths
    jumps = frame.sort_values(["unit", "year"]).groupby("unit")["year"].diff()
    assert shape.to_dict() == {
        "n": len(frame),
        "n_units": frame["unit"].nunique(),
        "t_min": lengths.min(),
        "t_mean": pytest.approx(lengths.mean()),
        "t_max": lengths.max(),
        "singletons": (lengths == 1).sum(),
        "n_periods": 5,
        "balanced": 0.0,
        "gaps": (jumps > 1).sum(),
        "skipped": skipped.sum(),
        "units_with_gaps": (skipped > 0).sum(),
    }
    assert shape["gaps"] > 0


def test_the_panel_summary_parts_variance_within_and_between_units(frame):
    data = CausalData.from_frame(frame, **ROLES, unit="unit", time="year")
    table = data.panel_summary()
    wide = table[table["column"] != ""].pivot(index="column", columns="measure", values="value")
    for name in ("y", "x", "fixed"):
        values = frame[["unit", name]].dropna()
        groups = values.groupby("unit")[name]
        inside = values[name] - groups.transform("mean")
        assert wide.loc[name, "sd_overall"] == pytest.approx(values[name].std(), rel=1e-12)
        assert wide.loc[name, "sd_between"] == pytest.approx(groups.mean().std(), rel=1e-12)
        within = np.sqrt((inside**2).sum() / (len(values) - 1))
        assert wide.loc[name, "sd_within"] == pytest.approx(within, rel=1e-12, abs=1e-13)
        assert wide.loc[name, "units_varying"] == (groups.nunique() > 1).sum()
    assert wide.loc["fixed", "within_share"] == pytest.approx(0.0, abs=1e-25)


def test_a_balanced_panel_is_said_to_be_so(panel):
    assert dict(panel.panel_summary()[["measure", "value"]].to_numpy())["balanced"] == 0.0
    whole = panel.filter("time > 2002 and time < 2005").frame
    kept = whole[whole.groupby("unit")["time"].transform("size") == 2]
    data = CausalData.from_frame(kept, outcome="y", treatment="d", unit="unit", time="time")
    assert dict(data.panel_summary()[["measure", "value"]].to_numpy())["balanced"] == 1.0


def test_the_line_and_the_html_name_roles_and_dropped_rows_and_escape_text(frame):
    hostile = frame.rename(columns={"x": "<b>x</b>"})
    roles = ROLES | {"covariates": ["<b>x</b>"], "missing": "drop"}
    data = CausalData.from_frame(hostile, **roles, unit="unit")
    n = int(frame["x"].notna().sum())
    assert repr(data) == f"CausalData({n} rows; y ~ d; 1 covariates; unit unit)"
    html = data._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert f"{len(frame) - n} rows left out: &lt;b&gt;x&lt;/b&gt; missing" in html

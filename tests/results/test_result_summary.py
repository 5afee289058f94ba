"""What a summary says, in which words, within 80 columns."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from causalkit.nuisance.accuracy import Quality
from causalkit.results.summary import coefficient_grid, inference_line, row_labels

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=120)


@dataclass(frozen=True)
class Shares:
    residual_share: float
    periods: int


class Test:
    p_value = 0.01

    def __str__(self) -> str:
        return "Mundlak test: F(2, 544) = 4.61, p = 0.010"


Test.__test__ = False


def full(make, **fields):
    known = {
        "diagnostics": {
            "nuisances": {"outcome": Quality(0.356, 0.41, 0.19), "treatment": {"rmse": 0.33}},
            "learners": {"outcome": "auto: lasso (4 of 5)"},
            "mundlak_test": Test(),
            "variation": {"union": Shares(0.61, 8)},
            "theta_by_repeat": np.array([[0.08]]),
            "sd_over_repeats": None,
            "largest_cluster": np.float64(0.0123),
            "balanced": np.bool_(True),
        },
        "dropped": {"missing outcome": 1200},
        "warnings": ("few clusters",),
        "notes": ("No unobserved confounder that varies over time.",),
        "provenance": {"versions": {"causalkit": "0.1.0", "python": "3.11"}, "wall_s": 1.234},
    }
    return make(**(known | fields))


def test_the_summary_says_everything_that_is_known(make):
    text = full(make).summary()
    for part in (
        "Effect of union on lwage",
        "average treatment effect (ATE)",
        "Observations: 4,360",
        "Units:        545",
        "Periods:      8",
        "Clusters:     545",
        "1 vs 0",
        "95% conf. interval",
        "Standard errors: cluster-robust (unit, 545 clusters), small-sample factor",
        "t distribution with 544 df",
        "outcome learner: auto: lasso (4 of 5)",
        "- Mundlak test: F(2, 544) = 4.61, p = 0.010",
        "variation, union: residual share 0.61, periods 8",
        "largest cluster: 0.0123",
        "balanced: yes",
        "1,200 rows: missing outcome",
        "- few clusters",
        "- No unobserved confounder",
        "causalkit 0.1.0, python 3.11, fitted in 1.2 s.",
    ):
        assert part in text, part
    assert "theta by repeat" not in text  # one split: it would only repeat the estimate


@pytest.mark.parametrize(
    ("wall", "said"), [(0.0123, "0.012"), (9.7, "9.7"), (150.4, "150"), (5e4, "50,000")]
)
def test_the_time_of_a_fit_is_no_power_of_ten(make, wall, said):
    result = full(make)
    result = replace(result, provenance=dict(result.provenance) | {"wall_s": wall})
    assert f"fitted in {said} s." in result.summary()


def test_the_coefficient_row_is_printed_with_the_digits_its_error_supports(make):
    rows = [line.split() for line in make().summary().splitlines() if line.startswith("union ")]
    assert rows == [["union", "0.0800", "0.0227", "3.52", "<0.001", "[0.0354,", "0.1246]"]]


def test_the_nuisance_table_leaves_blank_what_is_not_known(make):
    lines = full(make).summary().splitlines()
    assert ["outcome", "0.3560", "0.410", "0.190"] in [line.split() for line in lines]
    assert ["treatment", "0.3300"] in [line.split() for line in lines]


def test_the_nuisance_table_has_no_column_that_is_empty_throughout(make):
    nan = float("nan")
    both = {"outcome": Quality(0.356, 0.41, nan), "treatment": Quality(0.33, 0.2, nan)}
    lines = make(diagnostics={"nuisances": both}).summary().splitlines()
    assert ["RMSE", "R²"] in [line.split() for line in lines]
    assert ["treatment", "0.3300", "0.200"] in [line.split() for line in lines]


def test_names_of_columns_are_printed_as_they_are(make):
    text = make(diagnostics={"theta_by_repeat, t_é": 0.08, "variation": {"d_2": 0.5}}).summary()
    assert "- theta by repeat, t_é: 0.08" in text
    assert "- variation, d_2: 0.5" in text


def test_learners_without_a_fit_are_not_headed_by_a_table_that_is_not_there(make):
    text = make(diagnostics={"learners": {"outcome": "lasso"}}).summary()
    assert "Learners" in text
    assert "- outcome learner: lasso" in text
    assert "out of fold" not in text
    assert "Nuisance functions, out of fold" in full(make).summary()


def test_repeats_show_the_estimates_of_each(make):
    per_repeat = np.array([[0.08], [0.09]])
    text = make(n_rep=2, diagnostics={"theta_by_repeat": per_repeat}).summary()
    assert "theta by repeat: 0.08, 0.09" in text
    assert "5, repeated 2 times" in text


@settings(max_examples=60)
@example(term="0" * 14 + "⺀", outcome="结果变量" * 12, note="a", value=-1e-61)
@given(term=WORDS, outcome=WORDS, note=WORDS, value=st.floats(-1e15, 1e15))
def test_no_line_is_longer_than_80_columns(make, term, outcome, note, value):
    result = full(
        make,
        terms=(term,),
        treatment=(term,),
        outcome=outcome,
        notes=(note,),
        estimates=[value],
        vcov=[[value**2]],
        dropped={note: 3},
        estimator=note,
    )
    assert max(map(wcswidth, result.summary().splitlines())) <= 80


def test_every_rendering_names_the_clustering(make):
    result = make()
    for text in (result.summary(), result.to_html(), result.to_latex(), result.to_markdown()):
        flat = " ".join(text.replace("\\", "").split())
        assert "cluster-robust (unit, 545 clusters), small-sample factor G/(G-1)" in flat
    assert result._repr_html_() == result.to_html()
    assert str(result) == result.summary()


@pytest.mark.parametrize(
    ("df", "law"),
    [(math.inf, "normal distribution."), (19.0, "t distribution with 19 df."), (7.25, "7.2 df.")],
)
def test_the_inference_line_names_the_quantiles(make, df, law):
    assert inference_line(make(df=df)).endswith(law)


def test_contrasts_stand_with_the_terms_only_where_they_differ(make):
    two = {"terms": ("a", "b"), "estimates": [0, 0], "vcov": np.eye(2)}
    assert row_labels(make(**two, contrast=("1 vs 0", "1 vs 0"))) == ("a", "b")
    assert row_labels(make(**two, contrast=("1 vs 0", "dY/dX"))) == ("a (1 vs 0)", "b (dY/dX)")


def test_labels_are_escaped_in_every_format(make):
    result = make(terms=("income_% & <x>",), treatment=("income_% & <x>",))
    assert r"income\_\% \& \textless{}x\textgreater{}" in result.to_latex()
    assert "income_% &amp; &lt;x&gt;" in result.to_html()
    assert "<x>" not in result.to_html()
    assert r"income\_% \& \<x\>" in result.to_markdown()
    assert "income_% & <x>" in result.summary()


def test_mean_outcomes_are_no_effects_and_have_no_test_of_zero(make):
    result = make(estimand="adrf", outcome="pressure", treatment=("dose",), terms=("dose=1",))
    text = result.summary()
    assert text.startswith("Mean pressure by dose")
    assert "mean outcome by dose (ADRF)" in text
    assert "Effect of" not in text
    header = ("", "Estimate", "Std. error", "95% conf. interval")
    assert coefficient_grid(result).header == header
    assert len(coefficient_grid(make()).header) == 6

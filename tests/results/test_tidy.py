"""Fixed columns, frames of other libraries, and maketables."""

import maketables
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from causalkit.errors import ArgumentError
from causalkit.nuisance.accuracy import Quality

TIDY = [
    "term",
    "estimand",
    "estimate",
    "std_error",
    "statistic",
    "p_value",
    "conf_low",
    "conf_high",
    "conf_level",
    "n",
    "estimator",
    "outcome",
    "treatment",
    "contrast",
]
GLANCE = [
    "estimator",
    "estimand",
    "n",
    "n_units",
    "n_periods",
    "n_clusters",
    "cov_type",
    "n_folds",
    "n_repeats",
    "nuisance_rmse_y",
    "nuisance_rmse_d",
    "overlap_min",
    "overlap_max",
    "first_stage_f",
    "j_stat",
    "j_p",
    "rhat_max",
    "ess_min",
    "converged",
    "wall_s",
    "seed",
    "version",
]


def test_tidy_has_the_columns_of_the_specification_in_order(make, make_clustered):
    assert list(make().tidy().columns) == TIDY
    assert list(make_clustered([0.1, 0.2]).tidy().columns) == TIDY


def test_glance_has_the_columns_of_the_specification_in_order(make):
    assert list(make().glance().columns) == GLANCE
    assert len(make().glance()) == 1


def test_tidy_rows_hold_the_numbers_of_the_result(make):
    (row,) = make().tidy(level=0.9).to_dict("records")
    low, high = make().conf_int(0.9)
    assert (row["estimate"], row["conf_low"], row["conf_high"]) == (0.08, low, high)
    assert row["p_value"] == make().p_value()
    assert (row["term"], row["contrast"], row["n"]) == ("union", "1 vs 0", 4360)
    assert row["conf_level"] == 0.9


def test_treatments_are_named_per_term_where_they_match_terms(make):
    two = make(
        terms=("d1", "d2"), treatment=("d1", "d2"), estimates=[1, 2], vcov=np.eye(2), contrast=()
    )
    assert list(two.tidy()["treatment"]) == ["d1", "d2"]
    groups = make(
        terms=("a", "b", "c"),
        treatment=("d1", "d2"),
        estimates=[1, 2, 3],
        vcov=np.eye(3),
        contrast=(),
    )
    assert set(groups.tidy()["treatment"]) == {"d1, d2"}
    names = ("d1", "d2", "d3")
    three = make(terms=names, treatment=names, estimates=[1, 2, 3], vcov=np.eye(3), contrast=())
    assert set(three.pairwise().tidy()["treatment"]) == {"d1, d2, d3"}


def test_glance_reads_diagnostics_and_extras_and_leaves_the_rest_null(make):
    result = make(
        diagnostics={"nuisances": {"outcome": Quality(0.35, 0.4, 0.2), "treatment": {"rmse": 0.3}}},
        glance_extra={"first_stage_f": 12.5, "converged": True, "unknown": 1},
        provenance={"wall_s": 1.5, "versions": {"causalkit": "9.9"}},
    )
    row = result.glance().iloc[0]
    assert (row["nuisance_rmse_y"], row["nuisance_rmse_d"], row["first_stage_f"]) == (
        0.35,
        0.3,
        12.5,
    )
    assert (row["wall_s"], row["version"], row["seed"], bool(row["converged"])) == (
        1.5,
        "9.9",
        "7",
        True,
    )
    assert row[["overlap_min", "j_p", "rhat_max", "ess_min"]].isna().all()


def test_outputs_of_different_results_concatenate(make, make_clustered):
    sparse = make(n_units=None, n_clusters=None, seed=None, n_folds=None, n_rep=None)
    results = [make(), sparse, make_clustered([0.1, 0.2])]
    assert list(pd.concat([r.tidy() for r in results]).columns) == TIDY
    both = pd.concat([r.glance() for r in results])
    assert (both.dtypes == make().glance().dtypes).all()
    polars = pl.concat([r.glance(backend="polars") for r in results])
    assert polars["n_clusters"].to_list() == [545, None, 200]


def test_other_backends_give_the_same_numbers(make_clustered):
    result = make_clustered([0.1, 0.2])
    ours = result.tidy()
    polars, arrow = result.tidy(backend="polars"), result.tidy(backend="pyarrow")
    assert isinstance(polars, pl.DataFrame)
    assert isinstance(arrow, pa.Table)
    assert polars.columns == arrow.column_names == TIDY
    for name in TIDY:
        assert polars[name].to_list() == arrow[name].to_pylist() == ours[name].tolist()


def test_an_unknown_backend_lists_the_known_ones(make):
    with pytest.raises(ArgumentError, match="Known: pandas, polars, pyarrow"):
        make().tidy(backend="dask")


def test_maketables_shows_our_numbers(make):
    first = make(0.0801, 0.0227)
    second = make(0.1804, 0.0291, n_clusters=None, terms=("member",))
    frame = maketables.ETable([first, second]).df
    assert list(frame.index.get_level_values(1)) == [
        "union",
        "member",
        "Observations",
        "Units",
        "Clusters",
        "Inference",
    ]
    cells = frame.droplevel(0).to_numpy()
    assert "0.080***" in cells[0, 0]
    assert "(0.023)" in cells[0, 0]
    assert "0.180***" in cells[1, 1]
    assert "(0.029)" in cells[1, 1]
    assert list(cells[2]) == ["4,360", "4,360"]
    assert cells[5, 0].startswith("cluster-robust (unit, 545 clusters)")
    assert "lwage" in str(frame.columns)


def test_maketables_reaches_every_column_and_statistic_we_offer(make):
    result = make(glance_extra={"first_stage_f": 12.0})
    table = maketables.ETable(
        [result],
        coef_fmt="b:.2f [ci95l:.3f, ci95u:.3f]",
        model_stats=["N", "first_stage_f", "estimand", "se_type", "r2"],
    )
    cells = [str(cell).replace("\n", "") for cell in table.df.iloc[:, 0]]
    low, high = result.conf_int(0.95)
    assert cells[0].replace(" ", "") == f"0.08[{low:.3f},{high:.3f}]"
    assert cells[2:4] == ["12", "ate"]
    assert cells[5] == "-"


def test_maketables_names_the_variance(make):
    extractor = maketables.get_extractor(make())
    assert extractor.vcov_info(make())["vcov_type"].startswith("cluster-robust (unit")
    assert extractor.depvar(make()) == "lwage"
    assert extractor.var_labels(make()) is None
    table = extractor.coef_table(make())
    assert table.loc["union", "t"] == pytest.approx(0.08 / 0.0227)
    assert table.index.name == "Coefficient"

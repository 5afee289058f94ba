"""Tables of edges with types: what is known by name, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from edge_designs import FEW, MAKERS, answers, covaried, treated
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, DataError
from causalkit.transtee.coding import coding_of
from causalkit.transtee.covariate_graphs import graphs_of

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


@pytest.mark.parametrize("make", MAKERS)
def test_a_type_that_no_training_row_had_is_refused_only_where_asked(typed_rings, typed_fits, make):
    nodes, edges, share = typed_rings
    # No row of training has the last ring.
    far = edges["mol"] == 399
    strange = edges.assign(type=edges["type"].mask(far, "triple"))
    data = make(nodes, strange, share)
    fit = ck.TransTEE(**FEW).fit(data)
    np.testing.assert_array_equal(answers(fit, data), answers(typed_fits[make], make(*typed_rings)))
    said = (
        r"1 graphs of 'mol_edges' have edges of a type that no graph of a training row had: "
        r"'triple'; first: graph 399 \(known: 'double', 'single'\)"
    )
    last, action = (data, 399) if make is treated else (make(nodes, strange, share, rows=400), 1)
    with pytest.raises(DataError, match=said):
        fit.predict(last, treatment=action)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda e: e.assign(type=e["type"].mask(e.index == 7)),
            "1 edges of table 'mol_edges' have no type; first: graph 1, edge 1 to 2",
        ),
        (
            lambda e: e.assign(type=e["type"].mask(e.index == 7)).drop(columns="source"),
            "'mol_edges' needs the columns mol, source, target, and lacks source",
        ),
        (lambda e: e.assign(type=1.5), r"type of table 'mol_edges' is float \(such as 1.5\)"),
        (
            lambda e: e.assign(type=e["type"].astype(object).mask(e.index == 7, 3)),
            "is str and int",
        ),
        (
            lambda e: e.assign(length=1.0),
            "'mol_edges' has columns beside those read: 'length'; of edges only a 'type'",
        ),
        (
            lambda e: e.drop(columns="type").assign(bond="a", length=1.0),
            "beside those read: 'bond', 'length'; of edges only a 'type'",
        ),
    ],
)
def test_edges_that_say_what_is_not_read_are_refused(typed_rings, make, change, said):
    nodes, edges, share = typed_rings
    estimator = ck.TransTEE(**SMALL, progress=lambda _: pytest.fail("it trains"))
    with pytest.raises(DataError, match=said):
        estimator.fit(make(nodes, change(edges), share))


@pytest.mark.parametrize("make", MAKERS)
def test_prediction_has_types_where_training_had_and_only_there(typed_rings, typed_fits, make):
    nodes, edges, share = typed_rings
    bare = make(nodes, edges.drop(columns="type"), share)
    with pytest.raises(DataError, match="the columns mol, source, target, type, and lacks type"):
        answers(typed_fits[make], bare)
    with pytest.raises(DataError, match="'type'; edges had no type in training"):
        answers(ck.TransTEE(**(FEW | {"max_epochs": 1})).fit(bare), make(*typed_rings))
    # Graphs without edges need no types.
    none, empty = (make(nodes, given, share) for given in (edges.iloc[:0], pd.DataFrame()))
    np.testing.assert_array_equal(answers(typed_fits[make], none), answers(typed_fits[make], empty))


@pytest.mark.parametrize("make", MAKERS)
def test_data_sets_with_other_types_are_not_trained_together(typed_rings, make):
    nodes, edges, share = typed_rings
    more = edges.assign(type=edges["type"].where(edges.index > 3, "triple"))
    for given, said in ((more, "'double', 'single', 'triple'"), (edges.iloc[:, :3], "no types")):
        with pytest.raises(
            ArgumentError,
            match=f"rows of data set 1 have in mol_edges the types {said}, and those of the first "
            "'double', 'single'",
        ):
            ck.TransTEE.fit_many([make(*typed_rings), make(nodes, given, share)], **FEW)


def test_a_graph_column_may_be_called_type(typed_rings):
    nodes, edges, share = typed_rings
    bare = edges.drop(columns="type")
    expected = covaried(nodes, bare, share)
    given = {
        f"type_{name}": table.rename(columns={"mol": "type"})
        for name, table in (("nodes", nodes), ("edges", bare))
    }
    renamed = ck.CausalData.from_frame(
        expected.frame.rename(columns={"mol": "type"}),
        outcome="y",
        treatment="t",
        covariates="a",
        extra="type",
        graph="type_edges",
        tables=given,
    )
    code = coding_of(renamed).covariates.graph
    assert code == replace(coding_of(expected).covariates.graph, column="type")
    assert graphs_of(renamed, code).n_types == 1

"""Tables that nothing would read are refused, with the nearest name that is read."""

import pandas as pd
import pytest

from causalkit.data import CausalData
from causalkit.errors import DataError

EDGES = pd.DataFrame({"mol": [0], "source": [0], "target": [1]})
NODES = pd.DataFrame({"mol": [0, 0], "node": [0, 1]})


def table():
    return pd.DataFrame({"y": [0.5, 1.0, 2.0, 1.5], "mol": [0, 1, 0, 1], "farm": [0, 0, 1, 1]})


def made(**tables):
    return CausalData.from_frame(
        table(), outcome="y", treatment="mol", kinds="structured", extra="farm", tables=tables
    )


def test_all_tables_of_items_are_read():
    tables = dict.fromkeys(["mol_vectors", "mol_steps", "mol_nodes", "mol_edges"], NODES)
    assert set(made(**tables).tables) == set(tables)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mol_edge", r"table 'mol_edge': .* the treatment is mol\. Did you mean 'mol_edges'\?"),
        ("foo", r"table 'foo': .* Rename it, or leave it out\."),
        ("farm_nodes", r"For a graph of every row name it, graph='farm_edges'\."),
    ],
)
def test_a_table_that_goes_with_nothing_is_refused_by_name(name, said):
    with pytest.raises(DataError, match=said) as caught:
        made(mol_nodes=NODES, mol_edges=EDGES, **{name: EDGES})
    assert caught.value.column == name


def test_every_such_table_is_named_at_once():
    with pytest.raises(DataError) as caught:
        made(foo=EDGES, bar=EDGES)
    assert [problem.column for problem in caught.value.problems] == ["foo", "bar"]


def test_formulas_refuse_them_too():
    pytest.importorskip("formulaic")
    roles = {"graph": "farm_edges", "extra": "farm"}
    kept = {"farm_edges": EDGES, "farm_nodes": NODES}
    data = CausalData.from_formula("y ~ mol", table(), tables=kept, **roles)
    assert set(data.tables) == set(kept)
    with pytest.raises(DataError, match="Did you mean 'farm_nodes'"):
        CausalData.from_formula("y ~ mol", table(), tables=kept | {"farm_node": NODES}, **roles)

"""A graph for every row among the covariates."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from transtee_designs import SMALL, scales_of

import causalkit as ck
from causalkit.errors import DataError
from causalkit.transtee.baselines import TARNet
from causalkit.transtee.coding import code_data, coding_of
from causalkit.transtee.covariate_graphs import (
    GraphCode,
    GraphStore,
    graph_tokens,
    graphs_of,
    joined_graphs,
)
from causalkit.transtee.flat_features import flat_features
from causalkit.transtee.layout import Layout
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape

networkx = pytest.importorskip("networkx")

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
CODED = GraphCode("site", ("f",))


def graphs(n, seed=0, most=9):
    """Random graphs whose nodes are all alike but for one feature that means nothing."""
    rng = np.random.default_rng(seed)
    nodes, edges, degree = [], [], []
    for place in range(n):
        size = int(rng.integers(4, most))
        made = networkx.gnp_random_graph(size, rng.uniform(0.1, 0.9), seed=place)
        features = pd.DataFrame({"node": np.arange(size), "f": rng.standard_normal(size)})
        nodes.append(features.assign(site=f"s{place}"))
        pairs = pd.DataFrame(list(made.edges), columns=["source", "target"], dtype=int)
        edges.append(pairs.assign(site=f"s{place}"))
        degree.append(2.0 * made.number_of_edges() / size)
    return pd.concat(nodes), pd.concat(edges), np.array(degree)


def data_of(nodes, edges, degree, seed=0, **roles):
    rng = np.random.default_rng(seed)
    n = len(degree)
    x, t = rng.standard_normal(n), rng.integers(0, 2, n)
    y = x + t * degree + 0.2 * rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "t": t, "x": x, "site": [f"s{place}" for place in range(n)]})
    return with_graphs(frame, nodes, edges, **roles)


def with_graphs(frame, nodes, edges, **roles):
    return ck.CausalData.from_frame(
        frame,
        **{"outcome": "y", "treatment": "t", "covariates": "x", "extra": "site"}
        | {"graph": "site_edges", "tables": {"site_nodes": nodes, "site_edges": edges}}
        | roles,
    )


@pytest.fixture(scope="module")
def parts():
    return graphs(300)


@pytest.fixture(scope="module")
def data(parts):
    return data_of(*parts)


@pytest.fixture(scope="module")
def fitted(data):
    return ck.TransTEE(**(SMALL | {"d_model": 16, "max_epochs": 80})).fit(data)


def test_an_effect_that_depends_on_edges_alone_is_learned(parts, data, fitted):
    nodes, edges, degree = parts
    error = fitted.effect(data)["effect"].values.ravel() - degree
    assert error.std() < 0.3 * degree.std()
    bare = data_of(nodes, edges.iloc[:0], degree)
    blind = ck.TransTEE(**(SMALL | {"d_model": 16, "max_epochs": 80})).fit(bare)
    assert (blind.effect(bare)["effect"].values.ravel() - degree).std() > 0.7 * degree.std()


def test_names_and_order_of_nodes_and_edges_mean_nothing(parts, data, fitted):
    nodes, edges, degree = parts
    rng = np.random.default_rng(1)
    other = {
        site: dict(zip(own["node"], rng.permutation(len(own)) + 7, strict=True))
        for site, own in nodes.groupby("site")
    }

    def renamed(table, column):
        return [other[s][v] for s, v in zip(table["site"], table[column], strict=True)]

    turned = edges.assign(source=renamed(edges, "target"), target=renamed(edges, "source"))
    shuffled = data_of(
        nodes.assign(node=renamed(nodes, "node")).sample(frac=1.0, random_state=0),
        turned.sample(frac=1.0, random_state=0),
        degree,
    )
    np.testing.assert_allclose(
        fitted.predict(shuffled, treatment=1), fitted.predict(data, treatment=1), atol=2e-4
    )


def test_larger_graphs_beside_it_change_nothing_for_a_graph(parts, data, fitted):
    nodes, edges, degree = parts
    large = networkx.complete_graph(40)
    more = data_of(
        pd.concat([nodes, pd.DataFrame({"site": "s300", "node": range(40), "f": 0.0})]),
        pd.concat([edges, pd.DataFrame(list(large.edges), columns=["source", "target"])]).fillna(
            {"site": "s300"}
        ),
        np.append(degree, 39.0),
    )
    found = fitted.predict(more, treatment=1)[:300]
    alone = with_graphs(more.frame.iloc[:300], nodes, edges)
    np.testing.assert_allclose(found, fitted.predict(alone, treatment=1), atol=2e-4)
    sizes = [graphs_of(one, CODED).nodes.shape[1] for one in (more, alone)]
    assert sizes == [40, 8]


def test_tokens_are_what_a_loop_over_neighbours_gives(parts, data):
    nodes, edges, _ = parts
    actions = ActionShape(n_arms=2, dosed=(False, False), n_slots=1)
    shape = NetShape(TableShape(1, node_features=1), actions, width=8)
    layout = Layout({k: v for k, v in shape.layout().blocks.items() if k.startswith("graph.")})
    p = layout.unpack(layout.initial([torch.Generator().manual_seed(m) for m in range(2)]))
    store = GraphStore.of(graphs_of(data, CODED), "cpu")
    rows = store.rows(torch.tensor([[5, 17]]), torch.zeros(2, 1), torch.ones(2, 1))
    found = graph_tokens(p, rows)
    for place, site in enumerate(("s5", "s17")):
        own = nodes[nodes["site"] == site].sort_values("node")
        near = networkx.Graph()
        near.add_nodes_from(own["node"])
        near.add_edges_from(edges.loc[edges["site"] == site, ["source", "target"]].to_numpy())
        for m in range(2):
            w = {name: block[m] for name, block in p.items()}
            h = torch.tensor(own[["f"]].to_numpy(), dtype=torch.float32) @ w["graph.in.weight"]
            h = h + w["graph.in.bias"]
            for step in range(3):
                total = torch.stack([h[list(near[v])].sum(dim=0) for v in near])
                h = h + torch.nn.functional.gelu(
                    h @ w[f"graph.own{step}.weight"]
                    + w[f"graph.own{step}.bias"]
                    + total @ w[f"graph.near{step}.weight"]
                    + w[f"graph.near{step}.bias"]
                )
            h = torch.nn.functional.layer_norm(h, (8,)) * w["graph.norm.scale"]
            torch.testing.assert_close(
                found[m, place, : len(own)], h + w["graph.norm.shift"], atol=1e-5, rtol=1e-4
            )
        assert rows.mask[0, place].sum() == len(own)


def test_data_sets_with_graphs_of_other_sizes_train_together_as_alone():
    sets = [data_of(*graphs(60, seed, most), seed=seed) for seed, most in ((0, 6), (1, 12))]
    sizes = SMALL | {"max_epochs": 4}
    together = ck.TransTEE.fit_many(sets, **sizes)
    for seed, (data, fit) in enumerate(zip(sets, together, strict=True)):
        alone = ck.TransTEE(**(sizes | {"random_state": seed})).fit(data)
        # Padded to another length, sums are added up in another order.
        np.testing.assert_allclose(
            fit.effect(data)["effect"], alone.effect(data)["effect"], atol=1e-3
        )


def test_graphs_of_several_data_sets_keep_their_edges():
    parts = [graphs_of(data_of(*graphs(10, seed, 5 + 4 * seed)), CODED) for seed in range(2)]
    both = joined_graphs(parts)
    places = [0, 10]
    for place, part in zip(places, parts, strict=True):
        for row in range(10):
            assert edges_of(both, place + row) == edges_of(part, row)
    assert joined_graphs([None, None]) is None


def edges_of(graphs, row):
    size = graphs.nodes.shape[1]
    kept = graphs.edges[row][graphs.edges[row] < size * size]
    return {(int(edge) // size, int(edge) % size) for edge in kept}


def test_saved_and_loaded_it_says_the_same(fitted, data, tmp_path):
    fitted.save(tmp_path / "fit")
    again = ck.TransTEE.load(tmp_path / "fit")
    np.testing.assert_array_equal(
        again.predict(data, treatment=0), fitted.predict(data, treatment=0)
    )


def test_attention_names_the_nodes(fitted, data):
    found = fitted.attention(data, treatment=1)
    assert found["covariate"].values.tolist()[:3] == ["x", "site[0]", "site[1]"]
    np.testing.assert_allclose(found.sum("covariate"), 1.0, atol=1e-5)


def test_a_model_of_a_table_has_the_mean_node(parts, data, fitted):
    nodes, _, _ = parts
    seen = fitted.model_.asked(data).covariates
    means = nodes.groupby("site")["f"].mean()[data.frame["site"]]
    np.testing.assert_allclose(flat_features(seen, ())[:, 1], means, atol=1e-6)
    effect = TARNet(max_epochs=1, n_ensemble=1, random_state=0).fit(data).effect(data)["effect"]
    moved = data_of(nodes.assign(f=nodes["f"] + 5.0), parts[1], parts[2])
    assert effect.shape == (300,)
    assert (fitted.predict(moved, treatment=1) != fitted.predict(data, treatment=1)).any()


def test_features_of_nodes_are_found_by_name(parts, data, fitted):
    nodes, edges, degree = parts
    more = nodes.assign(g=np.arange(len(nodes)))[["g", "site", "f", "node"]]
    np.testing.assert_array_equal(
        fitted.predict(data_of(more, edges, degree), treatment=1), fitted.predict(data, treatment=1)
    )
    other = data_of(nodes.rename(columns={"f": "h"}), edges, degree)
    with pytest.raises(DataError, match="'site_nodes' needs the columns site, node, f, and lacks"):
        fitted.predict(other, treatment=1)


@pytest.mark.parametrize("name", [0, pd.Timestamp("2020-03-01")])
def test_features_of_nodes_may_have_names_that_are_no_text(parts, data, tmp_path, name):
    nodes, edges, degree = parts
    numbered = data_of(nodes.rename(columns={"f": name}), edges, degree)
    short = SMALL | {"max_epochs": 1}
    named, fit = (ck.TransTEE(**short).fit(one) for one in (data, numbered))
    fit.save(tmp_path / "fit")
    for again in (fit, ck.TransTEE.load(tmp_path / "fit")):
        np.testing.assert_array_equal(
            again.predict(numbered, treatment=1), named.predict(data, treatment=1)
        )
        with pytest.raises(DataError, match=f"columns site, node, {name}, and lacks {name}"):
            again.predict(data, treatment=1)


def test_graphs_that_no_row_has_take_no_room_and_change_nothing(parts, data):
    nodes, edges, degree = parts
    some = data_of(nodes, edges, degree[:10])
    few, every = (graphs_of(one, CODED) for one in (some, data))
    most = edges["site"].value_counts()[some.frame["site"]].max()
    assert few.edges.shape == (10, 2 * most)
    assert few.edges.shape[1] < every.edges.shape[1]
    np.testing.assert_array_equal(few.nodes, every.nodes[:10])
    np.testing.assert_array_equal(few.mask, every.mask[:10])
    for row in range(10):
        assert edges_of(few, row) == edges_of(every, row)


def test_nodes_that_are_all_alike_need_no_features(parts):
    nodes, edges, degree = parts
    bare = data_of(nodes[["site", "node"]], edges, degree)
    fit = ck.TransTEE(**(SMALL | {"d_model": 16, "max_epochs": 100})).fit(bare)
    error = fit.effect(bare)["effect"].values.ravel() - degree
    assert error.std() < 0.5 * degree.std()


def without(table, site):
    return table[table["site"] != site]


@pytest.mark.parametrize(
    ("nodes_of", "edges_of", "words"),
    [
        ("s7", None, "edges name nodes that their graph lacks; first: graph 's7'"),
        ("s7", "s7", "1 rows name graphs that site_nodes lacks; first: row 7, 's7'"),
    ],
)
def test_a_graph_that_is_not_there_is_named(parts, nodes_of, edges_of, words):
    nodes, edges, degree = parts
    data = data_of(without(nodes, nodes_of), without(edges, edges_of), degree)
    with pytest.raises(DataError, match=words):
        ck.TransTEE(**SMALL).fit(data)


def test_a_feature_that_is_no_number_is_refused_with_its_graph(parts):
    nodes, edges, degree = parts
    holes = nodes.assign(f=nodes["f"].where(nodes["site"] != "s3"))
    with pytest.raises(DataError, match="not finite numbers; first: 'f' of 's3' is nan"):
        ck.TransTEE(**SMALL).fit(data_of(holes, edges, degree))


def spoiled(nodes, edges, how):
    if how == "node":
        return nodes.drop(columns="node"), edges
    if how == "key":
        return nodes, edges.drop(columns="site")
    if how == "source":
        return nodes, edges.drop(columns="source")
    if how == "twice":
        return pd.concat([nodes, nodes.iloc[[3]]]), edges
    if how == "hole":
        return nodes.assign(site=nodes["site"].where(nodes["site"] != "s2")), edges
    if how == "text":
        return nodes.assign(f="a"), edges
    if how == "date":
        return nodes.assign(f=pd.Timestamp("2020-01-01")), edges
    return nodes, edges.assign(source=edges["source"].astype(str))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("node", "'site_nodes' needs the columns site, node, and lacks node"),
        ("key", "'site_edges' needs the columns site, source, target, and lacks site"),
        ("source", "'site_edges' needs the columns site, source, target, and lacks source"),
        ("twice", r"'site_nodes' has 1 rows .* \(first: site 's0', node 3, again in row"),
        ("hole", "'site_nodes' has . rows without a site, node"),
        ("text", "feature 'f' of table 'site_nodes' is str, and a number is needed"),
        ("date", r"feature 'f' of table 'site_nodes' is datetime64\[us\]"),
        ("type", "'node' is int64, and 'source' beside it is str"),
    ],
)
def test_tables_that_are_no_graphs_are_refused_by_name(parts, how, words):
    nodes, edges, degree = parts
    with pytest.raises(DataError, match=words):
        ck.TransTEE(**SMALL).fit(data_of(*spoiled(nodes, edges, how), degree))


def test_a_table_of_no_edges_may_be_empty(parts):
    nodes, _, degree = parts
    assert graphs_of(data_of(nodes, pd.DataFrame(), degree), CODED).edges.shape == (300, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("roads", "graph='roads' must be named after a column, as <column>_edges"),
        ("road_edges", "graph='road_edges' goes with a column 'road'"),
        ("x_edges", "graph='x_edges' goes with a table 'x_nodes'"),
    ],
)
def test_a_table_of_edges_that_goes_with_nothing_is_refused(parts, name, words):
    nodes, edges, degree = parts
    data = data_of(nodes, edges, degree, graph=name, tables={name: edges})
    with pytest.raises(DataError, match=words):
        ck.TransTEE(**SMALL).fit(data)


def test_a_fit_with_graphs_refuses_rows_without(fitted, data):
    with pytest.raises(DataError, match="these data lack site"):
        fitted.predict(data.with_roles(graph=None), treatment=1)


def test_nodes_are_scaled_by_those_of_training_rows(data):
    coded = code_data(coding_of(data), data)
    rows, graphs = np.arange(0, 300, 2), coded.covariates.graphs
    nodes = graphs.nodes.copy()
    nodes[1::2] += 1e3
    planted = replace(coded.covariates, graphs=replace(graphs, nodes=nodes))
    scales = scales_of(replace(coded, covariates=planted), rows)
    seen = graphs.nodes[rows][graphs.mask[rows]]
    np.testing.assert_allclose(scales.node_centre[0], seen.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(scales.node_spread[0], seen.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize("n_rows", [240, 241, 247])
def test_what_is_the_same_for_all_nodes_stays_as_it_is(parts, n_rows):
    nodes, edges, degree = parts
    data = data_of(nodes.assign(f=1.0), edges, degree)
    coded = code_data(coding_of(data), data)
    scales = scales_of(coded, np.arange(n_rows))
    assert (scales.node_centre.item(), scales.node_spread.item()) == (0.0, 1.0)

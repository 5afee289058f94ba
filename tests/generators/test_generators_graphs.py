"""Treatments that are graphs: truth of every pair, who gets what, tables, given molecules."""

import hashlib
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

import causalkit as ck
from causalkit.errors import ArgumentError
from causalkit.generators.graph_treatments import components
from causalkit.generators.molecules import load_molecules, simulated_molecules
from causalkit.generators.small_world import average_path, node_connectivity
from causalkit.metrics import most_likely, upehe, wpehe

G = ck.generators
SMALL = {"n": 600, "n_test": 200, "n_graphs": 8}


def graph_of(data, k):
    """Nodes and edges of a graph, from the tables that an estimator sees."""
    nodes, edges = (data.tables[f"graph_{part}"] for part in ("nodes", "edges"))
    mine = edges.loc[edges["graph"] == k, ["source", "target"]].to_numpy()
    return nodes[nodes["graph"] == k], mine


def test_outcomes_of_every_unit_and_graph_follow_from_the_tables():
    """Y = 100 w₀'x + .2 g₀² w₁'x + g₁ w₂'x: three regressions on x with these ratios."""
    data = G.graph_sw(0, **SMALL, n_covariates=5)
    x = data.matrix("covariates")
    outcomes = data.truth.unit_response(np.arange(8))
    assert outcomes.shape == (600, 8)
    slopes = np.linalg.lstsq(x, outcomes, rcond=None)[0]
    np.testing.assert_allclose(x @ slopes, outcomes, atol=1e-9)
    facts = []
    for k in range(8):
        nodes, edges = graph_of(data, k)
        facts.append([100.0, 0.2 * average_path(len(nodes), edges) ** 2])
        facts[-1].append(node_connectivity(len(nodes), edges))
    weights = np.linalg.lstsq(np.array(facts), slopes.T, rcond=None)[0]
    np.testing.assert_allclose(np.array(facts) @ weights, slopes.T, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0)
    assert (weights > 0).all()


def test_outcomes_are_the_truth_of_the_graph_received_plus_noise():
    data = G.graph_sw(1, **SMALL)
    own = data.truth.unit_response(data.column("treatment")[:, None])[:, 0]
    error = data.column("outcome") - own
    # Standard errors 1/sqrt(600) and 1/sqrt(1200); five of them.
    assert error.mean() == pytest.approx(0.0, abs=0.21)
    assert error.std() == pytest.approx(1.0, abs=0.15)


def test_graphs_are_received_with_the_probabilities_of_the_truth():
    data = G.graph_sw(2, n=20_000, n_test=0, n_graphs=8, bias=4.0)
    graph, chance = data.frame["graph"].to_numpy(), data.truth.propensity
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
    for k in range(8):
        for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0)):
            rows = (chance[:, k] >= low) & (chance[:, k] < high)
            if rows.sum() > 500:
                spread = math.sqrt(chance[rows, k].mean() / rows.sum())
                got = (graph[rows] == k).mean()
                assert got == pytest.approx(chance[rows, k].mean(), abs=4.5 * spread)


def test_log_odds_of_graphs_are_linear_in_the_squares():
    data = G.graph_sw(3, **SMALL, bias=2.0)
    squares = data.matrix("covariates") ** 2
    odds = np.log(data.truth.propensity / data.truth.propensity[:, :1])
    slopes = np.linalg.lstsq(squares, odds, rcond=None)[0]
    np.testing.assert_allclose(squares @ slopes, odds, atol=1e-9)
    # Differences of two uniform numbers, times the bias.
    assert 1.0 < np.abs(slopes).max() <= 2.0


def test_selection_grows_with_the_bias_and_vanishes_without():
    top = [G.graph_sw(3, **SMALL, bias=b).truth.propensity.max(axis=1).mean() for b in (0, 1, 10)]
    assert top[0] == pytest.approx(1 / 8)
    assert top[0] < top[1] < top[2]


def test_tables_hold_each_edge_once_and_degrees_that_agree():
    data = G.graph_sw(4, **SMALL)
    assert data.roles.kinds == ("structured",)
    for k in range(8):
        nodes, edges = graph_of(data, k)
        count = np.bincount(edges.ravel(), minlength=len(nodes))
        np.testing.assert_allclose(nodes["degree"], count / (len(nodes) - 1))
        assert len({frozenset(pair) for pair in edges.tolist()}) == len(edges)
        assert nodes["node"].tolist() == list(range(len(nodes)))
    assert set(data.tables["graph_nodes"]["graph"]) == set(range(8))


def test_the_library_is_the_same_for_all_seeds_and_other_for_another_graph_seed():
    one, two = G.graph_sw(0, **SMALL), G.graph_sw(1, **SMALL)
    assert one.tables["graph_edges"].equals(two.tables["graph_edges"])
    other = G.graph_sw(0, **SMALL, graph_seed=1)
    assert not one.tables["graph_edges"].equals(other.tables["graph_edges"])


def test_errors_over_likely_graphs_are_zero_for_the_truth_and_not_for_the_mean_graph():
    data = G.graph_sw(5, n=200, n_test=50, n_graphs=20)
    test = data.subset(np.flatnonzero(data.frame["test"] == 1)).truth
    outcomes = test.unit_response(np.arange(20))
    assert outcomes.shape == test.propensity.shape == (50, 20)
    own = test.unit_response(most_likely(test.propensity, 6))
    expected = np.take_along_axis(outcomes, most_likely(test.propensity, 6), axis=1)
    np.testing.assert_allclose(own, expected, rtol=1e-12)
    flat = np.repeat(outcomes.mean(axis=1, keepdims=True), 20, axis=1)
    for measure in (upehe, wpehe):
        assert measure(outcomes, outcomes, propensity=test.propensity, k=6) == 0.0
        assert measure(flat, outcomes, propensity=test.propensity, k=6) > 0.01


@pytest.mark.parametrize("name", ["graph_sw", "graph_tcga"])
def test_null_and_no_overlap(name):
    make = getattr(G, name)
    null = make(6, **SMALL, effect=0.0).truth
    outcomes = null.unit_response(np.arange(8))
    np.testing.assert_allclose(outcomes, outcomes[:, :1] * np.ones(8), atol=1e-12)
    assert null.estimands["outcome[best]"] == pytest.approx(null.estimands["outcome[uniform]"])
    certain = make(6, **SMALL, overlap=False)
    likely = make(6, **SMALL).truth.propensity.argmax(axis=1)
    assert (certain.frame["graph"] == likely).all()
    assert set(np.unique(certain.truth.propensity)) == {0.0, 1.0}
    assert pickle.loads(pickle.dumps(certain)).digest() == certain.digest()


def test_effects_of_molecules_are_properties_times_components():
    data = G.graph_tcga(7, n=300, n_genes=40, n_test=50, n_graphs=30)
    x = data.matrix("covariates")
    scores = PCA(8, svd_solver="full").fit(x)
    found = scores.transform(x)
    # Signs of components are a convention: ours makes the largest loading positive.
    largest = np.take_along_axis(
        scores.components_, np.abs(scores.components_).argmax(axis=1)[:, None], axis=1
    )
    found = found * np.sign(largest.T)
    np.testing.assert_allclose(components(x, 8), found, atol=1e-9)
    outcomes = data.truth.unit_response(np.arange(30))
    effect = 0.01 * found @ simulated_molecules(0, 30).properties.T
    np.testing.assert_allclose(outcomes - outcomes[:, :1], effect - effect[:, :1], atol=1e-9)


def test_properties_stay_with_the_truth_and_can_be_learnt_from_the_graph():
    data = G.graph_tcga(8, **SMALL)
    assert set(data.tables) == {"graph_nodes", "graph_edges"}
    assert list(data.tables["graph_edges"]) == ["graph", "source", "target", "type"]
    # Graphs of the same description have the same properties.
    many = simulated_molecules(0, 800)
    features = many.nodes.drop(columns="node").groupby("graph").sum()
    edges = many.edges.groupby("graph").agg(n=("type", "size"), orders=("type", "sum"))
    ends = pd.concat(
        [
            many.edges[["graph", end]].set_axis(["graph", "node"], axis=1)
            for end in ("source", "target")
        ]
    )
    squares = (ends.value_counts() ** 2).groupby("graph").sum().rename("squares")
    told = features.join(edges).join(squares)
    groups = told.groupby(list(told.columns)).ngroup().to_numpy()
    spread = pd.DataFrame(many.properties).groupby(groups).agg(np.ptp)
    assert len(spread) < 750
    assert spread.to_numpy().max() < 1e-9


@pytest.fixture
def prepared(tmp_path):
    """Three molecules written as the loader wants them."""
    made = simulated_molecules(1, 3)
    made.nodes.to_csv(tmp_path / "nodes.csv", index=False)
    made.edges.to_csv(tmp_path / "edges.csv", index=False)
    table = pd.DataFrame(made.properties, columns=[f"p{j}" for j in range(8)])
    table.insert(0, "graph", range(3))
    table.assign(more=1.0).sample(frac=1.0, random_state=0).to_csv(
        tmp_path / "properties.csv", index=False
    )
    return made, tmp_path


def test_prepared_molecules_are_read_as_they_were_written(prepared):
    made, path = prepared
    data = G.graph_tcga(9, molecules=str(path), n=100, n_test=20)
    assert data.truth.propensity.shape == (100, 3)
    found = load_molecules(str(path))
    np.testing.assert_allclose(found.properties, made.properties)
    pd.testing.assert_frame_equal(found.edges, made.edges)


def test_molecules_are_checked_where_asked(prepared):
    _, path = prepared
    files = [(path / f"{name}.csv").read_bytes() for name in ("nodes", "edges", "properties")]
    seal = f"sha256:{hashlib.sha256(b''.join(files)).hexdigest()}"
    ask = {"molecules": str(path), "n": 100, "n_test": 20}
    assert G.graph_tcga(9, **ask, molecules_checksum=seal).n == 100
    (path / "edges.csv").write_bytes(files[1] + b"\n")
    with pytest.raises(ArgumentError, match=r"molecules=.* has checksum sha256:.* another file"):
        G.graph_tcga(9, **ask, molecules_checksum=seal)
    with pytest.raises(ArgumentError, match="no published checksum"):
        load_molecules(str(path), checksum="published")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("edges.csv", lambda t: t.assign(target=99), "edges have a target that is no node"),
        ("edges.csv", lambda t: t.drop(columns="source"), "edges.csv lacks the columns source"),
        ("nodes.csv", lambda t: t.assign(carbon=np.nan), "nodes.csv holds values that are not"),
        ("nodes.csv", lambda t: pd.concat([t, t]), "names a node of a graph twice"),
        ("nodes.csv", lambda t: t[t["graph"] > 0], "at least one node of each"),
        ("properties.csv", lambda t: t.iloc[:, :6], "must have 8 properties beside graph, got 5"),
        ("properties.csv", lambda t: t.assign(graph=0), "must name each graph 0, ..., 2 once"),
    ],
)
def test_prepared_molecules_that_do_not_fit_are_refused_by_file(prepared, file, change, message):
    _, path = prepared
    change(pd.read_csv(path / file)).to_csv(path / file, index=False)
    with pytest.raises(ArgumentError, match=message):
        load_molecules(str(path))


def test_parameters_out_of_range_are_refused_by_name(tmp_path):
    with pytest.raises(ArgumentError, match=r"nodes.csv is not there.*QM9"):
        load_molecules(str(tmp_path))
    with pytest.raises(ArgumentError, match="graphs must be whole numbers from 0 to 7"):
        G.graph_sw(0, **SMALL).truth.unit_response([8])
    with pytest.raises(ArgumentError, match="n_test must lie between 0 and n - 2 = 8"):
        G.graph_sw(0, n=10, n_test=9)
    with pytest.raises(ArgumentError, match="n_graphs must be at least 2"):
        G.graph_tcga(0, n_graphs=1)

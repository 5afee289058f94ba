"""Tables of structured treatments: what is read is what they say, by name, or an error."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from transtee_designs import SMALL

import causalkit as ck
from causalkit.errors import ArgumentError, DataError
from causalkit.transtee import best_actions
from causalkit.transtee.items import library_of

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
N = 240
MOLS = [f"m{k}" for k in range(8)]


def vectors(seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"mol": MOLS, "f": rng.standard_normal(8), "g": rng.standard_normal(8)})


def steps():
    f = np.random.default_rng(1).standard_normal(24)
    return pd.DataFrame({"mol": np.repeat(MOLS, 3), "step": np.tile(range(3), 8), "f": f})


def graphs():
    f = np.random.default_rng(2).standard_normal(24)
    nodes = pd.DataFrame({"mol": np.repeat(MOLS, 3), "node": np.tile(range(3), 8), "f": f})
    ends = {"source": np.tile([0, 1], 8), "target": np.tile([1, 2], 8)}
    return {"mol_nodes": nodes, "mol_edges": pd.DataFrame({"mol": np.repeat(MOLS, 2)} | ends)}


def data_of(**tables):
    rng = np.random.default_rng(3)
    mol = rng.choice(MOLS, N)
    frame = pd.DataFrame({"mol": mol, "a": rng.standard_normal(N), "b": rng.standard_normal(N)})
    frame["y"] = frame["a"] + vectors().set_index("mol")["f"][mol].to_numpy()
    return ck.CausalData.from_frame(
        frame,
        outcome="y",
        treatment="mol",
        kinds=("structured",),
        covariates=["a", "b"],
        tables=tables,
    )


@pytest.fixture(scope="module")
def fitted():
    return ck.TransTEE(**SMALL).fit(data_of(mol_vectors=vectors()))


def test_features_are_found_by_name(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    expected = fitted.predict(data_of(mol_vectors=vectors()), treatment=MOLS)
    other = data_of(mol_vectors=vectors().assign(more=7.0)[["more", "g", "f", "mol"]])
    np.testing.assert_array_equal(fitted.predict(other, treatment=MOLS), expected)
    again = ck.TransTEE.load(tmp_path / "fit")
    # To the bit: what standardises features comes back as it was.
    np.testing.assert_array_equal(again.predict(other, treatment=MOLS), expected)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"mol_vectors": vectors().rename(columns={"f": "h"})}, "lacks f .it has mol, h, g"),
        ({"mol_steps": steps()}, "by the table mol_vectors in training, and these .* mol_steps"),
        (graphs(), "by the table mol_vectors in training, and these data have mol_nodes"),
    ],
)
def test_tables_unlike_those_of_training_are_refused(fitted, tables, said):
    with pytest.raises(DataError, match=said):
        fitted.predict(data_of(**tables), treatment="m1")


@pytest.mark.parametrize("name", [("f", 1), pd.Timestamp("2020-03-01"), np.int64(3), float("inf")])
def test_features_come_back_by_names_of_any_kind_that_is_saved(fitted, tmp_path, name):
    renamed = data_of(mol_vectors=renamed_to(name))
    fit = ck.TransTEE(**SMALL).fit(renamed)
    fit.save(tmp_path / "fit")
    predicted = ck.TransTEE.load(tmp_path / "fit").predict(renamed, treatment=MOLS)
    expected = fitted.predict(data_of(mol_vectors=vectors()), treatment=MOLS)
    np.testing.assert_array_equal(predicted, expected)


def test_a_name_of_a_feature_that_text_cannot_hold_is_refused(tmp_path):
    fit = ck.TransTEE(**SMALL).fit(data_of(mol_vectors=renamed_to(Fraction(1, 2))))
    said = r"table of 'mol' has a column whose name holds Fraction\(1, 2\).*make it a number, text"
    with pytest.raises(ArgumentError, match=said):
        fit.save(tmp_path)
    assert not list(tmp_path.iterdir())


def renamed_to(name):
    table = vectors()
    # As a list, pandas would take tuples for levels of the columns.
    table.columns = pd.Index(["mol", name, "g"], dtype=object, tupleize_cols=False)
    return table


def test_steps_and_nodes_are_found_by_name_too():
    for tables, name in (({"mol_steps": steps()}, "mol_steps"), (graphs(), "mol_nodes")):
        known = library_of(data_of(**tables), "mol")
        wider = tables[name].assign(e=7.0, c=8.0)
        more = data_of(**(tables | {name: wider[wider.columns[::-1]]}))
        np.testing.assert_array_equal(library_of(more, "mol", like=known).features, known.features)


def again(table, row=5):
    return pd.concat([table, table.iloc[[row]].assign(f=9.0)])


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            {"mol_vectors": again(vectors())},
            r"'mol_vectors' has 1 rows .* \(first: mol 'm5', again",
        ),
        (
            {"mol_steps": again(steps())},
            r"'mol_steps' has 1 rows .* \(first: mol 'm1', step 2, aga",
        ),
        ({"mol_vectors": vectors().assign(f="a")}, "feature 'f' of table 'mol_vectors' is str"),
        (
            {"mol_vectors": vectors().drop(columns="mol")},
            "'mol_vectors' needs the columns mol, and",
        ),
        ({"mol_steps": steps().drop(columns="step")}, "'mol_steps' needs the columns mol, step, a"),
        (
            {"mol_vectors": vectors().assign(mol=[None, *MOLS[1:]])},
            r"'mol_vectors' has 1 rows without a mol \(first: row 0\)",
        ),
        (
            {"mol_vectors": vectors().replace({"g": {vectors()["g"][2]: np.inf}})},
            "1 rows of table 'mol_vectors' .* first: 'g' of 'm2' is inf",
        ),
        (
            {"mol_steps": steps().replace({"f": {steps()["f"][4]: np.nan}})},
            "1 rows of table 'mol_steps' .* first: 'f' of 'm1' is nan",
        ),
    ],
)
def test_tables_that_say_nothing_clear_are_refused_before_training(tables, said):
    with pytest.raises(DataError, match=said):
        ck.TransTEE(**SMALL, progress=lambda _: pytest.fail("it trains")).fit(data_of(**tables))


def test_an_edge_counts_once_however_it_is_given():
    tables = graphs()
    back = tables["mol_edges"].rename(columns={"source": "target", "target": "source"})
    both = tables | {"mol_edges": pd.concat([tables["mol_edges"], back, back.iloc[:3]])}
    once, twice = (library_of(data_of(**given), "mol") for given in (tables, both))
    np.testing.assert_array_equal(once.edges, twice.edges)
    # Eight graphs of two edges, in both directions.
    assert once.edges.shape == (2, 32)
    bare = library_of(data_of(**(tables | {"mol_edges": pd.DataFrame()})), "mol")
    assert bare.edges.shape == (2, 0)


def test_graphs_without_a_table_of_edges_are_refused():
    data = data_of(mol_nodes=graphs()["mol_nodes"])
    words = r"mol_nodes has no mol_edges beside it.*'mol_edges': pd\.DataFrame\(\)"
    with pytest.raises(DataError, match=words):
        ck.TransTEE(**SMALL).fit(data)
    whole = data_of(**graphs())
    with pytest.raises(DataError, match=words):
        ck.TransTEE(**(SMALL | {"max_epochs": 1})).fit(whole).predict(data, treatment="m1")


def test_items_are_told_by_one_table():
    with pytest.raises(DataError, match="mol_vectors, mol_nodes each say what the items"):
        ck.TransTEE(**SMALL).fit(data_of(mol_vectors=vectors(), **graphs()))


def test_graphs_are_summed_in_single_precision():
    data, few = data_of(**graphs()), SMALL | {"d_model": 32, "max_epochs": 2}
    half, single = (
        ck.TransTEE(**few, precision=precision).fit(data).predict(data, treatment=MOLS)
        for precision in ("bf16", "float32")
    )
    np.testing.assert_allclose(half, single, atol=0.1 * single.std())


@pytest.mark.parametrize("kind", ["vectors", "steps", "graphs"])
def test_features_are_standardised_by_the_items_of_training_rows(kind):
    tables = {"vectors": {"mol_vectors": vectors()}, "graphs": graphs()}
    tables["steps"] = {"mol_steps": steps().drop(index=5)}  # m1 has a step less
    data = data_of(**tables[kind])
    fit = ck.TransTEE(**(SMALL | {"n_ensemble": 2, "max_epochs": 1})).fit(data)
    table = next(iter(tables[kind].values()))
    # Were all items seen by all networks, this could not fail.
    few = data.subset(np.flatnonzero(data.frame["mol"].isin(MOLS[:3])))
    part = ck.TransTEE(**(SMALL | {"n_ensemble": 2, "max_epochs": 1})).fit(few)
    for one, rows in ((fit, data), (part, few)):
        (stack,) = one.model_.stacks
        for m, member in enumerate(stack.members):
            seen = table[table["mol"].isin(rows.frame["mol"].iloc[member.train])]["f"]
            centre, spread = (end[m, 0].item() for end in _ends(stack))
            assert centre == pytest.approx(seen.mean(), rel=1e-5)
            assert spread == pytest.approx(seen.std(ddof=0), rel=1e-5)


def _ends(stack):
    return stack.network.item_scales.centre, stack.network.item_scales.spread


def test_an_item_that_no_row_has_changes_nothing():
    far = vectors().assign(mol=[*MOLS[:7], "far"], f=[*vectors()["f"][:7], 1e3])
    plain = far[far["mol"] != "far"]
    seen = data_of(mol_vectors=vectors())
    rows = seen.subset(np.flatnonzero(seen.frame["mol"] != "m7"))
    found = []
    for table in (plain, far):
        data = ck.CausalData.from_frame(
            rows.frame,
            outcome="y",
            treatment="mol",
            kinds=("structured",),
            covariates=["a", "b"],
            tables={"mol_vectors": table},
        )
        found.append(ck.TransTEE(**SMALL).fit(data).predict(data, treatment=MOLS[:7]))
    np.testing.assert_allclose(*found, atol=1e-5)


def test_networks_with_scales_of_their_own_train_together_as_alone():
    datasets = [data_of(mol_vectors=vectors()) for _ in range(3)]
    parts = [
        data.subset(np.flatnonzero(data.frame["mol"] != mol))
        for data, mol in zip(datasets, MOLS, strict=False)
    ]
    size = min(map(len, parts))
    parts = [part.subset(np.arange(size)) for part in parts]
    together = ck.TransTEE.fit_many(parts, **SMALL)
    for seed, (data, fit) in enumerate(zip(parts, together, strict=True)):
        alone = ck.TransTEE(**(SMALL | {"random_state": seed})).fit(data)
        np.testing.assert_array_equal(
            fit.predict(data, treatment=MOLS), alone.predict(data, treatment=MOLS)
        )
    scales = [_ends(fit.model_.stacks[0])[0][0, 0].item() for fit in together]
    assert len(set(scales)) == 3


def test_what_is_to_be_compared_is_said_in_the_call_that_was_made(fitted):
    data = data_of(mol_vectors=vectors())
    for call in ("permutation_importance(data, treatment=[...], ", "effect(data, treatment=..., "):
        method = getattr(fitted, call.partition("(")[0])
        with pytest.raises(ArgumentError) as caught:
            method(data)
        assert str(caught.value).endswith(f"say what to compare, {call}baseline=...).")
    found = fitted.permutation_importance(data, treatment=["m1", "m2"], baseline="m0", n_repeats=1)
    assert found["covariate"].tolist() == ["a", "b"]


@pytest.mark.parametrize("at_once", [3, 64])
def test_the_best_item_is_that_with_the_best_outcome(fitted, monkeypatch, at_once):
    monkeypatch.setattr(best_actions, "N_ITEMS", at_once)
    more = pd.concat([vectors(), vectors(7).assign(mol=[f"n{k}" for k in range(8)])])
    data = data_of(mol_vectors=more)
    mu = fitted.predict(data, treatment=list(more["mol"]))
    for maximise, place in ((True, mu.argmax(axis=1)), (False, mu.argmin(axis=1))):
        best = fitted.best_action(data, maximise=maximise)
        assert best["item"].values.tolist() == more["mol"].to_numpy()[place].tolist()
        np.testing.assert_allclose(best["outcome"], mu[np.arange(N), place], rtol=1e-5, atol=1e-6)

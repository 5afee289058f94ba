"""Data sets and estimators that train together: what they do not share is refused by name."""

import numpy as np
import pandas as pd
import pytest
from test_item_tables import MOLS, data_of, graphs, vectors
from transtee_designs import SMALL, arms_data, arms_frame, weighted_arms

import causalkit as ck
from causalkit.errors import ArgumentError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")


def untrained(*datasets, **arguments):
    """fit_many, which must not begin to train."""
    stop = {"progress": lambda _: pytest.fail("it trains")}
    return ck.TransTEE.fit_many(list(datasets), **(SMALL | stop | arguments))


def of_arms(arms, dtype=None):
    frame = arms_frame().assign(t=pd.Series(arms).astype(dtype or int))
    return ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], kinds=("multi",)
    )


def test_an_estimator_trains_many_with_its_own_arguments():
    sets = [arms_data(), arms_data()]
    few = SMALL | {"max_epochs": 1}
    by_class = ck.TransTEE.fit_many(sets, **few, dropout=0.1)
    by_estimator = ck.TransTEE(**few).fit_many(sets, dropout=0.1)
    assert [fit.get_params() for fit in by_estimator] == [fit.get_params() for fit in by_class]
    assert by_estimator[1].random_state == by_estimator[0].random_state + 1
    given = [ck.TransTEE(**few) for _ in sets]
    assert ck.TransTEE(d_model=64).fit_many(sets, estimators=given) == given


def test_every_data_set_is_trained_on_its_items_or_refused():
    first = data_of(mol_vectors=vectors())
    moved = vectors().assign(f=-vectors()["f"])
    for table in (moved, vectors().assign(mol=[*MOLS[:7], "new"])):
        other = data_of(mol_vectors=pd.concat([table, vectors().query("mol not in @table.mol")]))
        with pytest.raises(ArgumentError, match="data set 1 has another table mol_vectors than"):
            untrained(first, other)
    shuffled = data_of(mol_vectors=vectors()[["g", "mol", "f"]].sample(frac=1.0, random_state=0))
    assert len(ck.TransTEE.fit_many([first, shuffled], **(SMALL | {"max_epochs": 1}))) == 2


def test_graphs_with_other_edges_are_refused():
    tables = graphs()
    fewer = tables | {"mol_edges": tables["mol_edges"].iloc[1:]}
    with pytest.raises(
        ArgumentError, match="data set 1 has another table mol_edges than the first"
    ):
        untrained(data_of(**tables), data_of(**fewer))


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ((arms_data, weighted_arms), "data set 1 has weights, and the first has none"),
        ((weighted_arms, arms_data), "data set 1 has no weights, and the first has some"),
    ],
)
def test_weights_belong_to_all_or_none(sets, said):
    with pytest.raises(ArgumentError, match=said):
        untrained(*(make() for make in sets))
    both = ck.TransTEE.fit_many([weighted_arms()] * 2, **SMALL)
    alone = ck.TransTEE(**(SMALL | {"random_state": 1})).fit(weighted_arms())
    np.testing.assert_array_equal(
        both[1].effect(arms_data()).effect, alone.effect(arms_data()).effect
    )


def test_arms_of_every_data_set_are_looked_at():
    four = np.arange(240) % 4
    first = of_arms(four)
    with pytest.raises(ArgumentError, match="levels 0, 1, 2 of 't', and the first has 0, 1, 2, 3"):
        untrained(first, of_arms(np.arange(240) % 3))
    single = of_arms(np.where(np.arange(240) == 7, 3, np.arange(240) % 3))
    with pytest.raises(DataError, match=r"arm 3 of 't' has 1 row\(s\)") as caught:
        untrained(first, first, single)
    assert caught.value.__notes__ == ["It is data set 2 of fit_many."]
    back = pd.CategoricalDtype([3, 2, 1, 0])
    with pytest.raises(ArgumentError, match="levels 3, 2, 1, 0 of 't', and the first has 0, 1"):
        untrained(first, of_arms(four, back))


def test_estimators_are_equal_but_for_their_seeds():
    datasets = [arms_data(), arms_data(seed=1)]
    first = ck.TransTEE(**SMALL)
    other = ck.TransTEE(**(SMALL | {"random_state": 5, "d_model": 16, "outcome": "huber"}))
    with pytest.raises(
        ArgumentError, match="estimator 1 differs from the first in d_model, outcome; fit"
    ):
        ck.TransTEE.fit_many(datasets, estimators=[first, other])
    with pytest.raises(ArgumentError, match=r"estimators or arguments, and got both \(d_model\)"):
        ck.TransTEE.fit_many(datasets, estimators=[first, first], d_model=64)


def test_intervals_that_cannot_be_are_refused_before_training(doses):
    with pytest.raises(ArgumentError, match="needs a treatment with arms; this one is continuous"):
        untrained(doses, interval="conformal")


def test_one_data_set_is_no_list(arms):
    with pytest.raises(TypeError, match=r"got one CausalData; .*fit_many\(\[data\]\)"):
        ck.TransTEE.fit_many(arms, **SMALL)

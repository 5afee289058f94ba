"""New rows made by ``like`` are answered as those of data built from them, or refused by name."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from transtee_designs import SMALL, arms_frame

import causalkit as ck
from causalkit.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
QUICK = SMALL | {"max_epochs": 2}
ROLES = {"outcome": "y", "treatment": "t", "covariates": ["a", "b", "c"]}
LETTERS = np.random.default_rng(0).standard_normal((128, 3))


def with_visits(seed, n, length=3):
    values = np.random.default_rng(seed).standard_normal((n, length, 2)).astype(np.float32)
    visits = xr.DataArray(values, dims=("obs", "step", "feature"))
    return arms_frame(n, seed), {"sequence": "visits"}, {"arrays": {"visits": visits}}


def with_texts(seed, n, longest=6):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("abc"), rng.integers(1, longest))) for _ in range(n)]
    notes = ck.embed_texts(texts, lambda part: [LETTERS[list(text.encode())] for text in part])
    frame = arms_frame(n, seed).assign(note=texts)
    return frame, {"sequence": "notes", "text": "note"}, {"arrays": notes.to_dataset(name="notes")}


def with_graphs(seed, n):
    rng, names = np.random.default_rng(seed), [f"{seed}-{k}" for k in range(n)]
    nodes = pd.DataFrame({"farm": np.repeat(names, 3), "node": [0, 1, 2] * n})
    nodes["area"] = rng.random(3 * n)
    edges = pd.DataFrame({"farm": names, "source": 0, "target": rng.integers(1, 3, n)})
    frame = arms_frame(n, seed).assign(farm=names)
    roles = {"graph": "farm_edges", "extra": "farm"}
    return frame, roles, {"tables": {"farm_nodes": nodes, "farm_edges": edges}}


MAKERS = [with_visits, with_texts, with_graphs]


@pytest.fixture(scope="module")
def fits():
    found = {}
    for make in MAKERS:
        frame, roles, brought = make(0, 80)
        data = ck.CausalData.from_frame(frame, **ROLES, **roles, **brought)
        found[make] = data, ck.TransTEE(**QUICK).fit(data)
    return found


@pytest.mark.parametrize("make", MAKERS)
def test_they_are_answered_as_data_built_from_them(fits, make):
    data, fit = fits[make]
    frame, roles, brought = make(1, 20)
    built = ck.CausalData.from_frame(frame, **ROLES, **roles, **brought)
    expected = fit.predict(built, treatment=[0, 1])
    unknown = frame.drop(columns=["y", "t"])
    np.testing.assert_array_equal(
        fit.predict(data.like(unknown, **brought), treatment=[0, 1]), expected
    )
    assert not np.array_equal(expected, fit.predict(data, treatment=[0, 1])[:20])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_visits, r"lack visits \(.*training_data.like\(df, arrays=\{'visits': ...\}\)"),
        (with_texts, r"lack notes \(.*training_data.like\(df, arrays=\{'notes': ...\}\)"),
        (with_graphs, r"lack farm \(.*like\(df, tables=\{'farm_nodes': ..., 'farm_edges': ...\}\)"),
    ],
)
def test_what_was_not_brought_is_named_with_the_call_that_brings_it(fits, make, words):
    data, fit = fits[make]
    with pytest.raises(DataError, match=words):
        fit.predict(data.like(make(1, 20)[0]), treatment=1)


def test_a_column_that_is_lacking_needs_no_arrays(fits):
    data, fit = fits[with_visits]
    lacking = data.with_roles(covariates=["a", "b"])
    with pytest.raises(DataError, match=r"lack c \(.*Build them with training_data.like\(df\)\."):
        fit.predict(lacking, treatment=1)


def test_steps_later_than_those_of_training_are_refused_by_the_network(fits):
    data, fit = fits[with_visits]
    frame, _, brought = with_visits(1, 20, length=4)
    with pytest.raises(DataError, match="'visits' had at most 3 steps in training, and 20 rows"):
        fit.predict(data.like(frame, **brought), treatment=1)


def test_items_of_training_may_be_asked_about_for_new_rows():
    data = ck.generators.graph_sw(0, n=80).blind()
    fit = ck.TransTEE(**QUICK).fit(data)
    new = data.frame[list(data.roles.covariates)].iloc[:10]
    found = fit.predict(data.like(new), treatment=[0, 1])
    np.testing.assert_array_equal(found, fit.predict(data.subset(range(10)), treatment=[0, 1]))
    tables = {name: part[part["graph"] < 2] for name, part in data.tables.items()}
    with pytest.raises(DataError, match=r"items that its table lacks: 2; add them .*tables="):
        fit.predict(data.like(new, tables=tables), treatment=2)

"""Fits on a device beside fits on the processor: the same numbers, all on the right device."""

import warnings

import numpy as np
import pandas as pd

import causalkit as ck
from causalkit.errors import CausalKitWarning
from causalkit.transtee.baselines import TARNet, VCNet

SMALL = {"d_model": 8, "n_heads": 2, "max_epochs": 3, "n_ensemble": 2, "random_state": 0}


def rows(n=240):
    """Arms, a dose, categories, and numbers with holes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 3))
    t = rng.integers(0, 2, n)
    frame = pd.DataFrame({"t": t, "dose": rng.random(n), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    frame["g"] = pd.Categorical(rng.choice(list("uvw"), n))
    frame["y"] = x[:, 0] + t * (1.0 + x[:, 2]) + frame["dose"] + 0.1 * rng.standard_normal(n)
    frame["hole"] = frame["c"].mask(rng.random(n) < 0.2)
    return frame


def data_of(frame, **roles):
    given = {"outcome": "y", "treatment": "t", "covariates": ["a", "b", "c", "g"]}
    return ck.CausalData.from_frame(frame, **(given | roles))


def graphs_of(n_items=6):
    """A table of items that are rings of several sizes, with edges of two types."""
    nodes, edges = [], []
    for item in range(n_items):
        size = 3 + item
        nodes += [(f"m{item}", k, float(k % 2)) for k in range(size)]
        edges += [(f"m{item}", k, (k + 1) % size, k % 3 == 0) for k in range(size)]
    return {
        "mol_nodes": pd.DataFrame(nodes, columns=["mol", "node", "feature"]),
        "mol_edges": pd.DataFrame(edges, columns=["mol", "source", "target", "type"]),
    }


def near(one, other, scale, *, within):
    gap = float(np.abs(np.asarray(one) - np.asarray(other)).max())
    assert gap <= within * scale, f"{gap / scale:.2g} sd apart"


def both(make, data, device, *, within=1e-3, ask=None):
    """Fit on the processor and on the device and compare what they answer."""
    ask = ask or (lambda est: est.effect(data)["effect"])
    fits = [make(device=where).fit(data) for where in ("cpu", device)]
    near(*(ask(est) for est in fits), data.column("outcome").std(), within=within)
    return fits[1]


def arms(device, folder):
    data = data_of(rows())
    est = both(lambda **k: ck.TransTEE(**SMALL, **k), data, device)
    assert np.isfinite(est.estimate().estimate)
    est.attention(data, treatment=1)
    est.save(folder / "arms")
    again = ck.TransTEE.load(folder / "arms")
    near(again.effect(data)["effect"], est.effect(data)["effect"], 1.0, within=1e-4)


def holes_and_unequal_groups(device, folder):
    data = data_of(rows(), covariates=["a", "hole", "g"], missing="native")
    both(lambda **k: ck.TransTEE(**SMALL, dropout=0.1, **k).set_params(dropout=0.0), data, device)
    grouped = data_of(rows().assign(u=np.repeat(np.arange(80), [2, 3, 4, 3] * 20)), cluster="u")
    both(lambda **k: ck.TransTEE(**SMALL, **k), grouped, device)


def doses(device, folder):
    data = data_of(rows(), treatment="dose", covariates=["a", "b", "c"])
    make = lambda **k: ck.TransTEE(**SMALL, **k)  # noqa: E731
    est = both(make, data, device, ask=lambda e: e.dose_response(data, grid=9).adrf)
    est.best_action(data)
    for regularizer in ("tr", "ptr"):
        both(
            lambda regularizer=regularizer, **k: ck.TransTEE(**SMALL, regularizer=regularizer, **k),
            data,
            device,
            within=0.05,
            ask=lambda e: e.dose_response(data, grid=9).adrf,
        )


def arms_without_dose(device, folder):
    frame = rows().assign(t=np.arange(240) % 3)
    frame["dose"] = frame["dose"].where(frame["t"] > 0)
    data = data_of(frame, treatment=["t", "dose"], kinds=("multi", "dose"))
    asked = [(0, None), (1, 0.5), (2, 0.5)]
    for make in (ck.TransTEE, VCNet):
        small = SMALL if make is ck.TransTEE else {"d_model": 16, "max_epochs": 3}
        est = both(
            lambda make=make, small=small, **k: make(**small | {"random_state": 0}, **k),
            data,
            device,
            ask=lambda e: e.predict(data, treatment=asked),
        )
        est.best_action(data, grid=5)
    both(
        lambda **k: ck.TransTEE(**SMALL, regularizer="ptr", **k),
        data,
        device,
        within=0.05,
        ask=lambda e: e.predict(data, treatment=asked),
    )


def dropout_and_bf16(device, folder):
    data = data_of(rows())
    est = ck.TransTEE(**SMALL, dropout=0.2, device=device).fit(data)
    assert np.isfinite(est.effect(data)["effect"]).all()
    low = ck.TransTEE(**SMALL, precision="bf16", device=device).fit(data)
    full = ck.TransTEE(**SMALL, precision="float32", device=device).fit(data)
    near(low.effect(data)["effect"], full.effect(data)["effect"], 1.0, within=0.2)


def several_treatments_and_intervals(device, folder):
    frame = rows().assign(s=np.arange(240) % 2)
    data = data_of(frame, treatment=["t", "s"])
    both(
        lambda **k: ck.TransTEE(**SMALL, **k),
        data,
        device,
        ask=lambda e: e.predict(data, treatment={"t": 1, "s": 0}),
    )
    one = data_of(frame)
    est = ck.TransTEE(**SMALL, interval="conformal", device=device).fit(one)
    assert np.isfinite(est.effect(one, level=0.8)["effect"]).all()


def structured(device, folder):
    frame = rows().assign(mol=[f"m{k % 6}" for k in range(240)])
    typed = graphs_of()
    bare = typed | {"mol_edges": typed["mol_edges"].drop(columns="type")}
    for tables in (bare, typed):
        data = data_of(frame, treatment="mol", kinds=["structured"], tables=tables)
        both(
            lambda **k: ck.TransTEE(**SMALL, **k),
            data,
            device,
            ask=lambda e, data=data: e.predict(data, treatment="m3"),
        )


def graphs_of_rows(device, folder):
    frame = rows().assign(mol=[f"m{k % 6}" for k in range(240)])
    data = data_of(frame, extra="mol", graph="mol_edges", tables=graphs_of())
    both(lambda **k: ck.TransTEE(**SMALL, **k), data, device)


def many_and_checkpoints(device, folder):
    sets = [data_of(rows().assign(y=rows()["y"] * k)) for k in (1.0, 2.0)]
    together = ck.TransTEE.fit_many(sets, **SMALL, device=device)
    alone = ck.TransTEE(**SMALL | {"random_state": 1}, device=device).fit(sets[1])
    gap = [est.effect(sets[1])["effect"] for est in (together[1], alone)]
    near(*gap, sets[1].column("outcome").std(), within=1e-4)
    twice = [ck.TransTEE(**SMALL, deterministic=True, device=device).fit(sets[0]) for _ in range(2)]
    near(*(est.effect(sets[0])["effect"] for est in twice), 1.0, within=0.0)


def baseline(device, folder):
    data = data_of(rows())
    both(lambda **k: TARNet(max_epochs=3, n_ensemble=1, random_state=0, **k), data, device)


def images(device, folder):
    rct = ck.generators.image_rct(0, n_images=260, size=8)
    quick = {"split": (0.5, 0.2, 0.3), "n_restarts": 1, "n_draws": 20, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        est = both(
            lambda **k: ck.ImageEffectClusters(encoder="cnn", epochs=2, **quick, **k),
            rct.blind(),
            device,
            within=0.02,
            ask=lambda e: e.effect(rct)["effect"],
        )
        est.cluster_effects()
        est.salience(rct.subset(np.arange(3)))
        est.transport(rct.arrays["image"][:20])
        for settings in ({"encoder": "random"}, {"encoder": "filters", "precision": "bf16"}):
            other = ck.ImageEffectClusters(epochs=1, **settings, **quick, device=device)
            assert np.isfinite(other.fit(rct.blind()).effect(rct)["effect"]).all()


def embeddings(device, folder):
    rct = ck.generators.image_rct(0, n_images=40, size=12)
    two = [ck.embed_images(rct, "random", device=where).to_numpy() for where in ("cpu", device)]
    near(*two, two[0].std(), within=1e-3)


def sequences(device, folder):
    rct = ck.generators.image_sequence_rct(0, n_images=200, size=6)
    est = ck.ImageEffectClusters(
        temporal="transformer",
        split=(0.5, 0.25, 0.25),
        epochs=1,
        n_restarts=1,
        n_draws=20,
        device=device,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        assert np.isfinite(est.fit(rct.blind()).effect(rct)["effect"]).all()


CASES = {
    case.__name__: case
    for case in (
        arms,
        holes_and_unequal_groups,
        doses,
        arms_without_dose,
        dropout_and_bf16,
        several_treatments_and_intervals,
        structured,
        graphs_of_rows,
        many_and_checkpoints,
        baseline,
        images,
        embeddings,
        sequences,
    )
}

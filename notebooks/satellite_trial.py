# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A trial with satellite images, from the store to the map
#
# A programme was tried at random in many places, and each place has an image. Where does it work,
# by how much, what in the image tells, and what may be said about places where it was never tried?
# The trial is simulated, so that every answer can be held against the truth; the steps are those of
# a real one. The model is that of Jerzak, Johansson and Daoud (2023); assumptions and all options
# are in `docs/image_clusters.md`. To open this file as a notebook: `jupytext --to notebook
# notebooks/satellite_trial.py`. It needs torch, zarr and matplotlib.

# %%
import tempfile
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import causalkit as ck
from causalkit.images import plot_salience

# %% [markdown]
# ## The data: a store of images, and a table of units
#
# The store lies on disk and is read chunk by chunk, whatever its size. `chunks=None` lets causalkit
# do the reading.

# %%
folder = Path(tempfile.mkdtemp())
simulated = ck.generators.image_rct(n_images=1200, seed=0, to_zarr=folder / "rct.zarr")
store = xr.open_zarr(folder / "rct.zarr", chunks=None)
print({name: size for name, size in store.sizes.items()})
print(f"{store['image'].nbytes / 2**20:.0f} MiB of images, bands {', '.join(store['band'].values)}")

# %%
rct = ck.CausalData.from_xarray(
    store, outcome="y", treatment="t", image="image", image_key="obs_place"
)
print(rct.describe().to_string(index=False))

# %% [markdown]
# Before anything else: was the treatment randomised? A test of whether the images predict it runs
# with the fit, and warns if they do.
#
# ## Fit
#
# Half of the places train a small network and the mixture of effect types, a tenth selects, and the
# rest is kept for evaluation. Fewer epochs and starts than the default, to be quick on a processor;
# on a GPU nothing changes but the time.

# %%
fit = ck.ImageEffectClusters(
    n_clusters=2, epochs=12, n_restarts=1, device="auto", random_state=0
).fit(rct)
balance = fit.diagnostics_["balance"]
print(f"images predict the treatment no better than chance does: p = {balance['p_value']:.2f}")

# %% [markdown]
# ## Effects by cluster: first what randomisation alone says
#
# The table leads with the honest effects: means of doubly robust scores over places that no network
# was trained on. What the model says itself stands apart, and is labelled.

# %%
print(fit.estimate().summary())

# %%
columns = ["cluster", "n", "share", "estimate", "conf_low", "conf_high", "model_effect", "note"]
print(fit.cluster_effects()[columns].round(2).to_string(index=False))

# %%
_ = fit.plot_clusters(rct)

# %% [markdown]
# ## Is the ranking of places worth anything?
#
# If the programme can reach only some places, choosing them by the predicted effect gains this much
# over a lottery. The curve is again of places that were kept apart.

# %%
rate = fit.rate()
print(f"AUTOC {rate.estimate:.2f}, standard error {rate.std_err:.2f}, ratio {rate.ratio:.1f}")
_ = rate.plot()

# %%
slope = fit.estimate("calibration").tidy().set_index("term").loc["slope"]
print(f"predicted differences are right by a factor of {slope['estimate']:.2f} ", end="")
print(f"[{slope['conf_low']:.2f}, {slope['conf_high']:.2f}]")

# %% [markdown]
# One split is one draw. With real data repeat the fit with several seeds and report all of them.
#
# ## What the network looked at
#
# Which pixels would change the probability of the cluster with the larger effect? Four places of
# that cluster; in this simulation the pattern is a square that the network was never told of.

# %%
found = fit.evaluation_
typical = rct.frame["obs_place"].to_numpy()[found.rows[np.argsort(-found.types[:, -1])[:4]]]
seen = fit.salience(rct, images=typical, occlusion=True)
_ = plot_salience(seen, rct)

# %% [markdown]
# A gradient shows what the fitted network is sensitive to. It does not show that what is seen there
# makes the programme work: in a real trial a roof may stand for wealth, and wealth for much else.
#
# ## A map of places where the programme was never tried
#
# New places, the last hundred of which were photographed by another sensor: their first band is
# brighter. Effects are predicted everywhere, and where images are unlike those of the trial the map
# says so.

# %%
near = ck.generators.image_rct(n_images=300, seed=1)
far = ck.generators.image_rct(n_images=100, seed=2, design="shifted")
images = xr.concat(
    [
        near.arrays["image"],
        far.arrays["image"].assign_coords(place=far.arrays["place"].values + 1000),
    ],
    "place",
    join="outer",
)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    there = fit.transport(images)
for one in told:
    print(f"{one.category.__name__}: {one.message}")

# %%
outside = there.places["extrapolating"].values
print(f"outside of what the trial saw: {outside[:300].mean():.0%} of the first 300 places, ", end="")
print(f"{outside[300:].mean():.0%} of the other sensor's")

# %%
_ = there.plot()

# %%
print(there.sensitivity().round(2).to_string(index=False))
print(there.assumes)

# %% [markdown]
# ## Held against the truth
#
# This is only possible because the trial was simulated.

# %%
truth = simulated.truth
right = found.assigned == truth.cluster_labels[found.rows]
print(f"places whose type was found: {right.mean():.0%}")
for k, row in fit.cluster_effects().iterrows():
    true = truth.cate[found.rows][found.assigned == k].mean()
    covers = row["conf_low"] <= true <= row["conf_high"]
    print(f"{row['cluster']}: true effect {true:.2f}, in the honest interval: {covers}")

# %% [markdown]
# ## What it cannot say
#
# * Why the effect differs. Images are associated with effects; the trial randomised the treatment,
#   not the landscape.
# * Effects of single people. Clusters and maps are about places.
# * Effects where the images are of another kind. Those places are marked on the map, and there is no
#   more to be said about them.

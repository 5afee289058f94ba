# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Design a simulation study, run it, and compare it with a published one
#
# Fuhr & Papies (2024) ask how estimators of a panel's treatment effect err when unobserved
# heterogeneity between units enters treatment, outcome and covariates. Their figure 4 shows 100
# estimates of each method in six designs. We declare that study, check it, run it, and hold our
# numbers against theirs.

# %%
import warnings
from tempfile import mkdtemp

import matplotlib.pyplot as plt

import causalkit as ck

warnings.simplefilter("ignore", ck.errors.CausalKitWarning)

# %% [markdown]
# ## Declare
#
# A *cell* is a generator with its parameters; every combination of `grid` is one. The paper's
# linear methods take milliseconds, so we run those and the default of `PanelDML` with a ridge
# learner beside them. The paper's tree-based methods are in `studies/panel_fp2024.toml`.

# %%
study = ck.Study(
    name="figure-4",
    seed=20260101,
    aims="Do linear methods err as in figure 4 of Fuhr & Papies (2024), and does PanelDML not?",
    reps={"min": 100, "max": 100, "batch": 50},
    generators=[
        {
            "name": "panel_fp2024",
            "grid": {"structure": ["A", "B", "C"], "form": ["linear", "u-shaped"]},
            "fixed": {"n_units": 500, "n_periods": 10},
        }
    ],
    estimators=[
        {"label": "PanelDML", "use": "panel-dml", "args": {"learner": "ridge"}},
        {"label": "Fixed effects", "use": "panel-regression"},
        {"label": "POLS", "use": "panel-regression", "args": {"method": "pooled OLS"}},
        {"label": "OLS", "use": "panel-regression", "args": {"method": "OLS, d only"}},
    ],
    reference="fp2024_figure4",
    run_options={"workers": 2, "out": mkdtemp()},
)
print(study.plan())

# %% [markdown]
# The same study as a file, for the command line: `causalkit sim run figure-4.toml`.

# %%
print(study.to_toml()[:300], "...")

# %% [markdown]
# ## Run
#
# Random streams belong to cells, replications and estimators: the numbers do not depend on how many
# workers run them. Finished blocks stay on disk; calling `run` again resumes.

# %%
report = study.run()
print(report.reason, report.n_new)

# %%
print("again:", study.run().n_new, "new fits")

# %% [markdown]
# ## Read
#
# Every measure has a Monte-Carlo error: what it would vary by if the whole study were repeated.

# %%
table = study.summarise(measures=["bias", "rmse", "coverage"])
columns = ["structure", "form", "estimator", "measure", "value", "mcse"]
hard = table[(table["structure"] == "C") & (table["form"] == "u-shaped")]
print(hard[columns].round(3).to_string(index=False))

# %%
from causalkit.study.plots import plot_lollipop, plot_zip

plot_lollipop(study.results(), measure="bias", where={"form": "u-shaped"})
plt.show()

# %% [markdown]
# The zip plot ranks intervals by how far they lie from the truth: those of fixed effects miss it
# almost always when confounding is u-shaped, as they adjust for a straight line.

# %%
plot_zip(
    study.results(),
    where={"structure": "C", "form": "u-shaped"},
    estimators=["PanelDML", "Fixed effects"],
)
plt.show()

# %% [markdown]
# ## Compare with the published figure
#
# Quartiles read off the paper's figure, each beside ours with the Monte-Carlo error of both. Holm's
# correction covers the whole table. `comparison.table` also lists the methods that we did not run.

# %%
comparison = study.compare()
compared = comparison.table.dropna(subset=["ours", "theirs"])
columns = ["structure", "form", "estimator", "measure", "ours", "theirs", "z", "p_holm"]
print(compared[columns].round(3).to_string(index=False))
print("agrees with the paper:", comparison.passed)

# %% [markdown]
# `study.report("figure-4.html")` puts all of this, the failures and the provenance into one file.

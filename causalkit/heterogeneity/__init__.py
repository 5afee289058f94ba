"""Effects that differ: groups, and what they have in common across estimators."""

from causalkit.heterogeneity.debiased import Debiased, debiased_lasso
from causalkit.heterogeneity.dr import dr_scores
from causalkit.heterogeneity.groups import check_group_arms, check_group_units, group_indicators
from causalkit.heterogeneity.moderators import Encoding, moderator_frame
from causalkit.heterogeneity.rate import RateResult, rank_average_treatment_effect
from causalkit.heterogeneity.rate_inference import FoldRate, RateTest, rate_test

__all__ = [
    "Debiased",
    "Encoding",
    "FoldRate",
    "RateResult",
    "RateTest",
    "check_group_arms",
    "check_group_units",
    "debiased_lasso",
    "dr_scores",
    "group_indicators",
    "moderator_frame",
    "rank_average_treatment_effect",
    "rate_test",
]

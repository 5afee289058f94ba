"""Effects that differ: groups, and what they have in common across estimators."""

from causalkit.heterogeneity.debiased import Debiased, debiased_lasso
from causalkit.heterogeneity.groups import check_group_units, group_indicators
from causalkit.heterogeneity.moderators import Encoding, moderator_frame

__all__ = [
    "Debiased",
    "Encoding",
    "check_group_units",
    "debiased_lasso",
    "group_indicators",
    "moderator_frame",
]

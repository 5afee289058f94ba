"""Effects that differ: groups, and what they have in common across estimators."""

from causalkit.heterogeneity.groups import group_indicators

__all__ = ["group_indicators"]

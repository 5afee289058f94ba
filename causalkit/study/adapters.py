"""Peers as estimators of a study: ``"causalkit.study.adapters:..."``."""

from causalkit.study.adapters_doubleml import DoubleMLIRM as DoubleMLIRM
from causalkit.study.adapters_doubleml import DoubleMLPLIV as DoubleMLPLIV
from causalkit.study.adapters_doubleml import DoubleMLPLPR as DoubleMLPLPR
from causalkit.study.adapters_doubleml import DoubleMLPLR as DoubleMLPLR
from causalkit.study.adapters_econml import EconMLCausalForestDML as EconMLCausalForestDML
from causalkit.study.adapters_econml import EconMLDRIV as EconMLDRIV
from causalkit.study.adapters_econml import EconMLDRLearner as EconMLDRLearner
from causalkit.study.adapters_econml import EconMLLinearDML as EconMLLinearDML

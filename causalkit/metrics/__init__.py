"""Performance measures of estimators: functions of arrays, each with its Monte-Carlo error.

Measures over replications return a :class:`Measure`; ``MEASURES`` holds them by name. Measures of
one fit (an effect curve, a ranking, a clustering) return one number, which ``mean_of`` summarises
over replications.
"""

from causalkit.metrics.accuracy import bias as bias
from causalkit.metrics.accuracy import empirical_se as empirical_se
from causalkit.metrics.accuracy import mae as mae
from causalkit.metrics.accuracy import median_bias as median_bias
from causalkit.metrics.accuracy import model_se as model_se
from causalkit.metrics.accuracy import mse as mse
from causalkit.metrics.accuracy import relative_bias as relative_bias
from causalkit.metrics.accuracy import relative_se_error as relative_se_error
from causalkit.metrics.accuracy import rmse as rmse
from causalkit.metrics.accuracy import standardised_bias as standardised_bias
from causalkit.metrics.bayes import RankUniformity as RankUniformity
from causalkit.metrics.bayes import divergence_share as divergence_share
from causalkit.metrics.bayes import ess_share as ess_share
from causalkit.metrics.bayes import posterior_coverage as posterior_coverage
from causalkit.metrics.bayes import rhat_share as rhat_share
from causalkit.metrics.bayes import sbc_ranks as sbc_ranks
from causalkit.metrics.bayes import sbc_uniformity as sbc_uniformity
from causalkit.metrics.effects import Calibration as Calibration
from causalkit.metrics.effects import calibration as calibration
from causalkit.metrics.effects import cate_bias as cate_bias
from causalkit.metrics.effects import cate_correlation as cate_correlation
from causalkit.metrics.effects import cate_coverage as cate_coverage
from causalkit.metrics.effects import dose_response_ise as dose_response_ise
from causalkit.metrics.effects import pair_pehe as pair_pehe
from causalkit.metrics.effects import pehe as pehe
from causalkit.metrics.effects import policy_regret as policy_regret
from causalkit.metrics.intervals import bias_eliminated_coverage as bias_eliminated_coverage
from causalkit.metrics.intervals import coverage as coverage
from causalkit.metrics.intervals import failure_share as failure_share
from causalkit.metrics.intervals import interval_score as interval_score
from causalkit.metrics.intervals import lower_miss as lower_miss
from causalkit.metrics.intervals import mean_width as mean_width
from causalkit.metrics.intervals import median_width as median_width
from causalkit.metrics.intervals import rejection as rejection
from causalkit.metrics.intervals import upper_miss as upper_miss
from causalkit.metrics.measure import Measure as Measure
from causalkit.metrics.measure import mean_of as mean_of
from causalkit.metrics.measure import median_of as median_of
from causalkit.metrics.measure import quantile_of as quantile_of
from causalkit.metrics.measure import replication_flag as replication_flag
from causalkit.metrics.measure import replications_for_mean as replications_for_mean
from causalkit.metrics.measure import replications_for_share as replications_for_share
from causalkit.metrics.measure import rule_mcse as rule_mcse
from causalkit.metrics.measure import share_of as share_of
from causalkit.metrics.measure import wilson as wilson
from causalkit.metrics.measure import with_truth_error as with_truth_error
from causalkit.metrics.paired import paired_difference as paired_difference
from causalkit.metrics.paired import relative_precision as relative_precision
from causalkit.metrics.ranking import RankEffects as RankEffects
from causalkit.metrics.ranking import autoc as autoc
from causalkit.metrics.ranking import qini as qini
from causalkit.metrics.ranking import rank_effects as rank_effects
from causalkit.metrics.ranking import toc as toc
from causalkit.metrics.ranking import toc_difference_in_means as toc_difference_in_means
from causalkit.metrics.selection import adjusted_rand as adjusted_rand
from causalkit.metrics.selection import bias_against_oracle as bias_against_oracle
from causalkit.metrics.selection import matched_clusters as matched_clusters
from causalkit.metrics.selection import matched_effect_rmse as matched_effect_rmse
from causalkit.metrics.selection import nmi as nmi
from causalkit.metrics.selection import selection_precision as selection_precision
from causalkit.metrics.selection import selection_recall as selection_recall
from causalkit.metrics.simulation import MEASURES as MEASURES
from causalkit.metrics.simulation import MeasureSpec as MeasureSpec
from causalkit.metrics.simulation import measure_spec as measure_spec

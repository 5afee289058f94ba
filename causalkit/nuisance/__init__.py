"""Cross-fitting of nuisance functions: folds, learners, out-of-fold predictions, quality."""

from causalkit.nuisance.accuracy import Quality, quality
from causalkit.nuisance.candidates import Nuisance
from causalkit.nuisance.crossfit import CrossFit, cross_fit
from causalkit.nuisance.features import (
    BasisFeatures,
    DenseFeatures,
    DifferencedFeatures,
    Features,
    JoinedFeatures,
    TableFeatures,
)
from causalkit.nuisance.folds import SPLITS, FoldKeys, Folds, draw_folds, external_folds
from causalkit.nuisance.learners import LEARNERS

__all__ = [
    "LEARNERS",
    "SPLITS",
    "BasisFeatures",
    "CrossFit",
    "DenseFeatures",
    "DifferencedFeatures",
    "Features",
    "FoldKeys",
    "Folds",
    "JoinedFeatures",
    "Nuisance",
    "Quality",
    "TableFeatures",
    "cross_fit",
    "draw_folds",
    "external_folds",
    "quality",
]

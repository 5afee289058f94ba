"""Imputation of covariates inside a training fold."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from causalkit.errors import ArgumentError
from causalkit.typing import Floats


class MedianModeImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fill in missing values with what is typical of the training rows, and flag them.

    A column of zeros and ones gets its mode, any other its median, and a column without an
    observed value 0. Columns that are missing together in the training rows share one flag, so
    that the indicators of a category do not repeat it.

    Attributes
    ----------
    fill_ : (p,) array
        Values filled in, in the units of the columns.
    flagged_ : (k,) int array
        Columns whose missingness is flagged.

    Examples
    --------
    >>> MedianModeImputer().fit_transform([[1.0], [3.0], [np.nan]]).tolist()
    [[1.0, 0.0], [3.0, 0.0], [2.0, 1.0]]
    """

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learn the values to fill in from training rows ``(n, p)``."""
        values = np.asarray(X, dtype=np.float64)
        missing = np.isnan(values)
        self.n_features_in_ = values.shape[1]
        self.fill_ = np.array([_typical(column[~np.isnan(column)]) for column in values.T])
        patterns: dict[bytes, int] = {}
        for position in np.flatnonzero(missing.any(axis=0)):
            patterns.setdefault(np.packbits(missing[:, position]).tobytes(), int(position))
        self.flagged_ = np.array(sorted(patterns.values()), dtype=np.int64)
        return self

    def transform(self, X: Any) -> Floats:
        """Rows ``(n, p + k)`` without missing values, the flags last."""
        check_is_fitted(self, "fill_")
        values = np.asarray(X, dtype=np.float64)
        if values.shape[1] != self.n_features_in_:
            raise ArgumentError(
                f"expected {self.n_features_in_} columns as in training, got {values.shape[1]}."
            )
        missing = np.isnan(values)
        filled: Floats = np.where(missing, self.fill_, values)
        return np.hstack([filled, missing[:, self.flagged_]]) if self.flagged_.size else filled

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the columns of :meth:`transform`."""
        check_is_fitted(self, "fill_")
        given = [f"x{j}" for j in range(self.n_features_in_)]
        names = given if input_features is None else [str(name) for name in input_features]
        return np.array([*names, *(f"{names[j]}_missing" for j in self.flagged_)], dtype=object)


def _typical(observed: Floats) -> float:
    """Mode of zeros and ones, median of anything else, 0 of nothing."""
    if not observed.size:
        return 0.0
    if ((observed == 0.0) | (observed == 1.0)).all():
        return float(observed.mean() > 0.5)
    return float(np.median(observed))

"""Array aliases and the protocols that learners keep."""

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@runtime_checkable
class Learner(Protocol):
    """What a nuisance learner must offer: scikit-learn's ``fit`` and ``predict``."""

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from features ``(n, p)`` and a target ``(n,)``."""
        ...

    def predict(self, X: Any) -> Any:
        """Predict for features ``(n, p)``."""
        ...

"""An estimate without a standard error, as a function under study may return it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from causalkit.errors import NonFiniteError

# The estimand of a number alone: it says no more than that it is one.
UNNAMED = "effect"


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """A number, with the name of its estimand.

    Attributes
    ----------
    estimand : str
    estimate : float
    n : int
        Rows.
    diagnostics : mapping
        Empty; a number reports nothing else.

    Raises
    ------
    NonFiniteError
        If the estimate is not finite: that is a failure.
    """

    estimand: str
    estimate: float
    n: int
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.estimate):
            raise NonFiniteError(f"estimates must be finite, got {self.estimate}.")

    def summary(self) -> str:
        """One line."""
        return f"{self.estimand}: {self.estimate:g} (no standard error)"

    def to_json(self) -> str:
        """Estimand, estimate and rows."""
        return json.dumps({"estimand": self.estimand, "estimate": self.estimate, "n": self.n})

"""What averages rest on, row by row: predictions of models that did not see the row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from causalkit.nuisance.accuracy import quality
from causalkit.results import EffectResult
from causalkit.transtee.coding import Coded
from causalkit.transtee.observations import mean_weight
from causalkit.typing import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class ByRow:
    """Predictions for all rows, of one split into folds or of several.

    Attributes
    ----------
    outcome : (n,) array
        That was observed.
    fold : (n,) int array
        Of the first split.
    predictions : mapping of str to (n, R) array
        ``"outcome"`` under the action received, ``"outcome:<arm>"``, and the propensity:
        ``"propensity"`` of the second of two arms, or ``"propensity:<arm>"``.
    partial : bool
        Whether training was interrupted in one of them.
    effects : mapping of term to (n, R) array
        Predicted differences of outcomes, where averages are of arms.
    """

    outcome: Floats
    fold: Ints
    predictions: Mapping[str, Floats]
    partial: bool
    effects: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def joined(cls, splits: Sequence[Self]) -> Self:
        """Side by side, a column for every split."""
        return replace(
            splits[0],
            predictions=_beside([one.predictions for one in splits]),
            partial=any(one.partial for one in splits),
            effects=_beside([one.effects for one in splits]),
        )

    def glance(self) -> dict[str, float]:
        """Range of the propensities, if the treatment has arms."""
        found = [
            values for name, values in self.predictions.items() if name.startswith("propensity")
        ]
        if not found:
            return {}
        return {
            "overlap_min": float(np.min(found)),
            "overlap_max": float(np.max(found)),
        }

    def nuisances(self, coded: Coded) -> dict[str, Any]:
        """How well the outcome received, and the second of two arms, were predicted."""
        targets = {"outcome": self.outcome}
        if "propensity" in self.predictions:
            targets["propensity"] = (coded.actions.arms[:, 0] == 1).astype(np.float64)
        weights = mean_weight(coded)
        return {
            name: quality(target, self.predictions[name], weights=weights)
            for name, target in targets.items()
        }

    def frame(self, result: EffectResult) -> pd.DataFrame:
        """Fold, predictions, residual, effects and influence of every row, averaged over splits."""
        hats = {f"{name}_hat": values.mean(axis=1) for name, values in self.predictions.items()}
        columns = {"row": np.arange(self.fold.size), "fold": self.fold} | hats
        columns["outcome_residual"] = self.outcome - hats["outcome_hat"]
        columns |= {f"effect_{term}": values.mean(axis=1) for term, values in self.effects.items()}
        assert result.influence is not None
        columns |= {
            f"influence_{term}": values
            for term, values in zip(result.terms, result.influence.T, strict=True)
        }
        return pd.DataFrame(columns)


def _beside(splits: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.hstack([one[name] for one in splits]) for name in splits[0]}


def outcomes_of_arms(mu: Floats, arm: Ints, names: Sequence[str]) -> dict[str, Floats]:
    """Predicted outcomes ``(n, K)``: of the arm received, and of each."""
    own = np.take_along_axis(mu, arm[:, None], axis=1)
    return {"outcome": own} | {f"outcome:{name}": mu[:, [k]] for k, name in enumerate(names)}


def propensities_of_arms(chances: Floats, names: Sequence[str]) -> dict[str, Floats]:
    """Propensities ``(n, K)``: of two arms that of the second alone, which tells both."""
    if len(names) == 2:
        return {"propensity": chances[:, [1]]}
    return {f"propensity:{name}": chances[:, [k]] for k, name in enumerate(names)}

"""What a reader must know before the pictures of a fit: what its own checks say against it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from causalkit.heterogeneity import RateResult
from causalkit.images.balance import UNBALANCED
from causalkit.images.cluster_map import is_by_heart
from causalkit.images.honest import are_apart
from causalkit.images.outcomes import is_misshapen

if TYPE_CHECKING:
    from causalkit.images.pixel_map import PixelMap

_SURE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a fit is to be read.

    Attributes
    ----------
    rate : RateResult or None
        What the ranking is worth; None if predicted effects are the same everywhere.
    doubts : tuple of str
        Sentences for the lead.
    caveat : str
        For the captions of what rests on the model; empty if there is nothing to say.
    """

    rate: RateResult | None
    doubts: tuple[str, ...]
    caveat: str

    @property
    def pays(self) -> bool:
        """Whether the ranking is worth more than chance explains."""
        return _pays(self.rate)


def reading_of(fit: "PixelMap") -> Reading:
    """What the checks of a fit say, in plain words."""
    found, facts = fit.evaluation_, fit.diagnostics_
    rate = fit.rate() if np.ptp(found.cate) > 0.0 else None
    heart = is_by_heart(facts["selection_score"], facts["selection_score_by_arm"])
    empty = [number + 1 for number in np.flatnonzero(found.too_few())]
    doubts, reasons = [], []
    if heart:
        doubts.append(
            "The model has learned the places of its training by heart: the types of place and the "
            "effects predicted for places mean little."
        )
        reasons.append("the model has learned its training places by heart")
    shape = facts["control_residuals"]
    if shape is not None and is_misshapen(shape):
        doubts.append(
            "A few units have outcomes far from those of all others, and the model may take them "
            "for a type of place: believe its effects only as far as the averages bear them out."
        )
    agreement = facts["agreement"]
    if are_apart(agreement["predicted"] - agreement["honest"], agreement["std_error"]):
        doubts.append(
            "The effects that the model predicts are, on average, not those that were measured."
        )
    balance = facts["balance"]
    if balance["p_value"] < UNBALANCED:
        doubts.append(
            "Images and covariates predict who was treated, as a lot would not: the effects may be "
            "differences that were there before."
        )
    if empty and fit.n_clusters_ > 1:
        names = " and ".join(f"cluster {number}" for number in empty)
        doubts.append(f"Too few units that were not trained on are of {names} to say its effect.")
        reasons.append(f"hardly any unit that was not trained on is of {names}")
    if fit.n_clusters_ > 1 and not _pays(rate):
        reasons.insert(0, "differences between places that it predicts may be chance")
    caveat = f" Rests on the model, and {'; '.join(reasons)}." if reasons else ""
    return Reading(rate, tuple(doubts), caveat)


def _pays(rate: RateResult | None) -> bool:
    return rate is not None and rate.estimate > 0.0 and rate.p_value() < _SURE

"""What a saved panel estimator leaves out."""

from dataclasses import replace
from typing import Any

from sklearn.base import clone


def without_listener(state: dict[str, Any]) -> dict[str, Any]:
    """State of an estimator without the function that is told of its progress.

    It belongs to the session, and many functions cannot be written to a file.
    """
    if not callable(state["progress"]):
        return state
    kept = {**state, "progress": None}
    if "_refit" in state:
        again = clone(state["_refit"].estimator).set_params(progress=None)
        kept["_refit"] = replace(state["_refit"], estimator=again)
        kept["_settings"] = replace(state["_settings"], progress=None)
    return kept

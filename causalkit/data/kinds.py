"""Declared kinds of treatments: what their columns must hold, and which columns stand for arms."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data.candidate import Candidate, is_category, is_number, plain
from causalkit.data.roles import AMOUNTS, Roles, fits_kind
from causalkit.errors import Problem

CODE = "E24-treatment-kind"
_MEANING = {"binary": "two different values"} | dict.fromkeys(AMOUNTS, "numbers")
_OTHERS = {
    "binary": '"multi" if the values are arms, "continuous" if an effect per unit is meant, or '
    "leave two values",
    "continuous": '"binary" or "multi" if the values are arms, or convert them to numbers',
}
_OTHERS["dose"] = _OTHERS["continuous"]


def as_declared(values: "pd.Series[Any]", kind: str | None) -> "pd.Series[Any]":
    """Values of a treatment in the type that its declared kind has.

    Two numbers that are declared binary are two arms, like text, whatever their distance: the
    effect is that of the one against the other. Levels that are numbers, declared an amount, are
    numbers again. Columns of 0 and 1 are left as they are, and so is what does not fit.
    """
    if kind == "binary" and is_number(values) and not pd.api.types.is_bool_dtype(values):
        seen = values.dropna().unique()
        numbers = np.asarray(seen, dtype=np.float64)
        if len(seen) == 2 and np.isfinite(numbers).all() and set(numbers) != {0.0, 1.0}:
            arms = values.astype("category").cat.as_ordered()
            whole = bool((numbers == np.round(numbers)).all())
            # A missing value makes floats of whole numbers; the arms are still "3" and "1".
            return arms.cat.rename_categories(int) if whole else arms
    counted = is_category(values) and pd.api.types.is_numeric_dtype(values.cat.categories)
    if kind in AMOUNTS and counted:
        return pd.to_numeric(values.astype(object))
    return values


def declared_kinds(roles: Roles) -> dict[str, str]:
    """Kind by treatment, as far as kinds were declared."""
    return dict(zip(roles.treatment, roles.kinds, strict=False))


def wrong_kind(given: Candidate) -> Iterator[Problem]:
    """E24: a treatment is not of the kind that was declared."""
    if given.roles.inferred:
        return
    for name, kind in declared_kinds(given.roles).items():
        values = given.frame[name]
        if kind not in _MEANING or fits_kind(values, kind):
            continue
        seen = [plain(value) for value in values.dropna().unique()[:4]]
        listed = ", ".join(map(repr, seen[:3])) + (", ..." if len(seen) > 3 else "")
        message = (
            f"treatment {name!r} was declared {kind}, which is {_MEANING[kind]}, and holds "
            f"{values.nunique()}: {listed}. Declare {_OTHERS[kind]}."
        )
        yield Problem(CODE, message, name)

"""Which number of a study belongs to which published one, and how far apart the two are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from causalkit.errors import ArgumentError, unknown_name
from causalkit.metrics import MEASURES, Measure
from causalkit.metrics.measure import rule_mcse
from causalkit.study.design import canonical_json
from causalkit.study.published_tables import given, own_name, param_columns, parameters_of
from causalkit.study.results import CELL_COLUMNS, Results
from causalkit.study.summary import summarise


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A study's numbers, and its cells by generator and parameters.

    Attributes
    ----------
    summary : DataFrame
        Rows of the measures wanted, with ``_cell``.
    cells : tuple of (generator, parameters, cell)
        Parameters with the generator's defaults filled in.
    labels : tuple of str
        Of the estimators, in the order of the study.
    planned : frozenset of (cell, label)
        What the study means to run.
    defaults : mapping of str to mapping
        Parameters of each generator with their defaults; empty if it cannot be found.
    params : mapping of str to str
        Parameter by column of the reference.
    """

    summary: pd.DataFrame
    cells: tuple[tuple[str, dict[str, Any], Any], ...]
    labels: tuple[str, ...]
    planned: frozenset[tuple[Any, str]]
    defaults: Mapping[str, Mapping[str, Any]]
    params: Mapping[str, str]

    @classmethod
    def of(cls, study: "Results | pd.DataFrame", reference: pd.DataFrame) -> "Found":
        """Numbers of a study, or of its summary, for the measures of a reference.

        Raises
        ------
        ArgumentError
            If the reference names a measure or parameter that does not exist.
        """
        measures = list(dict.fromkeys(reference["measure"]))
        params = {column: own_name(column) for column in param_columns(reference)}
        if isinstance(study, Results):
            summary, raw, labels, planned = _from_results(study, measures)
        else:
            summary, raw, labels, planned = _from_summary(study, measures, reference)
        defaults = {name: parameters_of(name) or {} for name in {row[0] for row in raw}}
        known = {p for _, own, _ in raw for p in own} | {p for d in defaults.values() for p in d}
        for column, name in params.items():
            free = reference.loc[reference[column].notna(), "generator"] == ""
            if name not in known and free.any():
                raise unknown_name("parameter in the reference: column", column, known)
        cells = tuple((name, _plain({**defaults[name], **own}), cell) for name, own, cell in raw)
        return cls(summary, cells, labels, planned, defaults, params)

    def entries(self, row: Mapping[Any, Any], label: str) -> list[dict[str, Any]]:
        """What the study has for one entry of the reference, or why it has nothing."""
        cells = self._cells_of(row)
        if not cells:
            return [absent("not run: no such cell")]
        if label not in self.labels:
            return [absent(f"not run: no estimator {label!r}")]
        return [self._entry(row, label, cell) for cell in cells]

    def _cells_of(self, row: Mapping[Any, Any]) -> list[Any]:
        """Cells that an entry is about, defaults filled in on both sides."""
        own = given({name: row[column] for column, name in self.params.items()})
        wanted = {name: _plain({**self.defaults[name], **own}) for name in self.defaults}
        return [
            cell
            for generator, params, cell in self.cells
            if row["generator"] in ("", generator) and params == wanted[generator]
        ]

    def _entry(self, row: Mapping[Any, Any], label: str, cell: Any) -> dict[str, Any]:
        frame = self.summary
        mine = frame[(frame["_cell"] == cell) & (frame["estimator"] == label)]
        if mine.empty:
            ran = (cell, label) in self.planned
            told = f"{label!r} has no replications yet" if ran else f"no {label!r} in this cell"
            return absent(f"not run: {told}")
        estimands = list(dict.fromkeys(mine["estimand"]))
        wanted = row["estimand"] or (estimands[0] if len(estimands) == 1 else "")
        if not wanted:
            told = ", ".join(estimands)
            return absent(f"not run: estimands {told}; name one in a column 'estimand'")
        if wanted not in estimands:
            return absent(f"not run: no estimand {wanted!r}, only {', '.join(estimands)}")
        found = mine[(mine["estimand"] == wanted) & (mine["measure"] == row["measure"])]
        if found.empty or np.isnan(found["value"].iloc[0]):
            flag = "" if found.empty else str(found["flag"].iloc[0])
            return absent(f"no value: {flag or 'the measure has none'}") | {"estimand": wanted}
        one = found.iloc[0]
        return {"estimand": wanted} | weighed(
            row, value=float(one["value"]), mcse=float(one["mcse"]), n_ok=int(one["n_ok"])
        )


_Parts = tuple[
    pd.DataFrame,
    list[tuple[str, dict[str, Any], Any]],
    tuple[str, ...],
    frozenset[tuple[Any, str]],
]


def _from_results(study: Results, measures: list[str]) -> _Parts:
    """Summary, cells, labels and plan of results."""
    known = {*MEASURES, *study.metrics["metric"]}
    for name in measures:
        if name not in known:
            raise unknown_name("measure in the reference", name, known)
    summary = summarise(study, measures=measures)
    cells = [
        (row["generator"], {k: v for k, v in row.items() if k not in CELL_COLUMNS}, row["cell_id"])
        for row in study.cells.to_dict("records")
    ]
    names = dict(zip(study.estimators["est_id"], study.estimators["label"], strict=True))
    pairs = zip(study.plan["cell_id"], study.plan["est_id"], strict=True)
    planned = frozenset((cell, names[est]) for cell, est in pairs if est in names)
    kept = [(generator, given(params), cell) for generator, params, cell in cells]
    return summary.assign(_cell=summary["cell_id"]), kept, tuple(names.values()), planned


def _from_summary(summary: pd.DataFrame, measures: list[str], reference: pd.DataFrame) -> _Parts:
    """The same of a summary, whose columns name only the parameters that vary."""
    absent_ones = [name for name in measures if name not in set(summary["measure"])]
    if absent_ones:
        raise ArgumentError(
            f"the summary has no rows of {', '.join(absent_ones)}; pass the results, or make it "
            f"with measures={measures}."
        )
    columns = list(summary.columns)
    shown = columns[columns.index("generator") + 1 : columns.index("estimator")]
    names = {column: own_name(column) for column in shown}
    for column in param_columns(reference):
        name = own_name(column)
        if name in names.values():
            continue
        if name not in columns:
            raise ArgumentError(
                f"the summary has no column {name!r}, which the reference names "
                f"({reference[column].dropna().unique().tolist()}): it does not vary in the study. "
                f"Pass the results of the study, or summary.assign({name}=...)."
            )
        names[name] = name
    place = summary.groupby(["generator", *names], dropna=False, sort=False).ngroup()
    made = summary.assign(_cell=place)
    cells = [
        (row["generator"], given({names[c]: row[c] for c in names}), row["_cell"])
        for row in made.drop_duplicates("_cell").to_dict("records")
    ]
    planned = frozenset(zip(place, summary["estimator"], strict=True))
    return made, cells, tuple(summary["estimator"].unique()), planned


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Values in a form in which equal ones are equal, whatever file they came from."""
    return {name: _value(value) for name, value in given(params).items()}


def _value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value)
    return canonical_json(value)


def absent(status: str) -> dict[str, Any]:
    """Numbers of an entry that was not compared."""
    numbers = dict.fromkeys(("ours", "ours_mcse", "theirs_mcse", "z", "p"), math.nan)
    return {**numbers, "status": status, "n_ok": 0}


def weighed(row: Mapping[Any, Any], *, value: float, mcse: float, n_ok: int) -> dict[str, Any]:
    """Our number beside a published one: errors of both, their distance z and its p-value.

    Parameters
    ----------
    row : mapping
        Entry of the reference: ``measure``, ``value``, ``reps``, ``mcse``, ``digits``,
        ``precision``.
    value, mcse : float
        Ours.
    n_ok : int
        Our replications.
    """
    spec = MEASURES.get(row["measure"])
    is_share = spec is not None and spec.kind == "share"
    own = _share_mcse(value, n_ok) if is_share and value in (0.0, 1.0) else mcse
    found = {"ours": value, "ours_mcse": own, "n_ok": n_ok}
    if math.isnan(own):
        told = f"no value: too few replications ({n_ok}) for a Monte-Carlo error"
        return absent(told) | found
    if not math.isnan(row["mcse"]):
        theirs = float(row["mcse"])
    elif is_share:
        theirs = _share_mcse(row["value"], int(row["reps"]))
    else:
        theirs = own * math.sqrt(n_ok / row["reps"])
    error = math.hypot(own, theirs, rounding_sd(row["digits"], row["precision"]))
    gap = value - row["value"]
    z = gap / error if error > 0.0 else (0.0 if gap == 0.0 else math.copysign(math.inf, gap))
    return found | {"theirs_mcse": theirs, "z": z, "p": float(2.0 * ndtr(-abs(z))), "status": ""}


def _share_mcse(p: float, n: int) -> float:
    """√(p(1 − p)/R); of 0 and 1, at which that is no error at all, with (x + 2)/(R + 4) for p."""
    if p in (0.0, 1.0):
        return rule_mcse(Measure(p, 0.0), kind="share", n=n)
    return math.sqrt(p * (1.0 - p) / n)


def rounding_sd(digits: float, precision: float) -> float:
    """Standard deviation of the error that printing and reading off made.

    Both errors are taken to be uniform: printing with ``digits`` decimals errs by at most
    10^(−digits)/2, reading a figure by at most ``precision``. NaN means that there was none.

    Examples
    --------
    >>> round(rounding_sd(2, float("nan")), 6)
    0.002887
    """
    printed = 0.0 if math.isnan(digits) else 10.0 ** (-2.0 * digits) / 12.0
    read = 0.0 if math.isnan(precision) else precision**2 / 3.0
    return math.sqrt(printed + read)

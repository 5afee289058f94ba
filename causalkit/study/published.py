"""A study beside published numbers: every entry of a table, judged together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, unknown_name
from causalkit.results import render
from causalkit.results.numerals import decimals, number, p_text
from causalkit.results.render import Grid
from causalkit.study.published_match import Found, rounding_sd
from causalkit.study.published_tables import given, param_columns, read_reference
from causalkit.study.results import Results
from causalkit.typing import Floats

_NEW = ["label", "ours", "ours_mcse", "theirs", "theirs_mcse", "rounding", "z", "p", "p_holm"]
_LAST = ["passed", "status", "n_ok", "reps", "source"]
_OWN = frozenset((*_NEW, *_LAST))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Every entry of a published table beside ours.

    Attributes
    ----------
    table : DataFrame
        One row per entry of the reference, in its order: ``generator``, parameters,
        ``estimator`` (the reference's name), ``estimand``, ``measure``, ``label`` (the study's
        name), ``ours``, ``ours_mcse``, ``theirs``, ``theirs_mcse``, ``rounding`` (standard
        deviation of what printing or reading took away), ``z``, ``p``, ``p_holm``, ``passed``
        (missing where nothing was compared), ``status`` (``"agrees"``, ``"differs"``,
        ``"not run: ..."`` or ``"no value: ..."``), ``n_ok`` and ``reps`` (replications, ours and
        theirs), ``source``.
    alpha : float
        Bound for ``p_holm``.
    params : tuple of str
        Columns of parameters; ``param_`` stands before a name that is taken.
    unpublished : tuple of str
        Estimators of the study for which the reference has no number.
    """

    table: pd.DataFrame
    alpha: float
    params: tuple[str, ...] = ()
    unpublished: tuple[str, ...] = ()

    @property
    def n_compared(self) -> int:
        """Entries that could be compared."""
        return int(self.table["passed"].notna().sum())

    @property
    def n_differing(self) -> int:
        """Entries whose Holm-adjusted p-value is below ``alpha``."""
        return int((self.table["status"] == "differs").sum())

    @property
    def passed(self) -> bool:
        """Whether something was compared and no entry differs."""
        return self.n_compared > 0 and self.n_differing == 0

    def summary(self) -> str:
        """Verdict and every entry as plain text."""
        return f"{self.verdict}\n\n{render.grid_text(self._grid())}"

    def to_markdown(self) -> str:
        """Verdict and every entry in Markdown."""
        verdict = render.escape_markdown(self.verdict)
        return f"{verdict}\n\n{render.grid_markdown(self._grid())}"

    def to_html(self) -> str:
        """Verdict and every entry as HTML."""
        return render.framed_html(self._grid(title=self.verdict))

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.summary()

    @property
    def verdict(self) -> str:
        """One paragraph that says what was compared and what came of it."""
        total, n = len(self.table), self.n_compared
        if n == 0:
            reasons = self.table["status"].value_counts()
            return (
                f"FAILED: none of {total} published entries could be compared; {reasons.index[0]}."
            )
        verdict = "PASSED" if self.passed else "FAILED"
        differing = f"{self.n_differing} of {n} entries differ from ours"
        told = f"{verdict}: {differing} (Holm-adjusted p < {self.alpha:g})."
        return f"{told} {total - n} of {total} entries were not compared." if n < total else told

    def entries_html(self, *, differing: bool = False) -> str:
        """Every entry as an HTML table, or only those that differ, the farthest first."""
        if not differing:
            return render.framed_html(self._grid())
        some = self.table[self.table["status"] == "differs"]
        far = some.iloc[np.argsort(-some["z"].abs().to_numpy(), kind="stable")]
        return render.framed_html(self._grid(shown=far))

    def _grid(self, title: str = "", *, shown: pd.DataFrame | None = None) -> Grid:
        """Every entry as text, or those shown; parameters that never vary stand below."""
        varying = [name for name in self.params if self.table[name].nunique(dropna=False) > 1]
        constant = given({p: self.table[p].iloc[0] for p in self.params if p not in varying})
        several = self.table["estimand"].nunique() > 1
        head = [*varying, "estimator", *(["estimand"] if several else []), "measure"]
        rows = []
        for entry in (self.table if shown is None else shown).to_dict("records"):
            names = ["" if pd.isna(entry[name]) else str(entry[name]) for name in head]
            rows.append((*names, *_told_numbers(entry), str(entry["status"])))
        notes = [f"{name} = {value}" for name, value in constant.items()]
        sources = "; ".join(dict.fromkeys(self.table["source"]))
        return Grid(
            header=(*head, "Ours", "(MCSE)", "Published", "z", "p (Holm)", "Verdict"),
            rows=tuple(rows),
            title=title,
            notes=tuple(
                [
                    *([f"All entries: {', '.join(notes)}."] if notes else []),
                    f"Published: {sources}.",
                    *(
                        [f"Without a published number: {', '.join(self.unpublished)}."]
                        if self.unpublished
                        else []
                    ),
                ]
            ),
        )


def _told_numbers(entry: Mapping[Any, Any]) -> tuple[str, ...]:
    """Ours, its error, theirs, z and p of one entry."""
    places = decimals([entry["ours_mcse"]]) if entry["ours_mcse"] > 0 else 4
    p = "" if math.isnan(entry["p_holm"]) else p_text(entry["p_holm"])
    return (
        number(entry["ours"], places),
        number(entry["ours_mcse"], places),
        f"{entry['theirs']:.10g}",
        number(entry["z"], 2),
        p,
    )


def compare(
    study: "Results | pd.DataFrame",
    reference: "pd.DataFrame | Path | str",
    *,
    labels: Mapping[str, str] | None = None,
    alpha: float = 0.01,
) -> Comparison:
    r"""Compare a study with published numbers, entry by entry, and judge them together.

    .. math::

        z = \frac{\text{ours} - \text{theirs}}
        {\sqrt{\text{MCSE}_\text{ours}^2 + \text{MCSE}_\text{theirs}^2 + r^2}}, \qquad
        r^2 = \frac{10^{-2\,\text{digits}}}{12} + \frac{\text{precision}^2}{3}

    where r is the standard deviation of what printing and reading a figure took away. An MCSE
    that the source does not state is √(p(1 − p)/R) for a share p, else ours times
    √(R_ours/R_theirs). The study passes if no p-value is below ``alpha`` after Holm's
    adjustment, which allows entries to depend on each other.

    Parameters
    ----------
    study : Results or DataFrame
        Results of a study. Of a summary (:func:`causalkit.study.summary.summarise`) the columns
        of parameters must hold every parameter that the reference names; others count as left at
        their defaults.
    reference : DataFrame, path or str
        As :func:`read_reference` takes it. An entry belongs to the cells whose parameters equal
        its own, defaults of the generator filled in on both sides.
    labels : mapping of str to str, optional
        Label in the study by the reference's name of the estimator, where they differ.
    alpha : float
        Between 0 and 1.

    Returns
    -------
    Comparison
        All entries; those whose cell or estimator the study lacks are marked ``"not run"``.

    Raises
    ------
    ArgumentError
        If the reference cannot be used, names a measure or parameter that does not exist, or
        ``labels`` names an estimator that does not.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    if not 0.0 < alpha < 1.0:
        raise ArgumentError(f"alpha must lie strictly between 0 and 1, got {alpha!r}.")
    table = read_reference(reference)
    ours = Found.of(study, table)
    renamed = _checked_labels(labels or {}, table, ours.labels)
    shown = {name: f"param_{name}" if name in _OWN else name for name in param_columns(table)}
    entries: list[dict[str, Any]] = []
    for row in ({str(k): v for k, v in r.items()} for r in table.to_dict("records")):
        label = renamed.get(row["estimator"], row["estimator"])
        facts = {shown.get(name, name): value for name, value in row.items()}
        facts |= {"label": label, "theirs": row["value"]}
        entries += [facts | found for found in ours.entries(row, label)]
    used = {renamed.get(name, name) for name in table["estimator"]}
    return Comparison(
        table=_judged(entries, list(shown.values()), alpha),
        alpha=alpha,
        params=tuple(shown.values()),
        unpublished=tuple(label for label in ours.labels if label not in used),
    )


def _checked_labels(
    labels: Mapping[str, str], reference: pd.DataFrame, known: tuple[str, ...]
) -> dict[str, str]:
    """Labels by the reference's name, both of which must exist."""
    for theirs, ours in labels.items():
        if theirs not in set(reference["estimator"]):
            raise unknown_name(
                "estimator of the reference in labels", theirs, set(reference["estimator"])
            )
        if ours not in known:
            raise unknown_name("estimator of the study in labels", ours, known)
    return dict(labels)


def holm(p: Floats) -> Floats:
    """Holm's step-down adjusted p-values; NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    adjusted = np.full(p.shape, np.nan)
    which = np.flatnonzero(~np.isnan(p))
    order = which[np.argsort(p[which], kind="stable")]
    scaled = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _judged(entries: list[dict[str, Any]], params: list[str], alpha: float) -> pd.DataFrame:
    """Entries with the adjusted p-value and the verdict."""
    frame = pd.DataFrame(entries)
    pairs = zip(frame["digits"], frame["precision"], strict=True)
    frame["rounding"] = [rounding_sd(digits, precision) for digits, precision in pairs]
    frame["p_holm"] = holm(frame["p"].to_numpy(dtype=np.float64))
    compared, agrees = frame["p_holm"].notna().to_numpy(), (frame["p_holm"] >= alpha).to_numpy()
    frame["passed"] = pd.arrays.BooleanArray(agrees, ~compared)
    verdict = np.where(agrees, "agrees", "differs")
    frame["status"] = np.where(compared, verdict, frame["status"])
    head = ["generator", *params, "estimator", "estimand", "measure"]
    return frame[[*head, *_NEW, *_LAST]]

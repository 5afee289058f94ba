"""Rows of a summary that a picture needs, and the sentences on what is missing from them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.study.plots_pick import Choice
from causalkit.study.results import Results
from causalkit.study.summary import summarise

_COLUMNS = ["cell_id", "est_id", "estimator", "estimand", "measure", "value", "mcse", "lo", "hi"]
_COUNTS = ["n_ok", "n_failed", "flag", "truth"]


def measured(
    results: Results, choice: Choice, *, measures: Sequence[str], summary: pd.DataFrame | None
) -> pd.DataFrame:
    """Rows of a summary that are to be drawn, in the order of the study.

    Parameters
    ----------
    results : Results
    choice : Choice
    measures : sequence of str
        Names in :data:`causalkit.metrics.MEASURES`, or of further metrics of the study.
    summary : DataFrame or None
        What ``summarise(results)`` returned; None computes the measures needed.

    Returns
    -------
    DataFrame
        Columns of the summary, and ``panel`` (name of cell and estimand).

    Raises
    ------
    ArgumentError
        If a measure is unknown, the summary given lacks it, or there is no value to draw.
    """
    if summary is None:
        summary = summarise(results, measures=list(measures))
    absent = sorted(set(measures) - set(summary["measure"]))
    if absent:
        raise ArgumentError(
            f"the summary has no rows of {', '.join(absent)}; leave summary= out, or pass one "
            f"that was made with measures={list(measures)}."
        )
    frame = summary[[*_COLUMNS, *_COUNTS]]
    frame = frame[frame["measure"].isin(measures) & frame["estimand"].isin(choice.estimands)]
    order = pd.MultiIndex.from_product(
        [choice.cells["cell_id"], choice.estimands, choice.estimators["est_id"]],
        names=["cell_id", "estimand", "est_id"],
    )
    kept = frame[frame["cell_id"].isin(choice.cells["cell_id"])]
    kept = kept[kept["est_id"].isin(choice.estimators["est_id"])]
    place = order.get_indexer(pd.MultiIndex.from_frame(kept[order.names]))
    kept = kept.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
    if not np.isfinite(kept["value"]).any():
        raise ArgumentError(f"no value of {' or '.join(measures)} to draw. {said_missing(kept)}")
    kept["panel"] = choice.panel_labels(zip(kept["cell_id"], kept["estimand"], strict=True))
    return kept


def said_failed_rows(frame: pd.DataFrame) -> str:
    """Sentence on failures, by estimator over the cells drawn."""
    once = frame.drop_duplicates(["cell_id", "est_id", "estimand"])
    total = once.groupby("estimator", sort=False)[["n_ok", "n_failed"]].sum()
    parts = [
        f"{name} {failed:,} of {failed + ok:,}"
        for name, ok, failed in zip(total.index, total["n_ok"], total["n_failed"], strict=True)
        if failed
    ]
    return f"Failed replications, left out: {'; '.join(parts)}." if parts else ""


def said_missing(frame: pd.DataFrame) -> str:
    """Sentence on rows without a value, with the reasons, and on those with few replications."""
    notes = []
    empty = frame[frame["value"].isna()]
    if len(empty):
        flags = dict.fromkeys(part for flag in empty["flag"] for part in flag.split("; ") if part)
        why = "; ".join(flags) or "no reason given"
        notes.append(f"{len(empty):,} of {len(frame):,} values are missing ({why}).")
    few = int(frame["flag"].str.contains("insufficient").sum())
    if few:
        notes.append(f"{few:,} values rest on fewer than 30 replications (insufficient).")
    return " ".join(notes)


def beside(rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Two measures beside each other, where both have a value: ``name, name_lo, name_hi``."""
    key = ["panel", "cell_id", "est_id", "estimator", "estimand"]
    parts = [
        rows.loc[rows["measure"] == name, [*key, "n_ok", "value", "lo", "hi"]].rename(
            columns={"value": name, "lo": f"{name}_lo", "hi": f"{name}_hi"}
        )
        for name in (first, second)
    ]
    both = parts[0].merge(parts[1].drop(columns="n_ok"), on=key)
    return both.dropna(subset=[first, second]).reset_index(drop=True)

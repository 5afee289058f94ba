"""Tables of a study's report: replications and stopping, performance, analyses, failures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from causalkit.results.numerals import decimals, number
from causalkit.study.grouped import Analysis
from causalkit.study.results import NO_DATA, Results
from causalkit.study.words import cell_labels, words

USUAL = ("bias", "empirical_se", "rmse", "model_se", "coverage")
RULES = {
    "target": "precision targets met",
    "max": "most replications of the plan",
    "budget": "time ran out",
    "failures": "stopped: too many failures",
    "running": "not finished",
}
_ANALYSES = {"complete": "Complete cases", "pairwise": "Pairwise", "worst": "Worst case"}


def named(results: Results, frame: pd.DataFrame) -> pd.DataFrame:
    """Frame with ``Cell`` and ``Estimator`` in words first, in the order of the study."""
    cells = dict(zip(results.cells["cell_id"], cell_labels(results.cells), strict=True))
    labels = dict(zip(results.estimators["est_id"], results.estimators["label"], strict=True))
    ranks = [
        frame[key].map({name: rank for rank, name in enumerate(names)}).to_numpy()
        for key, names in (("est_id", labels), ("cell_id", cells))
    ]
    sorted_rows = frame.iloc[np.lexsort(ranks)]
    told = {
        "Cell": sorted_rows["cell_id"].map(cells),
        "Estimator": sorted_rows["est_id"].map(labels).fillna(""),
    }
    rest = sorted_rows.drop(columns=["cell_id", "est_id"])
    return pd.concat([pd.DataFrame(told), rest], axis=1).reset_index(drop=True)


def stopping_table(results: Results) -> pd.DataFrame:
    """Planned, successful and failed replications of each cell and estimator, and the rule.

    Of those that are not finished as many are planned as the study allows.
    """
    key = ["cell_id", "est_id"]
    records = results.records
    run = records.groupby(key, sort=False)["rep"].nunique().rename("run")
    failed = records[records["status"] != "ok"].groupby(key)["rep"].nunique().rename("failed")
    frame = results.plan.merge(run.reset_index(), on=key, how="left")
    frame = frame.merge(failed.reset_index(), on=key, how="left").fillna({"run": 0, "failed": 0})
    frame["R"] = (frame["run"] - frame["failed"]).astype(int)
    frame["Failed"] = frame["failed"].astype(int)
    frame["Ended by"] = frame["rule"].map(lambda rule: RULES.get(rule, rule))
    if results.reps is not None:
        open_still = frame["rule"].isin(("running", "budget"))
        frame["n_planned"] = frame["n_planned"].mask(open_still, results.reps.max)
    table = named(results, frame[[*key, "n_planned", "R", "Failed", "Ended by"]])
    return table.rename(columns={"n_planned": "Planned"})


def told_stale(results: Results) -> str:
    """Sentence on blocks that are no longer part of the study; empty if there are none."""
    old = results.stale
    if old.empty:
        return ""
    labels = list(dict.fromkeys(label or "unknown" for label in old["label"]))
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return (
        f"Not part of this study any more, and in no number of it: {int(old['n_reps'].sum()):,} "
        f"replications of {len(old)} pairs of cell and estimator as they were before "
        f"({'; '.join(labels[:5])}{more})."
    )


def performance_table(
    results: Results, summary: pd.DataFrame, *, measures: Sequence[str]
) -> pd.DataFrame:
    """One row per cell, estimator and estimand; measures as value (Monte-Carlo error).

    A summary with a reference has the differences from it beside them.
    """
    key = ["cell_id", "est_id", "estimand"]
    rows = summary[summary["measure"].isin(measures)]
    head = rows.groupby(key, sort=False).agg(R=("n_ok", "max"), Failed=("n_failed", "max"))
    for name in measures:
        some = rows[rows["measure"] == name].set_index(key)
        if len(some):
            head[words(name)] = written(some["value"], some["mcse"]).reindex(head.index)
        if "difference" in some and some["difference"].notna().any():
            texts = written(some["difference"], some["difference_mcse"])
            head[f"{words(name)}, difference"] = texts.reindex(head.index, fill_value="")
    flags = rows.groupby(key, sort=False)["flag"].agg(_flags)
    if flags.any():
        head["Flag"] = flags
    table = named(results, head.reset_index())
    if table["estimand"].nunique() == 1:
        return table.drop(columns="estimand")
    return table.rename(columns={"estimand": "Estimand"})


def performance_title(results: Results, summary: pd.DataFrame) -> str:
    """Title of :func:`performance_table`, with what its columns leave out: estimand and level."""
    names = summary["estimand"].unique()
    estimand = f"; estimand {names[0]}" if len(names) == 1 else ""
    name, level = results.header["name"], f"{100 * results.level:g}"
    return f"{name}: value (Monte-Carlo error){estimand}; intervals of {level} %"


def analyses_table(
    results: Results, summaries: Mapping[Analysis, pd.DataFrame], *, measure: str
) -> pd.DataFrame:
    """A measure by the three treatments of failures, where an estimator of the cell failed."""
    key = ["cell_id", "est_id", "estimand"]
    parts = {}
    for analysis, summary in summaries.items():
        rows = summary[summary["measure"] == measure].set_index(key)
        text = written(rows["value"], rows["mcse"])
        same = rows["flag"].str.contains("complete-case")
        parts[_ANALYSES[analysis]] = text.replace("", "–").mask(same, "–")
    frame = pd.DataFrame(parts).reset_index()
    failing = set(results.records.loc[results.records["status"] != "ok", "cell_id"])
    return named(results, frame[frame["cell_id"].isin(failing)])


def failures_table(results: Results) -> pd.DataFrame:
    """Failures counted by cell, estimator, status and message, the most frequent first.

    Where the generator gave no data, which all estimators lack, there is one row without any.
    """
    key = ["cell_id", "est_id", "status", "exception", "message", "traceback_digest"]
    failures = results.failures.fillna({"exception": "", "message": "", "traceback_digest": ""})
    no_data = failures["status"] == NO_DATA
    failures = failures.assign(est_id=failures["est_id"].astype(object).mask(no_data, ""))
    counts = failures.groupby(key, sort=False, dropna=False).agg(
        Count=("rep", "nunique"), first=("rep", "min")
    )
    table = counts.reset_index()
    ids = table["cell_id"]
    table = named(results, table.assign(**{"Cell id": ids}))
    table = table.sort_values("Count", ascending=False, kind="stable").reset_index(drop=True)
    table["message"] = table["message"].str.slice(0, 300)
    names = {"status": "Status", "exception": "Exception", "message": "Message"}
    names |= {"traceback_digest": "Traceback", "first": "First replication"}
    return table.rename(columns=names)


def status_table(results: Results) -> pd.DataFrame:
    """Failed replications by estimator and status, over all cells."""
    failed = results.records[results.records["status"] != "ok"]
    once = failed.drop_duplicates(["cell_id", "est_id", "rep"])
    counts = pd.crosstab(once["est_id"], once["status"])
    labels = dict(zip(results.estimators["est_id"], results.estimators["label"], strict=True))
    counts = counts.reindex([est for est in labels if est in counts.index])
    counts.insert(0, "Estimator", [labels[est] for est in counts.index])
    return counts.reset_index(drop=True).rename_axis(columns=None)


def written(value: pd.Series, mcse: pd.Series) -> pd.Series:
    """Values with Monte-Carlo errors in brackets, in decimals that the typical error supports."""
    errors = mcse[np.isfinite(mcse) & (mcse > 0)]
    places = decimals([float(errors.median())] if len(errors) else [])
    texts = [
        f"{number(v, places)} ({number(e, places) or '–'})" if not np.isnan(v) else ""
        for v, e in zip(value, mcse, strict=True)
    ]
    return pd.Series(texts, index=value.index, dtype=object)


def _flags(values: pd.Series) -> str:
    """Distinct flags of a row."""
    parts = dict.fromkeys(part for flag in values for part in flag.split("; ") if part)
    return ", ".join(parts)

"""Rows of a summary averaged over cells, and their flags in words."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.metrics.measure import Z95, wilsons
from causalkit.typing import Ints

# What a flag may hold besides the reason why there is no value, one bit each.
NOTES = ("insufficient", "failures", "contended", "complete-case")

_TEXTS = np.array(
    [
        "; ".join(note for place, note in enumerate(NOTES) if bits >> place & 1)
        for bits in range(1 << len(NOTES))
    ],
    dtype=object,
)


def noted(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``flag`` in place of ``_notes`` and ``_reason``."""
    flag = _TEXTS[frame["_notes"].to_numpy(dtype=np.int64)]
    reason = frame["_reason"].to_numpy(dtype=object)
    for row in np.flatnonzero(reason != ""):
        flag[row] = f"{flag[row]}; {reason[row]}" if flag[row] else reason[row]
    frame = frame.rename(columns={"_notes": "flag"}).drop(columns=["_reason", "_n"])
    frame["flag"] = flag
    return frame


def pooled(frame: pd.DataFrame, params: list[str]) -> pd.DataFrame:
    """Mean of every measure over the cells that share ``params``.

    Parameters
    ----------
    frame : DataFrame
        Rows of single cells.
    params : list of str
        Columns of parameters.

    Returns
    -------
    DataFrame
        Same columns and ``n_cells``. The MCSE is √(Σ mcse²)/``n_cells``: the error of a truth
        that several cells share is taken to be independent between them. Shares have Wilson's
        interval, as if p̄ had been seen in C²/Σ(1/R) replications: all of them together where C
        cells have R each. That is exact where cells share one p, and wide where they differ. No
        value in one of the cells means no mean. ``cell_id`` is empty where there are several.
    """
    keys = ["generator", *params, "estimator", "estimand", "measure"]
    by = frame.groupby([*keys, "est_id"], sort=False, dropna=False)
    which: Ints = np.asarray(by.ngroup(), dtype=np.int64)
    n = int(which.max(initial=-1)) + 1
    first = np.full(n, len(frame), dtype=np.int64)
    np.minimum.at(first, which, np.arange(len(frame)))
    cells = np.bincount(which, minlength=n)
    out = frame.iloc[first].reset_index(drop=True)

    def total(name: str, power: int = 1) -> Any:
        return np.bincount(which, weights=frame[name].to_numpy(float) ** power, minlength=n)

    several = cells > 1
    for name in ("value", "difference"):
        if name in frame:
            error = "mcse" if name == "value" else "difference_mcse"
            out[name] = np.where(several, total(name) / cells, out[name])
            out[error] = np.where(several, np.sqrt(total(error, 2)) / cells, out[error])
    sizes = frame["_n"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.bincount(which, weights=np.where(sizes > 0, 1.0 / sizes, 0.0), minlength=n)
        low, high = _ends(out, cells**2 / apart, is_share=sizes[first] > 0)
    out["lo"], out["hi"] = np.where(several, low, out["lo"]), np.where(several, high, out["hi"])
    for name in ("n_planned", "n_ok", "n_failed"):
        out[name] = total(name).astype(np.int64)
    out["cell_id"] = np.where(several, "", out["cell_id"])
    out["truth"] = _common(frame["truth"].to_numpy(float), which, n)
    out["rule"] = _rules(frame["rule"], which, n)
    bits = np.zeros(n, dtype=np.int64)
    np.bitwise_or.at(bits, which, frame["_notes"].to_numpy(dtype=np.int64))
    out["_notes"] = bits
    out["_reason"] = _reasons(frame, which, cells)
    out.insert(out.columns.get_loc("rule"), "n_cells", cells)  # type: ignore[arg-type]
    return out


def _ends(out: pd.DataFrame, n: Any, *, is_share: Any) -> tuple[Any, Any]:
    """95 % interval of each mean; ``n`` replications of shares."""
    value, mcse = (out[name].to_numpy(float) for name in ("value", "mcse"))
    # The error of an uncertain truth leaves a share fewer replications' worth.
    worth = np.where(mcse > 0.0, value * (1.0 - value) / mcse**2, np.inf)
    low, high = wilsons(value, np.minimum(n, worth))
    symmetric = value - Z95 * mcse, value + Z95 * mcse
    return np.where(is_share, low, symmetric[0]), np.where(is_share, high, symmetric[1])


def _common(values: Any, which: Ints, n: int) -> Any:
    """The one value of a group, NaN if there are several or one is NaN."""
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    with np.errstate(invalid="ignore"):
        np.minimum.at(low, which, values)
        np.maximum.at(high, which, values)
    return np.where(low == high, low, np.nan)


def _rules(rule: "pd.Series[Any]", which: Ints, n: int) -> Any:
    """Rules of the cells of each group, each once, joined by a comma."""
    once = pd.DataFrame({"which": which, "rule": rule}).drop_duplicates().sort_values("rule")
    joined = once.groupby("which")["rule"].agg(", ".join)
    return joined.reindex(range(n)).to_numpy(dtype=object)


def _reasons(frame: pd.DataFrame, which: Ints, cells: Ints) -> Any:
    """Why there is no mean: how many cells have no value, and the reason of the first."""
    reason = np.full(cells.size, "", dtype=object)
    empty = np.flatnonzero(frame["value"].isna().to_numpy())
    lacking = np.bincount(which[empty], minlength=cells.size)
    texts = frame["_reason"].to_numpy(dtype=object)
    for row in empty[::-1]:
        group = which[row]
        if cells[group] == 1:
            reason[group] = texts[row]
        else:
            told = f"no value in {lacking[group]} of {cells[group]} cells"
            reason[group] = f"{told}: {texts[row]}" if texts[row] else told
    return reason

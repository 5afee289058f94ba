"""A chapter of the demonstration: a dose-response curve by a transformer."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.demo_parts import SEED, Chapter, Say, left_out_without_torch, new_axes
from causalkit.generators import dose_synthetic
from causalkit.results.canvas import BLUE, GREY, INK, axes, head, label
from causalkit.results.numerals import interval, number
from causalkit.results.render import Grid, grid_text, wrapped
from causalkit.results.report import Code, Figure, Heading, Table, Text
from causalkit.transtee import TransTEE
from causalkit.typing import Floats

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

TITLE = "An outcome along a dose, where the curve is known"
DOSES = np.linspace(0.1, 0.9, 9)
FINE = np.linspace(0.06, 0.94, 45)
N_NETWORKS = 5
_ARGUMENTS = f"d_model=16, n_ensemble={N_NETWORKS}, bootstrap=True, random_state={SEED}"


def known_curve(progress: Say) -> Chapter:
    """Mean outcome along a dose with a band over networks; says so where torch is missing."""
    absent = left_out_without_torch(
        TITLE, part="simulated doses", by="the chapter on doses", progress=progress
    )
    if absent is not None:
        return absent
    data = dose_synthetic(SEED, n=600)
    progress(f"simulated doses: fitting {N_NETWORKS} networks of TransTEE")
    est = TransTEE(
        d_model=16, max_epochs=60, n_ensemble=N_NETWORKS, bootstrap=True, random_state=SEED
    )
    curve = est.fit(data.blind()).dose_response(
        data.blind(), grid=np.union1d(DOSES, FINE), individual=False
    )
    return _chapter(data, curve)


def _chapter(data: CausalData, curve: "xr.Dataset") -> Chapter:
    assert data.truth is not None
    assert data.truth.dose_response is not None
    truth = np.asarray(data.truth.dose_response(curve["dose"].values))
    shown = curve.sel(dose=DOSES, method="nearest")
    true = truth[np.searchsorted(curve["dose"].values, shown["dose"].values)]
    low, high = shown["band_low"].values, shown["band_high"].values
    rows = [
        (f"{dose:.1f}", number(mean, 2), interval(a, b, 2), number(t, 2), yes)
        for dose, mean, a, b, t, yes in zip(
            DOSES,
            shown["adrf"].values,
            low,
            high,
            true,
            np.where((low <= true) & (true <= high), "yes", "no"),
            strict=True,
        )
    ]
    grid = Grid(header=("dose", "mean outcome", "95% band", "truth", "covers"), rows=tuple(rows))
    about = (
        f"{len(data):,} rows from the design of Nie et al. (2021): six covariates shift the dose "
        "and the outcome, and the curve of the outcome along the dose differs between rows. "
        "TransTEE, a transformer over tokens of covariates and dose, gives every row its curve; "
        f"this is their mean, with a band over {N_NETWORKS} networks that were trained on rows "
        "drawn with replacement. The band is the spread of training, not a confidence interval."
    )
    frame = pd.DataFrame(
        {
            "dose": curve["dose"].values,
            "estimate": curve["adrf"].values,
            "band_low": curve["band_low"].values,
            "band_high": curve["band_high"].values,
            "truth": truth,
        }
    )
    return Chapter(
        text="\n".join([TITLE, "", *wrapped(about), "", grid_text(grid, width=80)]),
        sections=(
            Heading(TITLE),
            Text(about),
            Code(
                "import causalkit as ck\n"
                f"data = ck.generators.dose_synthetic({SEED}, n={len(data)})\n"
                f"est = ck.TransTEE({_ARGUMENTS}, max_epochs=60)\n"
                "curve = est.fit(data.blind()).dose_response(data.blind())"
            ),
            Figure(
                _drawing(frame, data.frame["t"].to_numpy(), data.frame["y"].to_numpy()),
                "Mean outcome along the dose: the estimate with its band, the truth dashed, and "
                "every row as a dot.",
            ),
            Table(pd.DataFrame(grid.rows, columns=list(grid.header))),
        ),
        files={"simulated_doses.csv": str(frame.to_csv(index=False))},
    )


def _drawing(frame: pd.DataFrame, dose: Floats, outcome: Floats) -> "Axes":
    """Curve, band and truth over the rows."""
    ax = axes(new_axes(6.0, 3.6), size=(6.0, 3.6), needed_by="causalkit demo")
    ax.scatter(dose, outcome, s=5, color=GREY, alpha=0.35, linewidths=0)
    ax.fill_between(
        frame["dose"], frame["band_low"], frame["band_high"], color=BLUE, alpha=0.25, linewidth=0
    )
    ax.plot(frame["dose"], frame["estimate"], color=BLUE, label="TransTEE, with its band")
    ax.plot(frame["dose"], frame["truth"], color=INK, linestyle="--", label="truth")
    label(ax, x="dose", y="outcome")
    head(ax, title="", legend=True)
    return ax

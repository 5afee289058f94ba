"""Pictures of a fit: clusters with their typical places, and calibration of predicted effects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data.images import ImageStore
from causalkit.errors import IdentificationError, check_count
from causalkit.images.honest import Evaluation, honest_effect, regressed, result_of
from causalkit.images.thumbnails import bands_in_words, thumbnails
from causalkit.optional import require
from causalkit.results import canvas
from causalkit.results.numerals import percent
from causalkit.typing import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE = 0.85  # inches
_LEVEL = 0.95


def plot_clusters(
    table: pd.DataFrame,
    found: Evaluation,
    store: ImageStore | None,
    *,
    n_images: int,
    rgb: Sequence[str] | None,
    outcome: str,
) -> "Figure":
    """Effects of the clusters beside the evaluation images that are most typical of each.

    Parameters
    ----------
    table : DataFrame
        Of :meth:`~causalkit.ImageEffectClusters.cluster_effects`.
    found : Evaluation
    store : ImageStore or None
        Images of the data of the fit; without them only effects are drawn.
    n_images : int
        Per cluster.
    rgb : sequence of str, optional
        Bands to show.
    outcome : str

    Returns
    -------
    Figure
        With the table as ``plot_data``, and the keys of the images shown in ``images``.
    """
    check_count("n_images", n_images, least=1)
    pyplot = require("matplotlib.pyplot", extra="plots", needed_by="plot_clusters")
    n_rows = len(table)
    tiles = 0 if store is None else n_images
    width = 4.4 + _TILE * tiles
    figure = pyplot.figure(figsize=(width, 1.1 + 1.05 * _TILE * n_rows), layout="constrained")
    grid = figure.add_gridspec(n_rows, tiles + 1, width_ratios=[_TILE] * tiles + [3.4])
    frame = table.copy()
    if store is not None:
        typical = _typical(found, store, n_images)
        # On one scale: what tells the types apart may be their brightness.
        shades = thumbnails(store, np.concatenate(typical), rgb=rgb)
        ends = np.cumsum([positions.size for positions in typical])[:-1]
        for row, pictures in enumerate(np.split(shades, ends)):
            cells = [figure.add_subplot(grid[row, column]) for column in range(n_images)]
            _tiles(cells, pictures, label=_label(table.iloc[row]))
        frame["images"] = [np.asarray(store.keys)[positions].tolist() for positions in typical]
        canvas.below(figure, f"Images: {bands_in_words(store, rgb)}")
    ax = canvas.axes(figure.add_subplot(grid[:, tiles]), size=(3.4, 2.0), needed_by="plot_clusters")
    _bars(ax, frame, labelled=store is None)
    canvas.label(ax, x=f"Effect on {outcome}")
    canvas.head(ax, title="", legend=True)
    figure.plot_data = frame
    return figure  # type: ignore[no-any-return]  # matplotlib has no types here


def _typical(found: Evaluation, store: ImageStore, count: int) -> list[Ints]:
    """Distinct evaluation images with the largest probability of each type."""
    image = store.of_row[found.rows]
    lists = []
    for column in found.types.T:
        ranked = image[np.argsort(-column, kind="stable")]
        first = np.sort(np.unique(ranked, return_index=True)[1])
        lists.append(ranked[first[:count]])
    return lists


def _label(row: "pd.Series[Any]") -> str:
    return f"{row['cluster']}\n{float(row['share']):.0%}"


def _tiles(cells: list[Any], pictures: Floats, *, label: str) -> None:
    """One row of thumbnails, the first with a label on its left."""
    for cell, picture in zip(cells, pictures, strict=False):
        cell.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0)
    for cell in cells:
        canvas.bare(cell)
    cells[0].set_ylabel(
        label, rotation=0, ha="right", va="center", fontsize=canvas.SMALL, color=canvas.INK
    )


def _bars(ax: "Axes", frame: pd.DataFrame, *, labelled: bool) -> None:
    """Honest effects with their intervals, and below them the model's."""
    height = -np.arange(len(frame), dtype=np.float64)
    ax.axvline(0.0, color=canvas.GREY, lw=0.9, ls=(0, (4, 3)), zorder=1)
    for shift, prefix, colour, marker, name in (
        (0.12, "", canvas.BLUE, "o", f"honest, {percent(_LEVEL)} confidence"),
        (-0.16, "model_", canvas.ORANGE, "s", f"model-based, {percent(_LEVEL)} posterior"),
    ):
        centre = frame["model_effect" if prefix else "estimate"]
        y = height + shift
        ax.hlines(y, frame[f"{prefix}conf_low"], frame[f"{prefix}conf_high"], color=colour, lw=2.2)
        ax.plot(centre, y, marker, color=colour, ms=6.0, label=name, zorder=3)
    ax.set_yticks(height, [_label(row) for _, row in frame.iterrows()] if labelled else [])
    ax.set_ylim(height[-1] - 0.5, 0.5)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=canvas.PALE, lw=0.7)


def calibration_data(found: Evaluation, *, n_bins: int) -> pd.DataFrame:
    """Mean doubly robust score by quantile of the predicted effect, with 95 % intervals.

    Returns
    -------
    DataFrame
        ``n``, ``predicted``, ``estimate``, ``std_error``, ``conf_low``, ``conf_high``, one row per
        bin. Rows with equal predictions are in one bin, so that there may be fewer.

    Raises
    ------
    IdentificationError
        If the predictions do not vary.
    """
    check_count("n_bins", n_bins, least=2)
    edges = np.unique(np.quantile(found.cate, np.linspace(0.0, 1.0, n_bins + 1)))
    if edges.size < 2:
        raise IdentificationError(
            "the predicted effects do not vary between evaluation rows: there is nothing to "
            "calibrate. Read estimate('ate')."
        )
    bins = np.searchsorted(edges[1:-1], found.cate, side="right")
    known, codes, counts = np.unique(bins, return_inverse=True, return_counts=True)
    basis = (codes[:, None] == np.arange(known.size)).astype(np.float64)
    result = result_of(
        found,
        [f"bin {number + 1}" for number in range(known.size)],
        regressed(found, basis),
        estimand="gate",
        estimator="calibration",
        outcome="",
        treatment=(),
    )
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    frame: pd.DataFrame = result.tidy()[columns]
    frame.insert(0, "predicted", basis.T @ found.cate / counts)
    frame.insert(0, "n", counts)
    return frame


def plot_calibration(
    found: Evaluation, *, n_bins: int, ax: "Axes | None", title: str, **facts: Any
) -> "Axes":
    """Honest effects against predicted ones; on the diagonal predictions are right.

    Returns
    -------
    Axes
        With :func:`calibration_data` as ``plot_data``.
    """
    frame = calibration_data(found, n_bins=n_bins)
    line = honest_effect(found, "calibration", **facts)
    ax = canvas.axes(ax, size=(5.0, 4.2), needed_by="plot_calibration")
    ends: Floats = np.array([frame["predicted"].min(), frame["predicted"].max()])
    ends = ends + np.array([-0.05, 0.05]) * np.ptp(ends)
    ax.plot(ends, ends, color=canvas.GREY, lw=0.9, ls=(0, (4, 3)), label="as predicted")
    centre, slope = line.estimates
    fitted = centre + slope * (ends - found.cate.mean())
    words = f"slope {slope:.2f} ({line.std_errors[1]:.2f})"
    ax.plot(ends, fitted, color=canvas.ORANGE, lw=1.6, label=words)
    ax.vlines(frame["predicted"], frame["conf_low"], frame["conf_high"], color=canvas.BLUE, lw=2.2)
    name = f"mean score by quantile, {percent(_LEVEL)} confidence"
    ax.plot(frame["predicted"], frame["estimate"], "o", color=canvas.BLUE, ms=6.0, label=name)
    ax.grid(axis="y", color=canvas.PALE, lw=0.7)
    canvas.label(
        ax,
        x=canvas.literal(f"Predicted effect on {line.outcome}"),
        y="Effect by doubly robust scores",
    )
    canvas.head(ax, title=title, legend=True)
    return canvas.finish(ax, frame)

"""A chapter of the demonstration: clusters of places by effect, found in their images."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from causalkit.demo_parts import SEED, Chapter, Say, left_out_without_torch, new_axes
from causalkit.generators import image_rct
from causalkit.images import ImageEffectClusters
from causalkit.results.canvas import BLUE, INK, VERMILION, axes, head, label
from causalkit.results.numerals import interval, number
from causalkit.results.render import Grid, grid_text, wrapped
from causalkit.results.report import Code, Figure, Heading, Table, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Where does a treatment work? Effect clusters from images of places"
N_PLACES = 1200


def effects_by_image(progress: Say) -> Chapter:
    """Honest effects of clusters found in pixels; says so where torch is missing."""
    absent = left_out_without_torch(
        TITLE, part="images of places", by="the chapter on images", progress=progress
    )
    if absent is not None:
        return absent
    data = image_rct(SEED, n_images=N_PLACES)
    progress(f"images of places: training an encoder on half of {N_PLACES:,} images")
    fit = ImageEffectClusters(epochs=12, n_restarts=1, random_state=SEED).fit(data.blind())
    return _chapter(data, fit)


def _chapter(data: Any, fit: ImageEffectClusters) -> Chapter:
    found = fit.evaluation_
    truth = data.truth.cate[found.rows]
    table = fit.cluster_effects().assign(
        truth=[truth[found.assigned == k].mean() for k in range(found.n_types)]
    )
    columns = ["estimate", "conf_low", "conf_high", "model_effect", "truth"]
    rows = [
        (name, str(n), number(mean, 2), interval(low, high, 2), number(model, 2), number(true, 2))
        for name, n, (mean, low, high, model, true) in zip(
            table["cluster"], table["n"], table[columns].to_numpy(), strict=True
        )
    ]
    header = ("cluster", "units", "honest effect", "95% interval", "model-based", "truth")
    grid = Grid(header=header, rows=tuple(rows))
    rate = fit.rate()
    about = (
        f"A simulated trial in {N_PLACES:,} places. Half of the images hold a small pattern, which "
        "no covariate tells, and there the effect is large. A small network, trained on half of "
        "the places, finds two types; the effects below are averages of doubly robust scores over "
        f"{found.rows.size:,} units in other places, which hold even if the network is wrong. "
        f"Ranking places by the predicted effect is worth {number(rate.estimate, 2)} (standard "
        f"error {number(rate.std_err, 2)}) over a lottery, by AUTOC."
    )
    return Chapter(
        text="\n".join([TITLE, "", *wrapped(about), "", grid_text(grid, width=80)]),
        sections=(
            Heading(TITLE),
            Text(about),
            Code(
                "import causalkit as ck\n"
                f"rct = ck.generators.image_rct({SEED}, n_images={N_PLACES})\n"
                "fit = ck.ImageEffectClusters(epochs=12, n_restarts=1, "
                f"random_state={SEED}).fit(rct.blind())\n"
                "print(fit.summary()); fit.rate().plot(); fit.salience(rct)"
            ),
            Table(pd.DataFrame(grid.rows, columns=list(header))),
            Figure(
                _picture(data, fit),
                "A place where the effect is large, and what the network looks at there: the "
                "frame is the pattern, which it was never told of.",
            ),
        ),
        files={"images_clusters.csv": str(table.to_csv(index=False))},
    )


def _picture(data: Any, fit: ImageEffectClusters) -> "Axes":
    """The image of one evaluation place of the last cluster beside its salience."""
    from matplotlib.patches import Rectangle

    found = fit.evaluation_
    row = int(found.rows[found.types[:, -1].argmax()])
    key = data.frame["place"].iloc[row]
    seen = fit.salience(data, images=[key])["magnitude"].values[0]
    place = int((data.arrays["place"].values == key).argmax())
    shown = data.arrays["image"].values[place].mean(axis=0)
    ax = axes(new_axes(6.4, 3.2), size=(6.4, 3.2), needed_by="causalkit demo")
    width = shown.shape[1]
    ax.imshow(shown, cmap="gray", extent=(0, width, width, 0))
    ax.imshow(seen, cmap="magma", extent=(width + 2, 2 * width + 2, width, 0))
    ax.set_xlim(0, 2 * width + 2)
    ax.set_ylim(width, 0)
    top, left, height, across = data.truth.image_box[row]
    for shift, colour in ((0, VERMILION), (width + 2, BLUE)):
        box = Rectangle((left + shift, top), across, height, fill=False, ec=colour, lw=1.2)
        ax.add_patch(box)
    ax.set_xticks(
        [width / 2, 1.5 * width + 2], ["image, mean of bands", "what the prediction sees"]
    )
    ax.set_yticks([])
    ax.tick_params(length=0, colors=INK)
    label(ax, x="", y="")
    head(ax, title="", legend=False)
    return ax

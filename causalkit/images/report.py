"""What a trial with images found, on one page for those who decide."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import IdentificationError
from causalkit.images.doubts import Reading, reading_of
from causalkit.images.plots_maps import plot_salience
from causalkit.optional import require
from causalkit.results.effect import EffectResult
from causalkit.results.numerals import count, decimals, interval, number, p_text, percent
from causalkit.results.report import (
    Code,
    Figure,
    Heading,
    Section,
    Table,
    Text,
    html_report,
)

if TYPE_CHECKING:
    from causalkit.images.pixel_map import PixelMap

_CANNOT = (
    "The clusters were found, not assigned: that effects differ between them does not say that "
    "what the images show is why. Effects were measured where treatment was drawn by lot, and hold "
    "for such places, at that time, if the treatment of one unit moves no other.",
    "Effects predicted for single places rest on a model; the averages by cluster do not. Places "
    "that look unlike those of the trial are marked, and nothing was measured for their like.",
    "Where the picture glows, the prediction is sensitive to the pixels. It does not follow that "
    "changing what is there would change the effect.",
)


def effect_report(
    fit: "PixelMap",
    data: CausalData,
    *,
    target: Any = None,
    title: str = "",
    rgb: Sequence[str] | None = None,
) -> str:
    """Effects by cluster, whether targeting pays, what was looked at, a map, and what is not known.

    Parameters
    ----------
    fit : ImageEffectClusters
        Fitted.
    data : CausalData
        Of the fit.
    target : CausalData, or xarray Dataset or DataArray of images, optional
        Places to map; default is those of the trial.
    title : str
    rgb : sequence of str, optional
        Bands to show.

    Returns
    -------
    str
        One HTML page that needs no other file.
    """
    pyplot = require("matplotlib.pyplot", extra="plots", needed_by="report")
    average = fit.estimate("ate")
    words = title or f"Effect of {', '.join(average.treatment)} on {average.outcome}, by place"
    opened = set(pyplot.get_fignums())
    reading = reading_of(fit)
    sections: list[Section] = [
        Text(_opening(average, fit, data)),
        *(Text(f"Before reading on: {doubt}") for doubt in reading.doubts),
        Heading("Effects by type of place"),
        *_clusters(fit, data, reading, rgb),
        Heading("Is it worth choosing places?"),
        *_targeting(reading),
        *(_looked_at(fit, data, reading, rgb) if fit.n_clusters_ > 1 else []),
        *_map(fit, data if target is None else target, reading, mine=target is None),
        Heading("What this cannot say"),
        *(Text(text) for text in _CANNOT),
        *(Text(f"Warning of the analysis: {text}") for text in fit.result_.warnings),
        Heading("All numbers"),
        Code(fit.summary()),
    ]
    page = html_report(words, sections, provenance={"seed": fit.seed_})
    for number_of in set(pyplot.get_fignums()) - opened:
        pyplot.close(number_of)
    return page


def _told(row: "pd.Series[Any]") -> str:
    """Estimate and interval of a row, with two digits of its error."""
    places = decimals([10.0 * float(row["std_error"])])
    bounds = interval(float(row["conf_low"]), float(row["conf_high"]), places)
    return f"{number(float(row['estimate']), places)} ({percent(0.95)} interval {bounds})"


def _opening(average: EffectResult, fit: "PixelMap", data: CausalData) -> str:
    row = average.tidy().iloc[0]
    what = ", ".join(average.treatment)
    arms = data.frame[average.treatment[0]].dtype
    if isinstance(arms, pd.CategoricalDtype):
        control, treated = map(str, arms.categories)
        what = f"{what} {treated!r} instead of {control!r}"
    low, high = float(row["conf_low"]), float(row["conf_high"])
    found = "it raises it" if low > 0.0 else "it lowers it"
    if low <= 0.0 <= high:
        found = "the data do not tell whether it raises or lowers it"
    return (
        f"On average over {count(average.n)} units that no model was trained on, of "
        f"{count(len(data))} in the trial, {what} changes {average.outcome} by {_told(row)}: "
        f"{found}. {_types(fit)}"
    )


def _types(fit: "PixelMap") -> str:
    if fit.n_clusters_ > 1:
        return (
            f"The places were sorted by their images into {fit.n_clusters_} types, whose effects "
            "are below."
        )
    return "No difference in effects by place was found: the model has one type, of all places."


def _clusters(
    fit: "PixelMap", data: CausalData, reading: Reading, rgb: Sequence[str] | None
) -> list[Section]:
    table = fit.cluster_effects()
    told = pd.DataFrame(
        {
            "type of place": table["cluster"],
            "units": table["n"],
            "share": [f"{share:.0%}" for share in table["n"] / table["n"].sum()],
            "effect": [
                _told(row) if np.isfinite(row["estimate"]) else "too few units"
                for _, row in table.iterrows()
            ],
        }
    )
    caption = (
        "Mean effect of the units of each type, by doubly robust scores of places that were not "
        "trained on; right even if the model that found the types is wrong."
    )
    pictures = f"Effects, and the images that are most typical of a type.{reading.caveat}"
    return [Table(told, caption), Figure(fit.plot_clusters(data, rgb=rgb), pictures)]


def _targeting(reading: Reading) -> list[Section]:
    rate = reading.rate
    if rate is None:
        about = (
            "The predicted effect is the same everywhere, so that no place comes before another."
        )
        return [Text(about)]
    p = rate.p_value()
    told = f"p {p_text(p)}" if p_text(p).startswith("<") else f"p = {p_text(p)}"
    found = f"Chance may explain it ({told}): the data do not support choosing places this way."
    if reading.pays:
        found = f"This is more than chance explains ({told})."
    worth, error = (
        number(v, decimals([10.0 * rate.std_err])) for v in (rate.estimate, rate.std_err)
    )
    about = (
        f"Treating first the places with the largest predicted effects is worth {worth} over "
        "treating as many at random, averaged over how many are treated (AUTOC, standard error "
        f"{error}). {found}"
    )
    caption = "Effect among the most promising places, above that of all."
    return [Text(about), Figure(rate.plot(), caption)]


def _looked_at(
    fit: "PixelMap", data: CausalData, reading: Reading, rgb: Sequence[str] | None
) -> list[Section]:
    found = fit.evaluation_
    key = data.roles.image_key
    rows = found.rows[np.argsort(-found.types[:, -1], kind="stable")]
    keys = list(dict.fromkeys(rows.tolist() if key is None else data.frame[key].iloc[rows]))
    shown = keys[:3] + keys[-3:]
    seen = fit.salience(data, images=shown)
    return [
        Heading("What the model looks at"),
        Figure(
            plot_salience(seen, data, images=shown, rgb=rgb),
            f"Three places most probably of {seen.attrs['cluster']} and three least probably, and "
            f"the pixels to which that probability is sensitive.{reading.caveat}",
        ),
    ]


def _map(fit: "PixelMap", target: Any, reading: Reading, *, mine: bool) -> list[Section]:
    try:
        places = fit.transport(target)
    except IdentificationError as error:
        return [Heading("Where"), Text(f"There is no map: {error}")]
    whose = "the places of the trial" if mine else "the places asked about"
    n_places = int(places.places.sizes[places.dim])
    outside = int(places.places["extrapolating"].sum())
    over_all = _told(places.average())
    about = (
        f"Predicted by the model for {whose} ({count(n_places)}), each once however many units it "
        f"has: on average {over_all}."
    )
    if 0 < outside < n_places:
        about = (
            f"Predicted by the model for {whose}, each once however many units it has. On average "
            f"over the {count(n_places - outside)} of {count(n_places)} that look like those that "
            f"it was trained on: {_told(places.average(over='supported'))}. Over all, with "
            f"{count(outside)} for which it should not be relied on: {over_all}."
        )
    elif outside:
        about += " None looks like those that it was trained on: do not rely on it."
    what = "The predicted effect is the same everywhere"
    if reading.rate is not None:
        what = "Predicted effect by place"
    caption = f"{what}; crosses are places unlike those of the trial.{reading.caveat}"
    return [Heading("Where"), Text(about), Figure(places.plot(), caption)]

"""Effects at places outside the trial, with how far each lies from the places of the trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from causalkit.data.images import ImageStore
from causalkit.errors import (
    ExtrapolationWarning,
    IdentificationError,
    check_choice,
    check_level,
)
from causalkit.images.batches import Images
from causalkit.images.fitting import Fitted
from causalkit.images.inputs import Target
from causalkit.images.predict import (
    Predicted,
    check_uncertain,
    draws_by_place,
    effects_in,
    interval,
    types_in,
)
from causalkit.images.support import EDGE, Reference
from causalkit.inference.arguments import check_number
from causalkit.results.numerals import count, decimals, number, percent
from causalkit.results.render import Grid, Page, Part, page_html, page_text
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

ASSUMES = (
    "Effects depend on place only through the image: two places with the same image have the same "
    "average effect, in the trial or outside it. No data of the target bear on this."
)
DELTAS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_MANY = 0.1  # share outside the training images that is warned of


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TransportMap:
    """Effects of the treatment at the places of a target.

    Attributes
    ----------
    places : Dataset
        One entry per place, which is an image, however many units it has: ``effect``,
        ``std_error``, ``conf_low``, ``conf_high`` (posterior mean, standard deviation and quantiles
        of the average effect at such a place), ``probability`` by ``cluster`` with
        ``probability_std_error``, ``probability_conf_low`` and ``probability_conf_high``, the most
        probable cluster as ``assigned``, ``support`` and ``extrapolating`` (support above 99);
        ``lon`` and ``lat`` where the images have them.
        Support is a percentile: how far the place lies from the training images, as against how far
        the trial's evaluation images do, which nothing was learned from; by the encoder's features
        or by the mean and the standard deviation of each band over the image, whichever is further.
        Of a data set also ``units``, of each place; its effect is then the mean of theirs, which
        differ only where covariates do and the outcome is 0/1.
    draws : (S,) array
        Average effect over the places in every joint posterior draw.
    unit_draws : (S,) array
        The same over their units.
    supported_draws : (S,) array
        The same over the places that are not ``extrapolating``; NaN if there are none.
    level : float
        Of the intervals.
    assumes : str
        What carries effects from the trial to the target.
    outcome : str
        What the effect is on.
    """

    places: "xr.Dataset"
    draws: Floats
    unit_draws: Floats
    supported_draws: Floats
    level: float
    assumes: str = ASSUMES
    outcome: str = ""

    @property
    def dim(self) -> str:
        """Dimension of the places."""
        return str(self.places["effect"].dims[0])

    @property
    def share_outside(self) -> float:
        """Share of places further from the training images than 99 % of the evaluation images."""
        return float(self.places["extrapolating"].mean())

    def average(
        self,
        delta: float = 0.0,
        *,
        level: float | None = None,
        over: Literal["places", "units", "supported"] = "places",
    ) -> "pd.Series[float]":
        """Average effect over the places, from joint draws: one draw serves all places.

        Parameters
        ----------
        delta : float, default 0
            Add this many posterior standard deviations of each place to its effect.
        level : float, optional
            Of the interval; default is that of the map.
        over : {"places", "units", "supported"}, default "places"
            Whether every place counts once, or by its units, or once and only if it is like the
            places of the trial, which is not ``extrapolating``. Of bare images the first two are
            the same.

        Returns
        -------
        Series
            ``delta``, ``estimate``, ``std_error``, ``conf_low``, ``conf_high``.

        Raises
        ------
        IdentificationError
            Of ``"supported"`` places if there are none.
        """
        wanted = check_level(self.level if level is None else level)
        check_choice("over", over, ("places", "units", "supported"))
        draws, weights = self.draws, np.ones(self.places["effect"].shape)
        if over == "units":
            draws, weights = self.unit_draws, self._units
        elif over == "supported":
            draws, weights = self.supported_draws, 1.0 - self.places["extrapolating"].values
            if not weights.any():
                raise IdentificationError(
                    "no place is like those of the trial: all are extrapolating. Read "
                    "average(), which is the model's guess."
                )
        spread = float(np.average(self.places["std_error"].values, weights=weights))
        draws = draws + check_number("delta", delta) * spread
        low, high = interval(draws, wanted)
        return pd.Series(
            {
                "delta": delta,
                "estimate": draws.mean(),
                "std_error": draws.std(ddof=1),
                "conf_low": low,
                "conf_high": high,
            },
            name="average effect",
        )

    def sensitivity(
        self, deltas: Sequence[float] = DELTAS, *, level: float | None = None
    ) -> pd.DataFrame:
        """Average effect if the effects were off by some posterior standard deviations, all alike.

        Parameters
        ----------
        deltas : sequence of float, default (-2, -1, 0, 1, 2)
        level : float, optional

        Returns
        -------
        DataFrame
            One row per delta, with the columns of :meth:`average`.
        """
        return pd.DataFrame([self.average(delta, level=level) for delta in deltas]).reset_index(
            drop=True
        )

    @property
    def _units(self) -> Any:
        """Units of each place, one if there are none."""
        return np.broadcast_to(self.places.get("units", 1), self.places["effect"].shape)

    def tidy(self, *, level: float | None = None) -> pd.DataFrame:
        """Average effects over the places, over those like the trial's, and over units if known.

        Returns
        -------
        DataFrame
            ``term`` (``"places"``, ``"supported"``, ``"units"``), ``estimate``, ``std_error``,
            ``conf_low``, ``conf_high``. Places themselves are in :meth:`to_frame`.
        """
        terms: list[Literal["places", "units", "supported"]] = ["places"]
        terms += ["supported"] if self.share_outside < 1.0 else []
        terms += ["units"] if "units" in self.places else []
        rows = [self.average(level=level, over=term).drop("delta") for term in terms]
        return pd.DataFrame(rows, index=pd.Index(terms, name="term")).reset_index()

    def to_frame(self) -> pd.DataFrame:
        """Places as a table; probabilities in columns ``probability cluster 1`` and so on."""
        single = self.places.drop_dims("cluster")
        frame: pd.DataFrame = single.to_dataframe().reset_index()
        by_cluster = self.places[[name for name in self.places if name not in single]]
        columns = {
            f"{variable} {name}": values.sel(cluster=name).values
            for variable, values in by_cluster.items()
            for name in values["cluster"].values
        }
        return frame.assign(**columns)

    def plot(self, *, ax: "Axes | None" = None, value: str = "effect", title: str = "") -> "Axes":
        """Map of the effects, with places unlike the trial's images as crosses.

        Parameters
        ----------
        ax : Axes, optional
        value : str, default "effect"
            ``"effect"``, ``"std_error"`` or ``"support"``.
        title : str

        Returns
        -------
        Axes
            With the table of the places as ``plot_data``.
        """
        from causalkit.images.plots_maps import plot_transport

        return plot_transport(self, ax=ax, value=value, title=title)

    def summary(self) -> str:
        """Average effect, its sensitivity, support and assumption, as text."""
        return page_text(_page(self))

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return page_html(_page(self))


def transport(
    fitted: Fitted, reference: Reference, target: Target, *, level: float
) -> TransportMap:
    """Predict the effects at the places of a target.

    Parameters
    ----------
    fitted : Fitted
    reference : Reference
        What support is told by.
    target : Target
    level : float

    Raises
    ------
    IdentificationError
        If the fit has a single mode, whose uncertainty is unknown.
    """
    import xarray as xr

    check_level(level)
    posteriors = tuple(member.posterior for member in fitted.members)
    check_uncertain(posteriors)
    by_image, moments = fitted.features_and_moments(Images.of(target.store), target.images)
    image, place = target.places
    far = reference.percentile(posteriors[0].features(by_image[0]), moments)[image]
    features = [found[image] for found in by_image]
    counts, inside = np.bincount(place), (far <= EDGE) * 1.0
    effects, types, total, of_units, supported, at = [], [], [], [], [], 0
    for drawn in draws_by_place(posteriors, features, target.covariates, place):
        effects.append(effects_in(drawn.effects, level=level))
        types.append(types_in(drawn.types, level=level))
        total.append(drawn.effects.sum(axis=1))
        size = drawn.effects.shape[1]
        of_units.append(drawn.effects @ counts[at : at + size])
        supported.append(drawn.effects @ inside[at : at + size])
        at += size
    effect, of_types = Predicted.joined(effects), Predicted.joined(types)
    dim, labels = target.place_labels
    names = np.array([f"cluster {number + 1}" for number in range(fitted.n_clusters)])
    places = xr.Dataset(
        {
            "effect": (dim, effect.mean),
            "std_error": (dim, effect.sd),
            "conf_low": (dim, effect.low),
            "conf_high": (dim, effect.high),
            "probability": ((dim, "cluster"), of_types.mean),
            "probability_std_error": ((dim, "cluster"), of_types.sd),
            "probability_conf_low": ((dim, "cluster"), of_types.low),
            "probability_conf_high": ((dim, "cluster"), of_types.high),
            "assigned": (dim, names[of_types.mean.argmax(axis=1)]),
            "support": (dim, far),
            "extrapolating": (dim, far > EDGE),
            **({"units": (dim, counts)} if target.has_rows else {}),
        },
        coords={
            dim: labels,
            "cluster": names,
            **_where(target.store, dim, target.images[image]),
        },
        attrs={"assumes": ASSUMES, "level": level},
    )
    answer = TransportMap(
        places,
        np.sum(total, axis=0) / labels.size,
        np.sum(of_units, axis=0) / place.size,
        np.sum(supported, axis=0) / (inside.sum() or np.nan),
        level,
    )
    if answer.share_outside > _MANY:
        warn(
            f"{percent(round(answer.share_outside, 2))} of the places lie further from the "
            f"training images than {EDGE:g} % of the evaluation images do: there the effects are "
            "extrapolated, and their intervals do not know it. See .places['extrapolating'].",
            ExtrapolationWarning,
        )
    return answer


def _where(store: ImageStore, dim: str, images: Ints) -> dict[str, Any]:
    """Coordinates ``lon`` and ``lat`` of the places, if the images have them."""
    own = str(store.pixels.dims[0])
    found = {}
    for name in ("lon", "lat"):
        if name in store.pixels.coords and store.pixels[name].dims == (own,):
            found[name] = (dim, np.asarray(store.pixels[name].values)[images])
    return found


def _page(shown: TransportMap) -> Page:
    table = shown.sensitivity()
    digits = decimals(table["std_error"])
    rows = tuple(
        (
            f"{row['delta']:+g} sd" if row["delta"] else "as estimated",
            *(
                number(row[name], digits)
                for name in ("estimate", "std_error", "conf_low", "conf_high")
            ),
        )
        for _, row in table.iterrows()
    )
    words = f"{percent(shown.level)} interval"
    grid = Grid(
        ("Effects of the places", "Average", "Std. error", f"{words}, low", "high"),
        rows,
        title="Average effect over the places, and if all effects were off alike",
    )
    size = int(shown.places.sizes[shown.dim])
    outside = percent(round(shown.share_outside, 3))
    supported = size - int(shown.places["extrapolating"].sum())

    def over(which: Any, n: int) -> str:
        average = shown.average(over=which)
        told = number(average["estimate"], digits), number(average["std_error"], digits)
        return f"{count(n)}, over which the effect averages {told[0]} ({told[1]})"

    facts = (
        ("Places", count(size)),
        *([("Units", over("units", int(shown._units.sum())))] if "units" in shown.places else []),
        *([("Like the trial's", over("supported", supported))] if 0 < supported < size else []),
        (
            "Outside",
            f"{outside} of the places, further out than 99 % of the trial's evaluation images",
        ),
        ("Intervals", f"{percent(shown.level)}, from {shown.draws.size} joint posterior draws"),
    )
    parts = (Part(grid=grid), Part(heading="Assumption", text=shown.assumes))
    return Page("Effects at other places", facts, parts)

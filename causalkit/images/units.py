"""Units of a trial as arrays, checked for what would spoil a trial."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.images import ImageStore, key_dimension
from causalkit.errors import (
    ArgumentError,
    CausalKitWarning,
    DataError,
    DroppedRowsWarning,
    IdentificationError,
    Problem,
)
from causalkit.heterogeneity.dr import as_propensity
from causalkit.images.assignment import (
    Assignment,
    check_propensity,
    is_assigned_as_one,
    treated_share,
    warn_if_assigned_by_image,
)
from causalkit.images.encoded import levels_of
from causalkit.images.small_blocks import whole_blocks
from causalkit.images.splits import Parts, connected, spatial_blocks, split
from causalkit.rng import stream
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_LEAK = 1e-9
_CHANCE = 1e-6
_MOST_LON, _MOST_LAT = 360.0, 90.0  # degrees
_PARALLEL = 1e-10  # cosine less than one by this is rounding
_OTHER = 1e-3  # relative difference of ratios that is none


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Rows of a trial.

    Attributes
    ----------
    outcome, treatment, propensity : (n,) arrays
        Treatment 0/1 and its known probability.
    covariates : (n, p) array
        Encoded; constant columns are left out.
    covariate_names : tuple of str
        Of the columns as encoded, without flags.
    levels : mapping
        Levels of the covariates that are categories, as text; the first has no column.
    image : (n,) int array
        Number of the image of each row; of the row where there are no images.
    groups : (n,) int array
        Rows that stay in one part of the split.
    clusters : (n,) int array or None
        Within which errors may be dependent.
    cluster_name : str
    imputer : transformer or None
        What filled in missing covariates, which then have its flags behind them.
    strata : (n,) int array or None
        Within which the treatment was drawn. Small blocks with a set number of treated units and
        about one propensity are one.
    design : (n, q) array or None
        Columns of the baseline for strata and propensities.
    assigned : (n,) int array or None
        Number of what was treated as one, where groups hold blocks of several such.
    """

    outcome: Floats
    treatment: Floats
    propensity: Floats
    covariates: Floats
    covariate_names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    image: Ints
    groups: Ints
    clusters: Ints | None
    cluster_name: str
    imputer: Any = None
    strata: Ints | None = None
    design: Floats | None = None
    assigned: Ints | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return self.outcome.size

    @property
    def baseline(self) -> Floats:
        """Covariates, then what the design says ``(n, p + q)``."""
        return self.covariates if self.design is None else np.hstack([self.covariates, self.design])

    def parts(self, shares: tuple[float, float, float], *, seed: int) -> Parts:
        """Training, selection and evaluation rows, drawn by group.

        Raises
        ------
        ArgumentError, DataError
            As :func:`~causalkit.images.splits.split`.
        """
        rng = stream(seed, "split")
        return split(self.groups, self.treatment, self.image, shares=shares, rng=rng)


def take_units(
    data: CausalData,
    *,
    image: Ints,
    twins: Ints | None,
    store: ImageStore | None,
    propensity: Any,
    spatial_block_km: float | None,
) -> Units:
    """Arrays of a data set, checked for what would spoil a trial.

    Parameters
    ----------
    data : CausalData
    image : (n,) int array
        Number of the image of each row.
    twins : (n,) int array or None
        Number of the first image with the same pixels, equal for rows of one image.
    store : ImageStore or None
        Holds the coordinates of places.
    propensity : None, float or str
        Known probability of treatment: one number, or the name of a column. None takes the treated
        share, within strata if the data have some; clusters or images whose units are treated
        alike count once.
    spatial_block_km : float or None
        Width of blocks that stay together.

    Raises
    ------
    ArgumentError, DataError
    """
    treatment = data.column("treatment")
    named: tuple[str, ...] = data.matrix_names("covariates")
    matrix = data.matrix("covariates") if named else np.empty((data.n, 0))
    problems = list(_coded_by_treatment(matrix, named, treatment, "covariate"))
    # Types and baseline may be read from the modifiers, even if nothing is from the covariates.
    problems += [
        problem
        for problem in _coded_by_treatment(
            data.matrix("modifiers"), data.matrix_names("modifiers"), treatment, "modifier"
        )
        if problem.column not in named
    ]
    if problems:
        raise DataError(problems)
    matrix, named = _varying(matrix, named)
    labels: list[Any] = [image] if twins is None else [image, twins]
    declared = data.clusters()
    if len(declared) > 1:
        raise ArgumentError(
            f"the trial has two cluster columns ({', '.join(data.roles.cluster)}), and one is "
            "taken: that of the assignment. data.with_roles(cluster=...)."
        )
    labels.extend(declared)
    if spatial_block_km is not None:
        labels.append(_blocks(store, image, spatial_block_km))
    groups = connected(*labels)
    clusters, name = (declared[0], data.roles.cluster[0]) if declared else (None, "image")
    # Twins stand for one place: rows of either may share a shock.
    alike = np.unique(image if twins is None else twins, return_inverse=True)[1].astype(np.int64)
    # Checked over all rows here: once they are split, messages would number those of a part.
    together = {name: declared[0]} if declared else {}
    together |= {"image": alike}
    chance = as_propensity(_propensity(data, treatment, propensity, together), data.n)
    strata = None if data.roles.strata is None else data.codes("strata")
    if propensity is not None:
        name_of_strata = f"their {data.roles.strata!r}"
        check_propensity(Assignment(treatment, chance, groups, strata, name_of_strata))
    if clusters is None and int(alike.max()) + 1 < data.n:
        clusters = alike
        warn_if_assigned_by_image(image, treatment, chance)
    found = Units(
        outcome=data.column("outcome"),
        treatment=treatment,
        propensity=chance,
        covariates=matrix,
        covariate_names=named,
        levels=levels_of(data, "covariates"),
        image=image,
        groups=groups,
        clusters=clusters,
        cluster_name=name,
        strata=strata,
    )
    if strata is None:
        return found
    assigned = np.arange(data.n) if not declared else declared[0]
    return _with_whole_blocks(found, assigned, str(data.roles.strata))


def _with_whole_blocks(units: Units, assigned: Ints, name: str) -> Units:
    """Units whose small blocks stay in one part and cluster errors, beside what does already."""
    assert units.strata is not None
    found = whole_blocks(
        units.strata, assigned, units.propensity, units.treatment, units.groups, name
    )
    if found is None:
        return units
    units = replace(units, groups=found.groups, strata=found.strata)
    if found.clusters is None:
        return units
    if units.clusters is None:
        clusters, names = connected(found.clusters), name
    else:
        clusters = connected(units.clusters, found.clusters)
        names = f"{units.cluster_name} and {name}"
    return replace(units, clusters=clusters, cluster_name=names, assigned=assigned)


def _coded_by_treatment(
    matrix: Floats, names: tuple[str, ...], t: Floats, role: str
) -> Iterator[Problem]:
    """Columns that hold the treatment: zero in one arm, as the treatment or a product with it.

    A rare dummy may have no untreated row by chance; what chance would hardly do is refused. What
    is missing in one arm counts as zero there: its flag would be the treatment.
    """
    gaps = np.asarray(np.isnan(matrix).any(axis=0))
    matrix = np.nan_to_num(matrix, nan=0.0, posinf=np.inf, neginf=-np.inf)
    for column, name, gap in zip(matrix.T, names, gaps, strict=True):
        absent = "zero or missing" if gap else "zero"
        size = np.abs(column)
        there = size > _LEAK * size.max()
        for arm, word in ((0.0, "zero"), (1.0, "one")):
            if not np.ptp(column) or there[t == arm].any():
                continue
            if (t != arm).mean() ** int(there.sum()) < _CHANCE:
                message = (
                    f"{role} {name!r} is {absent} wherever the treatment is {word}: a "
                    f"post-treatment or treatment-coded {role}, which would take a share of the "
                    "effect. Leave it out."
                )
                yield Problem("E20-leak", message, name)
    for first, second in _proportional_within_arms(matrix, t):
        message = (
            f"{role}s {names[first]!r} and {names[second]!r} are multiples of each other within "
            "each arm, and by another factor in the other: one is a product with the treatment, "
            "which would take a share of the effect. Leave it out."
        )
        yield Problem("E20-leak", message, names[second])


def _proportional_within_arms(matrix: Floats, t: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of columns whose ratio is one number among the treated and another among controls.

    So is a covariate to its product with a treatment that is coded -1 and 1, or centred.
    """
    if not matrix.size:
        return
    found = np.ones((matrix.shape[1],) * 2, dtype=bool)
    ratios, chance = [], np.ones(matrix.shape[1])
    for arm in (0.0, 1.0):
        mine = matrix[t == arm] / np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)
        gram = mine.T @ mine
        own = np.maximum(np.diag(gram), np.finfo(float).tiny)
        found &= np.abs(gram) >= (1.0 - _PARALLEL) * np.sqrt(np.outer(own, own))
        ratios.append(gram / own[:, None])
        chance *= (t == arm).mean() ** (mine != 0.0).sum(axis=0)
    apart = np.abs(ratios[0] - ratios[1]) > _OTHER * np.maximum(*np.abs(ratios))
    found &= apart & (chance < _CHANCE)
    yield from zip(*(ends.tolist() for ends in np.nonzero(np.triu(found, 1))), strict=True)


def _varying(matrix: Floats, names: tuple[str, ...]) -> tuple[Floats, tuple[str, ...]]:
    # Where values are missing, at least that varies.
    moves = ~(np.ptp(matrix, axis=0) == 0) if matrix.size else np.zeros(0, dtype=bool)
    if not moves.all():
        gone = [name for name, kept in zip(names, moves, strict=True) if not kept]
        warn(
            f"covariates {', '.join(map(repr, gone))} are constant and left out.",
            DroppedRowsWarning,
        )
    return matrix[:, moves], tuple(n for n, kept in zip(names, moves, strict=True) if kept)


def _propensity(
    data: CausalData, treatment: Floats, given: Any, together: Mapping[str, Ints]
) -> Floats:
    """As given, or the treated share, of the first of ``together`` that was treated as one."""
    if given is None:
        strata = None if data.roles.strata is None else data.codes("strata")
        whole = next(
            (
                name
                for name, labels in together.items()
                if is_assigned_as_one(labels, treatment, strata)
            ),
            None,
        )
        if strata is not None:
            once = "" if whole is None else f", each {whole!r} counted once"
            warn(
                f"the propensity is not given and taken as the treated share of each "
                f"{data.roles.strata!r}{once}; pass propensity= if the design says otherwise.",
                CausalKitWarning,
            )
        return treated_share(treatment, strata, None if whole is None else together[whole])
    if isinstance(given, str):
        if given not in data.frame:
            raise ArgumentError(
                f"propensity={given!r} is no column of the data; give it the role extra when "
                f'building them: extra=["{given}"].'
            )
        return _checked_column(data, given)
    if isinstance(given, bool) or not isinstance(given, Real) or not 0.0 < float(given) < 1.0:
        raise ArgumentError(
            "propensity must be a number inside (0, 1), the name of a column or None; got "
            f"{given!r}."
        )
    return np.full(data.n, float(given))


def _checked_column(data: CausalData, name: str) -> Floats:
    """Propensities of a column, refused where a row could not have been in both arms."""
    try:
        found = data.frame[name].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"propensity column {name!r} does not hold numbers: {error}."
        ) from error
    wrong = np.flatnonzero(~((found > 0.0) & (found < 1.0)))
    if wrong.size:
        raise IdentificationError(
            f"propensity column {name!r} must lie inside (0, 1): {wrong.size} rows do not (first: "
            f"{_shown(wrong, found)}); leave these rows out."
        )
    return np.asarray(found)


def _shown(rows: Ints, values: Floats) -> str:
    return ", ".join(f"row {row} with {values[row]:g}" for row in rows[:3].tolist())


def _blocks(store: ImageStore | None, image: Ints, km: float) -> Ints:
    coords = {} if store is None else store.pixels.coords
    if "lon" not in coords or "lat" not in coords:
        raise ArgumentError(
            "spatial_block_km needs the places of the images; add coordinates lon and lat along "
            "the dimension of the images."
        )
    assert store is not None
    dim = key_dimension(store.pixels)
    # Images that no row has may lack a place, and do not move the mean latitude.
    used, of_row = np.unique(image, return_inverse=True)
    lon, lat = (
        store.pixels[name].transpose(dim).values[used].astype(np.float64) for name in ("lon", "lat")
    )
    lost = used[~np.isfinite(lon + lat)]
    if lost.size:
        first = ", ".join(map(repr, np.asarray(store.keys)[lost[:3]].tolist()))
        message = (
            f"{lost.size} images have no lon or lat, which spatial_block_km needs (first: "
            f"{first}); fill them, or leave these places out."
        )
        raise DataError(Problem("E15-image-nonfinite", message, store.name))
    _check_degrees(store, used, lon, lat)
    return spatial_blocks(lon, lat, km)[of_row]


def _check_degrees(store: ImageStore, used: Ints, lon: Floats, lat: Floats) -> None:
    for name, values, most in (("lon", lon, _MOST_LON), ("lat", lat, _MOST_LAT)):
        wrong = np.flatnonzero(np.abs(values) > most)
        if wrong.size:
            key = np.asarray(store.keys)[used[wrong[:1]]].tolist()[0]
            message = (
                f"coordinate {name!r} is no angle in degrees at {wrong.size} of {used.size} images "
                f"(first: {values[wrong[0]]:g} at {key!r}, beyond {most:g}): spatial_block_km "
                "needs longitude and latitude, and metres of a projection are none. Reproject "
                "them to EPSG:4326."
            )
            raise DataError(Problem("E15-image-nonfinite", message, store.name))

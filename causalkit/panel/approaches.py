"""What each approach gives to the nuisance learners, and what it does to their residuals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from causalkit.data.panel import demean, unit_means
from causalkit.errors import ArgumentError, DroppedRowsWarning, IdentificationError
from causalkit.nuisance.features import (
    BasisFeatures,
    DenseFeatures,
    DifferencedFeatures,
    Features,
    TableFeatures,
)
from causalkit.panel.design import (
    Design,
    Options,
    Sight,
    Terms,
    make_terms,
    mundlak_parts,
    period_code,
    sight,
    time_parts,
    treatment_mean_part,
)
from causalkit.panel.mundlak import dummy_means, period_dummies, unit_moments
from causalkit.panel.sample import PanelSample, adjacent_rows, differenced
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

_MAX_DUMMIES = 5000


@dataclass(frozen=True, slots=True)
class Centred:
    """Residuals as deviations from their unit means; an object, so that a fit can be saved."""

    unit: Ints
    weights: Floats | None

    def __call__(self, residuals: Floats) -> Floats:
        """Centre ``(n, n_rep)`` residuals."""
        return demean(residuals, self.unit, weights=self.weights)


@dataclass(frozen=True, slots=True)
class CentredTreatment:
    """Predictions that leave treatment residuals unit means of zero (Clarke & Polselli 2026)."""

    unit: Ints
    weights: Floats | None

    def __call__(self, hats: Floats, target: Floats) -> Floats:
        """Adjust ``(n, n_rep)`` predictions of a ``(n,)`` target."""
        residual_mean = unit_means(target[:, None] - hats, self.unit, weights=self.weights)
        return np.asarray(hats + residual_mean[self.unit])


def _levels(terms: Terms, outcome: Sight, **more: Any) -> Design:
    """Design whose targets are the variables themselves."""
    sample = terms.sample
    more.setdefault("treatment", outcome)
    return Design(sample, sample.y, sample.d, sample.z, outcome, notes=terms.notes, **more)


def _pooled(sample: PanelSample, options: Options) -> Design:
    terms = make_terms(sample, options)

    def parts(compact: bool) -> list[Features]:  # noqa: FBT001 - a recipe, called by sight()
        return [terms.rows(compact=compact), *time_parts(terms, options, mundlak=False)]

    return _levels(terms, sight(parts, terms, products=terms.products()))


def _mundlak(terms: Terms, options: Options, *, treatment_mean: bool) -> Sight:
    def parts(compact: bool) -> list[Features]:  # noqa: FBT001 - a recipe, called by sight()
        found = mundlak_parts(terms, options, compact=compact)
        return [*found, treatment_mean_part(terms.sample)] if treatment_mean else found

    return sight(parts, terms, products=terms.product_deviations(), rows=terms.deviations())


def _cre(sample: PanelSample, options: Options) -> Design:
    terms = make_terms(sample, options)
    return _levels(terms, _mundlak(terms, options, treatment_mean=options.treatment_mean))


def _cre_normal(sample: PanelSample, options: Options) -> Design:
    terms = make_terms(sample, options)
    return _levels(
        terms,
        _mundlak(terms, options, treatment_mean=False),
        treatment=_mundlak(terms, options, treatment_mean=options.treatment_mean),
    )


def _cre_general(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = make_terms(sample, options)
    seen = _mundlak(terms, options, treatment_mean=False)
    return _levels(terms, seen, adjust=CentredTreatment(sample.unit, sample.weights))


def _hybrid(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = make_terms(sample, options)
    seen = _mundlak(terms, options, treatment_mean=False)
    return _levels(
        terms, seen, after=Centred(sample.unit, sample.weights), n_absorbed=sample.n_units
    )


def _late_within(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    pooled = _pooled(sample, options)
    return replace(pooled, after=Centred(sample.unit, sample.weights), n_absorbed=sample.n_units)


def _within(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = make_terms(sample, options)
    _warn_constant(sample)

    def parts(compact: bool) -> list[Features]:  # noqa: FBT001 - a recipe, called by sight()
        columns = terms.varying(compact=compact)
        rows: Features
        if terms.basis is None:
            rows = DenseFeatures(sample.x[:, columns])
        else:
            rows = BasisFeatures(sample.x, terms.basis, columns)
        means = TableFeatures(terms.moments.means[:, columns], sample.unit)
        found: list[Features] = [DifferencedFeatures(rows, means)]
        if options.time_effects is not None:
            code = period_code(sample)
            found.append(DifferencedFeatures(period_dummies(code), dummy_means(sample, code)))
        return found

    def centred(values: Floats) -> Floats:
        return demean(values, sample.unit, weights=sample.weights)

    seen = sight(parts, terms, products=terms.product_deviations())
    return Design(
        sample,
        centred(sample.y[:, None])[:, 0],
        centred(sample.d),
        centred(sample.z),
        seen,
        seen,
        transformed=True,
        n_absorbed=sample.n_units,
        notes=(*terms.notes, *_dummies_note(options)),
    )


def _dummies_note(options: Options) -> tuple[str, ...]:
    if options.time_effects in ("means", "both"):
        return ("Period effects enter this approach as dummies.",)
    return ()


def _warn_constant(sample: PanelSample) -> None:
    p = sample.x.shape[1]
    varies = unit_moments(sample.x, None, p, sample.unit, sample.weights).varies
    constant = [sample.covariate_names[column] for column in np.flatnonzero(~varies)]
    if constant:
        warn(
            f"{', '.join(constant)}: constant within every unit, so deviations from unit means "
            "are zero; left out of this approach. approach='cre' can use them.",
            DroppedRowsWarning,
        )


def _first_difference(sample: PanelSample, options: Options) -> Design:
    if sample.period is None:
        raise ArgumentError(
            'approach="fd" needs the period of every row: name the time column when building the '
            'data, CausalData.from_frame(..., time="...").'
        )
    terms = make_terms(sample, options)
    later = adjacent_rows(sample)
    _warn_gaps(sample)
    if later.size == 0:
        raise IdentificationError(
            "no unit is seen in two adjacent periods, so there is nothing to difference. If the "
            "periods are more than one apart, give their step: CausalData.from_frame(..., freq=2)."
        )
    earlier = later - 1
    kept = differenced(sample, later)
    now = replace(terms, sample=kept)
    before = replace(terms, sample=replace(sample, x=sample.x[earlier]))

    def parts(compact: bool) -> list[Features]:  # noqa: FBT001 - a recipe, called by sight()
        found = [now.rows(compact=compact), before.rows(compact=compact)]
        if options.time_effects is not None:
            found.append(period_dummies(period_code(kept)))
        return found

    products, earlier_products = now.products(), before.products()
    if products is not None and earlier_products is not None:
        products = DifferencedFeatures(products, earlier_products)
    seen = sight(parts, now, products=products)
    return Design(
        kept,
        sample.y[later] - sample.y[earlier],
        sample.d[later] - sample.d[earlier],
        sample.z[later] - sample.z[earlier],
        seen,
        seen,
        transformed=True,
        notes=(*terms.notes, *_dummies_note(options)),
    )


def _warn_gaps(sample: PanelSample) -> None:
    period = sample.period if sample.period is not None else np.empty(0, dtype=np.int64)
    gaps = int(((np.diff(sample.unit) == 0) & (np.diff(period) > 1)).sum())
    if gaps:
        warn(
            f"{gaps} gaps between a unit's periods: differences are taken between adjacent periods "
            "only, so the rows after a gap are left out. If periods are more than one apart by "
            "design, give their step: CausalData.from_frame(..., freq=...).",
            DroppedRowsWarning,
        )


def _dummies(sample: PanelSample, options: Options) -> Design:
    if sample.n_units > _MAX_DUMMIES:
        raise ArgumentError(
            f'approach="dummies" makes one column per unit ({sample.n_units}; at most '
            f'{_MAX_DUMMIES}); approach="cre" uses the same information in a few columns.'
        )
    terms = make_terms(sample, options)

    def parts(compact: bool) -> list[Features]:  # noqa: FBT001 - a recipe, called by sight()
        dummies = TableFeatures(np.eye(sample.n_units), sample.unit)
        time = time_parts(terms, options, mundlak=False)
        return [terms.rows(compact=compact), dummies, *time]

    return _levels(terms, sight(parts, terms, products=terms.products()))


def _chamberlain(sample: PanelSample, options: Options) -> Design:
    design = _cre(sample, replace(options, mundlak_terms="chamberlain"))
    note = "Chamberlain terms: every period's covariates as they are; no dictionary."
    return replace(design, notes=(*design.notes, note))


def _without_singletons(sample: PanelSample) -> PanelSample:
    """Drop units seen once: they say nothing about changes within units."""
    single = sample.history_lengths() == 1
    if not single.any():
        return sample
    if single.all():
        raise IdentificationError(
            "every unit is seen once, so nothing varies within units; check that `unit` names the "
            "panel unit and not the row."
        )
    warn(
        f"{int(single.sum())} units are seen only once and are left out: they hold no variation "
        "within units.",
        DroppedRowsWarning,
    )
    return sample.keep(~single[sample.unit], "unit seen only once")


APPROACHES: dict[str, Callable[[PanelSample, Options], Design]] = {
    "cre": _cre,
    "cre_normal": _cre_normal,
    "cre_general": _cre_general,
    "hybrid": _hybrid,
    "chamberlain": _chamberlain,
    "within": _within,
    "late_within": _late_within,
    "fd": _first_difference,
    "dummies": _dummies,
    "pooled": _pooled,
}

ALIASES = {
    "mundlak": "cre",
    "wg_approx": "within",
    "wg-approx": "within",
    "early_within": "within",
    "fd_exact": "fd",
    "fd-exact": "fd",
}

# Approaches that rest on variation of the treatment within units.
WITHIN_BASED = frozenset(APPROACHES) - {"pooled"}

# Approaches whose targets are differences or deviations.
TRANSFORMED = ("within", "fd")

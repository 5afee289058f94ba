"""What each approach gives to the nuisance learners, and what it does to their residuals."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, DroppedRowsWarning, IdentificationError
from causalkit.nuisance.features import (
    BasisFeatures,
    DenseFeatures,
    DifferencedFeatures,
    Features,
    JoinedFeatures,
    TableFeatures,
)
from causalkit.panel.basis import Basis, make_basis
from causalkit.panel.mundlak import (
    UnitMoments,
    demean,
    dummy_means,
    history,
    means_by,
    period_dummies,
    unit_moments,
)
from causalkit.panel.sample import PanelSample, adjacent_rows
from causalkit.typing import Floats, Ints
from causalkit.warn import warn

MUNDLAK_TERMS = ("basis", "means", "means+std", "chamberlain")
TIME_EFFECTS = ("dummies", "means", "both")
_MAX_DUMMIES = 5000


@dataclass(frozen=True, slots=True)
class Options:
    """Choices that shape the features.

    Attributes
    ----------
    mundlak_terms : str
        ``"basis"`` (means of b(x)), ``"means"`` (the paper's), ``"means+std"``,
        ``"chamberlain"``.
    basis : str or transformer
        Dictionary b for ``"basis"``.
    time_effects : str or None
        ``"dummies"``, ``"means"``, ``"both"``.
    panel_length : bool
        Add the number of rows of a unit as a feature of unbalanced panels.
    treatment_mean : bool
        Whether the treatment mean enters (not in IV models, where the treatment is endogenous).
    """

    mundlak_terms: str = "basis"
    basis: Any = "cubic"
    time_effects: str | None = None
    panel_length: bool = True
    treatment_mean: bool = True


@dataclass(frozen=True, slots=True)
class Design:
    """Targets, features and residual steps of one approach.

    Attributes
    ----------
    sample : PanelSample
        Rows that take part.
    y, d, z : arrays (n,), (n, k), (n, L)
        Targets of the outcome, treatment and instrument regressions.
    outcome_features, treatment_features : Features
        What each regression sees; the same object where the sets agree.
    adjust : callable or None
        Maps treatment predictions ``(n, n_rep)`` and their target to adjusted predictions.
    after : callable or None
        Maps residuals ``(n, n_rep)`` to the residuals of the last step.
    transformed : bool
        Whether the targets are differences or deviations, for which no classifier can serve.
    notes : tuple of str
        Facts for the summary.
    """

    sample: PanelSample
    y: Floats
    d: Floats
    z: Floats
    outcome_features: Features
    treatment_features: Features
    adjust: Callable[[Floats, Floats], Floats] | None = None
    after: Callable[[Floats], Floats] | None = None
    transformed: bool = False
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Terms:
    """The row-level terms of a sample and their unit moments."""

    sample: PanelSample
    basis: Basis | None
    moments: UnitMoments
    names: tuple[str, ...]

    @property
    def rows(self) -> Features:
        """Row-level terms."""
        x = self.sample.x
        if self.basis is None:
            return DenseFeatures(x)
        return BasisFeatures(x, self.basis, np.arange(self.moments.means.shape[1]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the basis left out."""
        return () if self.basis is None else self.basis.notes


def _terms(sample: PanelSample, options: Options) -> _Terms:
    basis = None
    names = sample.covariate_names
    if options.mundlak_terms == "basis" and sample.x.shape[1] > 0:
        basis = make_basis(options.basis, sample.x)
        names = basis.names(names)
    n_terms = sample.x.shape[1] if basis is None else basis.n_terms
    moments = unit_moments(sample.x, basis, n_terms, sample.unit, sample.weights)
    return _Terms(sample, basis, moments, names)


def _join(parts: list[Features], n: int) -> Features:
    """Features side by side; a constant where there are none, so that every learner can fit."""
    kept = tuple(part for part in parts if part.n_features > 0)
    if not kept:
        return DenseFeatures(np.ones((n, 1)))
    return kept[0] if len(kept) == 1 else JoinedFeatures(kept)


def _period_code(sample: PanelSample) -> Ints:
    if sample.period is None:
        raise ArgumentError(
            "time_effects needs the period of every row: name the time column when building the "
            'data, CausalData.from_frame(..., time="...").'
        )
    return np.unique(sample.period, return_inverse=True)[1]


def _time_parts(terms: _Terms, options: Options, *, mundlak: bool) -> list[Features]:
    """Period dummies and period means; with unit means of dummies where Mundlak terms need them."""
    sample = terms.sample
    if options.time_effects is None:
        return []
    code = _period_code(sample)
    parts: list[Features] = []
    if options.time_effects in ("dummies", "both"):
        parts.append(period_dummies(code))
        if mundlak and not sample.balanced():
            parts.append(dummy_means(sample, code))
    if options.time_effects in ("means", "both"):
        values = sample.x if terms.basis is None else terms.basis(sample.x)
        if mundlak and options.treatment_mean:
            values = np.hstack([values, sample.d])
        parts.append(TableFeatures(means_by(values, code, sample.weights), code))
    return parts


def _mundlak_parts(terms: _Terms, options: Options) -> list[Features]:
    """Row-level terms with their unit means, and whatever else stands for the unit's history."""
    sample, moments = terms.sample, terms.moments
    parts: list[Features] = [terms.rows]
    if options.mundlak_terms == "chamberlain":
        if not sample.balanced():
            raise ArgumentError(
                "Chamberlain terms need every unit in every period, but this panel is unbalanced; "
                'use mundlak_terms="basis" or "means".'
            )
        parts.append(history(sample.x[:, moments.varies], sample))
    else:
        parts.append(TableFeatures(moments.means[:, moments.varies], sample.unit))
    if options.mundlak_terms == "means+std":
        parts.append(TableFeatures(moments.spread[:, moments.varies], sample.unit))
    lengths = sample.lengths()
    if options.panel_length and (lengths != lengths[0]).any():
        parts.append(TableFeatures(lengths[:, None].astype(np.float64), sample.unit))
    if sample.z.shape[1]:
        parts.append(TableFeatures(means_by(sample.z, sample.unit, sample.weights), sample.unit))
    return parts + _time_parts(terms, options, mundlak=True)


def _treatment_mean(sample: PanelSample) -> Features:
    return TableFeatures(means_by(sample.d, sample.unit, sample.weights), sample.unit)


def _plain(sample: PanelSample, features: Features, terms: _Terms, **more: Any) -> Design:
    more.setdefault("treatment_features", features)
    return Design(sample, sample.y, sample.d, sample.z, features, notes=terms.notes, **more)


def _pooled(sample: PanelSample, options: Options) -> Design:
    terms = _terms(sample, options)
    parts = [terms.rows, *_time_parts(terms, options, mundlak=False)]
    return _plain(sample, _join(parts, sample.n), terms)


def _cre(sample: PanelSample, options: Options) -> Design:
    terms = _terms(sample, options)
    parts = _mundlak_parts(terms, options)
    if options.treatment_mean:
        parts.append(_treatment_mean(sample))
    return _plain(sample, _join(parts, sample.n), terms)


def _cre_normal(sample: PanelSample, options: Options) -> Design:
    terms = _terms(sample, options)
    parts = _mundlak_parts(terms, options)
    with_mean = [*parts, _treatment_mean(sample)] if options.treatment_mean else parts
    return _plain(
        sample,
        _join(parts, sample.n),
        terms,
        treatment_features=_join(with_mean, sample.n),
    )


def _cre_general(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = _terms(sample, options)
    features = _join(_mundlak_parts(terms, options), sample.n)

    def adjust(hats: Floats, target: Floats) -> Floats:
        # Treatment residuals get unit means of zero (Clarke & Polselli 2025).
        residual_mean = means_by(target[:, None] - hats, sample.unit, sample.weights)
        return np.asarray(hats + residual_mean[sample.unit])

    return _plain(sample, features, terms, adjust=adjust)


def _demeaning(sample: PanelSample) -> Callable[[Floats], Floats]:
    def after(residuals: Floats) -> Floats:
        return demean(residuals, sample.unit, sample.weights)

    return after


def _hybrid(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = _terms(sample, options)
    features = _join(_mundlak_parts(terms, options), sample.n)
    return _plain(sample, features, terms, after=_demeaning(sample))


def _late_within(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    return replace(_pooled(sample, options), after=_demeaning(sample))


def _within(sample: PanelSample, options: Options) -> Design:
    sample = _without_singletons(sample)
    terms = _terms(sample, options)
    varies = np.flatnonzero(terms.moments.varies)
    _warn_constant(terms)
    rows, means = terms.rows, TableFeatures(terms.moments.means[:, varies], sample.unit)
    if isinstance(rows, BasisFeatures):
        rows = replace(rows, columns=varies)
    else:
        rows = DenseFeatures(sample.x[:, varies])
    parts: list[Features] = [DifferencedFeatures(rows, means)]
    if options.time_effects is not None:
        code = _period_code(sample)
        parts.append(DifferencedFeatures(period_dummies(code), dummy_means(sample, code)))
    features = _join(parts, sample.n)

    def centred(values: Floats) -> Floats:
        return demean(values, sample.unit, sample.weights)

    return Design(
        sample,
        centred(sample.y[:, None])[:, 0],
        centred(sample.d),
        centred(sample.z),
        features,
        features,
        transformed=True,
        notes=terms.notes,
    )


def _warn_constant(terms: _Terms) -> None:
    p = terms.sample.x.shape[1]
    constant = [terms.sample.covariate_names[j] for j in range(p) if not terms.moments.varies[j]]
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
    terms = _terms(sample, options)
    later = adjacent_rows(sample)
    _warn_gaps(sample)
    if later.size == 0:
        raise IdentificationError(
            "no unit is seen in two adjacent periods, so there is nothing to difference. If the "
            "periods are more than one apart, give their step: CausalData.from_frame(..., freq=2)."
        )
    mask = np.zeros(sample.n, dtype=bool)
    mask[later] = True
    earlier = later - 1
    lag = replace(sample, x=sample.x[earlier])
    kept = sample.keep(mask, "no adjacent earlier period")
    now, before = replace(terms, sample=kept).rows, replace(terms, sample=lag).rows
    parts = [now, before]
    if options.time_effects is not None:
        parts.append(period_dummies(_period_code(kept)))
    features = _join(parts, kept.n)
    return Design(
        kept,
        sample.y[later] - sample.y[earlier],
        sample.d[later] - sample.d[earlier],
        sample.z[later] - sample.z[earlier],
        features,
        features,
        transformed=True,
        notes=terms.notes,
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
    terms = _terms(sample, options)
    parts = [terms.rows, TableFeatures(np.eye(sample.n_units), sample.unit)]
    parts += _time_parts(terms, options, mundlak=False)
    return _plain(sample, _join(parts, sample.n), terms)


def _chamberlain(sample: PanelSample, options: Options) -> Design:
    return _cre(sample, replace(options, mundlak_terms="chamberlain"))


def _without_singletons(sample: PanelSample) -> PanelSample:
    """Drop units seen once: they say nothing about changes within units."""
    single = sample.lengths() == 1
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
WITHIN_BASED = frozenset(APPROACHES) - {"pooled", "dummies"}

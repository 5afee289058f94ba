"""Targets and features of a panel regression, assembled from Mundlak terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from causalkit.data.panel import unit_means
from causalkit.errors import ArgumentError
from causalkit.nuisance.basis import Basis, make_basis
from causalkit.nuisance.features import (
    BasisFeatures,
    DenseFeatures,
    DifferencedFeatures,
    Features,
    JoinedFeatures,
    TableFeatures,
)
from causalkit.panel.mundlak import (
    UnitMoments,
    history,
    period_dummies,
    unit_moments,
    varying_dummy_means,
)
from causalkit.panel.sample import PanelSample
from causalkit.typing import Floats, Ints

MUNDLAK_TERMS = ("basis", "means", "means+std", "chamberlain")
TIME_EFFECTS = ("dummies", "means", "both")


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
    seed : int
        Of a basis that draws at random.
    """

    mundlak_terms: str = "basis"
    basis: Any = "cubic"
    time_effects: str | None = None
    panel_length: bool = True
    treatment_mean: bool = True
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a regression sees, and the same in fewer columns for learners that make their own terms.

    Attributes
    ----------
    full : Features
        Dictionary terms with all their unit means.
    compact : Features
        Covariates with the unit means of the dictionary's powers, without products.
    wide : Features or None
        The full ones and the products that the dictionary leaves out.
    left_out : str or None
        Which products the full ones lack, and why.
    """

    full: Features
    compact: Features
    wide: Features | None = None
    left_out: str | None = None


def unchanged(residuals: Floats) -> Floats:
    """Residuals as they are."""
    return residuals


@dataclass(frozen=True, slots=True)
class Design:
    """Targets, features and residual steps of one approach.

    Attributes
    ----------
    sample : PanelSample
        Rows that take part.
    y, d, z : arrays (n,), (n, k), (n, L)
        Targets of the outcome, treatment and instrument regressions.
    outcome, treatment : Sight
        What each regression sees; the same object where the sets agree.
    adjust : callable or None
        Maps treatment predictions ``(n, n_rep)`` and their target to adjusted predictions.
    after : callable
        Maps residuals ``(n, n_rep)`` to the residuals of the last step.
    transformed : bool
        Whether the targets are differences or deviations, for which no classifier can serve.
    n_absorbed : int
        Unit effects that the residuals are freed of exactly, not by a learner.
    notes : tuple of str
        Facts for the summary.
    """

    sample: PanelSample
    y: Floats
    d: Floats
    z: Floats
    outcome: Sight
    treatment: Sight
    adjust: Callable[[Floats, Floats], Floats] | None = None
    after: Callable[[Floats], Floats] = unchanged
    transformed: bool = False
    n_absorbed: int = 0
    notes: tuple[str, ...] = field(default=())

    def absorbed(self, clusters: Sequence[Ints]) -> int:
        """Effects that a variance counts: none by clusters, whose sums are free of them."""
        return 0 if clusters else self.n_absorbed


@dataclass(frozen=True, slots=True)
class Terms:
    """The row-level terms of a sample and their unit moments.

    Attributes
    ----------
    sample : PanelSample
    basis : Basis or None
        None: the covariates as they are.
    moments : UnitMoments
        Of every term.
    """

    sample: PanelSample
    basis: Basis | None
    moments: UnitMoments

    @property
    def notes(self) -> tuple[str, ...]:
        """What the basis left out."""
        if self.basis is None or self.products() is None:
            return () if self.basis is None else self.basis.notes
        return tuple(f"{note}; learner='auto' tries them" for note in self.basis.notes)

    def rows(self, *, compact: bool) -> Features:
        """Row-level terms."""
        if self.basis is None or compact:
            return DenseFeatures(self.sample.x)
        return BasisFeatures(self.sample.x, self.basis, np.arange(self.basis.n_terms))

    def products(self) -> Features | None:
        """Row-level products that the dictionary leaves out, if a lasso can choose from them."""
        basis = None if self.basis is None else self.basis.too_many
        if basis is None or np.isnan(self.sample.x).any():
            return None
        return BasisFeatures(self.sample.x, basis, np.arange(basis.n_terms))

    def deviations(self) -> Features:
        """Row-level terms minus their unit means.

        Beside the unit means they span the same. But with the treatment's mean in the regression a
        treatment needs one deviation for each term that moves it, where it would need the term and
        its mean with the opposite sign: a lasso that misses the second leaves the unit's level in
        the residual.
        """
        means = np.where(self.moments.varies, self.moments.means, 0.0)
        return DifferencedFeatures(self.rows(compact=False), TableFeatures(means, self.sample.unit))

    def product_deviations(self) -> Features | None:
        """Products that the dictionary leaves out, minus their unit means."""
        rows = self.products()
        if rows is None or self.basis is None or self.basis.too_many is None:
            return None
        basis, sample = self.basis.too_many, self.sample
        moments = unit_moments(sample.x, basis, basis.n_terms, sample.unit, sample.weights)
        columns = np.flatnonzero(moments.varies)
        means = TableFeatures(moments.means[:, columns], sample.unit)
        return DifferencedFeatures(BasisFeatures(sample.x, basis, columns), means)

    def varying(self, *, compact: bool) -> Ints:
        """Positions of the terms that vary within units, whose means are worth a column."""
        varies = self.moments.varies.copy()
        if self.basis is not None and compact:
            kept = np.zeros_like(varies)
            kept[self.basis.without_pairs] = True
            varies &= kept
        return np.flatnonzero(varies)


def make_terms(sample: PanelSample, options: Options) -> Terms:
    """Set up the dictionary, if the options ask for one, and average it by unit."""
    basis = None
    if options.mundlak_terms == "basis" and sample.x.shape[1] > 0:
        if options.basis != "cubic" and np.isnan(sample.x).any():
            raise ArgumentError(
                f"basis={options.basis!r} cannot take missing covariates; use basis='cubic' or "
                "mundlak_terms='means', or impute before building the data."
            )
        basis = make_basis(
            options.basis,
            sample.x,
            seed=options.seed,
            weights=sample.weights,
            n_rows=sample.n_observations,
        )
    n_terms = sample.x.shape[1] if basis is None else basis.n_terms
    return Terms(sample, basis, unit_moments(sample.x, basis, n_terms, sample.unit, sample.weights))


def sight(
    make: Callable[[bool], list[Features]],
    terms: Terms,
    *,
    products: Features | None,
    rows: Features | None = None,
) -> Sight:
    """Full and compact features from one recipe; wide ones if products were left out.

    In the wide ones ``rows`` replaces the first part of the recipe, if it is given.
    """
    parts = make(False)
    full = join(parts, terms.sample.n)
    compact = full if terms.basis is None else join(make(True), terms.sample.n)
    wide = None
    if products is not None:
        wide = join([rows or parts[0], *parts[1:], products], terms.sample.n)
    left_out = next(iter(terms.basis.notes), None) if terms.basis is not None else None
    return Sight(full, compact, wide, left_out)


def join(parts: list[Features], n: int) -> Features:
    """Features side by side; a constant where there are none, so that every learner can fit."""
    kept = tuple(part for part in parts if part.n_features > 0)
    if not kept:
        return DenseFeatures(np.ones((n, 1)))
    return kept[0] if len(kept) == 1 else JoinedFeatures(kept)


def period_code(sample: PanelSample) -> Ints:
    """Codes 0..T-1 of the periods that occur."""
    if sample.period is None:
        raise ArgumentError(
            "time_effects needs the period of every row: name the time column when building the "
            'data, CausalData.from_frame(..., time="...").'
        )
    return sample.period_code


def time_parts(terms: Terms, options: Options, *, mundlak: bool) -> list[Features]:
    """Period dummies and period means; with unit means of dummies where Mundlak terms need them."""
    sample = terms.sample
    if options.time_effects is None:
        return []
    code = period_code(sample)
    parts: list[Features] = []
    if options.time_effects in ("dummies", "both"):
        parts.append(period_dummies(code))
        means = varying_dummy_means(sample, code) if mundlak else None
        parts += [] if means is None else [means]
    if options.time_effects in ("means", "both"):
        values = sample.x if terms.basis is None else terms.basis(sample.x)
        if mundlak:
            # What has unit means has period means: the treatments or, with instruments, those.
            values = np.hstack([values, sample.d if options.treatment_mean else sample.z])
        parts.append(TableFeatures(unit_means(values, code, weights=sample.weights), code))
    return parts


def mundlak_parts(terms: Terms, options: Options, *, compact: bool) -> list[Features]:
    """Row-level terms with their unit means, and whatever else stands for the unit's history."""
    sample, moments = terms.sample, terms.moments
    columns = terms.varying(compact=compact)
    parts: list[Features] = [terms.rows(compact=compact)]
    if options.mundlak_terms == "chamberlain":
        if not sample.balanced():
            raise ArgumentError(
                "Chamberlain terms need every unit in every period, but this panel is unbalanced; "
                'use mundlak_terms="basis" or "means".'
            )
        parts.append(history(sample.x[:, np.flatnonzero(moments.varies)], sample))
    else:
        parts.append(TableFeatures(moments.means[:, columns], sample.unit))
    if options.mundlak_terms == "means+std":
        parts.append(TableFeatures(moments.spread[:, columns], sample.unit))
    lengths = sample.history_lengths()
    if options.panel_length and (lengths != lengths[0]).any():
        parts.append(TableFeatures(lengths[:, None], sample.unit))
    if sample.z.shape[1]:
        means = unit_means(sample.z, sample.unit, weights=sample.weights)
        parts.append(TableFeatures(means, sample.unit))
    return parts + time_parts(terms, options, mundlak=True)


def treatment_mean_part(sample: PanelSample) -> Features:
    """Unit means of the treatments."""
    return TableFeatures(unit_means(sample.d, sample.unit, weights=sample.weights), sample.unit)

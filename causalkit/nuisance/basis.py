"""The dictionary b(x) whose unit means are the Mundlak terms of a flexible model.

Means of a basis, not a basis of means: if the treatment depends on x², its unit mean depends on
mean(x²), which no function of mean(x) recovers.
"""

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice
from causalkit.nuisance.learners import seeded
from causalkit.typing import Floats, Ints

BASES = ("cubic", "spline")

_MAX_PAIRS = 500
_MAX_CHOSEN_FROM = 1000  # products that a lasso may choose from: with 45 covariates 990
_ROWS_PER_FEATURE = 4
_CLIP = 5.0  # standard deviations beyond which powers stay constant, so outliers keep no leverage


@dataclass(frozen=True, slots=True)
class Products:
    """Pairwise products of standardised covariates, clipped as in :class:`Cubic`.

    Attributes
    ----------
    centre, scale : (p,) arrays
        Mean and standard deviation over all rows.
    pairs : (2, n_pairs) int array
        Columns that are multiplied.
    """

    centre: Floats
    scale: Floats
    pairs: Any

    @property
    def n_terms(self) -> int:
        """Number of products."""
        return int(self.pairs.shape[1])

    def __call__(self, x: Floats) -> Floats:
        """Map ``(m, p)`` covariates to ``(m, n_pairs)`` products."""
        z = np.clip((x - self.centre) / self.scale, -_CLIP, _CLIP)
        left, right = self.pairs
        return np.asarray(z[:, left] * z[:, right])


@dataclass(frozen=True)
class Cubic:
    """Powers up to three and pairwise products of standardised covariates.

    The "extended dictionary" of Clarke & Polselli (2026). Powers and products use values clipped
    at five standard deviations; the linear term is not clipped.

    Attributes
    ----------
    centre, scale : (p,) arrays
        Mean and standard deviation over all rows.
    powers : tuple of (column, power)
        Terms beyond the linear ones.
    pairs : (2, n_pairs) int array
        Columns that are multiplied.
    notes : tuple of str
        What was left out, and why.
    too_many : Products or None
        The products that were left out, for learners that can choose among more columns than rows;
        None if there are more than a thousand.
    """

    centre: Floats
    scale: Floats
    powers: tuple[tuple[int, int], ...]
    pairs: Any
    notes: tuple[str, ...] = field(default=())
    too_many: Products | None = None

    @property
    def n_terms(self) -> int:
        """Columns that the basis makes."""
        return int(self.centre.size + len(self.powers) + self.pairs.shape[1])

    @property
    def without_pairs(self) -> Ints:
        """Positions of the linear terms and powers."""
        return np.arange(self.centre.size + len(self.powers))

    def __call__(self, x: Floats) -> Floats:
        """Map ``(m, p)`` covariates to ``(m, n_terms)`` features."""
        p = self.centre.size
        out = np.empty((x.shape[0], self.n_terms))
        np.subtract(x, self.centre, out=out[:, :p])
        out[:, :p] /= self.scale
        z = np.clip(out[:, :p], -_CLIP, _CLIP)
        for index, (column, power) in enumerate(self.powers):
            out[:, p + index] = z[:, column] ** power
        left, right = self.pairs
        np.multiply(z[:, left], z[:, right], out=out[:, p + len(self.powers) :])
        return out

    def names(self, covariates: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the terms."""
        powers = [f"{covariates[column]}^{power}" for column, power in self.powers]
        products = [f"{covariates[a]}*{covariates[b]}" for a, b in self.pairs.T]
        return (*covariates, *powers, *products)


def cubic(x: Floats, *, weights: Floats | None = None, n_rows: float | None = None) -> Cubic:
    """Set up the cubic dictionary for covariates ``(n, p)``; NaNs are skipped.

    ``n_rows`` is the number of observations that the rows stand for, where that is another.
    """
    p = x.shape[1]
    n = x.shape[0] if n_rows is None else int(n_rows)
    centre, scale = _moments(x, weights)
    scale = np.where(scale > 0, scale, 1.0)
    powers = []
    for column in range(p):
        few = _distinct(x[:, column], 4)
        powers += [(column, power) for power in (2, 3) if few > power]
    pairs = np.asarray(list(combinations(range(p), 2)), dtype=np.int64).reshape(-1, 2).T
    count = pairs.shape[1]
    few_rows = 2 * (p + len(powers) + count) * _ROWS_PER_FEATURE > n
    if count == 0 or (count <= _MAX_PAIRS and not few_rows):
        return Cubic(centre, scale, tuple(powers), pairs)
    reason = f"more than {_MAX_PAIRS}" if count > _MAX_PAIRS else f"too many for {n} rows"
    notes = (f"basis without the {count} pairwise products ({reason})",)
    left_out = Products(centre, scale, pairs) if count <= _MAX_CHOSEN_FROM else None
    return Cubic(centre, scale, tuple(powers), pairs[:, :0], notes, left_out)


def _moments(x: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column without its NaNs."""
    if weights is None:
        return np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    share = np.where(np.isnan(x), 0.0, weights[:, None])
    share /= share.sum(axis=0)
    values = np.nan_to_num(x)
    centre = (share * values).sum(axis=0)
    return centre, np.sqrt((share * (values - centre) ** 2).sum(axis=0))


def _distinct(values: Floats, enough: int) -> int:
    """Count distinct values, up to ``enough``: a spread of rows settles most columns."""
    few = np.unique(values[:: max(values.size // 1000, 1)])
    found = few[~np.isnan(few)].size
    if found >= enough:
        return enough
    every = np.unique(values)
    return min(int(every[~np.isnan(every)].size), enough)


@dataclass(frozen=True)
class Transformer:
    """A fitted scikit-learn transformer as a basis."""

    fitted: Any
    n_terms: int
    notes: tuple[str, ...] = field(default=())
    too_many: None = None

    @property
    def without_pairs(self) -> Ints:
        """Positions of all terms: which of them are products is not known."""
        return np.arange(self.n_terms)

    def __call__(self, x: Floats) -> Floats:
        """Map ``(m, p)`` covariates to ``(m, n_terms)`` features."""
        return np.asarray(self.fitted.transform(x), dtype=np.float64)

    def names(self, covariates: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the terms."""
        if hasattr(self.fitted, "get_feature_names_out"):
            return tuple(str(name) for name in self.fitted.get_feature_names_out(list(covariates)))
        return tuple(f"b{index}" for index in range(self.n_terms))


Basis = Cubic | Transformer


def make_basis(
    basis: Any,
    x: Floats,
    *,
    seed: int = 0,
    weights: Floats | None = None,
    n_rows: float | None = None,
) -> Basis:
    """Basis from a name or a scikit-learn transformer, set up on all rows.

    Knots, means and scales come from covariates alone and from every row, so no outcome leaks
    and no held-out row is extrapolated to.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the name is unknown, or the object is no transformer or makes no finite columns.
    """
    if isinstance(basis, str):
        check_choice("basis", basis, BASES)
        if basis == "cubic":
            return cubic(x, weights=weights, n_rows=n_rows)
        return _transformer(_splines(), x, seed, sample_weight=weights)
    if isinstance(basis, type) or not callable(getattr(basis, "fit_transform", None)):
        raise ArgumentTypeError(
            f"basis must be one of {', '.join(map(repr, BASES))} or a scikit-learn transformer "
            f"instance, got {basis!r}."
        )
    return _transformer(basis, x, seed)


def _splines() -> Any:
    from sklearn.preprocessing import SplineTransformer

    # Constant beyond the outer knots: a cubic piece would explode there.
    return SplineTransformer(
        degree=3, n_knots=5, knots="quantile", extrapolation="constant", include_bias=False
    )


def _transformer(transformer: Any, x: Floats, seed: int, **fit_arguments: Any) -> Transformer:
    from sklearn.base import clone

    fitted = seeded(clone(transformer), seed).fit(x, **fit_arguments)
    sample = fitted.transform(x[: min(x.shape[0], 100)])
    dense = not hasattr(sample, "toarray") and np.ndim(sample) == 2
    if not dense or not np.isfinite(np.asarray(sample, dtype=np.float64)).all():
        raise ArgumentError(
            f"basis {type(transformer).__name__} must turn the covariates into a dense matrix of "
            "finite numbers; set sparse_output=False, or impute first."
        )
    return Transformer(fitted, sample.shape[1])

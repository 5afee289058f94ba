"""Rank-weighted average treatment effects: what a ranking of units by their effects is worth."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from causalkit.data.alignment import check_one_order
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    FewClustersWarning,
    check_choice,
    check_count,
    check_level,
)
from causalkit.heterogeneity.dr import as_column
from causalkit.inference.variance import FEW_CLUSTERS
from causalkit.metrics.ranking import DECILES, RankEffects, paired_rank_effects, rank_effects
from causalkit.results import EffectResult
from causalkit.results.effect import Backend
from causalkit.results.intervals import normal_p, quantile_value
from causalkit.results.numerals import count, decimals, interval, number
from causalkit.results.render import page_html, page_text
from causalkit.rng import RandomState, as_seed, stream
from causalkit.typing import Floats, Ints
from causalkit.warn import collect_warnings, warn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Target = Literal["AUTOC", "QINI"]
TARGETS = {
    "AUTOC": "mean of TOC(q) over q: led by the few with the largest effects",
    "QINI": "mean of q·TOC(q) over q: led by effects spread over many",
}
_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RateResult:
    """What a ranking is worth, or by how much one ranking is better than another.

    Attributes
    ----------
    target : {"AUTOC", "QINI"}
        Which mean of the TOC curve ``estimate`` is.
    effects : RankEffects
        AUTOC, QINI and TOC with their standard errors.
    n : int
        Rows that have weight.
    seed : int
        Of the half samples.
    name : str
        Of the ranking; of a difference, both.
    clustered : bool
        Whether half samples were of clusters.
    parts : tuple of RateResult
        Empty, or the two rankings of which this is the first minus the second.
    notes, warnings : tuple of str
        What was and was not checked; warnings raised.

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), JASA 120:38.
    """

    target: Target
    effects: RankEffects
    n: int
    seed: int
    name: str = ""
    clustered: bool = False
    parts: "tuple[RateResult, ...]" = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def estimate(self) -> float:
        """AUTOC or QINI, in units of the outcome."""
        return self.effects.autoc if self.target == "AUTOC" else self.effects.qini

    @property
    def std_error(self) -> float:
        """Standard error, from half samples."""
        return self.effects.autoc_se if self.target == "AUTOC" else self.effects.qini_se

    @property
    def std_err(self) -> float:
        """The same as ``std_error``."""
        return self.std_error

    @property
    def label(self) -> str:
        """What tables call this row: the name of the ranking, or the target if it has none."""
        return self.name or self.target

    @property
    def ratio(self) -> float:
        """Estimate over standard error; NaN where both are zero, as with all priorities equal."""
        return self.estimate / self.std_error if self.std_error > 0.0 else math.nan

    @property
    def n_clusters(self) -> int:
        """Clusters that were halved; rows where there are no clusters."""
        return self.effects.n_clusters

    @property
    def toc(self) -> pd.DataFrame:
        """TOC curve: ``q``, ``estimate``, ``std_err``, and pointwise 95 % ``conf_low/high``."""
        return self.curve(0.95)

    def curve(self, level: float = 0.95) -> pd.DataFrame:
        """TOC curve as in ``toc``, with pointwise intervals at another level."""
        reach = quantile_value("normal", level=check_level(level)) * self.effects.toc_se
        return pd.DataFrame(
            {
                "q": self.effects.q,
                "estimate": self.effects.toc,
                "std_err": self.effects.toc_se,
                "conf_low": self.effects.toc - reach,
                "conf_high": self.effects.toc + reach,
            }
        )

    def conf_int(self, level: float = 0.95) -> tuple[float, float]:
        """Normal confidence interval of the estimate."""
        reach = float(quantile_value("normal", level=check_level(level))) * self.std_error
        return self.estimate - reach, self.estimate + reach

    def p_value(self) -> float:
        """Two-sided p-value of a worth (or difference) of zero; NaN where ``ratio`` is."""
        return float(normal_p(self.ratio, kind="normal"))

    def summary(self) -> str:
        """Estimate, interval and TOC curve as text of at most 80 columns."""
        from causalkit.heterogeneity import rate_tables

        return page_text(rate_tables.page(self))

    def as_effects(self) -> EffectResult:
        """Estimates of both rankings, if there are two, and this one: what ``table`` takes."""
        from causalkit.heterogeneity import rate_tables

        return rate_tables.effects(self)

    def tidy(self, *, level: float | None = None, backend: Backend = "pandas") -> Any:
        """One row per ranking and their difference, with the columns that all results share."""
        return self.as_effects().tidy(level=level, backend=backend)

    def to_latex(self, *, booktabs: bool = True, caption: str = "", label: str = "") -> str:
        """Table of estimates as a LaTeX ``table`` with notes; needs the package booktabs."""
        return self.as_effects().to_latex(booktabs=booktabs, caption=caption, label=label)

    def to_markdown(self) -> str:
        """Table of estimates and notes as Markdown."""
        return self.as_effects().to_markdown()

    def to_html(self) -> str:
        """The summary as an HTML fragment, all text escaped."""
        from causalkit.heterogeneity import rate_tables

        return page_html(rate_tables.page(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, as of an ``EffectResult``; the TOC curve is in ``diagnostics``."""
        return self.as_effects().to_dict()

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as JSON; what is not finite becomes null."""
        return self.as_effects().to_json(indent=indent)

    def plot(self, *, ax: "Axes | None" = None, level: float = 0.95, title: str = "") -> "Axes":
        """TOC curve with its pointwise band; of a difference, both curves.

        Returns the axes, with the numbers drawn as ``plot_data``.
        """
        from causalkit.heterogeneity.plots_rate import plot_toc

        return plot_toc(self, ax=ax, level=level, title=title)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def __repr__(self) -> str:
        low, high = self.conf_int()
        places = decimals([self.std_error])
        numbers = f"{number(self.estimate, places)} {interval(low, high, places)}"
        return f"RateResult({self.target}{f' of {self.name}' if self.name else ''}: {numbers})"


def rank_average_treatment_effect(
    scores: Any,
    priorities: Any,
    *,
    target: Target = "AUTOC",
    q: Any = None,
    n_boot: int = 200,
    clusters: Any = None,
    sample_weight: Any = None,
    seed: RandomState = None,
    ids: Any = None,
    training_ids: Any = None,
) -> RateResult:
    """Rank-weighted average treatment effect (RATE) of a ranking, or of one against another.

    TOC(q) is the mean score of the fraction q with the largest priorities minus that of all: how
    much more they gain from treatment than everybody does. RATE is its mean over q (AUTOC) or that
    of q·TOC(q) (QINI). Zero means that the ranking finds no differences in effects.

    Parameters
    ----------
    scores : (n,) array
        Doubly robust scores, from :func:`dr_scores`.
    priorities : (n,) array, or (n, 2) array or frame
        Larger means treated earlier. They must come from other rows than these: a ranking that
        saw the outcomes of these rows looks good on them whatever it is worth. Two columns are two
        rankings, and the result is the first minus the second, with both as its ``parts``.
    target : {"AUTOC", "QINI"}
        AUTOC for few units with large effects, QINI for effects spread over many.
    q : array, optional
        Fractions in (0, 1] at which the curve is reported; default 0.1, 0.2, ..., 1. The target
        uses every row, whatever they are.
    n_boot : int
        Half samples for standard errors.
    clusters : (n,) array, optional
        Labels of rows that were sampled or assigned together, such as those of one image.
    sample_weight : (n,) array, optional
        Sampling weights; fractions are then of weight.
    seed : int, Generator, SeedSequence or None
        Of the half samples.
    ids, training_ids : arrays, optional
        Identifiers of these rows, and of those that the ranking was learned from; an identifier in
        both is an error.

    Returns
    -------
    RateResult

    Raises
    ------
    ArgumentError
        If lengths differ, row labels are the same in another order, values are missing, weights
        are negative, there are fewer than four clusters, or ids overlap.

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), JASA 120:38; the conventions for ties,
    weights and half samples are those of grf.

    Examples
    --------
    >>> result = rank_average_treatment_effect([1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4], seed=0)
    >>> result.estimate
    0.75
    """
    check_choice("target", target, TARGETS)
    check_count("n_boot", n_boot, least=2)
    by_row = {"scores": scores, "priorities": priorities, "clusters": clusters, "ids": ids}
    check_one_order(**by_row, sample_weight=sample_weight)
    score = as_column("scores", scores)
    n, seed = score.size, as_seed(seed)
    columns, names = _columns(priorities, n)
    weights = None if sample_weight is None else as_column("sample_weight", sample_weight, n)
    groups = None if clusters is None else as_clusters(clusters, n)
    notes = [_checked_ids(ids, training_ids, n)]
    weightless = 0 if weights is None else int((weights == 0.0).sum())
    if weightless:
        notes.append(f"{weightless} of {n} rows have no weight and are left out.")
    grid = DECILES if q is None else q
    draws: dict[str, Any] = {"rng": stream(seed, "half samples"), "draws": n_boot}
    draws |= {"q": grid, "clusters": groups, "weights": weights}
    found: tuple[RankEffects, ...]
    if len(columns) == 1:
        found = (rank_effects(columns[0], score, **draws),)
    else:
        found = paired_rank_effects(columns[0], columns[1], score, **draws)
        names = (*names, f"{names[0]} − {names[1]}")
    with collect_warnings() as said:
        if groups is not None:
            warn_if_few(found[0].n_clusters)
    facts: dict[str, Any] = {"notes": tuple(notes), "warnings": tuple(said)}
    made = tuple(
        RateResult(target, effects, n - weightless, seed, name, groups is not None, **facts)
        for effects, name in zip(found, names, strict=True)
    )
    return replace(made[-1], parts=made[:-1])


def as_clusters(values: Any, n: int) -> Ints:
    """Return the cluster of each row as a number, in the order of the labels."""
    return pd.factorize(_labels("clusters", values, n), sort=True)[0].astype(np.int64)


def _labels(name: str, values: Any, n: int) -> "pd.Series[Any]":
    """One label per row, none missing."""
    if np.shape(values) != (n,):
        raise ArgumentError(
            f"{name} must hold one label for each of {n} rows, got shape {np.shape(values)}."
        )
    labels = pd.Series(values)
    missing = np.flatnonzero(labels.isna())
    if missing.size:
        raise ArgumentError(
            f"{name} is missing in {missing.size} of {n} rows (first: row {missing[0]}); label "
            "every row, with a label of its own where it stands alone."
        )
    return labels


def warn_if_few(n_clusters: int, what: str = "clusters") -> None:
    """Warn where half samples are too alike to show the spread."""
    if n_clusters < FEW_CLUSTERS:
        warn(
            f"[E18-few-clusters] only {n_clusters} {what}; standard errors from half samples and "
            f"normal intervals are unreliable below about {FEW_CLUSTERS}.",
            FewClustersWarning,
        )


def _columns(priorities: Any, n: int) -> tuple[list[Floats], tuple[str, ...]]:
    """One or two rankings and their names."""
    if np.ndim(priorities) < 2:
        name = getattr(priorities, "name", None)
        return [as_column("priorities", priorities, n)], ("" if name is None else str(name),)
    table = np.asarray(priorities)
    if table.ndim != 2 or table.shape[1] not in (1, 2):
        raise ArgumentError(
            f"priorities must be one column, or two to compare, got shape {table.shape}; compare "
            "more rankings two at a time."
        )
    heads = getattr(priorities, "columns", None)
    known = [f"ranking {k + 1}" for k in range(table.shape[1])] if heads is None else list(heads)
    names = tuple(str(name) for name in known)
    if len(set(names)) < len(names):
        raise ArgumentError(f"priorities has two columns {names[0]!r}; give each its own name.")
    columns = zip(names, table.T, strict=True)
    return [as_column(f"priorities[{name!r}]", column, n) for name, column in columns], names


def _checked_ids(ids: Any, training_ids: Any, n: int) -> str:
    """Refuse rows that the ranking was learned from; what was checked, in words."""
    if (ids is None) != (training_ids is None):
        given, absent = ("ids", "training_ids") if training_ids is None else ("training_ids", "ids")
        raise ArgumentError(f"{given} without {absent} cannot be compared; give both or neither.")
    if ids is None:
        return (
            "That the ranking was learned from other rows is assumed; with ids and training_ids "
            "it is checked."
        )
    if np.ndim(training_ids) != 1:
        raise ArgumentTypeError(
            f"training_ids must be a list or an array of identifiers, got {training_ids!r:.60}."
        )
    here = _labels("ids", ids, n)
    there = _labels("training_ids", training_ids, len(training_ids))
    kinds = pd.api.types.infer_dtype(here), pd.api.types.infer_dtype(there)
    if len(there) and kinds[0] != kinds[1]:
        raise ArgumentTypeError(
            f"ids are of kind {kinds[0]!r} and training_ids of kind {kinds[1]!r}, so that equal "
            "ones would not be seen as such; give both as one kind."
        )
    known = here[here.isin(there)].unique()
    if known.size:
        first = ", ".join(repr(value) for value in known[:_SHOWN].tolist())
        raise ArgumentError(
            f"{known.size} ids are among training_ids (first: {first}); a ranking looks good on "
            "the rows it was learned from whatever it is worth. Evaluate it on other rows."
        )
    return f"None of the {count(n)} rows was among those that the ranking was learned from."

"""Test of no heterogeneity: rankings learned on some rows and evaluated on others."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalkit.errors import check_choice, check_count
from causalkit.heterogeneity.dr import as_column, scores_of
from causalkit.heterogeneity.forward import (
    Sample,
    check_arms,
    checked_sample,
    fold_rows,
    forward_folds,
    outcome_means,
    propensities,
)
from causalkit.heterogeneity.rate import TARGETS, Target, warn_if_few
from causalkit.metrics.ranking import rank_effects
from causalkit.nuisance import Folds
from causalkit.results import plain, render, tidy
from causalkit.results.effect import Backend
from causalkit.results.intervals import normal_p
from causalkit.results.numerals import p_text
from causalkit.rng import RandomState, as_seed, stream
from causalkit.typing import Floats, Ints, Learner
from causalkit.warn import collect_warnings

Scheme = Literal["split", "sequential"]
SCHEMES = {
    "split": "one half learns, the other evaluates",
    "sequential": "each fold is evaluated after learning on all before it",
}


@dataclass(frozen=True, slots=True)
class FoldRate:
    """RATE on one evaluation fold of one repeat.

    Attributes
    ----------
    repeat, fold : int
        From zero; of folds the first only trains.
    estimate, std_err : float
        AUTOC or QINI, and its standard error.
    ratio : float
        Estimate over standard error; zero where all priorities are equal.
    n, n_train : int
        Rows evaluated, which have weight, and rows learned from.
    n_clusters : int
        Clusters evaluated.
    """

    repeat: int
    fold: int
    estimate: float
    std_err: float
    ratio: float
    n: int
    n_train: int
    n_clusters: int

    @property
    def std_error(self) -> float:
        """The same as ``std_err``."""
        return self.std_err


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RateTest:
    """Test that effects do not differ along what a learner can learn.

    Attributes
    ----------
    statistic : float
        Σt/√(folds evaluated), about N(0, 1) without heterogeneity; the median over repeats.
    p_value : float
        Two-sided; with several repeats twice their median, which holds its level however repeats
        depend on each other.
    folds : tuple of FoldRate
        One entry per fold evaluated, of all repeats.
    statistics, p_values : tuple of float
        Of every repeat.
    scheme, target : str
    n : int
        Rows that have weight.
    seed : int
    learner : str
        Of the outcome means.
    notes, warnings : tuple of str

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), JASA 120:38; Wager (2024),
    arXiv:2405.05534, on sequential folds.
    """

    statistic: float
    p_value: float
    folds: tuple[FoldRate, ...]
    statistics: tuple[float, ...]
    p_values: tuple[float, ...]
    scheme: Scheme
    target: Target
    n: int
    seed: int
    learner: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """``folds`` as a frame."""
        return pd.DataFrame([asdict(fold) for fold in self.folds])

    def summary(self) -> str:
        """Statistic, folds, repeats and notes as text of at most 80 columns."""
        from causalkit.heterogeneity import rate_tables

        return render.page_text(rate_tables.page_of_test(self))

    def tidy(self, *, level: float | None = None, backend: Backend = "pandas") -> Any:
        """One row per fold evaluated, with the columns that all results share.

        The p-value of a fold is its own; that of the test is ``p_value``.
        """
        from causalkit.heterogeneity import rate_tables

        frame = rate_tables.fold_frame(self, 0.95 if level is None else level)
        return tidy.to_backend(frame, backend)

    def to_latex(self, *, booktabs: bool = True, caption: str = "", label: str = "") -> str:
        """Table of folds as a LaTeX ``table`` with notes; needs the package booktabs."""
        from causalkit.heterogeneity import rate_tables

        grid = rate_tables.fold_grid(self, noted=True)
        return render.grid_latex(grid, booktabs=booktabs, caption=caption, label=label)

    def to_markdown(self) -> str:
        """Table of folds and notes as Markdown."""
        from causalkit.heterogeneity import rate_tables

        return render.grid_markdown(rate_tables.fold_grid(self, noted=True))

    def to_html(self) -> str:
        """The summary as an HTML fragment, all text escaped."""
        from causalkit.heterogeneity import rate_tables

        return render.page_html(rate_tables.page_of_test(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {name: plain.plain(getattr(self, name)) for name in self.__slots__}

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as JSON; what is not finite becomes null."""
        return plain.to_json(self.to_dict(), indent=indent)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def __repr__(self) -> str:
        return (
            f"RateTest({self.target}, {self.scheme}: z = {self.statistic:.2f}, "
            f"p = {p_text(self.p_value)})"
        )


def rate_test(
    learn: Callable[[Ints, Ints], Any],
    y: Any,
    treatment: Any,
    *,
    features: Any,
    propensity: Any = None,
    scheme: Scheme = "split",
    n_folds: int = 5,
    n_rep: int = 1,
    target: Target = "AUTOC",
    clusters: Any = None,
    sample_weight: Any = None,
    n_boot: int = 200,
    learner: str | Learner = "ridge",
    seed: RandomState = None,
) -> RateTest:
    """Test that effects do not differ, along rankings that a learner makes of rows it never saw.

    Averaging t-ratios over ordinary K folds is no test: the folds train each other, and it rejects
    two to four times too often. Here a row is evaluated only after all that learned from it.

    Parameters
    ----------
    learn : callable
        ``learn(train_rows, test_rows)`` takes two arrays of row positions and returns priorities of
        the test rows, larger for those thought to gain more. It learns from the training rows and
        must not see outcomes or treatments of test rows: nothing here can check that.
    y, treatment : (n,) arrays
        Outcome, and treatment coded 0/1.
    features : (n, p) array or frame
        Numeric covariates of the outcome means, which are learned from the training rows only.
    propensity : (n,) array or float, optional
        Known probability of treatment. Default: the treated share of the training rows, which is
        right only if all were treated with one probability.
    scheme : {"split", "sequential"}
        ``"split"``: half of the clusters learns, the other half evaluates. ``"sequential"``: fold k
        of ``n_folds`` is evaluated after learning on folds 1, ..., k - 1.
    n_folds : int
        Folds of ``"sequential"``.
    n_rep : int
        Repeats with fresh folds: a single one varies much. All are kept; the median decides.
    target : {"AUTOC", "QINI"}
        As in :func:`rank_average_treatment_effect`.
    clusters : (n,) array, optional
        Labels of rows that stay together, in folds and in half samples.
    sample_weight : (n,) array, optional
        Sampling weights.
    n_boot : int
        Half samples for each standard error.
    learner : str or scikit-learn regressor
        Of the outcome means in each arm; see :data:`causalkit.nuisance.LEARNERS`.
    seed : int, Generator, SeedSequence or None

    Raises
    ------
    ArgumentError
        If lengths differ, row labels are the same in another order, values are missing, or
        ``learn`` does not return one finite number for each test row.
    IdentificationError
        If no row of an arm has weight in a fold, the outcome is constant, or a propensity is 0
        or 1.

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), JASA 120:38; Wager (2024),
    arXiv:2405.05534, on sequential folds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, t = rng.normal(size=(400, 2)), rng.integers(0, 2, 400)
    >>> y = t * (1.0 + x[:, 0]) + rng.normal(size=400)
    >>> test = rate_test(lambda train, test: x[test, 0], y, t, features=x, seed=0)
    >>> test.p_value < 0.001
    True
    """
    check_choice("scheme", scheme, SCHEMES)
    check_choice("target", target, TARGETS)
    check_count("n_boot", n_boot, least=2)
    steps = 2 if scheme == "split" else check_count("n_folds", n_folds, least=2)
    seed = as_seed(seed)
    with collect_warnings() as said:
        sample = checked_sample(y, treatment, features, propensity, clusters, sample_weight)
        folds = forward_folds(sample, steps, check_count("n_rep", n_rep, least=1), seed)
        check_arms(sample, folds)
        chances = propensities(sample, folds)
        means = outcome_means(sample, folds, learner, seed)
        rates = [
            _evaluate(learn, sample, folds, (repeat, step), means, chances, target, n_boot, seed)
            for repeat in range(folds.n_rep)
            for step in range(steps - 1)
        ]
        what = "rows" if sample.groups is None else "clusters"
        warn_if_few(min(rate.n_clusters for rate in rates), f"{what} in an evaluation fold")
    ratios = np.array([rate.ratio for rate in rates]).reshape(folds.n_rep, steps - 1)
    statistics = ratios.sum(axis=1) / math.sqrt(steps - 1)
    p_values = normal_p(statistics, kind="normal").tolist()
    p_value = p_values[0] if folds.n_rep == 1 else min(1.0, 2.0 * float(np.median(p_values)))
    return RateTest(
        statistic=float(np.median(statistics)),
        p_value=p_value,
        folds=tuple(rates),
        statistics=tuple(statistics.tolist()),
        p_values=tuple(p_values),
        scheme=scheme,
        target=target,
        n=int(sample.weighted.sum()),
        seed=seed,
        learner=learner if isinstance(learner, str) else type(learner).__name__,
        notes=_notes(sample, rates, folds.n_rep),
        warnings=tuple(said),
    )


def _evaluate(
    learn: Callable[[Ints, Ints], Any],
    sample: Sample,
    folds: Folds,
    place: tuple[int, int],
    means: tuple[Floats, Floats],
    chances: Floats,
    target: Target,
    n_boot: int,
    seed: int,
) -> FoldRate:
    """Learn before a fold, rank the fold, and measure what the ranking is worth there."""
    repeat, step = place
    train, test = fold_rows(folds, repeat, step)
    name = f"what learn returned for fold {step + 2} of repeat {repeat + 1}"
    priorities = as_column(name, learn(train.copy(), test.copy()), test.size)
    mu0, mu1, chance = (values[test, repeat] for values in (*means, chances))
    found = rank_effects(
        priorities,
        scores_of(sample.y[test], sample.t[test], mu0, mu1, chance),
        rng=stream(seed, "half samples", repeat, step),
        q=[1.0],
        clusters=None if sample.groups is None else sample.groups[test],
        weights=None if sample.weights is None else sample.weights[test],
        draws=n_boot,
    )
    autoc = target == "AUTOC"
    estimate = found.autoc if autoc else found.qini
    error = found.autoc_se if autoc else found.qini_se
    ratio = estimate / error if error > 0.0 else 0.0
    n_test = int(sample.weighted[test].sum())
    return FoldRate(repeat, step + 1, estimate, error, ratio, n_test, train.size, found.n_clusters)


def _notes(sample: Sample, rates: list[FoldRate], n_rep: int) -> tuple[str, ...]:
    """What the reader must know to read the numbers."""
    notes = ["learn is trusted not to have seen outcomes or treatments of the rows that it ranked."]
    if sample.propensity is None:
        notes.append(
            "Propensity: the treated share of the training rows, which is right only if all rows "
            "were treated with one probability."
        )
    weightless = sample.n - int(sample.weighted.sum())
    if weightless:
        notes.append(f"{weightless} of {sample.n} rows have no weight and are not evaluated.")
    flat = sum(rate.std_err == 0.0 for rate in rates)
    if flat:
        notes.append(
            f"In {flat} of {len(rates)} folds all priorities were equal; they count as t = 0."
        )
    if n_rep > 1:
        notes.append("The p-value is twice the median over repeats, at most 1.")
    return tuple(notes)

"""Arguments of PanelDML, checked once and resolved."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from causalkit.data import Requires
from causalkit.errors import (
    ArgumentError,
    check_choice,
    check_count,
    check_flag,
    check_jobs,
)
from causalkit.inference.repeats import AGGREGATIONS
from causalkit.inference.variance import Ssc
from causalkit.nuisance import SPLITS
from causalkit.nuisance.basis import BASES
from causalkit.nuisance.folds import ExternalFolds
from causalkit.nuisance.given import BY_PERIOD
from causalkit.nuisance.learners import Kind, is_classifier, plan
from causalkit.nuisance.tuning import TUNE, Tune
from causalkit.panel.approaches import ALIASES, APPROACHES, TRANSFORMED
from causalkit.panel.design import MUNDLAK_TERMS, TIME_EFFECTS, Options
from causalkit.panel.models import MODELS, SCORES
from causalkit.panel.residuals import Learners
from causalkit.results.solutions import COV_TYPES

PROCEDURES = ("dml2", "dml1")
DEFAULT_TRIM = 0.01
DEFAULT_BASIS = "cubic"
_WITHOUT_MEANS = ("pooled", "late_within", "within", "fd", "dummies")
# Instruments are read, or refused with the model that would.
NEEDS = Requires(
    roles=("unit",),
    treatment_kinds=("binary", "continuous"),
    allows_nan=False,
    reads=("instruments",),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked arguments of one fit; see :class:`causalkit.panel.PanelDML`."""

    approach: str
    options: Options
    model: str
    score: str
    split: str | ExternalFolds
    learners: Learners
    tune: Tune
    n_folds: int
    n_rep: int
    dml_procedure: str
    aggregation: str
    cov_type: str
    ssc: Ssc
    use_t: bool
    trim: float
    n_jobs: int
    store_models: bool
    seed: int
    progress: bool | Callable[[str], None] | None

    @classmethod
    def of(cls, estimator: Any, *, seed: int) -> "Settings":
        """Check the arguments of an estimator, all before any fitting."""
        e = estimator
        approach = ALIASES.get(e.approach, e.approach) if isinstance(e.approach, str) else ""
        if approach not in APPROACHES:
            check_choice("approach", e.approach, [*APPROACHES, *ALIASES])
        for kind, value, known in (
            ("mundlak_terms", e.mundlak_terms, MUNDLAK_TERMS),
            ("score", e.score, SCORES),
            ("model", e.model, MODELS),
            ("cov_type", e.cov_type, COV_TYPES),
            ("ssc", e.ssc, get_args(Ssc)),
            ("aggregation", e.aggregation, AGGREGATIONS),
            ("dml_procedure", e.dml_procedure, PROCEDURES),
            ("tune", e.tune, TUNE),
        ):
            check_choice(kind, value, known)
        if isinstance(e.basis, str):
            check_choice("basis", e.basis, BASES)
        if e.time_effects is not None:
            check_choice("time_effects", e.time_effects, TIME_EFFECTS)
        if isinstance(e.split, str):
            check_choice("split", e.split, SPLITS)
        if not isinstance(e.trim, int | float) or not 0.0 <= e.trim < 0.5:
            raise ArgumentError(f"trim must be a number in [0, 0.5), got {e.trim!r}.")
        for name in ("use_t", "panel_length", "store_models"):
            check_flag(name, getattr(e, name))
        settings = cls(
            approach=approach,
            options=Options(
                mundlak_terms=e.mundlak_terms,
                basis=e.basis,
                time_effects=e.time_effects,
                panel_length=e.panel_length,
                treatment_mean=e.model != "iv",
                seed=seed,
            ),
            model=e.model,
            score=e.score,
            split=e.split,
            learners=_learners(e),
            tune=e.tune,
            n_folds=check_count("n_folds", e.n_folds, least=1),
            n_rep=check_count("n_rep", e.n_rep, least=1),
            dml_procedure=e.dml_procedure,
            aggregation=e.aggregation,
            cov_type=e.cov_type,
            ssc=e.ssc,
            use_t=e.use_t,
            trim=e.trim,
            n_jobs=check_jobs(e.n_jobs),
            store_models=e.store_models,
            seed=seed,
            progress=e.progress,
        )
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        """Refuse combinations in which an argument could have no effect."""
        by_unit = self.split in ("unit", "unit_time") and self.n_folds > 1
        if self.approach == "dummies" and by_unit:
            raise ArgumentError(
                f'approach="dummies" cannot be cross-fitted with split="{self.split}": the dummy '
                'of a held-out unit is never trained. Use split="observation", or approach="cre", '
                "which needs no unit to be seen in training."
            )
        if self.period_dummies and self.split in BY_PERIOD and self.n_folds > 1:
            raise ArgumentError(
                f'split="{self.split}" cannot cross-fit the period dummies of '
                f'time_effects="{self.options.time_effects}" with approach="{self.approach}": '
                'the dummy of a held-out period is never trained. Use split="unit", or '
                'time_effects="means" with an approach that keeps levels, such as "cre".'
            )
        if self.model != "partially-linear" and self.score != "partialling-out":
            raise ArgumentError(
                f'score="{self.score}" belongs to model="partially-linear"; model="{self.model}" '
                "has one score: leave score at its default."
            )
        self._check_terms()
        if self.trim != DEFAULT_TRIM and self.model != "interactive":
            raise ArgumentError(
                f'trim={self.trim!r} belongs to model="interactive"; leave it at its default.'
            )
        if self.split in ("time_block", "neighbors_left_out") and self.n_rep > 1:
            raise ArgumentError(
                f'split="{self.split}" has nothing random, so {self.n_rep} repeats would be one '
                "and the same split; use n_rep=1."
            )

    def _check_terms(self) -> None:
        """Refuse Mundlak terms and dictionaries that the approach would not use."""
        terms = self.options.mundlak_terms
        if self.approach in _WITHOUT_MEANS and terms in ("means+std", "chamberlain"):
            raise ArgumentError(
                f'mundlak_terms="{terms}" adds facts about the unit\'s history, which '
                f'approach="{self.approach}" does not use; use mundlak_terms="basis" or "means".'
            )
        if self.approach == "chamberlain" and terms in ("means", "means+std"):
            raise ArgumentError(
                f'approach="chamberlain" has every period in place of mundlak_terms="{terms}"; '
                "leave mundlak_terms at its default."
            )
        used = "chamberlain" if self.approach == "chamberlain" else terms
        basis = self.options.basis
        if used != "basis" and not (isinstance(basis, str) and basis == DEFAULT_BASIS):
            raise ArgumentError(
                f'basis={basis!r} is the dictionary of mundlak_terms="basis", which '
                f'"{used}" terms do not use; leave basis at its default.'
            )

    @property
    def period_dummies(self) -> bool:
        """Whether period effects enter as dummies, which differences make of period means too."""
        as_dummies = TIME_EFFECTS if self.approach in TRANSFORMED else ("dummies", "both")
        return self.options.time_effects in as_dummies

    def requirements(self, base: Requires, *, n_clusters: int) -> Requires:
        """What these settings need from the data."""
        roles = list(base.roles)
        if self.model == "iv":
            roles.append("instruments")
        history = "chamberlain" in (self.approach, self.options.mundlak_terms)
        by_time = isinstance(self.split, str) and self.split not in ("unit", "observation")
        two_way = self.cov_type == "two-way" and n_clusters < 2
        if self.approach == "fd" or self.options.time_effects or history or by_time or two_way:
            roles.append("time")
        kinds = ("binary",) if self.model == "interactive" else base.treatment_kinds
        return replace(base, roles=tuple(roles), treatment_kinds=kinds)

    @property
    def label(self) -> str:
        """Name for tables."""
        model = "" if self.model == "partially-linear" else f", {self.model}"
        terms = f", {self.options.mundlak_terms}" if self.approach.startswith("cre") else ""
        return f"PanelDML ({self.approach}{terms}{model})"


def _learners(estimator: Any) -> Learners:
    common = estimator.learner
    learners = Learners(
        outcome=_or(estimator.learner_outcome, common),
        treatment=_or(estimator.learner_treatment, common),
        instrument=_or(estimator.learner_instrument, common),
    )
    classifies = estimator.model == "interactive" or is_classifier(learners.treatment)
    asked: tuple[tuple[str, Any, Kind], ...] = (
        ("outcome", learners.outcome, "mean"),
        ("treatment", learners.treatment, "probability" if classifies else "mean"),
        ("instrument", learners.instrument, "mean"),
    )
    if estimator.learner_instrument is not None and estimator.model != "iv":
        raise ArgumentError('learner_instrument belongs to model="iv"; leave it at None.')
    for role, learner, kind in asked:
        own = getattr(estimator, f"learner_{role}") is not None
        plan(learner, kind, argument=f"learner_{role}" if own else "learner")
    return learners


def _or(learner: Any, default: Any) -> Any:
    return default if learner is None else learner

"""Arguments of PanelDML, checked once and resolved."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from causalkit.data import Requires
from causalkit.errors import ArgumentError, ArgumentTypeError, check_choice, check_count
from causalkit.inference.variance import Ssc
from causalkit.nuisance import SPLITS
from causalkit.nuisance.folds import ExternalFolds
from causalkit.nuisance.learners import Kind, is_classifier, plan
from causalkit.panel.approaches import ALIASES, APPROACHES
from causalkit.panel.design import MUNDLAK_TERMS, TIME_EFFECTS, Options
from causalkit.panel.fitting import Learners
from causalkit.panel.models import MODELS, SCORES

COV_TYPES = ("clustered", "two-way", "robust", "nonrobust")
AGGREGATIONS = ("median", "mean", "bounds")
PROCEDURES = ("dml2", "dml1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked arguments of one fit; see :class:`causalkit.panel.PanelDML`."""

    approach: str
    options: Options
    model: str
    score: str
    split: str | ExternalFolds
    learners: Learners
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
        ):
            check_choice(kind, value, known)
        if e.time_effects is not None:
            check_choice("time_effects", e.time_effects, TIME_EFFECTS)
        if isinstance(e.split, str):
            check_choice("split", e.split, SPLITS)
        if isinstance(e.n_jobs, bool) or not isinstance(e.n_jobs, int) or e.n_jobs == 0:
            raise ArgumentTypeError(f"n_jobs must be a whole number, not 0, got {e.n_jobs!r}.")
        if not 0.0 <= e.trim < 0.5:
            raise ArgumentError(f"trim must lie in [0, 0.5), got {e.trim!r}.")
        settings = cls(
            approach=approach,
            options=Options(
                mundlak_terms=e.mundlak_terms,
                basis=e.basis,
                time_effects=e.time_effects,
                panel_length=e.panel_length,
                treatment_mean=e.model != "iv",
            ),
            model=e.model,
            score=e.score,
            split=e.split,
            learners=_learners(e),
            n_folds=check_count("n_folds", e.n_folds, least=1),
            n_rep=check_count("n_rep", e.n_rep, least=1),
            dml_procedure=e.dml_procedure,
            aggregation=e.aggregation,
            cov_type=e.cov_type,
            ssc=e.ssc,
            use_t=e.use_t,
            trim=e.trim,
            n_jobs=e.n_jobs,
            store_models=e.store_models,
            seed=seed,
            progress=e.progress,
        )
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        by_unit = self.split in ("unit", "unit_time") and self.n_folds > 1
        if self.approach == "dummies" and by_unit:
            raise ArgumentError(
                f'approach="dummies" cannot be cross-fitted with split="{self.split}": the dummy '
                'of a held-out unit is never trained. Use split="observation", or approach="cre", '
                "which needs no unit to be seen in training."
            )
        if self.model != "partially-linear" and self.score != "partialling-out":
            raise ArgumentError(
                f'score="{self.score}" belongs to model="partially-linear"; model="{self.model}" '
                "has one score: leave score at its default."
            )

    def requirements(self, base: Requires) -> Requires:
        """What these settings need from the data."""
        roles = list(base.roles)
        if self.model == "iv":
            roles.append("instruments")
        if self.approach == "fd" or self.options.time_effects is not None:
            roles.append("time")
        if self.cov_type == "two-way" or self.split not in ("unit", "observation"):
            roles += ["time"] if isinstance(self.split, str) else []
        if self.cov_type == "two-way":
            roles.append("time")
        kinds = ("binary",) if self.model == "interactive" else base.treatment_kinds
        return replace(base, roles=tuple(dict.fromkeys(roles)), treatment_kinds=kinds)

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
    for role, learner, kind in asked:
        own = getattr(estimator, f"learner_{role}") is not None
        plan(learner, kind, argument=f"learner_{role}" if own else "learner")
    return learners


def _or(learner: Any, default: Any) -> Any:
    return default if learner is None else learner

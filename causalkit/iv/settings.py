"""Arguments of InvalidIV, checked once and resolved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    check_choice,
    check_count,
    check_flag,
    check_jobs,
)
from causalkit.inference.arguments import check_between
from causalkit.inference.repeats import AGGREGATIONS
from causalkit.inference.variance import Ssc
from causalkit.iv.nuisances import EFFECT_LOSSES, Learners
from causalkit.iv.selection import AXES, CRITERIA, Criterion
from causalkit.nuisance.learners import plan
from causalkit.typing import Learner

METHODS = ("parametric", "debiased", "selective")
COV_TYPES = ("auto", "clustered", "two-way", "robust")
ESTIMANDS = ("ate", "att", "atc", "variance-weighted")
DEFAULT_CANDIDATES = ("lasso", "boosting", "forest")

_LEARNED = ("debiased", "selective")
# Argument, default, and the methods that it has an effect on, where that is not all of them.
_BELONGS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("smooth", False, ("selective",)),
    ("criterion", "minimax", ("selective",)),
    ("effect_terms", None, ("parametric",)),
    ("confounding_terms", None, ("parametric",)),
    ("n_folds", 5, _LEARNED),
    ("n_rep", 1, _LEARNED),
    ("effect_loss", "auto", _LEARNED),
    ("calibrate", True, _LEARNED),
    ("store_models", False, ("debiased",)),
)

Candidates = Mapping[str, tuple[tuple[str, str | Learner], ...]]


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked arguments of one fit; see :class:`causalkit.iv.InvalidIV`.

    Attributes
    ----------
    candidates : mapping of nuisance to tuple of (label, learner)
        One for ``method="debiased"``.
    """

    method: str
    candidates: Candidates
    n_folds: int
    n_rep: int
    criterion: Criterion
    smooth: bool
    basis: Any
    effect_terms: Any
    confounding_terms: Any
    effect_loss: str
    calibrate: bool
    clip: float
    trim_delta_v: float
    cov_type: str
    ssc: Ssc
    use_t: bool
    aggregation: str
    n_jobs: int
    store_models: bool
    seed: int
    progress: bool | Callable[[str], None] | None

    @classmethod
    def of(
        cls,
        estimator: Any,
        *,
        seed: int,
        n_clusters: int,
        binary_treatment: bool,
        binary_instrument: bool,
    ) -> "Settings":
        """Check the arguments of an estimator, all before any fitting."""
        e = estimator
        for kind, value, known in (
            ("method", e.method, METHODS),
            ("criterion", e.criterion, CRITERIA),
            ("effect_loss", e.effect_loss, EFFECT_LOSSES),
            ("cov_type", e.cov_type, COV_TYPES),
            ("ssc", e.ssc, get_args(Ssc)),
            ("aggregation", e.aggregation, AGGREGATIONS),
        ):
            check_choice(kind, value, known)
        for name in ("calibrate", "smooth", "use_t", "store_models"):
            check_flag(name, getattr(e, name))
        settings = cls(
            method=e.method,
            candidates=resolve_learners(
                e.learners,
                e.method,
                shares={"instrument": binary_instrument, "treatment": binary_treatment},
            ),
            n_folds=check_count("n_folds", e.n_folds, least=1 if e.method == "debiased" else 2),
            n_rep=check_count("n_rep", e.n_rep, least=1),
            criterion=e.criterion,
            smooth=e.smooth,
            basis=e.basis,
            effect_terms=e.effect_terms,
            confounding_terms=e.confounding_terms,
            effect_loss=e.effect_loss,
            calibrate=e.calibrate,
            clip=check_between("clip", e.clip, 0.0, 0.5, end=False),
            trim_delta_v=check_between("trim_delta_v", e.trim_delta_v, 0.0, 0.25, end=False),
            cov_type=_cov_type(e.cov_type, n_clusters),
            ssc=e.ssc,
            use_t=e.use_t,
            aggregation=e.aggregation,
            n_jobs=check_jobs(e.n_jobs),
            store_models=e.store_models,
            seed=seed,
            progress=e.progress,
        )
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        """Refuse arguments that could have no effect on the fit."""
        for name, default, methods in _BELONGS:
            value = getattr(self, name)
            if self.method not in methods and value is not default and value != default:
                owners = " or ".join(f'"{method}"' for method in methods)
                raise ArgumentError(
                    f"{name}={value!r} belongs to method={owners}; leave it at {default!r} for "
                    f'method="{self.method}".'
                )
        named = [label for listed in self.candidates.values() for label, _ in listed]
        if self.method == "parametric" and set(named) != {"auto"}:
            label = next(label for label in named if label != "auto")
            raise ArgumentError(
                f'learners name {label!r}, and method="parametric" fits working models of its own; '
                'leave learners at "auto", or use method="debiased" or "selective".'
            )

    @property
    def learners(self) -> Learners:
        """First candidate of every nuisance."""
        return Learners(**{name: self.candidates[name][0][1] for name in AXES})

    @property
    def label(self) -> str:
        """Name for tables."""
        more = f", {self.criterion}" if self.method == "selective" else ""
        return f"InvalidIV ({self.method}{more}{', smooth' if self.smooth else ''})"


def idle(method: str) -> dict[str, Any]:
    """Arguments without effect on a method, at their defaults."""
    found = {name: default for name, default, methods in _BELONGS if method not in methods}
    return found | ({"learners": "auto"} if method == "parametric" else {})


def _cov_type(chosen: str, n_clusters: int) -> str:
    if chosen != "auto":
        return chosen
    return ("robust", "clustered", "two-way")[n_clusters]


def resolve_learners(learners: Any, method: str, *, shares: Mapping[str, bool]) -> Candidates:
    """Candidates of every nuisance, labelled and checked.

    Parameters
    ----------
    learners : str, estimator, sequence, or mapping of nuisance to one of these
        ``"auto"``: for ``method="selective"`` the default candidates, else the learner of that
        name.
    method : str
    shares : mapping of nuisance to bool
        Whether the instrument, and whether the treatment, needs a probability.

    Raises
    ------
    ArgumentTypeError
        If a list is empty, or a candidate cannot fit and predict.
    ArgumentError
        If a nuisance is unknown, or several learners are given where one is used.
    """
    if isinstance(learners, Mapping):
        for name in learners:
            check_choice("nuisance in learners", name, AXES)
        by_name = {name: learners.get(name, "auto") for name in AXES}
    else:
        by_name = dict.fromkeys(AXES, learners)
    found = {}
    for name, value in by_name.items():
        argument = f"learners[{name!r}]" if isinstance(learners, Mapping) else "learners"
        listed = _listed(value, method, argument)
        for learner in listed:
            plan(learner, "probability" if shares.get(name) else "mean", argument=argument)
        found[name] = tuple(zip(_labels(listed), listed, strict=True))
    return found


def _listed(value: Any, method: str, argument: str) -> list[Any]:
    if method == "selective" and isinstance(value, str) and value == "auto":
        return list(DEFAULT_CANDIDATES)
    several = isinstance(value, Sequence) and not isinstance(value, str)
    listed = list(value) if several else [value]
    if not listed:
        raise ArgumentTypeError(f"{argument} is an empty list; give at least one learner.")
    if method != "selective" and len(listed) > 1:
        raise ArgumentError(
            f'{argument} has {len(listed)} candidates, among which only method="selective" '
            f'chooses; give one learner to method="{method}".'
        )
    return listed


def _labels(listed: list[Any]) -> list[str]:
    """Names of candidates, numbered where they repeat."""
    plain = [item if isinstance(item, str) else type(item).__name__ for item in listed]
    return [
        name if plain.count(name) == 1 else f"{name} {plain[: i + 1].count(name)}"
        for i, name in enumerate(plain)
    ]

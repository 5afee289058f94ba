"""Arguments of the image estimators, checked once."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from causalkit.device import PRECISIONS, autocast_type, resolve_device
from causalkit.errors import ArgumentError, check_choice, check_count, check_flag, check_folder
from causalkit.images.model import LATENT_LEVELS, LIKELIHOODS
from causalkit.images.survey import NAN_POLICIES

MOST_CLUSTERS = 8
INFERENCES = ("svi_fullrank", "map")
Temporal = Literal["transformer", "concat", "difference", "variance", "mean", "last"]
TEMPORAL = get_args(Temporal)
WIDTH = 64  # of the features, for the choice of precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the mixture is fitted.

    Attributes
    ----------
    inference : str
        ``"svi_fullrank"``, ``"map"`` or ``"nuts"``.
    n_restarts, n_ensemble : int
        Starts, and how many of the best are kept.
    n_draws : int
        Posterior draws, over all members; of each chain with ``"nuts"``.
    seed : int
    n_chains, n_tune : int
        Of ``"nuts"``.
    progress : bool
        Whether ``"nuts"`` shows how far it is.
    """

    inference: str
    n_restarts: int
    n_ensemble: int
    n_draws: int
    seed: int
    n_chains: int = 4
    n_tune: int = 1000
    progress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureChoice:
    """What the mixture is, but for its sizes.

    Attributes
    ----------
    n_clusters : int or None
        None: chosen among 1 to ``max_clusters``.
    max_clusters : int
    likelihood, latent_level : str
    cluster_sigma : bool
    """

    n_clusters: int | None
    max_clusters: int
    likelihood: Any
    latent_level: Any
    cluster_sigma: bool

    @property
    def candidates(self) -> tuple[int, ...]:
        """Numbers of clusters that are fitted."""
        if self.n_clusters is not None:
            return (self.n_clusters,)
        return tuple(range(1, self.max_clusters + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Arguments of :class:`~causalkit.ImageEffectClusters` that passed.

    Attributes
    ----------
    mixture : MixtureChoice
    plan : Plan
    device : torch.device
    precision : torch dtype or None
    checkpoint : Path or None
    """

    mixture: MixtureChoice
    plan: Plan
    device: Any
    precision: Any
    checkpoint: Path | None

    @classmethod
    def of(cls, estimator: Any, *, seed: int) -> "Settings":
        """Check the arguments of an estimator of images.

        Raises
        ------
        ArgumentError
            At the first that does not do; says what would.
        """
        check_choice("temporal", estimator.temporal, TEMPORAL)
        check_choice("nan_policy", estimator.nan_policy, NAN_POLICIES)
        check_choice("precision", estimator.precision, PRECISIONS)
        for name in ("epochs", "batch_size", "n_components", "frame_chunk"):
            check_count(name, getattr(estimator, name), least=1)
        for name in ("augment", "recompute", "allow_later_frames"):
            check_flag(name, getattr(estimator, name))
        rate = estimator.learning_rate
        if isinstance(rate, bool) or not isinstance(rate, Real) or not float(rate) > 0:
            raise ArgumentError(f"learning_rate must be a positive number, got {rate!r}.")
        device = resolve_device(estimator.device)
        return cls(
            mixture=mixture_choice(estimator),
            plan=plan_of(estimator, seed=seed, inferences=INFERENCES),
            device=device,
            precision=autocast_type(estimator.precision, device, WIDTH),
            checkpoint=check_folder("checkpoint", estimator.checkpoint),
        )


def mixture_choice(estimator: Any) -> MixtureChoice:
    """Checked arguments of the mixture.

    Raises
    ------
    ArgumentError
    """
    check_choice("likelihood", estimator.likelihood, LIKELIHOODS)
    check_choice("latent_level", estimator.latent_level, LATENT_LEVELS)
    given = estimator.n_clusters
    automatic = isinstance(given, str)
    if automatic:
        check_choice("n_clusters", given, ("auto",))
    asked = {"n_clusters": 1 if automatic else given, "max_clusters": estimator.max_clusters}
    counts = {name: check_count(name, value, least=1) for name, value in asked.items()}
    for name, value in counts.items():
        if value > MOST_CLUSTERS:
            raise ArgumentError(
                f"{name} must be at most {MOST_CLUSTERS}, got {value}: more types cannot be told "
                "apart by their effects."
            )
    return MixtureChoice(
        n_clusters=None if automatic else counts["n_clusters"],
        max_clusters=counts["max_clusters"],
        likelihood=estimator.likelihood,
        latent_level=estimator.latent_level,
        cluster_sigma=estimator.cluster_sigma,
    )


def plan_of(estimator: Any, *, seed: int, inferences: tuple[str, ...]) -> Plan:
    """Checked arguments of the inference.

    Raises
    ------
    ArgumentError, ArgumentTypeError
    """
    check_choice("inference", estimator.inference, inferences)
    restarts, draws = (
        check_count(name, getattr(estimator, name), least=1) for name in ("n_restarts", "n_draws")
    )
    ensemble = estimator.n_ensemble
    if ensemble is None:
        ensemble = 5 if estimator.inference == "map" else 1
    ensemble = check_count("n_ensemble", ensemble, least=1)
    for name in ("cluster_sigma", "orthogonalize"):
        check_flag(name, getattr(estimator, name))
    return Plan(
        inference=estimator.inference,
        n_restarts=max(restarts, ensemble),
        n_ensemble=ensemble,
        n_draws=draws,
        seed=seed,
    )

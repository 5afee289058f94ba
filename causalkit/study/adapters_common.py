"""What adapters of peer packages share: seeds, learners by name, roles, and the result."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from time import perf_counter
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.data.levels import contrasts
from causalkit.errors import ArgumentError, DataError, Problem
from causalkit.estimator import Estimator
from causalkit.nuisance.boosting import Boosting
from causalkit.nuisance.learners import Kind, plan
from causalkit.optional import require
from causalkit.provenance import record
from causalkit.results import EffectResult
from causalkit.rng import RandomState, as_seed, seed_of
from causalkit.typing import Ints, Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFit:
    """What a peer reports.

    Attributes
    ----------
    estimate, std_error : float
        Its own numbers.
    estimand : str
        In causalkit's words.
    inference : str
        How the standard error was made.
    n : int
        Rows used.
    n_clusters : int or None
        If the standard error allows for clusters.
    notes : tuple of str
        What the estimate rests on.
    model : object
        The peer's fitted object.
    """

    estimate: float
    std_error: float
    estimand: str
    inference: str
    n: int
    n_clusters: int | None = None
    notes: tuple[str, ...] = ()
    model: Any = None


class Peer(Estimator):
    """Base of the adapters: ``fit(data)`` runs the peer, ``estimate()`` gives its numbers.

    Attributes
    ----------
    package : str
        Name of the peer's distribution.
    knows_auto : bool
        Whether the peer chooses a learner itself where it is told ``"auto"``.
    model_ : object
        The peer's fitted object, after ``fit``.
    """

    package: ClassVar[str]
    knows_auto: ClassVar[bool] = False
    model_: Any
    learner: str | Learner
    n_folds: int
    n_rep: int
    random_state: RandomState

    @abstractmethod
    def _run(self, data: CausalData, seed: int) -> PeerFit:
        """Fit the peer on data that have passed the checks."""

    def _model(
        self, which: Literal["outcome", "treatment", "instrument"], kind: Kind = "mean"
    ) -> Any:
        """Learner of a nuisance as the peer takes it: the variable's own, or else that of all."""
        own = getattr(self, f"{which}_learner")
        argument = "learner" if own is None else f"{which}_learner"
        learner = self.learner if own is None else own
        if self.knows_auto and isinstance(learner, str) and learner == "auto":
            return "auto"
        return peer_learner(learner, kind, argument=argument)

    def fit(self, data: CausalData) -> Self:
        """Run the peer on the roles of the data.

        The numbers are those of the peer after ``numpy.random.seed(seed)`` with that seed as its
        ``random_state``; the global generator is then put back as it was.

        Raises
        ------
        DataError
            If the data lack a role that the peer needs, or have one that it would ignore.
        ArgumentError
            If an argument cannot be used.
        """
        self._check_data(data)
        data.require(self.requires, by=type(self).__name__)
        start, seed = perf_counter(), as_seed(self.random_state)
        small = seed if seed < 2**32 else seed_of(seed, "peer")
        with global_seed(small):
            found = self._run(data, small)
        self.model_ = found.model
        self.result_ = self._result(data, found, seed=seed, wall_s=perf_counter() - start)
        self._data = data
        return self

    def estimate(self) -> EffectResult:
        """Estimate and standard error of the peer."""
        self._check_fitted()
        return self.result_

    def _result(
        self, data: CausalData, found: PeerFit, *, seed: int, wall_s: float
    ) -> EffectResult:
        roles = data.roles
        release = f"{self.package} {version(self.package)}"
        return EffectResult(
            terms=roles.treatment,
            estimates=np.array([found.estimate]),
            vcov=np.array([[found.std_error**2]]),
            estimand=found.estimand,
            estimator=type(self).__name__,
            outcome=roles.outcome[0],
            treatment=roles.treatment,
            contrast=contrasts(data),
            n=found.n,
            n_units=None if roles.unit is None else len(data.levels("unit")),
            n_clusters=found.n_clusters,
            cov_type="robust" if found.n_clusters is None else "clustered",
            inference=f"{release}: {found.inference}",
            seed=seed,
            n_folds=self.n_folds,
            n_rep=self.n_rep,
            notes=(f"Numbers of {release}.", *found.notes),
            dropped=data.dropped,
            provenance=record(seed=seed, wall_s=wall_s) | {"peer": release},
            data_digest=data.digest(),
        )


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, from which peers draw, and put it back afterwards."""
    state = np.random.get_state()  # noqa: NPY002 - the peers know no other generator
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def peer_learner(learner: "str | Learner", kind: Kind, *, argument: str = "learner") -> Any:
    """scikit-learn object for a peer, unfitted.

    Parameters
    ----------
    learner : str or scikit-learn estimator
        ``"linear"``, ``"ridge"`` and ``"lasso"`` (standardised, penalty by cross-validation),
        ``"forest"`` (500 trees) or ``"boosting"`` (LightGBM, 100 rounds with causalkit's other
        settings); an object is cloned.
    kind : {"mean", "probability"}
        Regressor or classifier.
    argument : str
        Name of the argument, for messages.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the name is unknown, or the object cannot do what is asked of it.
    """
    from sklearn.base import clone

    if isinstance(learner, str) and learner == "auto":
        raise ArgumentError(
            f"{argument}='auto' is a choice that the peer does not make; use one of: "
            f"{', '.join(NAMES)}, or a scikit-learn estimator."
        )
    plan(learner, kind, argument=argument)  # refuses what cannot serve
    if not isinstance(learner, str):
        return clone(learner)
    make = _FACTORIES[learner, kind]
    return make()


def _scaled(model: Any) -> Any:
    """Model of standardised features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _linear() -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _ridge() -> Any:
    from sklearn.linear_model import RidgeCV

    return _scaled(RidgeCV(alphas=np.logspace(-3, 5, 25)))


def _lasso() -> Any:
    from sklearn.linear_model import LassoCV

    return _scaled(LassoCV())


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(C=np.inf, max_iter=1000))


def _penalised_logistic(l1_ratio: float) -> Any:
    """Logistic regression whose penalty minimises the cross-validated log loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    solver = "liblinear" if l1_ratio else "lbfgs"
    model = LogisticRegression(solver=solver, l1_ratio=l1_ratio, max_iter=1000)
    return _scaled(GridSearchCV(model, {"C": np.logspace(-3, 2, 6)}, scoring="neg_log_loss"))


def _forest(name: str) -> Any:
    from sklearn import ensemble

    return getattr(ensemble, name)(n_estimators=500, min_samples_leaf=5)


def _boosting(name: str) -> Any:
    lightgbm = require("lightgbm", extra="", needed_by="learner='boosting'")
    settings = {"n_estimators": 100, "n_jobs": 1, "verbosity": -1, "deterministic": True}
    return getattr(lightgbm, name)(**settings, **Boosting().parameters)


_FACTORIES: dict[tuple[str, Kind], Callable[[], Any]] = {
    ("linear", "mean"): _linear,
    ("ridge", "mean"): _ridge,
    ("lasso", "mean"): _lasso,
    ("boosting", "mean"): lambda: _boosting("LGBMRegressor"),
    ("forest", "mean"): lambda: _forest("RandomForestRegressor"),
    ("linear", "probability"): _logistic,
    ("ridge", "probability"): lambda: _penalised_logistic(0.0),
    ("lasso", "probability"): lambda: _penalised_logistic(1.0),
    ("boosting", "probability"): lambda: _boosting("LGBMClassifier"),
    ("forest", "probability"): lambda: _forest("RandomForestClassifier"),
}
NAMES = tuple(name for name, kind in _FACTORIES if kind == "mean")


def cluster_columns(data: CausalData) -> tuple[tuple[str, ...], tuple[Ints, ...]]:
    """Names and codes of the clusters: those declared, else the panel unit, else none."""
    if data.roles.cluster:
        return data.roles.cluster, data.clusters()
    if data.roles.unit is not None:
        return (data.roles.unit,), (data.codes("unit"),)
    return (), ()


def too_many(role: str, message: str) -> DataError:
    """Error for a role that has more columns than a peer takes."""
    return DataError(Problem("E02-duplicate-role", message, role))


def frame_of(data: CausalData, roles: tuple[str, ...]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Numeric columns of some roles, and their names by role; categories become indicators."""
    columns: dict[str, Any] = {}
    names: dict[str, list[str]] = {}
    for role in roles:
        names[role] = list(data.matrix_names(role))
        columns |= dict(zip(names[role], data.matrix(role).T, strict=True))
    return pd.DataFrame(columns), names

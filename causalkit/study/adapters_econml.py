"""EconML's estimators with causalkit's data and results, so that studies can hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentError, check_count, check_level
from causalkit.inference.instruments import instrumented_estimand
from causalkit.nuisance.learners import Kind
from causalkit.optional import require
from causalkit.rng import RandomState
from causalkit.study.adapters_common import Peer, PeerFit, cluster_columns, too_many
from causalkit.typing import Learner

_HOMOGENEOUS = (
    "The mean over covariates of conditional local effects: the average effect only where effects "
    "do not vary with what drives take-up, given the covariates."
)


@dataclass(kw_only=True, eq=False, repr=False)
class EconML(Peer):
    """Base of the EconML adapters.

    Parameters
    ----------
    learner : str or scikit-learn estimator, default "auto"
        For every nuisance. ``"auto"`` is EconML's own choice; other names are those of
        :func:`causalkit.study.adapters_common.peer_learner`.
    outcome_learner, treatment_learner : str or scikit-learn estimator, optional
        For the nuisances of one variable.
    n_folds : int, default 2
        EconML's ``cv``. Folds keep clusters, or else panel units, together.
    n_rep : int, default 1
        EconML's ``mc_iters``.
    options : mapping, optional
        Further arguments of the EconML class.
    random_state : int, Generator, SeedSequence or None

    Notes
    -----
    Modifiers become EconML's ``X`` and the other covariates its ``W``; without modifiers the
    effect is taken to be constant. Weights are refused. Standard errors do not allow for clusters.
    """

    package = "econml"
    knows_auto = True
    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates"), weight_kinds=(), max_treatments=1
    )

    learner: str | Learner = "auto"
    outcome_learner: str | Learner | None = None
    treatment_learner: str | Learner | None = None
    n_folds: int = 2
    n_rep: int = 1
    options: Mapping[str, Any] | None = None
    random_state: RandomState = None

    def _made(self, place: str, name: str, seed: int, **arguments: Any) -> Any:
        """Object of an EconML class."""
        module = require(place, extra="econml", needed_by=type(self).__name__)
        shared = {
            "cv": check_count("n_folds", self.n_folds, least=2),
            "mc_iters": None if check_count("n_rep", self.n_rep, least=1) == 1 else self.n_rep,
            "random_state": seed,
        }
        return getattr(module, name)(**(shared | arguments | dict(self.options or {})))

    def effect(self, data: CausalData, *, level: float = 0.95) -> pd.DataFrame:
        """EconML's effect of one unit of treatment on every row, with its pointwise intervals.

        Parameters
        ----------
        data : CausalData
            With the roles of the fit; without modifiers the effect is one number.
        level : float, default 0.95

        Returns
        -------
        DataFrame
            ``effect``, ``conf_low`` and ``conf_high`` by row.
        """
        self._check_fitted()
        x, alpha = self._varying(data), 1.0 - check_level(level)
        low, high = self.model_.effect_interval(x, T0=0, T1=1, alpha=alpha)
        columns = {"effect": self.model_.effect(x, T0=0, T1=1), "conf_low": low, "conf_high": high}
        shape = (len(data),)
        return pd.DataFrame({k: np.broadcast_to(np.ravel(v), shape) for k, v in columns.items()})

    def _varying(self, data: CausalData) -> Any:
        """What effects vary with: the modifiers, None if there are none."""
        return _features(data)[0]

    def _reported(
        self, data: CausalData, model: Any, inference: Any, how: str, **facts: Any
    ) -> PeerFit:
        """Numbers of an average effect."""
        names, _ = cluster_columns(data)
        folds = "".join(
            f"; folds keep {name} together, standard errors do not allow for it" for name in names
        )
        return PeerFit(
            estimate=float(np.squeeze(inference[0])),
            std_error=float(np.squeeze(inference[1])),
            inference=f"{type(model).__name__}, {how}{folds}",
            n=len(data),
            model=model,
            **{"estimand": "ate", **facts},
        )


class EconMLLinearDML(EconML):
    """:class:`econml.dml.LinearDML`: partially linear; a 0/1 treatment gets a classifier.

    Parameters as :class:`EconML`. The standard error is heteroskedasticity-robust; with modifiers
    it takes their sample as given.

    References
    ----------
    Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68.
    """

    def _run(self, data: CausalData, seed: int) -> PeerFit:
        binary = _is_binary(data)
        model = self._made(
            "econml.dml",
            "LinearDML",
            seed,
            model_y=self._model("outcome"),
            model_t=self._model("treatment", "probability" if binary else "mean"),
            discrete_treatment=binary,
        )
        x, w = _features(data)
        model.fit(data.column("outcome"), data.column("treatment"), X=x, W=w, **_groups(data))
        return self._reported(data, model, _population(model, x), "heteroskedasticity-robust")


class EconMLCausalForestDML(EconML):
    """:class:`econml.dml.CausalForestDML`: a causal forest on residuals.

    Parameters as :class:`EconML`; trees through ``options={"n_estimators": ...}``. Effects vary
    with the modifiers, or with all covariates if none are declared. Of a 0/1 treatment the average
    effect has EconML's doubly robust correction; of others it is the mean of the forest's, with a
    conservative standard error (the root mean square of the pointwise ones).

    References
    ----------
    Athey, Tibshirani & Wager (2019), Annals of Statistics 47, 1148-1178.
    """

    def _run(self, data: CausalData, seed: int) -> PeerFit:
        binary = _is_binary(data)
        model = self._made(
            "econml.dml",
            "CausalForestDML",
            seed,
            model_y=self._model("outcome"),
            model_t=self._model("treatment", "probability" if binary else "mean"),
            discrete_treatment=binary,
            n_jobs=1,
        )
        x = self._varying(data)
        w = _features(data)[1] if data.roles.modifiers else None
        model.fit(data.column("outcome"), data.column("treatment"), X=x, W=w, **_groups(data))
        if binary:
            return self._reported(data, model, (model.ate_, model.ate_stderr_), "doubly robust")
        how = "root mean square of the pointwise standard errors"
        return self._reported(data, model, _population(model, x), how)

    def _varying(self, data: CausalData) -> Any:
        x, w = _features(data)
        return w if x is None else x


class EconMLDRLearner(EconML):
    """:class:`econml.dr.DRLearner`: doubly robust scores of a 0/1 treatment.

    Parameters as :class:`EconML`; the final stage is linear in the modifiers.

    References
    ----------
    Foster & Syrgkanis (2023), Annals of Statistics 51, 879-908.
    """

    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates"),
        treatment_kinds=("binary",),
        weight_kinds=(),
        max_treatments=1,
    )

    def _run(self, data: CausalData, seed: int) -> PeerFit:
        model = self._made(
            "econml.dr",
            "DRLearner",
            seed,
            model_regression=self._model("outcome"),
            model_propensity=self._model("treatment", "probability"),
        )
        x, w = _features(data)
        model.fit(data.column("outcome"), data.column("treatment"), X=x, W=w, **_groups(data))
        return self._reported(data, model, _population(model, x), "doubly robust scores")


@dataclass(kw_only=True, eq=False, repr=False)
class EconMLDRIV(EconML):
    """:class:`econml.iv.dr.LinearDRIV`: doubly robust scores with one instrument.

    Parameters
    ----------
    learner, outcome_learner, treatment_learner, n_folds, n_rep, options, random_state
        As :class:`EconML`.
    instrument_learner : str or scikit-learn estimator, optional
        For the instrument given the covariates.

    References
    ----------
    Syrgkanis et al. (2019), Advances in Neural Information Processing Systems 32.
    """

    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates", "instruments"),
        weight_kinds=(),
        max_treatments=1,
    )

    instrument_learner: str | Learner | None = None

    def _run(self, data: CausalData, seed: int) -> PeerFit:
        z = data.matrix("instruments")
        if z.shape[1] != 1:
            raise too_many(
                "instruments",
                f"EconMLDRIV takes one instrument, and the data have {z.shape[1]} "
                f"({', '.join(data.matrix_names('instruments'))}); keep one.",
            )
        binary_z = bool(np.isin(z, (0.0, 1.0)).all())
        binary = _is_binary(data)
        kind: Kind = "probability" if binary else "mean"
        model = self._made(
            "econml.iv.dr",
            "LinearDRIV",
            seed,
            model_y_xw=self._model("outcome"),
            model_t_xw=self._model("treatment", kind),
            model_tz_xw=self._model("treatment"),
            model_z_xw=self._model("instrument", "probability" if binary_z else "mean"),
            discrete_treatment=binary,
            discrete_instrument=binary_z,
        )
        x, w = _features(data)
        y, d = data.column("outcome"), data.column("treatment")
        model.fit(y, d, Z=z[:, 0], X=x, W=w, **_groups(data))
        how = "heteroskedasticity-robust"
        estimand = instrumented_estimand(d[:, None], z)
        return self._reported(
            data, model, _population(model, x), how, estimand=estimand, notes=(_HOMOGENEOUS,)
        )


def _is_binary(data: CausalData) -> bool:
    return data.roles.kinds[0] == "binary"


def _features(data: CausalData) -> tuple[Any, Any]:
    """Modifiers, None if there are none; covariates that are none, None if there are none."""
    roles = data.roles
    x = data.matrix("modifiers") if roles.modifiers else None
    if not set(roles.covariates) & set(roles.modifiers):
        return x, data.matrix("covariates")
    rest = tuple(name for name in roles.covariates if name not in roles.modifiers)
    if not rest:
        return x, None
    own = dict(zip(data.matrix_names("covariates"), data.matrix("covariates").T, strict=True))
    shared = set(data.matrix_names("modifiers"))
    return x, np.column_stack([column for name, column in own.items() if name not in shared])


def _population(model: Any, x: Any) -> tuple[Any, Any]:
    """Mean effect over the sample and its standard error.

    Raises
    ------
    ArgumentError
        If the options have a final stage without standard errors.
    """
    inference = model.ate_inference(X=x, T0=0, T1=1)
    try:
        return inference.mean_point, inference.stderr_mean
    except AttributeError as error:
        raise ArgumentError(
            f"EconML's {type(model).__name__} has no standard error of the average effect with the "
            "final stage in options; leave model_final out, or use that class by itself."
        ) from error


def _groups(data: CausalData) -> dict[str, Any]:
    """Groups that folds keep together."""
    names, codes = cluster_columns(data)
    if len(names) > 1:
        raise too_many(
            "cluster",
            f"EconML keeps one kind of cluster together, and the data have {len(names)} "
            f"({', '.join(names)}); declare one.",
        )
    return {"groups": codes[0]} if codes else {}

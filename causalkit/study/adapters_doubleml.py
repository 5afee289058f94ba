"""DoubleML's models with causalkit's data and results, so that studies can hold them."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from causalkit.data import CausalData, Requires
from causalkit.errors import check_choice, check_count
from causalkit.inference.instruments import instrumented_estimand
from causalkit.nuisance.learners import Kind
from causalkit.optional import require
from causalkit.rng import RandomState
from causalkit.study.adapters_common import (
    Peer,
    PeerFit,
    cluster_columns,
    frame_of,
    too_many,
)
from causalkit.typing import Learner

_WEIGHTED = "Partially linear: where effects vary, a variance-weighted mean of them."


@dataclass(kw_only=True, eq=False, repr=False)
class DoubleML(Peer):
    """Base of the DoubleML adapters.

    Parameters
    ----------
    learner : str or scikit-learn estimator, default "lasso"
        For every nuisance; names are those of
        :func:`causalkit.study.adapters_common.peer_learner`.
    outcome_learner, treatment_learner : str or scikit-learn estimator, optional
        For the nuisances of one variable.
    n_folds, n_rep : int, default 5 and 1
        Folds, and repeated splits.
    score : str, optional
        DoubleML's ``score``; None is its default.
    options : mapping, optional
        Further arguments of the DoubleML class.
    random_state : int, Generator, SeedSequence or None

    Notes
    -----
    Declared clusters, or else panel units, are kept together by the folds and allowed for by the
    standard error. Modifiers, weights and missing covariates have no part in these models: weights
    and missing covariates are refused.
    """

    package = "DoubleML"
    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates"), weight_kinds=(), max_treatments=1
    )

    learner: str | Learner = "lasso"
    outcome_learner: str | Learner | None = None
    treatment_learner: str | Learner | None = None
    n_folds: int = 5
    n_rep: int = 1
    score: str | None = None
    options: Mapping[str, Any] | None = None
    random_state: RandomState = None

    @abstractmethod
    def _build(self, package: Any, data: CausalData, arguments: dict[str, Any]) -> Any:
        """The DoubleML object."""

    def _facts(self, data: CausalData) -> dict[str, Any]:  # noqa: ARG002 - of PLIV
        """Estimand and notes."""
        return {"estimand": "ate", "notes": (_WEIGHTED,)}

    def _run(self, data: CausalData, seed: int) -> PeerFit:  # noqa: ARG002 - drawn globally
        package = require("doubleml", extra="dev", needed_by=type(self).__name__)
        arguments: dict[str, Any] = {
            "n_folds": check_count("n_folds", self.n_folds, least=2),
            "n_rep": check_count("n_rep", self.n_rep, least=1),
        }
        if self.score is not None:
            arguments["score"] = self.score
        model = self._build(package, data, arguments | dict(self.options or {}))
        model.fit()
        names, codes = cluster_columns(data)
        counts = [int(code.max()) + 1 for code in codes]
        how = "heteroskedasticity-robust"
        if names:
            told = ", ".join(f"{n}, {g} clusters" for n, g in zip(names, counts, strict=True))
            how = f"cluster-robust ({told})"
        return PeerFit(
            estimate=float(model.coef[0]),
            std_error=float(model.se[0]),
            inference=f"{type(model).__name__}, {how}, no small-sample factor",
            n=int(model.n_obs),
            n_clusters=min(counts, default=None),
            model=model,
            **self._facts(data),
        )

    def _third(self) -> dict[str, Any]:
        """The third learner, which only the score ``"IV-type"`` needs."""
        return {"ml_g": self._model("outcome")} if self.score == "IV-type" else {}


class DoubleMLPLR(DoubleML):
    """:class:`doubleml.DoubleMLPLR`: partially linear; a 0/1 treatment gets a classifier.

    Parameters as :class:`DoubleML`; ``score`` is ``"partialling out"`` or ``"IV-type"``.

    References
    ----------
    Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68.
    """

    def _build(self, package: Any, data: CausalData, arguments: dict[str, Any]) -> Any:
        return package.DoubleMLPLR(
            _data(package, data),
            ml_l=self._model("outcome"),
            ml_m=self._model("treatment", _kind(data)),
            **self._third(),
            **arguments,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class DoubleMLPLIV(DoubleML):
    """:class:`doubleml.DoubleMLPLIV`: partially linear with instruments.

    Parameters
    ----------
    learner, outcome_learner, treatment_learner, n_folds, n_rep, score, options, random_state
        As :class:`DoubleML`.
    instrument_learner : str or scikit-learn estimator, optional
        For the instruments given the covariates.

    References
    ----------
    Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68.
    """

    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates", "instruments"),
        weight_kinds=(),
        max_treatments=1,
    )

    instrument_learner: str | Learner | None = None

    def _build(self, package: Any, data: CausalData, arguments: dict[str, Any]) -> Any:
        return package.DoubleMLPLIV(
            _data(package, data, instruments=True),
            ml_l=self._model("outcome"),
            ml_m=self._model("instrument"),
            ml_r=self._model("treatment"),
            **self._third(),
            **arguments,
        )

    def _facts(self, data: CausalData) -> dict[str, Any]:
        note = "Partially linear: where effects vary, a weighted mean of local effects."
        d, z = data.matrix("treatment"), data.matrix("instruments")
        return {"estimand": instrumented_estimand(d, z), "notes": (note,)}


class DoubleMLIRM(DoubleML):
    """:class:`doubleml.DoubleMLIRM`: doubly robust scores of a 0/1 treatment.

    Parameters as :class:`DoubleML`; ``score`` is ``"ATE"`` or ``"ATTE"``.

    References
    ----------
    Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68.
    """

    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates"),
        treatment_kinds=("binary",),
        weight_kinds=(),
        max_treatments=1,
    )

    def _build(self, package: Any, data: CausalData, arguments: dict[str, Any]) -> Any:
        return package.DoubleMLIRM(
            _data(package, data),
            ml_g=self._model("outcome"),
            ml_m=self._model("treatment", "probability"),
            **arguments,
        )

    def _facts(self, data: CausalData) -> dict[str, Any]:  # noqa: ARG002 - of PLIV
        return {"estimand": "att" if self.score == "ATTE" else "ate"}


@dataclass(kw_only=True, eq=False, repr=False)
class DoubleMLPLPR(DoubleML):
    """:class:`doubleml.plm.DoubleMLPLPR`: partially linear static panel with unit effects.

    Parameters
    ----------
    approach : {"fd_exact", "cre_general", "cre_normal", "wg_approx"}
        DoubleML's, with its default.
    learner, outcome_learner, treatment_learner, n_folds, n_rep, score, options, random_state
        As :class:`DoubleML`.

    Notes
    -----
    DoubleML clusters by unit; clusters that are declared besides are refused.

    References
    ----------
    Clarke & Polselli (2026), Econometrics Journal 29(1).
    """

    requires: ClassVar[Requires] = Requires(
        roles=("outcome", "treatment", "covariates", "unit", "time"),
        weight_kinds=(),
        max_treatments=1,
    )

    approach: str = "fd_exact"

    def _build(self, package: Any, data: CausalData, arguments: dict[str, Any]) -> Any:
        known = ("fd_exact", "cre_general", "cre_normal", "wg_approx")
        check_choice("approach", self.approach, known)
        other = [name for name in data.roles.cluster if name != data.roles.unit]
        if other:
            raise too_many(
                "cluster",
                f"DoubleMLPLPR clusters by unit {data.roles.unit!r}, and the data declare the "
                f"cluster {other[0]!r}; drop that role for a comparison with it.",
            )
        frame, names = frame_of(data, ("outcome", "treatment", "covariates"))
        frame = frame.assign(_unit=data.codes("unit"), _time=data.periods())
        panel = package.DoubleMLPanelData(
            frame,
            y_col=names["outcome"][0],
            d_cols=names["treatment"][0],
            t_col="_time",
            id_col="_unit",
            x_cols=names["covariates"],
            static_panel=True,
        )
        own = "probability" if _kind(data) == "probability" and "cre" in self.approach else "mean"
        return package.DoubleMLPLPR(
            panel,
            ml_l=self._model("outcome"),
            ml_m=self._model("treatment", own),  # type: ignore[arg-type]  # one of the two kinds
            approach=self.approach,
            **self._third(),
            **arguments,
        )


def _kind(data: CausalData) -> Kind:
    return "probability" if data.roles.kinds[0] == "binary" else "mean"


def _data(package: Any, data: CausalData, *, instruments: bool = False) -> Any:
    """DoubleML's data with the roles of ours."""
    roles = ("outcome", "treatment", "covariates", *(("instruments",) if instruments else ()))
    frame, names = frame_of(data, roles)
    clusters, codes = cluster_columns(data)
    columns = [f"_cluster{place}" for place in range(len(clusters))]
    frame = pd.concat([frame, pd.DataFrame(dict(zip(columns, codes, strict=True)))], axis=1)
    return package.DoubleMLData(
        frame,
        y_col=names["outcome"][0],
        d_cols=names["treatment"][0],
        x_cols=names["covariates"],
        z_cols=names.get("instruments"),
        cluster_cols=columns or None,
    )

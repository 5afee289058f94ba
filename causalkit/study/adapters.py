"""Peers and plain functions as estimators of a study: ``"causalkit.study.adapters:..."``."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar, Self

import numpy as np

from causalkit.data import CausalData, Requires
from causalkit.errors import ArgumentTypeError
from causalkit.estimator import Estimator
from causalkit.registry import load
from causalkit.results import EffectResult
from causalkit.rng import RandomState, as_seed
from causalkit.study.adapters_doubleml import DoubleMLIRM as DoubleMLIRM
from causalkit.study.adapters_doubleml import DoubleMLPLIV as DoubleMLPLIV
from causalkit.study.adapters_doubleml import DoubleMLPLPR as DoubleMLPLPR
from causalkit.study.adapters_doubleml import DoubleMLPLR as DoubleMLPLR
from causalkit.study.adapters_econml import EconMLCausalForestDML as EconMLCausalForestDML
from causalkit.study.adapters_econml import EconMLDRIV as EconMLDRIV
from causalkit.study.adapters_econml import EconMLDRLearner as EconMLDRLearner
from causalkit.study.adapters_econml import EconMLLinearDML as EconMLLinearDML


class FromFunction(Estimator):
    """A function of the data as an estimator.

    Parameters
    ----------
    function : callable or str
        ``function(data, **args)``, or its ``"package.module:name"``. It gets ``random_state=`` if
        it takes one, and returns an EffectResult or the pair (estimate, standard error).
    args : mapping, optional
        Further arguments.
    estimand : str, default "ate"
        Of a pair.
    random_state : int, Generator, SeedSequence or None

    Examples
    --------
    >>> import causalkit as ck
    >>> def difference(data):
    ...     y, d = data.column("outcome"), data.column("treatment")
    ...     return float(y @ d / (d @ d)), 0.1
    >>> data = ck.generators.panel_cp2025(0, n_units=20, n_covariates=3)
    >>> FromFunction(difference).fit(data).estimate().std_error
    0.1
    """

    requires: ClassVar[Requires] = Requires(roles=("outcome", "treatment"))

    def __init__(
        self,
        function: Callable[..., Any] | str,
        *,
        args: Mapping[str, Any] | None = None,
        estimand: str = "ate",
        random_state: RandomState = None,
    ) -> None:
        self.function = function
        self.args = args
        self.estimand = estimand
        self.random_state = random_state

    def fit(self, data: CausalData) -> Self:
        """Call the function.

        Raises
        ------
        ArgumentTypeError
            If it returns neither a result nor a pair of numbers.
        """
        self._check_data(data)
        given = self.function
        function = load("function", given, {}) if isinstance(given, str) else given
        args = dict(self.args or {})
        seed = None
        if "random_state" in signature(function).parameters and "random_state" not in args:
            args["random_state"] = seed = as_seed(self.random_state)
        name = getattr(function, "__name__", type(function).__name__)
        self.result_ = self._result(function(data, **args), data, name, seed)
        self._data = data
        return self

    def estimate(self) -> EffectResult:
        """What the function returned."""
        self._check_fitted()
        return self.result_

    def _result(self, answer: Any, data: CausalData, name: str, seed: int | None) -> EffectResult:
        if isinstance(answer, EffectResult):
            return answer
        pair = np.asarray(answer, dtype=object) if isinstance(answer, Sequence) else None
        if pair is None or pair.shape != (2,) or isinstance(answer, str):
            raise ArgumentTypeError(
                f"function {name!r} returned {answer!r} ({type(answer).__name__}); it must return "
                "an EffectResult or the pair (estimate, standard error)."
            )
        estimate, std_error = (float(number) for number in answer)
        return EffectResult(
            terms=data.roles.treatment[:1],
            estimates=np.array([estimate]),
            vcov=np.array([[std_error**2]]),
            estimand=self.estimand,
            estimator=name,
            outcome=data.roles.outcome[0],
            treatment=data.roles.treatment[:1],
            n=len(data),
            inference=f"standard error as the function {name!r} returned it",
            seed=seed,
        )

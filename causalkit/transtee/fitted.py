"""What a fitted estimator knows, whether it was trained or read from a folder."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.transtee.conformal import Conformal
from causalkit.transtee.model import Model
from causalkit.transtee.settings import Settings


def put(
    estimator: Any,
    model: Model,
    *,
    seed: int,
    settings: Settings | None,
    diagnostics: Mapping[str, Any],
    conformal: Conformal | None,
    digest: str,
    data: CausalData | None,
) -> None:
    """Fitted attributes.

    Parameters
    ----------
    estimator : NetworkEstimator
    model : Model
    seed : int
    settings : Settings or None
        How to train anew, if that is possible.
    diagnostics : mapping
    conformal : Conformal or None
    digest : str
        Of the data of the fit.
    data : CausalData or None
        Those data, if they are at hand.
    """
    estimator.model_ = model
    estimator.seed_ = seed
    estimator.history_ = model.history()
    estimator.n_parameters_ = model.n_parameters
    estimator.feature_names_in_ = np.array(model.coding.covariates.names, dtype=object)
    estimator.partial_ = any(stack.partial for stack in model.stacks)
    estimator.diagnostics_ = diagnostics
    estimator._settings = settings
    estimator._conformal = conformal
    estimator._digest = digest
    estimator._data = data

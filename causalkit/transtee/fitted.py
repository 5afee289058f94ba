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
    estimator.config_ = {} if settings is None else config_of(model, settings)
    code = model.coding.actions
    estimator.arms_ = code.labels
    ranges = zip(code.labels, code.arms, strict=True)
    estimator.dose_range_ = {label: model.doses[arm] for label, arm in ranges if arm in model.doses}
    estimator.feature_names_in_ = np.array(model.coding.covariates.names, dtype=object)
    estimator.partial_ = model.partial
    estimator.diagnostics_ = diagnostics
    estimator._settings = settings
    estimator._fold_networks = {}
    estimator._conformal = conformal
    estimator._digest = digest
    estimator._data = data


def config_of(model: Model, settings: Settings) -> dict[str, Any]:
    """Arguments as the fit used them, with sizes where the user left them open."""
    shape, plan = model.stacks[0].network.shape, settings.plan
    chosen = model.stacks[0].members[0].lr
    return {
        "outcome": settings.outcome,
        "d_model": shape.width,
        "n_heads": shape.n_heads,
        "n_encoder_layers": shape.n_encoder_layers,
        "n_decoder_layers": shape.n_decoder_layers,
        "d_ff": shape.width_ff,
        "dropout": shape.dropout,
        "bottleneck": shape.bottleneck,
        "baseline": None if shape.baseline is None else shape.baseline.name,
        "regularizer": settings.regularizer,
        "lr": plan.lr if chosen is None else chosen,
        "weight_decay": plan.weight_decay,
        "batch_size": plan.batch_size,
        "max_epochs": plan.max_epochs,
        "patience": plan.patience,
        "validation_fraction": settings.validation_fraction,
        "n_ensemble": settings.n_ensemble,
        "bootstrap": settings.bootstrap,
        "refit": settings.refit,
        "interval": settings.interval,
        "device": str(settings.device),
        "precision": settings.precision,
    }

"""Fit one or many TransTEE estimators in common stacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.data import CausalData
from causalkit.data.roles import ARMS
from causalkit.device import deterministic_algorithms
from causalkit.errors import ArgumentError, CausalKitWarning
from causalkit.progress import teller
from causalkit.rng import as_seed
from causalkit.transtee.alike import check_data, check_estimators, check_lengths
from causalkit.transtee.coding import Coded, Coding, code_data, coding_of
from causalkit.transtee.conformal import Conformal
from causalkit.transtee.diagnostics import diagnostics_of
from causalkit.transtee.fitted import put
from causalkit.transtee.membership import members_of
from causalkit.transtee.model import Model
from causalkit.transtee.rates import fit_ensembles
from causalkit.transtee.settings import Settings
from causalkit.transtee.stack import stacks_of
from causalkit.warn import collect_warnings, warn

FEW_ROWS = 50


def fit_together(estimators: Sequence[Any], datasets: Sequence[CausalData]) -> None:
    """Train all estimators and put what they learned on them."""
    check_estimators(estimators)
    seeds = [as_seed(estimator.random_state) for estimator in estimators]
    settings = Settings.of(estimators[0], seed=seeds[0])
    with collect_warnings() as caught:
        coding = coding_of(datasets[0])
        check_data(datasets, coding)
        _check_kind(settings.treatment, coding)
        _check_interval(settings.interval, coding, datasets)
        _check_modules(settings, coding)
        _say(settings, coding, datasets[0])
        coded = [code_data(coding, data) for data in datasets]
        check_lengths(coding, coded)
        ensembles = [
            members_of(one, place, settings, seed, np.arange(one.n))
            for place, (one, seed) in enumerate(zip(coded, seeds, strict=True))
        ]
        tell = teller(
            settings.progress, settings.label, unit="epoch", total=settings.plan.max_epochs
        )
        with deterministic_algorithms(settings.deterministic):
            stacks = fit_ensembles(
                coding, coded, ensembles, settings, tell=tell, checkpoint=settings.checkpoint
            )
    for place, (estimator, data) in enumerate(zip(estimators, datasets, strict=True)):
        own = stacks_of(ensembles[place], stacks)
        model = Model(coding, own, dose_ranges(coding, coded[place], settings.support))
        put(
            estimator,
            model,
            seed=seeds[place],
            settings=settings,
            diagnostics=diagnostics_of(model, coded[place], settings),
            conformal=Conformal.of(model, coded[place])
            if settings.interval == "conformal"
            else None,
            digest=data.digest(),
            data=data,
        )
        estimator.warnings_ = tuple(caught)


def _check_kind(declared: str, coding: Coding) -> None:
    kind = coding.actions.kind
    if declared not in ("auto", kind):
        names = ", ".join(coding.actions.columns)
        raise ArgumentError(
            f"treatment={declared!r}, but the treatment of the data ({names}) is {kind!r}; declare "
            f"it in the data, kinds=(...), or say treatment={kind!r} or 'auto'."
        )


def _check_interval(interval: str, coding: Coding, datasets: Sequence[CausalData]) -> None:
    kind = coding.actions.kind
    if interval != "conformal":
        return
    if kind not in ARMS:
        raise ArgumentError(
            f"interval='conformal' needs a treatment with arms; this one is {kind}. Use "
            "interval='ensemble'."
        )
    if any(data.roles.weight_kind == "precision" for data in datasets):
        raise ArgumentError(
            "interval='conformal' counts how common rows are, and precision weights say how noisy "
            "their outcomes are. Use interval='ensemble', or leave the weights out with "
            "data.with_roles(weights=None, weight_kind=None)."
        )


def _check_modules(settings: Settings, coding: Coding) -> None:
    if settings.action_encoder is not None and coding.library is None:
        raise ArgumentError(
            f"action_encoder encodes structured treatments, and the treatment is "
            f"{coding.actions.kind!r}; leave it out."
        )
    count = len(coding.covariates.sequences)
    if settings.covariate_encoder is not None and count != 1:
        raise ArgumentError(
            f"covariate_encoder encodes the one sequence of the data, and they have {count}."
        )


def _say(settings: Settings, coding: Coding, data: CausalData) -> None:
    """Warn of little data and of what a regulariser can do."""
    if len(data) < FEW_ROWS:
        warn(
            f"only {len(data)} rows: a network has little to learn from; compare with "
            "a linear model.",
            CausalKitWarning,
        )
    if settings.compile and not settings.compiles:
        why = "on a processor, where compiling takes longer than it saves"
        if settings.dropout:
            why = "with dropout, whose streams cannot be compiled"
        warn(f"compile=True is left out {why}.", CausalKitWarning)
    if settings.regularizer is not None and settings.regularizer_weight > 0:
        warn(
            f"regularizer={settings.regularizer!r} pushes the representation to forget the "
            "treatment, and may delete confounders that adjustment needs; the validation loss "
            "cannot show it. Compare with regularizer=None.",
            CausalKitWarning,
        )
    if coding.covariates.shape.n_columns > settings.max_tokens:
        warn(
            f"{coding.covariates.shape.n_columns} covariates become {settings.n_tokens} tokens "
            f"(max_tokens={settings.max_tokens}); attention by covariate is not available.",
            CausalKitWarning,
        )


def dose_ranges(
    coding: Coding, coded: Coded, support: tuple[float, float] | None = None
) -> dict[str, tuple[float, float]]:
    """Lowest and highest dose of every arm that takes one, or the declared support."""
    found = {}
    for arm, (name, dosed) in enumerate(
        zip(coding.actions.arms, coding.actions.dosed, strict=True)
    ):
        here = (coded.actions.arms == arm) & coded.actions.active
        if dosed and here.any():
            doses = coded.actions.doses[here]
            found[name] = support or (float(doses.min()), float(doses.max()))
    return found

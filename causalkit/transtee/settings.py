"""Checked arguments of TransTEE."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from causalkit.device import PRECISIONS, resolve_device
from causalkit.errors import (
    ArgumentError,
    check_choice,
    check_count,
    check_flag,
    check_folder,
)
from causalkit.inference.arguments import check_between
from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.families import FAMILIES
from causalkit.transtee.own_modules import OwnModule
from causalkit.transtee.plan import Plan
from causalkit.transtee.regulariser import DENSITIES, REGULARIZERS, first_judged
from causalkit.transtee.shapes import ActionShape, NetShape, TableShape

TREATMENTS = ("auto", "binary", "multi", "continuous", "dose", "several", "structured")
INTERVALS = ("ensemble", "conformal")
_LARGE = ((50_000, 128), (5_000, 64))
_LEAST = 32
_AUTO = (_LEAST, *(wide for _, wide in _LARGE))
_RATES = (1e-3, 4e-3, 1.6e-2)


@dataclass(frozen=True, slots=True)
class Settings:
    """Arguments as the fit uses them; see :class:`causalkit.TransTEE`."""

    treatment: str
    outcome: str
    width: int | str
    n_heads: int
    n_encoder_layers: int
    n_decoder_layers: int
    width_ff: int | None
    dropout: float
    max_tokens: int
    n_tokens: int
    regularizer: str | None
    regularizer_weight: float
    density: str
    adversary_steps: int
    rates: tuple[float, ...]
    plan: Plan
    validation_fraction: float
    n_ensemble: int
    bootstrap: bool
    refit: bool
    n_folds: int
    n_rep: int
    interval: str
    support: tuple[float, float] | None
    device: Any
    precision: str
    compile: bool
    deterministic: bool
    checkpoint: Path | None
    seed: int
    progress: bool | Callable[[str], None] | None
    action_encoder: OwnModule | None
    covariate_encoder: OwnModule | None
    baseline: Baseline | None
    label: str

    @classmethod
    def of(cls, e: Any, *, seed: int) -> "Settings":
        """Check the arguments of an estimator, all before any training."""
        check_choice("treatment", e.treatment, TREATMENTS)
        check_choice("outcome", e.outcome, FAMILIES)
        check_choice("density", e.density, DENSITIES)
        check_choice("interval", e.interval, INTERVALS)
        check_choice("precision", e.precision, PRECISIONS)
        if e.regularizer not in REGULARIZERS:
            raise ArgumentError(f"regularizer must be None, 'tr' or 'ptr', got {e.regularizer!r}.")
        for name in ("bootstrap", "compile", "deterministic", "refit"):
            check_flag(name, getattr(e, name))
        if e.refit and e.interval == "conformal":
            raise ArgumentError(
                'refit=True trains on the validation rows, and interval="conformal" calibrates on '
                "them; choose one."
            )
        width = e.d_model if e.d_model == "auto" else check_count("d_model", e.d_model, least=2)
        heads = check_count("n_heads", e.n_heads, least=1)
        odd = [wide for wide in (_AUTO if width == "auto" else (width,)) if wide % heads]
        if odd:
            raise ArgumentError(
                f"d_model={odd[0]}{' (auto)' if width == 'auto' else ''} is not a multiple of "
                f"n_heads={heads}; every head has d_model / n_heads channels."
            )
        rates = _rates(e.lr)
        epochs = check_count("max_epochs", e.max_epochs, least=1)
        return cls(
            treatment=e.treatment,
            outcome=e.outcome,
            width=width,
            n_heads=heads,
            n_encoder_layers=check_count("n_encoder_layers", e.n_encoder_layers, least=0),
            n_decoder_layers=check_count("n_decoder_layers", e.n_decoder_layers, least=1),
            width_ff=None if e.d_ff is None else check_count("d_ff", e.d_ff, least=1),
            dropout=check_between("dropout", e.dropout, 0.0, 1.0, end=False),
            max_tokens=check_count("max_tokens", e.max_tokens, least=1),
            n_tokens=check_count("n_tokens", e.n_tokens, least=1),
            regularizer=e.regularizer,
            regularizer_weight=check_between("regularizer_weight", e.regularizer_weight, 0.0, 1e6),
            density=e.density,
            adversary_steps=check_count("adversary_steps", e.adversary_steps, least=1),
            rates=rates,
            plan=Plan(
                lr=rates[0],
                weight_decay=check_between("weight_decay", e.weight_decay, 0.0, 10.0),
                batch_size=check_count("batch_size", e.batch_size, least=2),
                max_epochs=epochs,
                patience=check_count("patience", e.patience, least=1),
                settled=first_judged(epochs) if e.regularizer is not None else 0,
            ),
            validation_fraction=check_between(
                "validation_fraction", e.validation_fraction, 0.0, 1.0, start=False, end=False
            ),
            n_ensemble=check_count("n_ensemble", e.n_ensemble, least=1),
            bootstrap=e.bootstrap,
            refit=e.refit,
            n_folds=check_count("n_folds", e.n_folds, least=2),
            n_rep=check_count("n_rep", e.n_rep, least=1),
            interval=e.interval,
            support=_support(e.support),
            device=resolve_device(e.device),
            precision=e.precision,
            compile=e.compile,
            deterministic=e.deterministic,
            checkpoint=check_folder("checkpoint", e.checkpoint),
            seed=seed,
            progress=e.progress,
            action_encoder=OwnModule.of("action_encoder", e.action_encoder),
            covariate_encoder=OwnModule.of("covariate_encoder", e.covariate_encoder),
            baseline=e.baseline,
            label=type(e).__name__,
        )

    @property
    def compiles(self) -> bool:
        """Whether networks are compiled: on a GPU, and without dropout, which breaks the graph."""
        return self.compile and self.device.type != "cpu" and not self.dropout

    def at(self, rate: float) -> "Settings":
        """The same at one learning rate."""
        return replace(self, rates=(rate,), plan=replace(self.plan, lr=rate))

    def net_shape(self, table: TableShape, actions: ActionShape, n: int) -> NetShape:
        """Sizes of the network for n rows; ``"auto"`` is 64 from 5,000 and 128 from 50,000 rows."""
        width = self.width
        if isinstance(width, str):
            width = next((wide for least, wide in _LARGE if n >= least), _LEAST)
        return NetShape(
            table=table,
            actions=actions,
            width=width,
            n_heads=self.n_heads,
            n_encoder_layers=self.n_encoder_layers,
            n_decoder_layers=self.n_decoder_layers,
            width_ff=self.width_ff or 2 * width,
            bottleneck=self.n_tokens if table.n_columns > self.max_tokens else 0,
            dropout=self.dropout,
            baseline=self.baseline,
            own_items=self.action_encoder is not None,
            normed_memory=self.regularizer is not None,
            own_sequence=self.covariate_encoder is not None,
        )


def _rates(lr: Any) -> tuple[float, ...]:
    """Learning rates to choose from, or the one."""
    if isinstance(lr, str):
        check_choice("lr", lr, ("auto",))
        return _RATES
    given = (lr,) if np.ndim(lr) == 0 else tuple(lr)
    found = tuple(check_between("lr", rate, 0.0, 10.0, start=False) for rate in given)
    if not found or len(set(found)) < len(found):
        raise ArgumentError(
            f'lr must be a number, several different ones to choose from, or "auto", got {lr!r}.'
        )
    return found


def _support(support: Any) -> tuple[float, float] | None:
    if support is None:
        return None
    try:
        low, high = (float(end) for end in support)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"support must be None or (lowest dose, highest dose), got {support!r}."
        ) from error
    if not low < high:
        raise ArgumentError(f"support must have its lowest dose first, got {support!r}.")
    return low, high

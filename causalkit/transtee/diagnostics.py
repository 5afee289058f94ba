"""What training and held-out rows say of fitted networks."""

from typing import Any

import numpy as np

from causalkit.transtee.coding import Coded
from causalkit.transtee.model import Model
from causalkit.transtee.predicting import mean_outcomes, representation
from causalkit.transtee.settings import Settings
from causalkit.typing import Floats, Ints

PENALTIES = np.logspace(-3, 3, 7)


def diagnostics_of(model: Model, coded: Coded, settings: Settings) -> dict[str, Any]:
    """Sizes, epochs and factual fit."""
    arms = model.coding.actions.arms
    counts = {
        name: int(((coded.actions.arms == arm) & coded.actions.active).sum())
        for arm, name in enumerate(arms)
    }
    best = np.concatenate([stack.best_epoch for stack in model.stacks])
    last = np.concatenate([stack.last_epoch for stack in model.stacks])
    found = {
        "rows by arm": counts,
        "range of doses": dict(model.doses),
        "networks": model.n_members,
        "best epoch": (best + 1).tolist(),
        "epochs trained": (last + 1).tolist(),
        "validation loss": np.concatenate([stack.best_loss for stack in model.stacks]).tolist(),
        "factual R², validation": [] if settings.refit else factual_r2(model, coded),
        "treatment left in the representation, R²": treatment_left(model, coded),
        "d_model": model.stacks[0].network.shape.width,
        "device": str(settings.device),
    }
    if model.coding.library is not None:
        found["structured treatment left in the representation, R²"] = items_left(model, coded)
    return found


def factual_r2(model: Model, coded: Coded) -> list[float]:
    """R² of every network on its validation rows, by their weights, at the actions received."""
    found = []
    for stack in model.stacks:
        for place, member in enumerate(stack.members):
            rows = member.valid
            covariates, received = coded.covariates.rows(rows), coded.actions.rows(rows)
            mean = mean_outcomes([stack.kept([place])], covariates, [received])[0, :, 0]
            y, weight = coded.y[rows], _weight(coded, rows)
            spread = _moments(y, weight)[1] ** 2
            error = np.average((y - mean) ** 2, weights=weight)
            found.append(float(1.0 - error / spread) if spread > 0 else float("nan"))
    return found


def treatment_left(model: Model, coded: Coded) -> float:
    """Share of the treatment's variance that the representation of the first network predicts.

    A ridge regression of arms and doses on the standardised mean encoder token, learned on training
    rows with a penalty of their choice and judged on validation rows, all by their weights. It
    depends neither on the length of the token nor on how good the treatment model of a regulariser
    is. Rows that take no dose count as of the mean dose. NaN without arms or doses.
    """
    actions, train = coded.actions, model.stacks[0].members[0].train
    columns = [actions.arms == arm for arm in range(len(model.coding.actions.arms))]
    targets = [(column & actions.active).any(axis=1).astype(float) for column in columns]
    weight = _weight(coded, train)
    targets += [_filled(doses, train, weight) for doses in coded.doses_taken.T]
    return _share_predicted(model, coded, targets)


def items_left(model: Model, coded: Coded) -> float:
    """The same of structured treatments, by the coordinates of their tokens."""
    import torch

    stack = model.stacks[0].kept([0])
    with torch.inference_mode():
        tokens = stack.network.items(stack.network.parameters(stack.flat))
    assert tokens is not None
    each = tokens[0].cpu().numpy().astype(np.float64)[coded.actions.items]
    return _share_predicted(model, coded, list(each.T))


def _share_predicted(model: Model, coded: Coded, targets: list[Floats]) -> float:
    """Share of the variance of targets ``(n,)`` by the representation of the first network."""
    from sklearn.linear_model import RidgeCV

    stack = model.stacks[0].kept([0])
    member = stack.members[0]
    weight = _weight(coded, member.train)
    known = [_moments(target[member.train], weight) for target in targets]
    varied = [
        (target - mean) / sd for target, (mean, sd) in zip(targets, known, strict=True) if sd > 0
    ]
    if not varied:
        return float("nan")
    y = np.column_stack(varied)
    seen, unseen = (
        representation(stack, coded.covariates.rows(rows))[0].astype(np.float64)
        for rows in (member.train, member.valid)
    )
    centre, spread = _moments(seen, weight)
    spread = np.where(spread > 0, spread, 1.0)
    probe = RidgeCV(PENALTIES).fit((seen - centre) / spread, y[member.train], sample_weight=weight)
    hat = probe.predict((unseen - centre) / spread).reshape(y[member.valid].shape)
    weight = _weight(coded, member.valid)
    left = np.average((y[member.valid] - hat) ** 2, axis=0, weights=weight)
    alone = _moments(y[member.valid], weight)[1] ** 2
    return float(1.0 - (left / np.where(alone > 0, alone, 1.0)).mean())


def _weight(coded: Coded, rows: Ints) -> Floats | None:
    """Weights of rows: of a frequency as often as it says, of others in units of their mean."""
    if coded.weight is None:
        return None
    weight = coded.weight[rows]
    return weight if coded.multiplicity is not None else np.asarray(weight / weight.mean())


def _moments(values: Floats, weight: Floats | None) -> tuple[Any, Any]:
    """Mean and standard deviation of every column."""
    mean = np.average(values, axis=0, weights=weight)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))


def _filled(doses: Floats, train: Ints, weight: Floats | None) -> Floats:
    """Doses ``(n,)`` with the mean of those of training rows where none is taken."""
    taken = ~np.isnan(doses)
    seen = taken[train]
    if not seen.any():
        return np.zeros(doses.size)
    counts = None if weight is None else weight[seen]
    mean = np.average(doses[train][seen].astype(float), weights=counts)
    return np.where(taken, doses, mean).astype(float)

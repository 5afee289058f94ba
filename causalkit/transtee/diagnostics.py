"""What training and held-out rows say of fitted networks."""

from typing import Any

import numpy as np

from causalkit.transtee.fitting import Coded
from causalkit.transtee.model import Model
from causalkit.transtee.predicting import mean_outcomes, representation
from causalkit.transtee.settings import Settings

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
    return {
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


def factual_r2(model: Model, coded: Coded) -> list[float]:
    """R² of every network on its validation rows, at the actions received."""
    found = []
    for stack in model.stacks:
        for place, member in enumerate(stack.members):
            rows = member.valid
            covariates, received = coded.covariates.rows(rows), coded.actions.rows(rows)
            mean = mean_outcomes([stack.kept([place])], covariates, [received])[0, :, 0]
            spread = coded.y[rows].var()
            error = ((coded.y[rows] - mean) ** 2).mean()
            found.append(float(1.0 - error / spread) if spread > 0 else float("nan"))
    return found


def treatment_left(model: Model, coded: Coded) -> float:
    """Share of the treatment's variance that the representation of the first network predicts.

    A ridge regression of arms and doses on the standardised mean encoder token, learned on training
    rows with a penalty of their choice and judged on validation rows. It depends neither on the
    length of the token nor on how good the treatment model of a regulariser is. NaN without arms
    or doses.
    """
    from sklearn.linear_model import RidgeCV

    stack = model.stacks[0].kept([0])
    member, actions = stack.members[0], coded.actions
    columns = [actions.arms == arm for arm in range(len(model.coding.actions.arms))]
    targets = [(column & actions.active).any(axis=1).astype(float) for column in columns]
    targets += [actions.doses[:, slot].astype(float) for slot in range(actions.doses.shape[1])]
    varied = [target for target in targets if target[member.train].std() > 0]
    if not varied:
        return float("nan")
    y = np.column_stack(varied)
    y = (y - y[member.train].mean(axis=0)) / y[member.train].std(axis=0)
    seen, unseen = (
        representation(stack, coded.covariates.rows(rows))[0].astype(np.float64)
        for rows in (member.train, member.valid)
    )
    centre, spread = seen.mean(axis=0), seen.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    probe = RidgeCV(PENALTIES).fit((seen - centre) / spread, y[member.train])
    hat = probe.predict((unseen - centre) / spread).reshape(y[member.valid].shape)
    left = ((y[member.valid] - hat) ** 2).mean(axis=0)
    alone = ((y[member.valid] - y[member.valid].mean(axis=0)) ** 2).mean(axis=0)
    return float(1.0 - (left / np.where(alone > 0, alone, 1.0)).mean())

"""T8: what regularisers of TransTEE leave of the treatment in the representation, and their price.

A part of ``transtee_evidence.py``.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from transtee_evidence_page import N_FORGETTING
from transtee_summary import summary

import causalkit as ck
from causalkit.transtee.predicting import representation

DOSES = np.array([0.3, 0.7])
FIRST = 100


def left_to_a_forest(data: ck.CausalData, fit: Any) -> float:
    """Share of the treatment's variance that a forest finds in the representation: new rows' R²."""
    stack = fit.model_.stacks[0]
    r = representation(stack, fit.model_.asked(data.blind()).covariates)[0]
    treatment = data.frame[data.roles.treatment[0]]
    if data.roles.kinds[0] == "multi":
        treatment = treatment == treatment.iloc[0]
    t, member = treatment.to_numpy(dtype=float), stack.members[0]
    forest = RandomForestRegressor(200, min_samples_leaf=5, random_state=0)
    forest.fit(r[member.train], t[member.train])
    return float(forest.score(r[member.valid], t[member.valid]))


def randomised_doses(draw: int) -> ck.CausalData:
    """Units of ``dose_synthetic`` with doses that were shuffled, and the outcomes of those."""
    data = ck.generators.dose_synthetic(draw, n=1000)
    t, y, curves = data.column("treatment"), data.column("outcome"), data.truth.unit_response
    given = np.random.default_rng(draw).permutation(t)
    moved = curves(given[:, None]) - curves(t[:, None])
    return replace(data, frame=data.frame.assign(t=given, y=y + moved[:, 0]))


DESIGNS: dict[str, Callable[[int], ck.CausalData]] = {
    "arms": lambda draw: ck.generators.multi_arm(draw, n_arms=2, selection=1.5),
    "arms, randomised": lambda draw: ck.generators.multi_arm(draw, n_arms=2, selection=0.0),
    "doses": lambda draw: ck.generators.dose_synthetic(draw, n=1000),
    "doses, randomised": randomised_doses,
}


def effect_error(data: ck.CausalData, fit: Any) -> float:
    """√PEHE of unit effects: of the arms, or of a high dose against a low one."""
    if data.truth.unit_response is None:
        effect, true = fit.effect(data.blind()), 1.0 + 0.5 * data.frame["x1"].to_numpy()
    else:
        effect = fit.effect(data.blind(), treatment=DOSES[1], baseline=DOSES[0])
        true = np.diff(data.truth.unit_response(DOSES), axis=1)[:, 0]
    return ck.metrics.pehe(effect["effect"].values.ravel(), true)


def forgotten(
    found: dict[str, Any], keep: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """Every design, width and regulariser that is not among those found."""
    for name, drawn in DESIGNS.items():
        asked = [(width, by) for width in (8, 32) for by in (None, "tr", "ptr")]
        if all(f"{name}|{width}|{by}" in found for width, by in asked):
            continue
        datasets = [drawn(FIRST + k) for k in range(N_FORGETTING)]
        for width, regularizer in asked:
            fits = ck.TransTEE.fit_many(
                [data.blind() for data in datasets],
                d_model=width,
                n_ensemble=1,
                max_epochs=120,
                regularizer=regularizer,
                regularizer_weight=2.0,
                random_state=0,
            )
            left = [f.diagnostics_["treatment left in the representation, R²"] for f in fits]
            pairs = [*zip(datasets, fits, strict=True)]
            found[f"{name}|{width}|{regularizer}"] = {
                "left": summary(left),
                "forest": summary([left_to_a_forest(*pair) for pair in pairs]),
                "pehe": summary([effect_error(*pair) for pair in pairs]),
            }
            keep(found)
    return found

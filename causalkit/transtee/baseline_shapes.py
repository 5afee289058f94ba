"""Sizes and parameters of the networks without attention that TransTEE is compared with."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from causalkit.errors import ArgumentError
from causalkit.transtee.layout import Layout, Parameter, linear

if TYPE_CHECKING:
    from causalkit.transtee.shapes import ActionShape, TableShape

# A head sees a fifth of the dose range. Weights that start like those of covariates are too small
# for it: covariates are fitted, and training stops, before the dose matters. On one data set of the
# synthetic design of VCNet the squared error of the average curve fell from .12 to .06.
DOSE_BOUND = 10.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A representation of the covariates, and heads for arms and doses.

    Attributes
    ----------
    name : {"tarnet", "dragonnet", "drnet", "vcnet"}
    width_head : int
        Units of a hidden layer of a head.
    n_layers, n_head_layers : int
        Hidden layers of the representation and of every head.
    n_strata : int
        Equal parts of the dose range, each with a head for every arm (TARNet, DRNet).
    degree, n_knots : int
        Of the truncated power basis by which head weights vary with the dose (VCNet).
    n_cells : int
        Cells of the grid on which the density of the dose is piecewise linear (VCNet).
    treatment_weight : float
        Of −log π(treatment | x) in the training loss (Dragonnet, VCNet).
    targeted_weight : float
        Of targeted regularisation (Dragonnet).
    """

    name: str
    width_head: int = 100
    n_layers: int = 3
    n_head_layers: int = 2
    n_strata: int = 1
    degree: int = 2
    n_knots: int = 2
    n_cells: int = 10
    treatment_weight: float = 0.0
    targeted_weight: float = 0.0

    @property
    def n_basis(self) -> int:
        """Functions of the dose by which weights vary."""
        return 1 + self.degree + self.n_knots if self.name == "vcnet" else 1

    def heads(self, actions: "ActionShape") -> int:
        """Heads: arms, times parts of the dose range if there are doses."""
        return actions.n_arms * (self.n_strata if any(actions.dosed) else 1)

    def n_copies(self, actions: "ActionShape") -> int:
        """Maps that run for every action asked about."""
        return self.heads(actions) * self.n_basis

    def layout(self, table: "TableShape", actions: "ActionShape", width: int) -> Layout:
        """Every block of parameters, in a fixed order.

        Raises
        ------
        ArgumentError
            If the treatment is not one that the network has heads for.
        """
        _check_actions(self.name, actions)
        blocks: dict[str, Parameter] = {}
        n_in = n_features(table)
        for layer in range(self.n_layers):
            blocks |= linear(f"body{layer}", n_in, width)
            n_in = width
        dosed = any(actions.dosed) and self.name != "vcnet"
        copies = self.heads(actions)
        for layer in range(self.n_head_layers + 1):
            n_out = 1 if layer == self.n_head_layers else self.width_head
            bound = 1.0 / math.sqrt(n_in)
            wide = (copies, n_in, self.n_basis * n_out)
            blocks[f"head{layer}.weight"] = Parameter(wide, "uniform", bound, decays=True)
            blocks[f"head{layer}.bias"] = Parameter((copies, self.n_basis * n_out))
            if dosed and (layer == 0 or self.name == "drnet"):
                wide_dose = (copies, n_out)
                blocks[f"head{layer}.dose"] = Parameter(
                    wide_dose, "uniform", DOSE_BOUND, decays=True
                )
            n_in = n_out
        if self.name == "vcnet":
            blocks |= linear("density", width, actions.n_arms * (self.n_cells + 1))
        if self.name == "dragonnet":
            blocks |= linear("propensity", width, actions.n_arms)
            blocks["targeted"] = Parameter((1,))
        return Layout(blocks)


def _check_actions(name: str, actions: "ActionShape") -> None:
    if actions.n_slots != 1 or actions.item_features:
        raise ArgumentError(
            f"{name} has heads for the arms of one treatment, and cannot take several treatments "
            "or structured ones; use TransTEE."
        )
    if name in ("drnet", "vcnet") and not any(actions.dosed):
        raise ArgumentError(
            f"{name} needs a dose, and the treatment has arms only; use TARNet or TransTEE."
        )


def n_features(table: "TableShape") -> int:
    """Columns of the table as one vector, with the mean step of sequences and node of graphs."""
    numeric = table.n_numeric * (1 + table.native_missing)
    steps = sum(features for _, features in table.sequences)
    return numeric + sum(levels + 1 for levels in table.levels) + steps + table.node_features

"""Hyper-parameters that were released with TransTEE, and which data each design is for."""

from dataclasses import dataclass

from causalkit.data.roles import ARMS
from causalkit.errors import ArgumentError
from causalkit.transtee.coding import Coding
from causalkit.transtee.covariates import first_hole
from causalkit.typing import Floats

NUMBERS, DOSAGE, GRAPHS, TEXTS = "numbers", "dosage", "graphs", "texts"


@dataclass(frozen=True, slots=True)
class Stopping:
    """When training on graphs ends, by the error on validation rows.

    Attributes
    ----------
    fraction : float
        Of the rows, for validation.
    least : int
        Epochs before anything is watched.
    patience : int
        Epochs without a new least error that are still borne.
    below : float
        Error in squared units of the outcome, above which training never ends.
    """

    fraction: float = 0.2
    least: int = 250
    patience: int = 10
    below: float = 50.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyper-parameters of one design.

    Attributes
    ----------
    takes : str
        Kind of data.
    width : int
        Of a token; 0 for that of the embedding of the texts.
    adam : bool
        Instead of SGD with Nesterov momentum and weight decay.
    cosine : bool
        Whether the rate falls by epoch.
    norms : bool
        Whether the batch norms of the decoder are used.
    accumulate : int
        Batches of an epoch in a step; those that are left over count in that of the next epoch.
    stopping : Stopping or None
        None trains to the last epoch.
    """

    lr: float = 5e-4
    batch: int = 128
    epochs: int = 1500
    dropout: float = 0.0
    width: int = 10
    heads: int = 2
    feed_forward: int = 50
    takes: str = NUMBERS
    adam: bool = False
    cosine: bool = True
    norms: bool = False
    accumulate: int = 1
    stopping: Stopping | None = None


RECIPES = {
    "ihdp": Recipe(),
    "news": Recipe(lr=0.01, batch=500),
    "synthetic": Recipe(lr=0.01, batch=500, epochs=1600, dropout=0.1),
    "tcga": Recipe(
        lr=1e-3, epochs=200, width=48, feed_forward=48, takes=DOSAGE, adam=True, norms=True
    ),
    "sw": Recipe(
        lr=5e-3,
        batch=500,
        epochs=50_000,
        width=16,
        feed_forward=200,
        takes=GRAPHS,
        adam=True,
        cosine=False,
        norms=True,
        stopping=Stopping(),
    ),
    "texts": Recipe(
        lr=1e-3,
        batch=200,
        epochs=50,
        dropout=0.1,
        width=0,
        heads=4,
        feed_forward=2048,
        takes=TEXTS,
        adam=True,
        cosine=False,
        norms=True,
        accumulate=4,
    ),
}
_WORDS = {
    NUMBERS: "arms or one dose, and covariates that are numbers",
    DOSAGE: "arms with a dose",
    GRAPHS: "treatments that are graphs",
    TEXTS: "arms, and a sequence of token embeddings as the only covariate",
}


def check_data(name: str, coding: Coding, numeric: Floats, y: Floats) -> None:
    """Refuse data that a recipe is not for, naming the one that is.

    Raises
    ------
    ArgumentError
        Also where a value is missing, a covariate is no number, or the outcome of texts is not a
        class of two.
    """
    recipe, right = RECIPES[name], _takes(coding)
    if right != recipe.takes:
        fitting = " or ".join(f"{one!r}" for one, made in RECIPES.items() if made.takes == right)
        raise ArgumentError(
            f"recipe={name!r} is for {_WORDS[recipe.takes]}, and these data have {_WORDS[right]}; "
            f"use recipe={fitting}."
        )
    _check_covariates(coding, recipe)
    check_holes(coding, numeric)
    if recipe.takes == GRAPHS:
        _check_graphs(coding)
    if recipe.takes == TEXTS:
        _check_texts(coding, recipe, y)


def check_holes(coding: Coding, numeric: Floats) -> None:
    """Refuse covariates with a missing value."""
    hole = first_hole(coding.covariates, numeric)
    if hole is not None:
        name, row = hole
        raise ArgumentError(
            f"the release knows no missing values, and {name!r} is missing in row {row}; leave "
            "those rows out, or fill them in."
        )


def _takes(coding: Coding) -> str:
    """Kind of the data, by the treatment and what there is beside it."""
    kind = coding.actions.kind
    if kind == "several" or (kind == "structured" and len(coding.actions.columns) > 1):
        raise ArgumentError(
            f"the release knows one treatment, and these are {', '.join(coding.actions.columns)}; "
            "name one of them."
        )
    if kind == "structured":
        return GRAPHS
    if kind == "dose":
        return DOSAGE
    only_steps = coding.covariates.sequences and not coding.covariates.names
    return TEXTS if only_steps and kind in ARMS else NUMBERS


def _check_covariates(coding: Coding, recipe: Recipe) -> None:
    code = coding.covariates
    others = [*code.levels, *([] if recipe.takes == TEXTS else code.sequences)]
    others += [] if code.graph is None else [code.graph.column]
    if others:
        raise ArgumentError(
            f"the release knows numbers only, and {', '.join(map(str, others))} is something else; "
            "leave it out, or make indicators of it."
        )


def _check_graphs(coding: Coding) -> None:
    library, column = coding.library, coding.item_column
    assert library is not None
    if library.kind != "graph":
        raise ArgumentError(
            f"recipe='sw' is for treatments that are graphs, and items of {column!r} are a "
            f"{library.kind} each; pass the tables {column}_nodes and {column}_edges, or use "
            "TransTEE."
        )
    if library.types is not None:
        raise ArgumentError(
            f"recipe='sw' knows no types of edges, and the table {column}_edges has some; leave "
            "the column 'type' out, or use TransTEE."
        )


def _check_texts(coding: Coding, recipe: Recipe, y: Floats) -> None:
    sequences = coding.covariates.sequences
    if len(sequences) > 1:
        raise ArgumentError(
            f"recipe='texts' reads one sequence, and these data have {', '.join(sequences)}; "
            "leave one."
        )
    (column, (_, width)), *_ = sequences.items()
    if width % recipe.heads:
        raise ArgumentError(
            f"recipe='texts' has {recipe.heads} heads, and tokens of {column!r} have {width} "
            f"numbers; make that a multiple of {recipe.heads}."
        )
    strange = y[(y != 0.0) & (y != 1.0)]
    if strange.size:
        raise ArgumentError(
            "recipe='texts' learns a class, so the outcome must be 0 or 1, and one row has "
            f"{strange[0]:g}; make an indicator of it."
        )
    least = recipe.batch * (recipe.accumulate - 1) + 1
    if y.size < least:
        raise ArgumentError(
            f"recipe='texts' takes a step after every {recipe.accumulate} batches of "
            f"{recipe.batch} within an epoch, and so never on {y.size} rows; give at least {least}."
        )

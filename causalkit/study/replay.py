"""One replication again, in the foreground: its exact data, and one estimator on them."""

import json
import pdb
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_count, unknown_name
from causalkit.study.attempt import fit_of
from causalkit.study.design import Cell, EstimatorSpec, data_stream, estimator_seed
from causalkit.study.plan import plan
from causalkit.study.resolve import generator_of
from causalkit.study.true_doses import at_true_doses

if TYPE_CHECKING:
    from causalkit.study.study import Study


@dataclass(frozen=True, slots=True)
class Replay:
    """One replication.

    Attributes
    ----------
    cell : Cell
    rep : int
    data : CausalData
        With the truth; estimators in a study get ``data.blind()``.
    results : tuple
        What the estimator returned; empty if none was named.
    seed : int or None
        Its ``random_state``.
    """

    cell: Cell
    rep: int
    data: CausalData
    results: tuple[Any, ...] = ()
    seed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain facts, for JSON: the address, the truth and the results, without the rows."""
        truth = self.data.truth
        return {
            "cell": self.cell.id,
            "generator": self.cell.generator,
            "params": dict(self.cell.params),
            "rep": self.rep,
            "seed": self.seed,
            "n": len(self.data),
            "truth": {} if truth is None else {k: float(v) for k, v in truth.estimands.items()},
            "results": [json.loads(result.to_json()) for result in self.results],
        }


def replay(
    study: "Study", cell: Any, rep: int, estimator: str | None = None, *, debug: bool = False
) -> Replay:
    """Draw the data of a replication again, and run one estimator on them.

    Parameters
    ----------
    study : Study
    cell : Cell, str or mapping
        The cell, its id or the start of it, or parameters that only it has.
    rep : int
    estimator : str, optional
        Label.
    debug : bool
        Open the debugger where the estimator fails.

    Raises
    ------
    ArgumentError
        If there is no such cell or estimator, or several.
    Exception
        Whatever the estimator raises.
    """
    made = plan(study)
    found, number = cell_of(made.cells, cell), check_count("rep", rep, least=0)
    function = generator_of(found)
    data = function(data_stream(study.seed, found, number), **found.params)
    if estimator is None:
        return Replay(found, number, data)
    spec = estimator_named(made.estimators, estimator)
    seed = estimator_seed(study.seed, found, number, spec)
    try:
        asked = at_true_doses(spec, data.truth)
        results, _ = fit_of(asked, data if spec.oracle else data.blind(), seed)
    except Exception:
        if debug:
            pdb.post_mortem(sys.exc_info()[2])
        raise
    return Replay(found, number, data, tuple(results), seed)


def cell_of(cells: tuple[Cell, ...], wanted: Any) -> Cell:
    """The one cell that an id, the start of one, or some parameters name."""
    if isinstance(wanted, Cell):
        wanted = wanted.id
    if isinstance(wanted, Mapping):
        found = [cell for cell in cells if cell.has(wanted)]
    else:
        found = [cell for cell in cells if cell.id.startswith(str(wanted))]
    if len(found) == 1:
        return found[0]
    known = "\n  ".join(f"{cell.id}  {cell.label}" for cell in (found or cells)[:20])
    count = "no cell" if not found else f"{len(found)} cells"
    raise ArgumentError(f"{wanted!r} names {count}; say which:\n  {known}")


def estimator_named(estimators: tuple[EstimatorSpec, ...], label: str) -> EstimatorSpec:
    """The estimator with a label."""
    for spec in estimators:
        if spec.label == label:
            return spec
    raise unknown_name("estimator", label, [spec.label for spec in estimators])

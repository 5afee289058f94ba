"""Missing values and unknown levels in columns where training had none.

A missing number has a learned vector only in columns that training rows lacked, and is refused in
others: nothing was learned about such rows. A level that is unknown or missing where none was in
training is answered at the mean of the known levels' vectors.
"""

from typing import TYPE_CHECKING

import numpy as np

from causalkit.errors import DataError, ExtrapolationWarning, Problem
from causalkit.transtee.covariates import CovariateCode, Covariates
from causalkit.transtee.shapes import TableShape
from causalkit.typing import Bools
from causalkit.warn import warn

if TYPE_CHECKING:
    from torch import Tensor


def holes_of(covariates: Covariates) -> Bools:
    """Which columns ``(p + c,)`` of the table have a missing value."""
    holes = [np.isnan(covariates.numeric).any(axis=0), (covariates.codes == 0).any(axis=0)]
    return np.concatenate(holes)


def check_holes(
    code: CovariateCode, covariates: Covariates, learned: Bools, *, mixed: bool
) -> None:
    """Refuse missing numbers, and warn of unknown levels, in columns that had none in training.

    Parameters
    ----------
    code : CovariateCode
    covariates : Covariates
    learned : (p + c,) bool array
        Columns of the table that had a missing value in training.
    mixed : bool
        Whether the network has no vectors of levels, whose mean it could take.

    Raises
    ------
    DataError
        With column and row.
    """
    lacks = np.hstack([np.isnan(covariates.numeric), covariates.codes == 0])
    for column in np.flatnonzero(lacks.any(axis=0) & ~learned):
        name, rows = code.names[column], np.flatnonzero(lacks[:, column])
        if column >= len(code.numeric) and not mixed:
            warn(
                f"{name!r} has an unknown level, or none, in {rows.size} rows (first: row "
                f"{rows[0]}), as no training row had: they are answered at the mean of the known "
                "levels.",
                ExtrapolationWarning,
            )
            continue
        raise DataError(
            Problem(
                "E07-nan-covariate",
                f"{name!r} is missing{' or unknown' if column >= len(code.numeric) else ''} in row "
                f"{rows[0]}, and no training row lacked it: nothing was learned about such rows. "
                "Leave them out, or train on data in which it is missing now and then.",
                name,
                tuple(rows[:10].tolist()),
            )
        )


def with_mean_levels(p: "dict[str, Tensor]", table: TableShape, learned: "Tensor") -> None:
    """Put the mean of the known levels in the place of unknown ones that were never trained.

    Parameters
    ----------
    p : mapping of str to tensor
        Parameters, of which entries are replaced.
    table : TableShape
    learned : (M, p + c) tensor
        Not 0 where a column had a missing value in training.
    """
    import torch

    for column in range(len(table.levels)):
        name = f"table.level{column}"
        if name not in p:
            continue
        own = learned[:, table.n_numeric + column, None] > 0
        unknown, known = p[name][:, 0], p[name][:, 1:]
        first = torch.where(own, unknown, known.mean(dim=1))
        p[name] = torch.cat([first[:, None], known], dim=1)

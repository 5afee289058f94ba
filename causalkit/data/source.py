"""What a fit remembers of its data when the table itself is gone."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from causalkit.data.dataset import CausalData
from causalkit.data.roles import Roles


@dataclass(frozen=True, slots=True)
class Source:
    """Names, counts and modifiers of the data of a fit; a saved estimator answers from them.

    Attributes
    ----------
    roles : Roles
        Columns by role.
    dropped : mapping of str to int
        Rows left out when the data were built, by reason.
    digest : str
        Of the data.
    modifiers : DataFrame
        Columns that ``effect`` varies with, in the data's row order.
    """

    roles: Roles
    dropped: Mapping[str, int]
    digest: str
    modifiers: pd.DataFrame

    @classmethod
    def of(cls, data: CausalData) -> "Source":
        """What to remember of a data set."""
        columns = data.frame[list(data.roles.modifiers)].reset_index(drop=True)
        return cls(data.roles, dict(data.dropped), data.digest(), columns)

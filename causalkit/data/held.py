"""What data hold and hand out without letting it be changed."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from causalkit.data.intake import own


class HeldFrame:
    """Attribute that gives a copy-on-write view of the frame that was set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> pd.DataFrame:
        if instance is None:
            raise AttributeError(self._name)  # so that a dataclass sees no default
        return own(instance.__dict__[self._name])

    def __set__(self, instance: Any, value: pd.DataFrame) -> None:
        instance.__dict__[self._name] = value


class Tables(Mapping[str, pd.DataFrame]):
    """Named tables; each is handed out as a copy-on-write view."""

    def __init__(self, tables: Mapping[str, pd.DataFrame]) -> None:
        self._tables = {name: own(table) for name, table in tables.items()}

    def __getitem__(self, name: str) -> pd.DataFrame:
        return own(self._tables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

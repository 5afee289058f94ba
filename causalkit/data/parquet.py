"""Columns of parquet files, read when asked for."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from causalkit.errors import ArgumentError
from causalkit.optional import require


class ParquetColumns:
    """A parquet file, or a folder whose files make one table.

    Parameters
    ----------
    path : str or path
        Of a folder, ``key=value`` subfolders become columns.

    Raises
    ------
    ArgumentError
        If there is nothing, or nothing in parquet format.
    """

    def __init__(self, path: Any) -> None:
        source = Path(path)
        if not source.exists():
            raise ArgumentError(f"there is no file or folder {str(path)!r}.")
        dataset = require("pyarrow.dataset", extra="", needed_by="CausalData.scan")
        lib = require("pyarrow.lib", extra="", needed_by="CausalData.scan")
        try:
            self._source = dataset.dataset(source, format="parquet", partitioning="hive")
        except (lib.ArrowException, OSError) as error:
            raise ArgumentError(
                f"cannot read {str(path)!r} as parquet: {error}. Read other formats with pandas or "
                "polars and use CausalData.from_frame."
            ) from error
        self.names: list[str] = list(self._source.schema.names)

    def read(self, wanted: Collection[str] | None = None) -> pd.DataFrame:
        """Frame of the wanted columns, as far as they exist, in the order of the file."""
        names = [name for name in self.names if wanted is None or name in wanted]
        table = self._source.to_table(columns=names)
        # self_destruct frees each column once it is converted, so that memory peaks at one copy.
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        # A file written by pandas says which columns were row labels; here they are columns.
        labelled = not isinstance(frame.index, pd.RangeIndex)
        return frame.reset_index()[names] if labelled else frame

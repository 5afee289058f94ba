"""CausalData: columns with roles, checked once and never changed."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from causalkit.data import calendar, checks_fit
from causalkit.data.panel import adjacent, leave_out_means, unit_means, varies_within
from causalkit.data.roles import Requires, Roles
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError, DataError, Problem
from causalkit.typing import Bools, Floats, Ints

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data.formula import FormulaSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class CausalData:
    """Data for causal estimation: a table, the role of each column, and facts about both.

    Immutable: every method that changes something returns a new object, and nothing handed out
    can change what is held. Build with :meth:`from_frame`, :meth:`from_formula`,
    :meth:`from_arrays`, :meth:`from_xarray`, :meth:`scan` or :meth:`load`.

    Attributes
    ----------
    roles : Roles
        What each column is for.
    arrays : xarray.Dataset or None
        Images and sequences, dimension ``obs``.
    tables : mapping of str to DataFrame
        Further tables, such as graph edges.
    truth : Truth or None
        For simulated data; :meth:`blind` removes it.
    spec : FormulaSpec or None
        How a formula was encoded, for :meth:`like`.
    missing : str or imputer
        Policy for missing covariates.
    dropped : mapping of str to int
        Rows left out at construction, by reason.
    dropped_ids : tuple
        What they were: (unit, time), unit or row number.
    freq : str, number or None
        Calendar step of ``time``.
    name, citation : str or None
        Of packaged data.
    published : mapping
        Published answer of packaged data.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "x": [0.5, 0.1, 0.9]})
    >>> data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x")
    >>> data.matrix("covariates").shape
    (3, 1)
    """

    held: pd.DataFrame = field(repr=False)
    roles: Roles
    arrays: "xr.Dataset | None" = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    truth: Truth | None = None
    spec: "FormulaSpec | None" = None
    missing: Any = "raise"
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_ids: tuple[Any, ...] = ()
    freq: str | int | float | None = None
    name: str | None = None
    citation: str | None = None
    published: Mapping[str, Any] = field(default_factory=dict)
    _memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        checks_fit.raise_all(checks_fit.image_keys(self))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memo": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @classmethod
    def from_frame(cls, df: Any, **arguments: Any) -> "CausalData":
        """Data from a pandas, polars or pyarrow table; see :func:`causalkit.data.build.from_frame`.

        Parameters
        ----------
        df : DataFrame, LazyFrame or Table
        **arguments
            Columns by role (``outcome``, ``treatment``, ``covariates``, ``modifiers``,
            ``instruments``, ``unit``, ``time``, ``cluster``, ``weights`` with ``weight_kind``,
            ``strata``, ``text``, ``extra``) and ``kinds``, ``missing``, ``on_duplicate``,
            ``freq``, ``nested``, ``truth``.

        Raises
        ------
        DataError
            Once, with every problem found.
        """
        from causalkit.data.build import from_frame

        return from_frame(df, **arguments)

    @classmethod
    def from_formula(cls, formula: str, df: Any, **arguments: Any) -> "CausalData":
        """Data from ``"outcome ~ treatment | covariates | instruments"``.

        Parameters
        ----------
        formula : str
            Later parts may be left out. Terms as in formulaic: ``C(x)``, ``bs(x, 4)``, ``x:z``.
        df : DataFrame, LazyFrame or Table
        **arguments
            Further roles and options of :meth:`from_frame`.
        """
        from causalkit.data.formula import from_formula

        return from_formula(formula, df, **arguments)

    @classmethod
    def from_arrays(cls, outcome: Any, treatment: Any, **arguments: Any) -> "CausalData":
        """Data from arrays; see :func:`causalkit.data.build.from_arrays`."""
        from causalkit.data.build import from_arrays

        return from_arrays(outcome, treatment, **arguments)

    @classmethod
    def from_xarray(cls, dataset: "xr.Dataset", **arguments: Any) -> "CausalData":
        """Data from an xarray Dataset; see :func:`causalkit.data.build.from_xarray`."""
        from causalkit.data.build import from_xarray

        return from_xarray(dataset, **arguments)

    @classmethod
    def scan(cls, path: Any, **arguments: Any) -> "CausalData":
        """Data from a parquet file or folder, reading only the columns that have a role."""
        from causalkit.data.storage import scan

        return scan(path, **arguments)

    @classmethod
    def load(cls, path: Any) -> "CausalData":
        """Read what :meth:`save` wrote."""
        from causalkit.data.storage import load

        return load(path)

    def save(self, path: Any) -> None:
        """Write to a folder: a parquet table, ``roles.json`` and arrays, restored bit for bit."""
        from causalkit.data.storage import save

        save(self, path)

    def __len__(self) -> int:
        return len(self.held)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.held)

    @property
    def frame(self) -> pd.DataFrame:
        """The table. A copy-on-write view: changing it does not change these data."""
        return self.held.copy(deep=False)

    def column(self, role: str) -> Floats:
        """Values ``(n,)`` of a role that has one column; booleans as 0/1."""
        names = self.roles.columns(role)
        if len(names) != 1:
            raise ArgumentError(
                f"role {role!r} has {len(names)} columns; use matrix({role!r}) for several."
            )
        return self.matrix(role)[:, 0]

    def matrix(self, role: str, *, dtype: Any = np.float64) -> Floats:
        """Values ``(n, p)`` of a role, read-only; categories become indicators without the first.

        Parameters
        ----------
        role : str
        dtype : numpy dtype, default float64
        """
        return self._encoded(role, np.dtype(dtype))[0]

    def matrix_names(self, role: str) -> tuple[str, ...]:
        """Names of the columns of :meth:`matrix`."""
        return self._encoded(role, np.dtype(np.float64))[1]

    def _encoded(self, role: str, dtype: np.dtype[Any]) -> tuple[Floats, tuple[str, ...]]:
        key = ("matrix", role, dtype.str)
        if key not in self._memo:
            values, names = _encode(self.held, self.roles.columns(role), dtype)
            values.setflags(write=False)
            self._memo[key] = (values, names)
        found: tuple[Floats, tuple[str, ...]] = self._memo[key]
        return found

    def codes(self, role: str) -> Ints:
        """Codes ``(n,)`` 0..G-1 of an identifier, in the order of sorted labels."""
        return self._factorized(role)[0]

    def levels(self, role: str) -> Any:
        """Labels of an identifier, by code."""
        return self._factorized(role)[1]

    def _factorized(self, role: str) -> tuple[Ints, Any]:
        names = self.roles.columns(role)
        if len(names) != 1:
            raise ArgumentError(f"role {role!r} has {len(names)} columns; codes need exactly one.")
        return self._factorize(names[0])

    def _factorize(self, name: str) -> tuple[Ints, Any]:
        key = ("codes", name)
        if key not in self._memo:
            codes, levels = pd.factorize(self.held[name], sort=True)
            self._memo[key] = (codes.astype(np.int64), np.asarray(levels))
        found: tuple[Ints, Any] = self._memo[key]
        return found

    def periods(self) -> Ints:
        """Calendar position ``(n,)`` of each row, from 0; periods that are skipped leave a gap."""
        if self.roles.time is None:
            raise ArgumentError(
                'the data have no time column; name it: CausalData.from_frame(..., time="...").'
            )
        if "periods" not in self._memo:
            found = calendar.positions(self.held[self.roles.time], self.freq)
            self._memo["periods"] = found
        periods: Ints = self._memo["periods"]
        return periods

    def clusters(self) -> tuple[Ints, ...]:
        """Codes of the declared clusters; empty if none are."""
        return tuple(self._factorize(name)[0] for name in self.roles.cluster)

    def weights(self) -> Floats | None:
        """Row weights ``(n,)``, or None."""
        return None if self.roles.weights is None else self.column("weights")

    def subset(self, rows: Ints | Bools | Sequence[int]) -> "CausalData":
        """Some rows, by position or boolean mask."""
        index = np.asarray(rows)
        if index.dtype == bool and index.shape != (self.n,):
            raise ArgumentError(f"the mask has shape {index.shape}; expected ({self.n},).")
        index = np.flatnonzero(index) if index.dtype == bool else index
        held = self.held.iloc[index].reset_index(drop=True)
        arrays = None if self.arrays is None else self.arrays.isel(obs=index)
        return replace(self, held=held, arrays=arrays, truth=_truth_rows(self.truth, index))

    def filter(self, keep: str | Bools | Callable[[pd.DataFrame], Any]) -> "CausalData":
        """Rows where a mask, a function of the table or an expression such as ``"x > 0"`` holds."""
        if isinstance(keep, str):
            mask = self.held.eval(keep)
        else:
            mask = keep(self.frame) if callable(keep) else keep
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise ArgumentError(f"filter needs true/false per row, got {mask.dtype}.")
        return self.subset(mask)

    def assign(self, **columns: Any) -> "CausalData":
        """Add or replace columns; new ones have the role ``extra`` until given another."""
        held = self.held.assign(**columns)
        known = self.roles.all_columns()
        new = tuple(name for name in columns if name not in known)
        roles = replace(self.roles, extra=(*self.roles.extra, *new))
        return self._rebuilt(held, roles)

    def with_roles(self, **roles: Any) -> "CausalData":
        """Give columns other roles; the checks run again."""
        from causalkit.data.build import role_columns

        changed = {name: role_columns(name, value) for name, value in roles.items()}
        kinds = () if "treatment" in changed and "kinds" not in changed else self.roles.kinds
        base = replace(self.roles, **({"kinds": kinds} | changed))
        named = base.all_columns()
        extra = [name for name in base.extra if sum(name in c for c in base.named().values()) == 1]
        left = [name for name in self.held.columns if name not in named]
        return self._rebuilt(self.held, replace(base, extra=(*extra, *left)))

    def _rebuilt(self, held: pd.DataFrame, roles: Roles) -> "CausalData":
        from causalkit.data.build import checked

        fresh = checked(held, roles, missing=self.missing, freq=self.freq)
        keep = ("arrays", "tables", "truth", "name", "citation", "published", "spec")
        kept = {name: getattr(self, name) for name in keep}
        if len(fresh) != self.n:
            kept |= {"truth": None}
        return replace(
            fresh,
            **kept,
            dropped={**self.dropped, **fresh.dropped},
            dropped_ids=(*self.dropped_ids, *fresh.dropped_ids),
        )

    def blind(self) -> Self:
        """The same data without the truth."""
        return replace(self, truth=None)

    def like(self, df: Any, *, on_new_levels: str = "raise") -> "CausalData":
        """Encode another table as these data were.

        Parameters
        ----------
        df : DataFrame, LazyFrame or Table
        on_new_levels : {"raise", "baseline", "nan"}
            What a category level does that these data do not have.
        """
        from causalkit.data.build import like

        return like(self, df, on_new_levels=on_new_levels)

    def group_means(
        self,
        cols: str | Sequence[str],
        *,
        by: str = "unit",
        include_time: bool = False,
        leave_out: bool = False,
    ) -> pd.DataFrame:
        """Means of columns within groups, one row per row of the data.

        Parameters
        ----------
        cols : str or list of str
            Numeric columns.
        by : str
            Role whose groups are meant.
        include_time : bool
            Also the unit means of period dummies, which two-way Mundlak terms of an unbalanced
            panel need.
        leave_out : bool
            Leave the row itself out of its mean.
        """
        names = [cols] if isinstance(cols, str) else list(cols)
        codes = self.codes(by)
        values = self.held[names].to_numpy(dtype=np.float64, na_value=np.nan)
        weights = self.weights()
        if leave_out:
            means = leave_out_means(values, codes, weights=weights)
        else:
            means = unit_means(values, codes, weights=weights)[codes]
        out = pd.DataFrame(means, columns=[f"{name}_mean" for name in names])
        if include_time:
            dummies = pd.get_dummies(self.held[str(self.roles.time)], dtype=float, drop_first=True)
            shares = unit_means(dummies.to_numpy(), codes, weights=weights)[codes]
            for position, label in enumerate(dummies.columns):
                out[f"{self.roles.time}={label}_mean"] = shares[:, position]
        return out

    def with_mundlak(self, cols: str | Sequence[str] = "auto") -> "CausalData":
        """Add unit means as covariates: of every covariate and treatment that varies within units.

        Parameters
        ----------
        cols : "auto" or list of str
        """
        if isinstance(cols, str) and cols == "auto":
            names = [*self.roles.covariates, *self.roles.treatment]
            names = [name for name in names if pd.api.types.is_numeric_dtype(self.held[name])]
            values = self.held[names].to_numpy(dtype=np.float64, na_value=np.nan)
            varies = varies_within(values, self.codes("unit"))
            cols = [name for name, moves in zip(names, varies, strict=True) if moves]
        means = self.group_means(cols)
        added = self.assign(**{str(name): means[name] for name in means.columns})
        return added.with_roles(covariates=(*self.roles.covariates, *means.columns))

    def lag(self, col: str, k: int = 1) -> "pd.Series[float]":
        """Value of a column ``k`` calendar periods before; missing where there is a gap."""
        rows, before = adjacent(self.codes("unit"), self.periods(), gap=k)
        out = np.full(self.n, np.nan)
        out[rows] = self.held[col].to_numpy(dtype=np.float64, na_value=np.nan)[before]
        return pd.Series(out, name=f"{col}_lag{k}")

    def diff(self, col: str) -> "pd.Series[float]":
        """Change of a column since the calendar period before; missing where there is a gap."""
        now = self.held[col].to_numpy(dtype=np.float64, na_value=np.nan)
        return pd.Series(now - self.lag(col).to_numpy(), name=f"{col}_diff")

    def require(self, requires: Requires, *, by: str) -> None:
        """Raise, with every problem, if the data lack what an estimator needs."""
        checks_fit.raise_all(checks_fit.unmet(self, requires, by))

    def validate(self, for_: Any = None) -> None:
        """Run the generic checks again and, if given, those of an estimator (class or instance)."""
        from causalkit.data.build import checked

        checked(self.held, self.roles, missing=self.missing, freq=self.freq)
        if for_ is not None:
            owner = for_ if isinstance(for_, type) else type(for_)
            if not hasattr(owner, "requires"):
                raise ArgumentError(f"{owner.__name__} does not say what it requires of data.")
            self.require(owner.requires, by=owner.__name__)

    def describe(self) -> pd.DataFrame:
        """One row per column: role, type, counts and moments."""
        from causalkit.data.describe import describe

        return describe(self)

    def balance(self) -> pd.DataFrame:
        """Standardised mean differences of covariates by treatment arm."""
        from causalkit.data.describe import balance

        return balance(self)

    def panel_summary(self) -> pd.DataFrame:
        """Units, periods, gaps, singletons, and variance within and between units."""
        from causalkit.data.describe import panel_summary

        return panel_summary(self)

    def digest(self) -> str:
        """SHA-256 of the values and roles."""
        if "digest" not in self._memo:
            seal = hashlib.sha256(repr(self.roles).encode())
            for name in self.held.columns:
                seal.update(str(name).encode())
                seal.update(_bytes(self.held[name]))
            self._memo["digest"] = seal.hexdigest()
        return str(self._memo["digest"])

    def _repr_html_(self) -> str:
        return self.describe().to_html(index=False)


def _encode(
    frame: pd.DataFrame, names: Sequence[str], dtype: np.dtype[Any]
) -> tuple[Any, tuple[str, ...]]:
    """Numeric matrix of some columns, categories as indicators, in one allocation."""
    columns: list[tuple[str, Any]] = []
    for name in names:
        series = frame[name]
        if isinstance(series.dtype, pd.CategoricalDtype):
            columns += _indicators(series)
        else:
            columns.append((name, series))
    out = np.empty((len(frame), len(columns)), dtype=dtype)
    for position, (_, values) in enumerate(columns):
        if isinstance(values, pd.Series):
            values = values.to_numpy(dtype=dtype, na_value=np.nan)
        out[:, position] = values
    return out, tuple(name for name, _ in columns)


def _indicators(series: "pd.Series[Any]") -> list[tuple[str, Any]]:
    """Indicators of all levels but the first that occurs; missing stays missing."""
    used = series.cat.remove_unused_categories()
    codes = used.cat.codes.to_numpy()
    found = []
    for code, level in enumerate(used.cat.categories):
        if code > 0:
            values = np.where(codes < 0, np.nan, (codes == code).astype(np.float64))
            found.append((f"{series.name}={level}", values))
    return found


def _truth_rows(truth: Truth | None, index: Any) -> Truth | None:
    if truth is None:
        return None
    names = ("cate", "mu0", "mu1", "propensity", "cluster_labels")
    rows = {name: getattr(truth, name) for name in names}
    kept = {name: None if v is None else np.asarray(v)[index] for name, v in rows.items()}
    return replace(truth, **kept)


def _bytes(series: "pd.Series[Any]") -> Any:
    """Bytes that stand for a column's values."""
    if pd.api.types.is_numeric_dtype(series) and isinstance(series.dtype, np.dtype):
        return np.ascontiguousarray(series.to_numpy()).data
    return pd.util.hash_pandas_object(series, index=False).to_numpy().tobytes()


def refuse(code: str, message: str, column: str | None = None) -> DataError:
    """A data error with a single finding."""
    return DataError(Problem(code, message, column))

"""CausalData: columns with roles, checked once and never changed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from causalkit.data import calendar, views
from causalkit.data.admit import Policy, admit
from causalkit.data.checks_fit import MAX_NAN_PIXELS, check_needs
from causalkit.data.encode import encode, encoded_names, frozen
from causalkit.data.held import HeldFrame, Tables
from causalkit.data.intake import to_pandas
from causalkit.data.labels import sorted_codes
from causalkit.data.roles import Requires, Roles
from causalkit.data.truth import Truth
from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.typing import Bools, Floats, Ints

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data.formula import FormulaSpec


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CausalData:
    """Data for causal estimation: a table, the role of each column, and facts about both.

    Immutable: every method that changes something returns a new object, and nothing handed out
    can change what is held. Build with :meth:`from_frame`, :meth:`from_formula`,
    :meth:`from_arrays`, :meth:`from_xarray`, :meth:`scan` or :meth:`load`.

    Attributes
    ----------
    frame : DataFrame
        Columns that have a role, rows numbered from 0. A view: changing it changes nothing here.
    roles : Roles
        What each column is for.
    arrays : xarray.Dataset or None
        Images and sequences; dimension ``obs`` follows the rows.
    tables : mapping of str to DataFrame
        Further tables, such as graph edges.
    truth : Truth or None
        For simulated data; :meth:`blind` removes it.
    spec : FormulaSpec or None
        How a formula was encoded, for :meth:`like`.
    missing, max_nan_pixels : str or imputer, float
        Policy for missing covariates, and the largest share of image values that may be missing.
    dropped, dropped_ids : mapping of str to int, tuple
        Rows left out at construction, by reason, and what they were: (unit, time), unit or row
        number.
    freq : str, number or None
        Calendar step of ``time``.
    name, citation, published : str, str or None, mapping
        Of packaged data; ``published`` is the published answer.
    labels : Index or None
        Row labels of the pandas frame that the data were made of, for values that come by label.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "d": [0, 1, 1], "x": [0.5, 0.1, 0.9]})
    >>> data = CausalData.from_frame(frame, outcome="y", treatment="d", covariates="x")
    >>> data.matrix("covariates").shape
    (3, 1)
    """

    frame: HeldFrame = HeldFrame()  # noqa: RUF009
    roles: Roles
    arrays: "xr.Dataset | None" = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    truth: Truth | None = None
    spec: "FormulaSpec | None" = None
    missing: Any = "raise"
    dropped: Mapping[str, int] = field(default_factory=dict)
    dropped_ids: tuple[Any, ...] = ()
    freq: calendar.Freq = None
    name: str | None = None
    citation: str | None = None
    published: Mapping[str, Any] = field(default_factory=dict)
    labels: "pd.Index[Any] | None" = None
    max_nan_pixels: float = MAX_NAN_PIXELS
    _admitted: bool = False
    _memo: dict[Any, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "tables", Tables(self.tables))
        if self._admitted:
            return
        passed = admit(
            to_pandas(self.frame, self.roles.all_columns()),
            self.roles,
            Policy(missing=self.missing, freq=self.freq, max_nan_pixels=self.max_nan_pixels),
            arrays=self.arrays,
        )
        put(self, "frame", passed.frame)
        put(self, "roles", passed.roles)
        put(self, "arrays", passed.arrays)
        put(self, "dropped", dict(Counter(self.dropped) + Counter(passed.dropped)))
        put(self, "dropped_ids", (*self.dropped_ids, *passed.dropped_ids))
        put(self, "_admitted", True)
        self._memo.update(passed.memo)

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
            ``freq``, ``nested``, ``truth``; images come through ``arrays``, edges through
            ``tables``.

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

        See :func:`causalkit.data.formula.from_formula`.
        """
        from causalkit.data.formula import from_formula

        return from_formula(formula, df, **arguments)

    @classmethod
    def from_arrays(cls, Y: Any, T: Any, X: Any = None, Z: Any = None, **more: Any) -> "CausalData":
        """Data from arrays; see :func:`causalkit.data.from_arrays.from_arrays`."""
        from causalkit.data.from_arrays import from_arrays

        return from_arrays(Y, T, X, Z, **more)

    @classmethod
    def from_xarray(cls, ds: "xr.Dataset", **arguments: Any) -> "CausalData":
        """Data from an xarray Dataset; see :func:`causalkit.data.build.from_xarray`."""
        from causalkit.data.build import from_xarray

        return from_xarray(ds, **arguments)

    @classmethod
    def scan(cls, path: Any, **arguments: Any) -> "CausalData":
        """Data from parquet, reading only columns with a role; see :mod:`causalkit.data.scan`."""
        from causalkit.data.scan import scan

        return scan(path, **arguments)

    @classmethod
    def load(cls, path: Any) -> "CausalData":
        """Read what :meth:`save` wrote; see :func:`causalkit.data.storage.load`."""
        from causalkit.data.storage import load

        return load(path)

    def save(self, path: Any) -> None:
        """Write to a folder, restored bit for bit; see :func:`causalkit.data.storage.save`."""
        from causalkit.data.storage import save

        save(self, path)

    def __len__(self) -> int:
        return len(self.__dict__["frame"])

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self)

    def column(self, role: str) -> Floats:
        """Values ``(n,)`` of a role that has one column, read-only; booleans as 0/1."""
        names = self.matrix_names(role)
        if len(names) != 1:
            raise ArgumentError(
                f"role {role!r} has {len(names)} columns{_listed(names)}; column(...) is for one. "
                f"Use matrix({role!r})."
            )
        return self.matrix(role)[:, 0]

    def matrix(self, role: str, *, dtype: Any = np.float64) -> Floats:
        """Values ``(n, p)`` of a role, read-only; categories become indicators without the first.

        Parameters
        ----------
        role : str
        dtype : numpy dtype, default float64
            Made once for each type, and kept.
        """
        kind, columns = np.dtype(dtype), self.roles.columns(role)
        made: Floats = self._once(
            ("matrix", role, kind.str), lambda: encode(self.frame, columns, kind)[0]
        )
        return made

    def matrix_names(self, role: str) -> tuple[str, ...]:
        """Names of the columns of :meth:`matrix`."""
        return encoded_names(self.frame, self.roles.columns(role))

    def codes(self, role: str) -> Ints:
        """Codes ``(n,)`` 0..G-1 of an identifier in the order of sorted labels, read-only."""
        return self._coded(self._only(role))[0]

    def levels(self, role: str) -> Any:
        """Labels ``(G,)`` of an identifier, by code."""
        return self._coded(self._only(role))[1]

    def periods(self) -> Ints:
        """Calendar position ``(n,)`` of each row, from 0; periods that are skipped leave a gap.

        See :func:`causalkit.data.calendar.positions`.
        """
        time = self._only("time")
        made: Ints = self._once(
            "periods", lambda: frozen(calendar.positions(self.frame[time], self.freq))
        )
        return made

    def clusters(self) -> tuple[Ints, ...]:
        """Codes ``(n,)`` of each declared cluster; empty if there are none."""
        return tuple(self._coded(name)[0] for name in self.roles.cluster)

    def weights(self) -> Floats | None:
        """Row weights ``(n,)``, or None."""
        return None if self.roles.weights is None else self.column("weights")

    def _only(self, role: str) -> str:
        names = self.roles.columns(role)
        if len(names) != 1:
            hint = f'; name it: CausalData.from_frame(..., {role}="...")' if not names else ""
            raise ArgumentError(
                f"the data have {len(names)} {role} columns{_listed(names)}, and this needs "
                f"exactly one{hint}."
            )
        return names[0]

    def _coded(self, name: str) -> tuple[Ints, Any]:
        coded: tuple[Ints, Any] = self._once(
            ("codes", name), lambda: sorted_codes(self.frame[name])
        )
        return frozen(coded[0]), frozen(coded[1])

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    def subset(self, rows: "Ints | Bools | Sequence[int] | slice") -> "CausalData":
        """Some rows, by position, slice or boolean mask; category levels stay as they are.

        Nothing is checked again, so that training rows of a fold, or a bootstrap sample, pass.
        """
        return views.subset(self, rows)

    def filter(self, keep: "str | Bools | Callable[[pd.DataFrame], Any]") -> "CausalData":
        """Rows where a mask, a function of the table or an expression such as ``"x > 0"`` holds.

        A new sample: the checks run again, and category levels that no longer occur go. Unit
        means are those of the former sample until :meth:`with_mundlak` runs anew.
        """
        return views.keep_where(self, keep)

    def assign(self, **columns: Any) -> "CausalData":
        """Add or replace columns; new ones have the role ``extra`` until given another.

        Values are scalars, sequences in row order, series that row labels put in this order, or
        functions of the table. New values of a treatment must be of its kind if that was declared.
        """
        return views.assign(self, columns)

    def with_roles(self, **roles: Any) -> "CausalData":
        """Give columns other roles; the checks run again. Columns without a role become extra."""
        return views.with_roles(self, roles)

    def blind(self) -> Self:
        """The same data without the truth; what estimators in a simulation get.

        Of simulated data, extra columns go too: they hold what nobody could observe.
        """
        made, hidden = replace(self, truth=None), list(self.roles.extra)
        if self.truth is not None and hidden:
            roles, frame = replace(self.roles, extra=()), self.frame.drop(columns=hidden)
            return replace(made, roles=roles, frame=frame)
        made._memo.update(self._memo)
        return made

    def like(self, df: Any, **arguments: Any) -> "CausalData":
        """Encode another table as these data were; see :func:`causalkit.data.like.like`.

        Parameters
        ----------
        df : DataFrame, LazyFrame, Table or xarray.Dataset
        **arguments
            ``arrays``, ``tables``, ``max_nan_pixels``, and ``on_new_levels``: what a level that
            these data do not have becomes, ``"raise"``, ``"baseline"`` or ``"nan"``.
        """
        from causalkit.data.like import like

        return like(self, df, **arguments)

    def group_means(
        self,
        cols: str | Sequence[str],
        *,
        by: str = "unit",
        include_time: bool = False,
        leave_out: bool = False,
    ) -> pd.DataFrame:
        """Means within groups, by row; see :func:`causalkit.data.panel_terms.group_means`."""
        from causalkit.data.panel_terms import group_means

        return group_means(self, cols, by=by, include_time=include_time, leave_out=leave_out)

    def with_mundlak(self, cols: "str | Sequence[str]" = "auto") -> "CausalData":
        """Add unit means of what varies within units; see :mod:`causalkit.data.panel_terms`."""
        from causalkit.data.panel_terms import with_mundlak

        return with_mundlak(self, cols)

    def lag(self, col: str, k: int = 1) -> "pd.Series[Any]":
        """Value of a column ``k`` calendar periods before; missing where there is a gap."""
        from causalkit.data.panel_terms import lag

        return lag(self, col, k)

    def diff(self, col: str) -> "pd.Series[float]":
        """Change of a numeric column since the period before; missing where there is a gap."""
        from causalkit.data.panel_terms import diff

        return diff(self, col)

    def require(self, requires: Requires, *, by: str) -> None:
        """Raise, with every problem, if an estimator needs more; warn of what it does not read."""
        check_needs(self, requires, by)

    def validate(self, for_: Any = None) -> None:
        """Run the generic checks again and, if given, those of an estimator (class or object)."""
        views.rebuilt(self)
        if for_ is not None:
            owner = for_ if isinstance(for_, type) else type(for_)
            if not isinstance(getattr(for_, "requires", None), Requires):
                raise ArgumentTypeError(f"{owner.__name__} does not say what it requires of data.")
            self.require(for_.requires, by=owner.__name__)

    def describe(self) -> pd.DataFrame:
        """One row per role and column with type, counts and moments."""
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
        """SHA-256 of values and roles, the truth left out; see :mod:`causalkit.data.digest`."""
        from causalkit.data.digest import content_digest

        return str(self._once("digest", lambda: content_digest(self)))

    def __repr__(self) -> str:
        from causalkit.data.describe import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        from causalkit.data.describe import html

        return html(self)


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""

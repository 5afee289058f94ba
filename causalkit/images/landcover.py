"""Which land cover goes with larger effects: a description, not a cause."""

from typing import Any

import numpy as np
import pandas as pd

from causalkit.errors import ArgumentError, IdentificationError
from causalkit.inference.solve import solve_linear
from causalkit.results import EffectResult
from causalkit.results.solutions import effect_from_solutions
from causalkit.scores import LinearScore
from causalkit.typing import Floats

_WHOLE = 1e-6  # within which shares sum to one
_NOTES = (
    "Associational: how predicted effects differ between places with different cover. It does not "
    "say that changing the cover would change the effect.",
    "Standard errors are for the places drawn. Predicted effects are taken as given, without the "
    "uncertainty of the model: predict them for places that no model was fitted to. Of doubly "
    "robust scores nothing hangs on the model.",
)


def cate_by_landcover(
    cate: Any, fractions: Any, *, base: str | None = None, clusters: Any = None
) -> EffectResult:
    """Least squares of predicted effects on the shares of land-cover classes.

    Parameters
    ----------
    cate : (n,) array, Series or DataArray
        Effects predicted for places that no model was fitted to, such as the rows
        ``fit.parts_.evaluate`` of ``fit.predict_cate(data)``; the doubly robust scores
        ``fit.evaluation_.score`` may stand in, and then nothing hangs on the model.
    fractions : (n, classes) DataFrame, or DataArray with the classes last
        Shares in [0, 1] of each class at the same places: by label where both have labels, such
        as the keys of images, else in the same order.
    base : str, optional
        Class to leave out where shares sum to one: coefficients are then differences from places
        wholly of this class. Default: there is no constant, and each coefficient is the mean
        effect at places wholly of the class.
    clusters : (n,) array, optional
        Within which errors may be dependent, such as villages or blocks; matched alike.

    Returns
    -------
    EffectResult
        One term per class. Where shares sum to less than one, with a constant: the mean effect
        where none of the classes is.

    Raises
    ------
    ArgumentError
        If lengths or labels differ, shares are missing or outside [0, 1] or sum to more than one,
        a class is constant at zero, or ``base`` is not a class or not applicable.
    IdentificationError
        If the shares are collinear.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> forest = np.linspace(0.0, 1.0, 50)
    >>> shares = pd.DataFrame({"forest": forest, "crops": 1.0 - forest})
    >>> result = cate_by_landcover(0.5 + forest, shares)
    >>> result.estimates.round(6).tolist()
    [1.5, 0.5]
    """
    effect, shares, names = _checked(cate, fractions)
    clusters = _matched(clusters, _labels_of(cate), "clusters")
    whole = bool((np.abs(shares.sum(axis=1) - 1.0) < _WHOLE).all())
    terms, basis, words = _basis(shares, names, base, whole=whole)
    codes = None if clusters is None else _codes(clusters, effect.size)
    try:
        solutions = solve_linear(LinearScore(basis[:, None], basis[:, None], effect[:, None]))
    except IdentificationError as error:
        raise IdentificationError(
            f"the shares of {', '.join(names)} are collinear; leave a class out, or join two."
        ) from error
    return effect_from_solutions(
        solutions,
        terms=terms,
        clusters=() if codes is None else (codes,),
        cluster_names=() if codes is None else (str(getattr(clusters, "name", None) or "cluster"),),
        cov_type="robust" if codes is None else "clustered",
        estimand="association of the effect with land cover",
        estimator="cate_by_landcover",
        outcome=str(getattr(cate, "name", None) or "effect"),
        treatment=(),
        notes=(words, *_NOTES),
    )


def _checked(cate: Any, fractions: Any) -> tuple[Floats, Floats, list[str]]:
    effect = np.asarray(cate, dtype=np.float64)
    table = fractions if isinstance(fractions, pd.DataFrame) else _table(fractions)
    if _labels_of(fractions) is not None:
        table = _matched(table, _labels_of(cate), "fractions")
    shares = table.to_numpy(dtype=np.float64)
    names = [str(name) for name in table.columns]
    if effect.ndim != 1 or shares.shape[0] != effect.size:
        raise ArgumentError(
            f"cate has shape {effect.shape} and fractions {shares.shape}; give one effect and one "
            "row of shares per place."
        )
    if not np.isfinite(effect).all():
        raise ArgumentError(f"cate is missing or infinite at {(~np.isfinite(effect)).sum()} places")
    wrong = ~((shares >= 0.0) & (shares <= 1.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ArgumentError(
            f"shares must lie in [0, 1]; {names[column]!r} is {shares[row, column]:g} in row "
            f"{row} (and {int(wrong.sum()) - 1} more). Divide percentages by 100."
        )
    over = shares.sum(axis=1) > 1.0 + _WHOLE
    if over.any():
        raise ArgumentError(
            f"shares sum to more than one at {int(over.sum())} places (first: row "
            f"{int(np.flatnonzero(over)[0])}, {shares[over][0].sum():g}); classes must not overlap."
        )
    absent = [name for name, found in zip(names, shares.sum(axis=0), strict=True) if not found]
    if absent:
        raise ArgumentError(f"no place has any {', '.join(map(repr, absent))}; leave it out.")
    return effect, shares, names


def _labels_of(values: Any) -> "pd.Index[Any] | None":
    """Labels of the rows of a Series, a frame or a DataArray; None where there are none."""
    found: pd.Index[Any] | None = None
    if isinstance(values, pd.Series | pd.DataFrame):
        found = values.index
    elif getattr(values, "dims", ()) and values.dims[0] in values.coords:
        found = pd.Index(values[values.dims[0]].values)
    return found


def _matched(given: Any, wanted: "pd.Index[Any] | None", what: str) -> Any:
    """Series or frame in the order of the labels of the effects, where both have some."""
    labels = _labels_of(given)
    if wanted is None or labels is None or len(labels) != len(wanted) or labels.equals(wanted):
        return given
    place = labels.get_indexer(wanted) if labels.is_unique else np.array([-1])
    if (place < 0).any() or not wanted.is_unique:
        lost = wanted[~wanted.isin(labels)]
        which = f" (first that {what} lack: {lost[0]!r})" if len(lost) else ""
        raise ArgumentError(
            f"cate and {what} have different indexes{which}; give both the keys of the places, "
            f"each once, or pass cate.to_numpy() if the order is the same."
        )
    return given.iloc[place] if hasattr(given, "iloc") else given[place]


def _table(fractions: Any) -> pd.DataFrame:
    if not hasattr(fractions, "dims") or len(fractions.dims) != 2:
        raise ArgumentError(
            "fractions must be a DataFrame or a DataArray with places first and classes last, got "
            f"{type(fractions).__name__}."
        )
    return pd.DataFrame(fractions.to_pandas())


def _basis(
    shares: Floats, names: list[str], base: str | None, *, whole: bool
) -> tuple[list[str], Floats, str]:
    """Terms, their columns, and in words what the coefficients are."""
    one = np.ones((shares.shape[0], 1))
    if base is not None:
        if base not in names:
            raise ArgumentError(f"base must be one of {', '.join(names)}; got {base!r}.")
        if not whole:
            raise ArgumentError(
                f"shares do not sum to one, so that the base is the rest of each place and not "
                f"{base!r}; leave base out."
            )
        kept = [number for number, name in enumerate(names) if name != base]
        return (
            [f"all {base}", *(names[number] for number in kept)],
            np.hstack([one, shares[:, kept]]),
            f"Shares sum to one: {base!r} is left out as the base. The first coefficient is the "
            "mean effect at places wholly of it, the others are differences from there.",
        )
    if whole:
        return (
            names,
            shares,
            "Shares sum to one: no constant. Each coefficient is the mean effect at places wholly "
            "of the class.",
        )
    return (
        ["none of these", *names],
        np.hstack([one, shares]),
        "Shares sum to less than one: coefficients of classes are differences from places that "
        "have none of them.",
    )


def _codes(clusters: Any, n: int) -> Any:
    values = np.asarray(clusters)
    if values.shape != (n,) or pd.isna(values).any():
        raise ArgumentError(f"clusters must be one label per place ({n}), none missing.")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)

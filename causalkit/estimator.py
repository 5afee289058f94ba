"""What every estimator shares: its data, checks, saving, loading and fitting again."""

import warnings
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.base import BaseEstimator, clone

from causalkit.data import CausalData, Requires
from causalkit.errors import (
    ArgumentError,
    ArgumentTypeError,
    CausalKitWarning,
    NotFittedError,
    StorageError,
    cannot_write,
)
from causalkit.nuisance.folds import ExternalFolds
from causalkit.registry import class_path
from causalkit.results import EffectResult
from causalkit.tensorfile import class_of_folder
from causalkit.whole_file import whole_file

if TYPE_CHECKING:
    # To a reader of types it is what it is on a class.
    WithArguments = classmethod
else:

    class WithArguments(classmethod):
        """A class method that has, called on an estimator, the arguments of that."""

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            """The method, for a class or an estimator of it."""
            method = super().__get__(None, owner)
            if instance is None:
                return method

            @wraps(method)
            def of_instance(*args: Any, **arguments: Any) -> Any:
                if arguments.get("estimators") is not None:
                    return method(*args, **arguments)
                return method(*args, **(instance.get_params(deep=False) | arguments))

            return of_instance


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators: ``__init__`` only stores, ``fit`` sets ``result_`` and ``_data``.

    Attributes
    ----------
    requires : Requires
        What an estimator needs of its data.
    """

    requires: ClassVar[Requires]
    result_: EffectResult
    _data: CausalData | None

    def save(self, path: Any) -> None:
        """Write the fitted estimator to a file.

        The table of the data stays out, but residuals, predictions and the columns that follow-up
        questions need go along: handle the file like the data. A function that is told of the
        progress stays out too. It is a pickle: load only files that you trust.

        Raises
        ------
        NotFittedError
        StorageError
            If the file cannot be written; what was there before stays.
        """
        self._check_fitted()
        from joblib import dump

        try:
            with whole_file(Path(path)) as file:
                dump(self, file)
        except OSError as error:
            raise cannot_write(path, error) from error

    @classmethod
    def load(cls, path: Any) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArgumentTypeError
            If the file holds something else.
        StorageError
            If there is no such file, or nothing that was saved.
        """
        from joblib import load

        _check_file(Path(path), cls.__name__)
        try:
            loaded = load(path)
        except (OSError, UnpicklingError, EOFError, KeyError, ValueError, IndexError) as error:
            raise StorageError(
                f"{str(path)!r} cannot be read ({type(error).__name__}: {error}): it is no file "
                f"that {cls.__name__}.save wrote, or was changed since."
            ) from error
        if not isinstance(loaded, cls):
            raise ArgumentTypeError(
                f"{str(path)!r} holds a {type(loaded).__name__}, not a {cls.__name__}; load it "
                "with the class that saved it."
            )
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_data" in state:
            state["_data"] = None
        # Who is told of progress belongs to the session, and few functions can be written down.
        if callable(state.get("progress")):
            state["progress"] = None
        if callable(getattr(state.get("_settings"), "progress", None)):
            state["_settings"] = replace(state["_settings"], progress=None)
        return state

    def _check_data(self, data: Any, *, method: str = ".fit") -> None:
        if not isinstance(data, CausalData):
            raise ArgumentTypeError(
                f"{type(self).__name__}{method} needs a CausalData, got {type(data).__name__}; "
                "build one: CausalData.from_frame(df, outcome=..., treatment=..., ...)."
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "result_"):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet; call fit(data) first."
            )

    def _fitted_digest(self) -> str | None:
        """Digest of the data of the fit."""
        return self.result_.data_digest

    def _need_data(self, data: CausalData | None) -> CausalData:
        """Data of the fit: those kept, or those passed again after loading."""
        found = data if data is not None else self._data
        if found is None:
            raise ArgumentError(
                "a saved estimator keeps no data; pass the data again: method(..., data=data)."
            )
        if data is not None and data.digest() != self._fitted_digest():
            raise ArgumentError(
                "the data passed differ from those that the estimator was fitted on; pass the "
                "same data, or fit again."
            )
        return found


def _check_file(path: Path, kind: str) -> None:
    """Refuse what is no file, naming what it is."""
    if path.is_dir():
        wrote = class_of_folder(path)
        what = "a folder, and no fit lies in it"
        mend = f"name the file that {kind}.save wrote"
        if wrote is not None:
            what, mend = f"a folder that {wrote}.save wrote", f"load it by {class_path(wrote)}.load"
        raise StorageError(f"{str(path)!r} is {what}; {mend}.")
    if not path.is_file():
        raise StorageError(f"there is no file {str(path)!r}; name the one that {kind}.save wrote.")


@dataclass(frozen=True, slots=True)
class Refit:
    """How to fit again what was fitted: the estimator as it was, its seed, its explicit folds.

    Attributes
    ----------
    estimator : Estimator
        Not fitted.
    seed : int
        Of the fit.
    folds : list or None
        Explicit folds, if the fit had some.
    """

    estimator: Any
    seed: int
    folds: ExternalFolds | None

    def fit(self, data: CausalData, **changed: Any) -> Any:
        """Fit with some arguments changed, on the same folds and without further warnings.

        Each result keeps its own warnings; a screenful of repeats would hide what is new.
        """
        again = clone(self.estimator).set_params(random_state=self.seed, **changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CausalKitWarning)
            return again.fit(data, folds=self.folds)

"""The 747 infants whose covariates the IHDP designs share."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from causalkit.errors import ArgumentError, MissingDependencyError
from causalkit.generators.files import check_digest
from causalkit.typing import Bools, Floats

_CONTINUOUS = ("bw", "b.head", "preterm", "birth.o", "nnhealth", "momage")
_BINARY = (
    *("sex", "twin", "b.marr", "mom.lths", "mom.hs", "mom.scoll", "cig", "first", "booze"),
    *("drugs", "work.dur", "prenatal"),
    *(f"site{j}" for j in range(1, 8)),
)
N_INFANTS = 747
_SHIPPED_DIGEST = "sha256:f00fc75f44f66f8afc52686943a65fbf651593bdb5756b0ac14b4d70c0b81a32"


def infants(
    needed_by: str, path: str | None = None, *, checksum: str = "published"
) -> tuple[pd.DataFrame, Bools]:
    """Covariates ``(747, 25)`` of the infants, and who was treated.

    Of the 985 infants of the trial, those treated with a nonwhite mother are left out, which makes
    treatment depend on covariates (Hill 2011). ``first`` is coded 1, 2, as in the published files.

    Parameters
    ----------
    needed_by : str
        Generator that asks, for the message.
    path : str, optional
        Table with columns ``treat``, ``momwhite`` and the 25 covariates, as econml ships it in
        ``econml/data/ihdp/sim.csv``; by default that file, which is found without an import.
    checksum : str, default "published"
        What the file must be: ``"published"`` is that of econml; ``"sha256:<hex>"`` or
        ``"git:<sha1>"`` is another; ``"any"`` passes all that hold these infants.

    Raises
    ------
    MissingDependencyError
        If there is no path and econml is not installed.
    ArgumentError
        If the table is not that of the 985 infants, or another file than was asked for.
    """
    frame, treated = _read(str(_shipped(needed_by)) if path is None else path, checksum)
    return frame.copy(), treated.copy()


def standardised(frame: pd.DataFrame) -> Floats:
    """Covariates ``(747, 25)`` with the six continuous ones at mean 0 and variance 1 (n − 1)."""
    x: Floats = frame.to_numpy(dtype="float64", copy=True)
    x[:, :6] = (x[:, :6] - x[:, :6].mean(axis=0)) / x[:, :6].std(axis=0, ddof=1)
    return x


def _shipped(needed_by: str) -> Path:
    spec = find_spec("econml")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"the generator {needed_by} needs the package 'econml', which ships the covariates and "
            'is not installed. In the folder of causalkit type: pip install ".[econml]"'
        )
    return Path(spec.origin).parent / "data" / "ihdp" / "sim.csv"


@cache
def _read(path: str, checksum: str) -> tuple[pd.DataFrame, Bools]:
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"covariates={path!r} cannot be read as a csv table: {error}."
        ) from error
    absent = [c for c in ("treat", "momwhite", *_CONTINUOUS, *_BINARY) if c not in frame]
    if absent:
        raise ArgumentError(
            f"covariates={path!r} lacks {len(absent)} columns of the IHDP table: "
            f"{', '.join(absent[:5])}. It is the file econml/data/ihdp/sim.csv of econml."
        )
    frame = frame[~((frame["treat"] == 1) & (frame["momwhite"] == 0))].reset_index(drop=True)
    if len(frame) != N_INFANTS:
        raise ArgumentError(
            f"covariates={path!r} leaves {len(frame)} infants, not {N_INFANTS}, once those treated "
            "with a nonwhite mother are left out; it needs all 985 rows of the trial."
        )
    check_digest(Path(path), checksum, _SHIPPED_DIGEST, name="covariates")
    covariates = frame[[*_CONTINUOUS, *_BINARY]].copy()
    covariates["first"] += 1
    return covariates, frame["treat"].to_numpy() == 1

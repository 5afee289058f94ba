"""The published replications of the IHDP benchmark, drawn again as R drew them."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from causalkit.data import CausalData
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.files import check_digest
from causalkit.generators.infants import N_INFANTS, infants, standardised
from causalkit.generators.r_stream import RStream
from causalkit.generators.semisynthetic import binary_data
from causalkit.generators.spec import as_rng, generator
from causalkit.rng import stream
from causalkit.typing import Ints

PUBLISHED = 1000
_N_TEST = 75
# R sorts the five probabilities to draw from them, and leaves the four that tie in this order.
_SLOPES = np.array([0.0, 0.2, 0.3, 0.4, 0.1])
_UP_TO = np.array([0.6, 0.7, 0.8, 0.9])


@generator(
    "ihdp_published",
    version=1,
    estimands=("ate", "att"),
    cite="Hill (2011), JCGS 20, surface B; replications 1-1000 of npci, Shalit et al. (2017), ICML",
)
def ihdp_published(
    rng: np.random.Generator | int,
    *,
    replication: int | None = None,
    null: bool = False,
    overlap: bool = True,
    split_table: str | None = None,
    split_checksum: str = "any",
    covariates: str | None = None,
    checksum: str = "published",
) -> CausalData:
    r"""One of the 1000 published replications of IHDP with binary treatment.

    Surface B of Hill (2011), which npci calls A. With Z = [1, X], W = (0, ½, ..., ½), slopes 0, .1,
    .2, .3, .4 with probabilities .6, .1, .1, .1, .1 and an intercept on −1, −.75, ..., 1,

    .. math:: μ_0 = \exp((Z + W)β), \quad μ_1 = Zβ - ω, \quad Y(t) = μ_t + N(0, 1),

    ω such that the effect on the treated is 4. **A replication is a function of its number**: the
    coefficients and the noise come from R's generator, set to 5k + 565 for k ≤ 500 and to 5k + 7565
    above, so nothing of it depends on ``rng``. The numbers of k ≤ 100 were compared with the
    distributed files (largest difference 7e-8); those above follow the same rule.

    Effects are heavy-tailed: in 26 of the first 100 replications their standard deviation exceeds
    5, so print the mean and the median of an error over replications, and its mean after division
    by that standard deviation.

    Parameters
    ----------
    rng : Generator or int
        Draws the number of the replication, if that is not given, and nothing else.
    replication : int, optional
        1 to 1000; by default drawn with equal probabilities, so that a study over seeds samples
        from the published ones.
    null : bool, default False
        μ₁ = μ₀ for every infant.
    overlap : bool, default True
        False treats exactly the infants of older mothers (above the median age).
    split_table, split_checksum : str, optional
        Path of the published splits; see :func:`ihdp_split`.
    covariates : str, optional
        Path of the table of the 985 infants, where econml, which ships it, is not installed.
    checksum : str, default "published"
        What that file must be: ``"published"`` is that of econml, ``"sha256:<hex>"`` or
        ``"git:<sha1>"`` another; ``"any"`` passes all that hold these infants.

    Returns
    -------
    CausalData
        Covariates are as in the distributed files: the six continuous ones standardised, ``first``
        coded 1, 2. The extra column ``test`` is 1 for the 75 test infants. ``truth`` has scope
        ``"sample"``: effects of these infants, by row under ``cate``.

    Raises
    ------
    MissingDependencyError
        If econml is not installed and ``covariates`` is not given.
    ArgumentError
        If the number is outside 1 to 1000, or a file is not what it should be.

    References
    ----------
    Hill (2011), Journal of Computational and Graphical Statistics 20, 217-240; Shalit, Johansson &
    Sontag (2017), ICML; V. Dorie, npci, https://github.com/vdorie/npci.

    Examples
    --------
    >>> import causalkit as ck
    >>> data = ck.generators.ihdp_published(0, replication=9)
    >>> round(data.truth.estimands["ate"], 6)
    10.466037
    """
    rng = as_rng(rng, "ihdp_published")
    drawn = int(rng.integers(1, PUBLISHED + 1))
    number = _checked(drawn if replication is None else replication)
    frame, treated = infants("ihdp_published", covariates, checksum=checksum)
    d = treated if overlap else frame["momage"].to_numpy() > frame["momage"].median()
    x = standardised(frame)
    numbers = RStream(5 * number + (565 if number <= 500 else 7565))
    intercept = np.floor(9.0 * numbers.uniforms(1)[0]) * 0.25 - 1.0
    slopes = _SLOPES[np.searchsorted(_UP_TO, numbers.uniforms(x.shape[1]))]
    noise0, noise1 = numbers.normals(N_INFANTS), numbers.normals(N_INFANTS)
    linear = intercept + x @ slopes
    mu0 = np.exp(intercept + (x + 0.5) @ slopes)
    mu1 = mu0 if null else linear - ((linear - mu0)[d].mean() - 4.0)
    test = np.zeros(N_INFANTS, dtype=np.int64)
    test[ihdp_split(number, table=split_table, checksum=split_checksum)[1]] = 1
    columns = pd.DataFrame(x, columns=frame.columns)
    return binary_data(columns, d, mu0, mu1, np.where(d, noise1, noise0), extra={"test": test})


def ihdp_split(
    replication: int, *, table: str | None = None, checksum: str = "any"
) -> tuple[Ints, Ints]:
    """Training and test rows of a published replication: 672 and 75 of the 747 infants.

    The splits of the distributed files came from a generator of their own, and can only be looked
    up; so the table of the first 100 must be given to have them. Without one, and above 100, the
    split is ours: a seeded permutation that depends on the number of the replication alone.

    Parameters
    ----------
    replication : int
        1 to 1000.
    table : str, optional
        Path of a ``.npz`` with an array ``test_idx (75, 100)``: positions of the test rows of
        replications 1 to 100, among the 747 rows in the order of :func:`ihdp_published`.
    checksum : str, default "any"
        ``"sha256:<hex>"`` or ``"git:<sha1>"`` of that file. No published checksum is known.

    Returns
    -------
    train, test : (672,), (75,) int arrays
        In increasing order.

    Raises
    ------
    ArgumentError
        If the number is outside 1 to 1000, or the table is not as described.
    """
    number = _checked(replication)
    if table is not None and number <= 100:
        test = np.sort(_published(table, checksum)[:, number - 1])
    else:
        order = stream(number, "ihdp_published", "split").permutation(N_INFANTS)
        test = np.sort(order[:_N_TEST])
    return np.setdiff1d(np.arange(N_INFANTS), test), test


def _checked(replication: int) -> int:
    number = check_count("replication", replication, least=1)
    if number > PUBLISHED:
        raise ArgumentError(f"replication must lie between 1 and {PUBLISHED}, got {number}.")
    return number


@cache
def _published(table: str, checksum: str) -> Ints:
    """Test rows ``(75, 100)`` from a file."""
    wanted = f"a .npz file with whole numbers test_idx ({_N_TEST}, 100) from 0 to {N_INFANTS - 1}"
    try:
        with np.load(Path(table), allow_pickle=False) as file:
            rows = np.asarray(file["test_idx"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"table={table!r} cannot be read: {error}. It must be {wanted}."
        ) from error
    check_digest(Path(table), checksum, None, name="table")
    right = rows.shape == (_N_TEST, 100) and rows.dtype.kind in "iu"
    if not right or rows.min() < 0 or rows.max() >= N_INFANTS:
        raise ArgumentError(
            f"table={table!r} holds test_idx of shape {rows.shape} and type {rows.dtype}; it must "
            f"be {wanted}."
        )
    ordered = np.sort(rows.astype(np.int64), axis=0)
    if (np.diff(ordered, axis=0) == 0).any():
        raise ArgumentError(f"table={table!r} names an infant twice in one test split.")
    return ordered

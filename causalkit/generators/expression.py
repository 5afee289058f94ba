"""Arms with doses for patients who are known by their gene expression, real or simulated."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.files import load_expression
from causalkit.generators.spec import as_rng, generator
from causalkit.rng import stream
from causalkit.typing import Floats, Ints

_ARMS = 3
_SCALE = 10.0


@generator(
    "dosage",
    version=2,
    estimands=("outcome[arm 2, dose 0.5]", "outcome[best]"),
    cite="Schwab et al. (2020), AAAI (DRNet); Bica et al. (2020), NeurIPS (SCIGAN), TCGA dosage",
)
def dosage(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_genes: int = 200,
    selection: float = 2.0,
    dose_selection: float = 2.0,
    noise_sd: float = 0.2,
    effect: float = 1.0,
    overlap: bool = True,
    split: int = 0,
    expression: str | None = None,
    checksum: str = "any",
) -> CausalData:
    r"""Three arms with a dose u in [0, 1], and covariates like gene expression.

    Outcome surfaces of the TCGA dosage benchmark, with unit vectors v of each arm and C = 10:

    .. math::

        y_0 &= C (v_0'x + 12 u (u - .75 r)^2), \quad r = v_1'x / v_2'x \\
        y_1 &= C (v_0'x + \sin(π u r)) \\
        y_2 &= C (v_0'x + 12 (u v_1'x - u^2 v_2'x))

    A dose is Beta(α, (α − 1)/u* + 2 − α) around the best dose u* of the arm (the second parameter
    is 1 where u* ≤ .001 or u* ≥ 1), and arm k has probability ∝ exp(κ y_k / max_l y_l) at the doses
    drawn.

    The covariates are exp of a low-rank normal matrix, scaled to [0, 1] by gene and to unit length
    by row, since the original counts may not be passed on. The published size is ``n=9659,
    n_genes=4000``.

    Parameters
    ----------
    rng : Generator or int
    n, n_genes : int, default 1000 and 200
        Size of the simulated expression; ignored if ``expression`` is given.
    selection : float, default 2
        κ of the softmax by which arms are chosen.
    dose_selection : float, default 2
        α ≥ 1 of the Beta distribution of the dose around its best value; 1 is uniform.
    noise_sd : float, default 0.2
    effect : float, default 1
        Multiplies everything that depends on arm and dose, not negative; 0 is the null design.
    overlap : bool, default True
        False gives every unit the arm with its highest outcome.
    split : int, default 0
        Which of the random splits of the same draw into training, validation and test.
    expression : str, optional
        Path of the real matrix; see :func:`~causalkit.generators.files.load_expression`.
    checksum : str, default "any"
        What that file must be.

    Returns
    -------
    CausalData
        Columns ``y, arm, dose, x1, ...``, and the extra column ``part``: 0 for training (70 %), 1
        for validation (10 %), 2 for test (20 %), each with the same shares of arms. ``truth`` has
        scope ``"sample"``: ``dose_response(arm, dose)`` is the mean outcome of these units,
        ``unit_response(arm, doses)`` that of each, ``best_dose (n, 3)`` the best dose in each arm.
        The estimands are the mean outcomes of arm 2 at dose 0.5, and of the best arm of each unit
        at its best dose.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or the file is not what it should be.

    References
    ----------
    Schwab, Linhardt, Bauer, Buhmann & Karlen (2020), AAAI 34, 5612-5619; Bica, Jordon & van der
    Schaar (2020), NeurIPS 33, appendix.
    """
    rng = as_rng(rng, "dosage")
    check_count("n", n, least=10)
    check_count("n_genes", n_genes, least=10)
    check_count("split", split, least=0)
    if not dose_selection >= 1.0:
        raise ArgumentError(f"dose_selection must be at least 1, got {dose_selection!r}.")
    if not effect >= 0.0:
        raise ArgumentError(f"effect must not be negative, got {effect!r}.")
    x = expression_rows(rng, n, n_genes, expression, checksum)
    n = len(x)
    vectors = rng.uniform(0.0, 10.0, (_ARMS, 3, x.shape[1]))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    response = DosageResponse(np.einsum("kvj,ij->ikv", vectors, x), effect)
    best = response.best_doses()
    doses = _drawn_doses(rng, best, dose_selection)
    surfaces = np.stack([response(k, doses[:, k : k + 1])[:, 0] for k in range(_ARMS)], axis=1)
    pull = selection * surfaces / surfaces.max(axis=1, keepdims=True)
    gumbel = rng.gumbel(size=(n, _ARMS))
    arm = (pull + gumbel if overlap else surfaces).argmax(axis=1)
    rows = np.arange(n)
    y = surfaces[rows, arm] + noise_sd * rng.standard_normal(n)
    part = stratified_parts(stream(int(rng.integers(2**63 - 1)), "split", split), arm)
    names = [f"x{j + 1}" for j in range(x.shape[1])]
    frame = pd.DataFrame({"y": y, "arm": arm, "dose": doses[rows, arm]}).join(
        pd.DataFrame(x, columns=names)
    )
    top = np.stack([response(k, best[:, k : k + 1])[:, 0] for k in range(_ARMS)], axis=1)
    mean = MeanDosage(response)
    return CausalData.from_frame(
        frame.assign(part=part),
        outcome="y",
        treatment=["arm", "dose"],
        covariates=names,
        extra="part",
        kinds=("multi", "dose"),
        truth=Truth(
            {
                "outcome[arm 2, dose 0.5]": float(mean(2, 0.5)),
                "outcome[best]": float(top.max(axis=1).mean()),
            },
            dose_response=mean,
            unit_response=response,
            best_dose=best,
            scope="sample",
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class DosageResponse:
    """Mean outcome of each unit under an arm and doses.

    Attributes
    ----------
    scores : (n, 3, 3) array
        v'x of each unit, arm and vector.
    effect : float
    """

    scores: Floats
    effect: float

    def __call__(self, arm: int, doses: Any, *, rows: Any = None) -> Floats:
        """Outcomes ``(n, m)`` at doses ``(m,)`` for all units or ``(n, m)`` of each."""
        if arm not in range(_ARMS):
            raise ArgumentError(f"arm must be 0, 1 or 2, got {arm!r}.")
        scores = self.scores if rows is None else self.scores[rows]
        u = np.asarray(doses, dtype=np.float64)
        # Columns, so that every unit meets every dose; at a single dose the result is (n,).
        zero, one, two = (scores[:, arm, v] for v in range(3))
        base = scores[:, 0, 0] if self.effect == 0.0 else zero
        if u.ndim:
            zero, one, two, base = (values[:, None] for values in (zero, one, two, base))
        if arm == 0:
            part = 12.0 * u * (u - 0.75 * one / two) ** 2
        elif arm == 1:
            part = np.sin(np.pi * u * one / two)
        else:
            part = 12.0 * (u * one - u**2 * two)
        return np.asarray(_SCALE * (base + self.effect * part))

    def best_doses(self) -> Floats:
        """Dose at which each arm does best for each unit ``(n, 3)``, exact."""
        s = self.scores
        ratio = 0.75 * s[:, 0, 1] / s[:, 0, 2]
        first = np.where(ratio >= 0.75, ratio / 3.0, 1.0)
        others = [s[:, 1, 2] / (2.0 * s[:, 1, 1]), s[:, 2, 1] / (2.0 * s[:, 2, 2])]
        best: Floats = np.clip(np.stack([first, *others], axis=1), 0.0, 1.0)
        return best


@dataclass(frozen=True, slots=True, eq=False)
class MeanDosage:
    """Mean outcome over the units of a :class:`DosageResponse`."""

    units: DosageResponse

    def __call__(self, arm: int, doses: Any) -> Floats:
        """Mean outcomes, of the shape of the doses."""
        return np.asarray(self.units(arm, doses).mean(axis=0))


def expression_rows(
    rng: np.random.Generator, n: int, n_genes: int, path: str | None, checksum: str
) -> Floats:
    """Expression in [0, 1] by gene, rows of unit length: simulated, or the real one."""
    if path is None:
        factors = rng.standard_normal((n, 10)) @ rng.standard_normal((10, n_genes))
        raw = np.exp(factors / math.sqrt(10.0) + 0.5 * rng.standard_normal((n, n_genes)))
    else:
        raw = load_expression(path, checksum=checksum)
    raw = (raw - raw.min(axis=0)) / np.ptp(raw, axis=0)
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float64)


def stratified_parts(rng: np.random.Generator, arm: Ints) -> Ints:
    """Draw parts 0, 1, 2 (training, validation, test) with the same shares in each arm."""
    part = np.zeros(arm.size, dtype=np.int64)
    for k in np.unique(arm):
        rows = rng.permutation(np.flatnonzero(arm == k))
        validation, test = (round(share * rows.size) for share in (0.1, 0.2))
        part[rows[:validation]] = 1
        part[rows[validation : validation + test]] = 2
    return part


def _drawn_doses(rng: np.random.Generator, best: Floats, alpha: float) -> Floats:
    """Doses ``(n, 3)`` around the best ones, as chosen by those who decide."""
    inside = (best > 0.001) & (best < 1.0)
    second = np.where(inside, (alpha - 1.0) / np.maximum(best, 0.001) + 2.0 - alpha, 1.0)
    doses = rng.beta(alpha, np.maximum(second, 1e-3))
    turned = best <= 0.001
    turned[:, 0] = False
    return np.where(turned, 1.0 - doses, doses)

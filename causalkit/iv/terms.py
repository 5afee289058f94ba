"""Working models of the parametric method: their terms, and one fit of the whole system."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalkit.errors import ArgumentError, ArgumentTypeError
from causalkit.inference.solve import Solution
from causalkit.iv.influence import Nuisances, binary_direction, modelled_products
from causalkit.iv.nuisances import Fitted, away_from_zero, mix, targets_of
from causalkit.iv.parametric import Data, Terms, fit_parametric
from causalkit.iv.sample import IVSample
from causalkit.iv.settings import Settings
from causalkit.typing import Floats


def working_terms(
    sample: IVSample, effect: Sequence[str] | None, confounding: Sequence[str] | None
) -> Terms:
    """Terms of all working models: linear in the covariates, with the instrument crossed.

    Parameters
    ----------
    sample : IVSample
    effect, confounding : sequence of str or None
        Covariates with which β and ρ vary; None means all, an empty sequence none.

    Raises
    ------
    ArgumentError
        If a name is no covariate.
    """
    one = np.ones((sample.n, 1))
    plain = np.hstack([one, sample.x])
    low = np.hstack([plain, np.zeros_like(plain)])
    high = np.hstack([plain, plain])

    def chosen(names: Sequence[str] | None, argument: str) -> Floats:
        if names is None:
            return plain
        return np.hstack([one, sample.x[:, _positions(sample, names, argument)]])

    return Terms(
        pi=plain,
        mu=(low, high),
        omega=(low, high),
        beta=chosen(effect, "effect_terms"),
        rho=chosen(confounding, "confounding_terms"),
    )


def _positions(sample: IVSample, names: Any, argument: str) -> list[int]:
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Sequence):
        raise ArgumentTypeError(f"{argument} must list covariates, got {names!r}.")
    found = []
    for name in names:
        columns = [
            position
            for position, known in enumerate(sample.covariate_names)
            if is_term_of(known, name)
        ]
        if not columns:
            raise ArgumentError(
                f"{argument} names {name!r}, which is no covariate of the data; known: "
                f"{', '.join(sample.covariate_names)}."
            )
        found += columns
    return found


def is_term_of(term: str, column: str) -> bool:
    """Whether a term is a column, or one of its levels: a category is several "column=level"."""
    return term == column or term.startswith(f"{column}=")


def fit_working_models(sample: IVSample, settings: Settings) -> tuple[Fitted, dict[str, Solution]]:
    """Nuisances and stacked solutions of the parametric method."""
    terms = working_terms(sample, settings.effect_terms, settings.confounding_terms)
    weights = np.ones(sample.n) if sample.weights is None else sample.weights
    arrays = Data(
        sample.y, sample.a, sample.z[:, 0], weights / weights.mean(), sample.binary_treatment
    )
    targets: Any = ("ate", "att", "atc") if sample.binary_treatment else ("ate",)
    least = sample.least_delta_v(settings.trim_delta_v)
    options = {"clip": settings.clip, "least_delta_v": least}
    fit = fit_parametric(arrays, terms, targets=targets, **options)
    constant = Terms(terms.pi, terms.mu, terms.omega, terms.beta[:, :1], terms.rho)
    weighted = fit_parametric(arrays, constant, targets=(), **options).psi
    return _fitted(sample, fit.nuisances, settings), {
        **fit.solutions,
        "variance-weighted": weighted,
    }


def _fitted(sample: IVSample, found: dict[str, Floats], settings: Settings) -> Fitted:
    """The same record as cross-fitted methods leave, for strength and weak-robust sets."""
    wide = {name: values[:, None] for name, values in found.items()}
    z = sample.z[:, 0]
    pi = np.clip(wide["instrument"], settings.clip, 1.0 - settings.clip)
    hats = Nuisances(
        mu=wide["treatment"],
        omega=wide["omega"],
        beta=wide["effect"],
        rho=wide["confounding"],
        direction=binary_direction(z, pi, away_from_zero(wide["delta_v"], 1e-12)),
        delta_v=wide["delta_v"],
        share=wide["share"],
    )
    a_res = sample.a[:, None] - hats.mu
    # ω is free of A − μ, so that Y − ω is as good as Y − η in the products, whatever β is.
    y_res = sample.y[:, None] - hats.omega - hats.beta * hats.mu
    mean_square = mix(pi, (wide["variance:0"], wide["variance:1"]))
    products = modelled_products(y_res, a_res, hats, mean_square, z[:, None] - pi)
    names = ("instrument", "treatment:0", "treatment:1", "effect", "confounding")
    return Fitted(
        hats=hats,
        products=products,
        predictions={name: wide[name] for name in names},
        targets=targets_of(sample, 1),
        chosen=dict.fromkeys(names, "parametric"),
        facts={"effect_learned": "stacked equations"},
        clipped=sample.share(wide["instrument"] != pi),
        models={},
    )

"""All approaches and the linear companions, side by side."""

import numpy as np

from causalkit.data import CausalData
from causalkit.errors import CausalKitError
from causalkit.estimator import Refit
from causalkit.inference.instruments import instrumented_estimand
from causalkit.inference.solve import solve_linear
from causalkit.panel.clusters import cluster_names, variance_clusters
from causalkit.panel.linear import INSTRUMENTED, LINEAR
from causalkit.panel.refit import given_nuisances
from causalkit.panel.result import choices, result_of
from causalkit.panel.sample import panel_sample
from causalkit.panel.settings import DEFAULT_BASIS, Settings
from causalkit.results import EffectResult, ResultTable, table

# Label, approach, Mundlak terms: the paper's methods, then this library's default.
_FITS = (
    ("DML pooled", "pooled", "basis"),
    ("DML late within", "late_within", "basis"),
    ("DML within", "within", "basis"),
    ("DML differences", "fd", "basis"),
    ("DML dummies", "dummies", "means"),
    ("DML hybrid", "hybrid", "basis"),
    ("DML Chamberlain", "chamberlain", "chamberlain"),
    ("DML CRE, normal", "cre_normal", "basis"),
    ("DML CRE, general", "cre_general", "basis"),
    ("DML CRE, means", "cre", "means"),
    ("DML CRE, basis", "cre", "basis"),
)


def companion(data: CausalData, settings: Settings, name: str) -> EffectResult:
    """One linear regression with the settings' variance."""
    known = LINEAR | INSTRUMENTED
    regression = known[name](panel_sample(data), settings.options.time_effects)
    sample = regression.sample
    clusters = variance_clusters(settings, sample, data.roles)
    return result_of(
        solve_linear(regression.score, weights=sample.weights),
        regression.score,
        settings,
        clusters=clusters,
        weights=sample.weights,
        multiplicity=sample.multiplicity,
        n_absorbed=0 if clusters else regression.n_absorbed,
        terms=sample.treatment_names,
        cluster_names=cluster_names(settings, data.roles),
        estimand=instrumented_estimand(sample.d, sample.z) if name in INSTRUMENTED else "ate",
        estimator=name,
        outcome=data.roles.outcome[0],
        treatment=data.roles.treatment,
        choices=choices(settings, data.roles),
        contrast=sample.contrasts,
        n_units=sample.n_units,
        n_periods=None if sample.period is None else int(np.unique(sample.period).size),
        dropped={**data.dropped, **sample.dropped},
        notes=("Linear regression, for comparison.",),
    )


def compare(refit: Refit, own: EffectResult, data: CausalData, settings: Settings) -> ResultTable:
    """Linear companions, every approach that this panel allows, and the fit itself.

    An approach that cannot be computed is named in the table's notes with its reason, never
    left out silently. Folds are those of the fit wherever an approach uses the same rows.
    """
    found: dict[str, EffectResult] = {}
    given = ", ".join(given_nuisances(own))
    notes = [f"This fit was given its {given}; the others learn theirs."] if given else []
    for name in [*LINEAR, *(INSTRUMENTED if settings.model == "iv" else ())]:
        try:
            found[name] = companion(data, settings, name)
        except CausalKitError as error:
            notes.append(f"{name} not available: {error}")
    mine = (settings.approach, settings.options.mundlak_terms)
    if settings.approach == "chamberlain":
        mine = ("chamberlain", "chamberlain")
    for label, approach, terms in _FITS:
        if (approach, terms) == mine:
            found[label] = own
            continue
        try:
            dictionary = {} if terms == "basis" else {"basis": DEFAULT_BASIS}
            again = refit.fit(data, approach=approach, mundlak_terms=terms, **dictionary)
            found[label] = again.estimate()
        except CausalKitError as error:
            notes.append(f"{label} not available: {error}")
    if own not in found.values():
        found["this fit"] = own
    return table(list(found.values()), names=list(found), notes=tuple(notes))

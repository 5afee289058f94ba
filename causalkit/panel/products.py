"""A warning where regressions cannot see the products that a dictionary leaves out."""

from causalkit.errors import DroppedRowsWarning
from causalkit.nuisance import CrossFit
from causalkit.panel.design import Design
from causalkit.warn import warn

_BLIND = ("linear", "ridge", "lasso")  # linear in the dictionary, where trees make products


def warn_of_products(design: Design, hats: CrossFit) -> None:
    """Warn if an interaction of covariates could confound and no learner looked for it."""
    left_out, tries = design.outcome.left_out, design.outcome.wide is not None
    if left_out is None:
        return
    blind = [name for name, chosen in hats.chosen.items() if _blind(name, chosen, tries=tries)]
    if not blind:
        return
    mend = (
        "learner='auto' tries them"
        if tries and "propensity" not in blind
        else "basis=PolynomialFeatures(degree=2, include_bias=False) with learner='lasso' keeps "
        "them, and fewer covariates have fewer"
    )
    warn(
        f"{left_out}: where interactions of covariates confound, the estimate is biased, as the "
        f"regressions of {', '.join(blind)} cannot see them; {mend}.",
        DroppedRowsWarning,
    )


def _blind(name: str, chosen: str, *, tries: bool) -> bool:
    """Whether a regression had no learner that sees, or makes, products."""
    if not chosen.startswith("auto"):
        return chosen in _BLIND
    # Boosting alone makes its own; beside a lasso it is chosen for its loss, and may miss them.
    return "boosting alone" not in chosen and not (tries and name != "propensity")

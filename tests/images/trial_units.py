"""Units of a trial as the estimators of images see them, by place and without more structure."""

import numpy as np

from causalkit.images.units import Units


def units_of(outcome, treatment, propensity, place, **more):
    """Units whose errors are dependent within places, without covariates unless given."""
    plain = {"covariates": np.empty((outcome.size, 0)), "covariate_names": ()}
    return Units(
        outcome=outcome,
        treatment=treatment,
        propensity=propensity,
        levels={},
        image=place,
        groups=place,
        clusters=None,
        cluster_name="image",
        **(plain | more),
    )

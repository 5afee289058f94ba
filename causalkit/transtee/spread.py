"""What the differences among the networks of an ensemble say about the error of their mean."""

from dataclasses import dataclass

from causalkit.transtee.settings import Settings


@dataclass(frozen=True, slots=True)
class Spread:
    """How a standard deviation over networks becomes a standard error.

    Attributes
    ----------
    scale : float
        Standard errors in one standard deviation over networks.
    told : str
        What the interval counts, for results.
    """

    scale: float
    told: str


NO_SPREAD = Spread(1.0, "none: one network has no spread")


def spread_of(settings: Settings, n_members: int) -> Spread:
    """Standard errors from the networks of a fit.

    Networks on bootstrap rows differ as estimates from new samples do. Networks that leave out a
    random share f of the rows each share most of the others and differ less: by a variance of
    f / (1 − f) of that of new samples. Networks that share all rows tell of their training only.

    Parameters
    ----------
    settings : Settings
    n_members : int
        Networks that predict.

    References
    ----------
    Shao & Wu (1989), Annals of Statistics 17:1176, the delete-d jackknife.
    """
    if n_members == 1:
        return NO_SPREAD
    networks = f"spread over {n_members} networks"
    if settings.bootstrap:
        return Spread(1.0, f"{networks} on bootstrap rows")
    if settings.refit or settings.interval == "conformal":
        return Spread(1.0, f"{networks} on the same rows, whose chance it does not count")
    left_out = settings.validation_fraction
    return Spread(
        ((1.0 - left_out) / left_out) ** 0.5,
        f"{networks} that leave out {left_out:.0%} of the rows each, as a jackknife",
    )

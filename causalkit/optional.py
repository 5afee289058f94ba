"""The one door through which optional packages come in."""

from importlib import import_module
from types import ModuleType

from causalkit.errors import MissingDependencyError


def require(
    name: str, *, needed_by: str, extra: str = "", package: str | None = None
) -> ModuleType:
    """Import an optional package, or say who needs it and how to get it.

    Parameters
    ----------
    name : str
        Module to import, such as ``"matplotlib.pyplot"``.
    needed_by : str
        Function or class that asks, for the message.
    extra : str, default ""
        causalkit extra that installs it; ``""`` for a package of the core install.
    package : str, optional
        What pip calls a package that neither the core install nor an extra brings.

    Raises
    ------
    MissingDependencyError
        If the package itself is absent. A package that is present but lacks one of its own
        dependencies raises its own error, so that a broken install is not reported as absent.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or name.split(".")[0] != error.name.split(".")[0]:
            raise
        ours = f".[{extra}]" if extra else "."
        how = (
            f"Type: pip install {package}"
            if package is not None
            else f'In the folder of causalkit type: pip install "{ours}"'
        )
        raise MissingDependencyError(
            f"{needed_by} needs the package {error.name!r}, which is not installed. {how}"
        ) from error

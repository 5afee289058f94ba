"""Run the command line as a user does, for tests of it."""

from click.testing import CliRunner, Result

from causalkit import cli

ROLES = ["--outcome", "y", "--treatment", "d", "--covariate", "x", "--unit", "firm"]
LINEAR = ["--estimator", "panel-dml", "--learner", "linear"]


def run(*args: object) -> Result:
    """Outcome of a command; errors other than its own exit come up as they are."""
    return CliRunner().invoke(cli.main, [str(arg) for arg in args], catch_exceptions=False)


def check_refused(result: Result, message: str) -> None:
    """Exit code 2, the message and no traceback."""
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output

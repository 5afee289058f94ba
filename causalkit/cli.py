"""The command line: parse, call, print. What it calls is imported when a command runs."""

import ast
import json
import sys
import warnings
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from causalkit.errors import ArgumentError, CausalKitError, cannot_write, unknown_name
from causalkit.optional import require
from causalkit.provenance import __version__
from causalkit.registry import ESTIMATORS, load
from causalkit.study.commands import sim
from causalkit.whole_file import write_whole

if TYPE_CHECKING:
    import xarray as xr

    from causalkit.data import CausalData
    from causalkit.results import EffectResult

note = partial(click.echo, err=True)


class _Refusal(click.ClickException):
    """What causalkit refuses to do, as one message with exit code 2 and without a traceback."""

    exit_code = 2


class _Commands(click.Group):
    """Group of commands that turns causalkit errors into messages."""

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except CausalKitError as error:
                raise _Refusal(str(error)) from error


def _show_warning(message: object, category: type[Warning], *_: object, **__: object) -> None:
    """Show a warning as one line on standard error, without the place in our code."""
    note(f"{category.__name__}: {message}")


INPUT = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="causalkit")
def main() -> None:
    """Causal inference: treatment effects with honest standard errors, and studies of them."""


main.add_command(sim)


@main.command("info")
@as_json
def show_info(*, as_json: bool) -> None:
    """Show versions, processors and thread settings, for bug reports."""
    from causalkit.provenance import info

    facts = info()
    if as_json:
        return click.echo(json.dumps(facts, indent=2))
    for name, version in facts.pop("versions").items():
        click.echo(f"{name:<16}{version}")
    for name, value in facts.items():
        click.echo(f"{name:<16}{value or '-'}")


@main.group("data")
def data_group() -> None:
    """List and show the example data sets."""


@data_group.command("list")
@as_json
def list_data(*, as_json: bool) -> None:
    """List the example data sets with their published answers."""
    from causalkit.data import list_datasets

    frame = list_datasets()
    if as_json:
        return click.echo(frame.to_json(orient="records", indent=2))
    columns = ["name", "rows", "outcome", "treatment", "estimate", "std_error", "design"]
    click.echo(frame[columns].to_string(index=False, na_rep=""))


@data_group.command("show")
@click.argument("name")
@as_json
def show_data(name: str, *, as_json: bool) -> None:
    """Show columns, source and published answer of the example data set NAME."""
    from causalkit.data import load_dataset

    data = load_dataset(name)
    facts = {
        "name": data.name,
        "rows": len(data),
        "citation": data.citation,
        "published": dict(data.published),
        "dropped": dict(data.dropped),
    }
    columns = data.describe()
    if as_json:
        facts["columns"] = json.loads(columns.to_json(orient="records"))
        return click.echo(json.dumps(facts, indent=2))
    click.echo(f"{data.name}: {len(data)} rows\n{data.citation}\n")
    click.echo(columns.to_string(index=False, na_rep=""))
    click.echo("\nPublished")
    for key in ("estimate", "std_error", "how", "source", "note"):
        click.echo(f"{key:<10} {data.published[key]}")


@data_group.command("export")
@click.argument("name")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def export_data(name: str, path: Path) -> None:
    """Write the example data set NAME to FILE, a .parquet, .csv or .dta file."""
    from causalkit.data import load_dataset
    from causalkit.data.stata import write_stata

    frame = load_dataset(name).frame
    writers: dict[str, Callable[[Path], Any]] = {
        ".parquet": frame.to_parquet,
        ".csv": partial(frame.to_csv, index=False),
        ".dta": partial(write_stata, frame),
    }
    if path.suffix.lower() not in writers:
        raise ArgumentError(
            f"cannot tell the format of {path.name!r}; end it in .parquet, .csv or .dta."
        )
    try:
        writers[path.suffix.lower()](path)
    except OSError as error:
        raise cannot_write(path, error) from error
    click.echo(f"wrote {path}: {len(frame)} rows of {', '.join(map(str, frame))}")


@main.command("fit")
@click.argument("path", metavar="DATA", type=INPUT)
@click.option("--estimator", required=True, help=f"One of: {', '.join(ESTIMATORS)}.")
@click.option("--outcome", required=True, help="Column.")
@click.option("--treatment", required=True, multiple=True, help="Column; may be repeated.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    help="binary, multi, continuous, dose or structured, once for each treatment, if the kind that "
    "is inferred is wrong.",
)
@click.option("--covariate", "covariates", multiple=True, help="Column; may be repeated.")
@click.option("--modifier", "modifiers", multiple=True, help="Column; may be repeated.")
@click.option(
    "--category",
    "categories",
    multiple=True,
    help="Column of text or codes to read as a category; may be repeated.",
)
@click.option("--instrument", "instruments", multiple=True, help="Column; may be repeated.")
@click.option("--unit", help="Column that identifies the unit of a panel.")
@click.option("--time", help="Column that identifies the period.")
@click.option("--cluster", multiple=True, help="Column; at most two. Default: the unit.")
@click.option("--weights", help="Column of row weights.")
@click.option("--weight-kind", help="sampling, frequency or precision.")
@click.option("--strata", help="Column of the blocks within which treatment was drawn.")
@click.option("--image", help="Variable of a zarr store that holds images.")
@click.option("--image-key", help="Column that says which image a row has.")
@click.option(
    "--learner",
    "learner",
    multiple=True,
    help="auto, lasso, ridge, boosting, forest or linear; invalid-iv chooses among several.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Argument of the estimator, such as method=debiased or n_rep=3; may be repeated.",
)
@click.option(
    "--missing",
    type=click.Choice(["raise", "drop", "indicator"]),
    default="raise",
    show_default=True,
    help="What to do with missing values.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of everything random: random_state of the estimator.",
)
@click.option("--out", type=FOLDER, help="Write files here.")
@as_json
def fit_file(
    path: Path,
    *,
    estimator: str,
    learner: tuple[str, ...],
    settings: tuple[str, ...],
    seed: int,
    out: Path | None,
    as_json: bool,
    **roles: Any,
) -> None:
    """Estimate an effect from the rows of DATA, a .parquet, .csv or .dta file or a .zarr store.

    What a message advises as name='value' is --name value where that is an option below, such as
    --missing drop, and --set name=value elsewhere; random_state is --seed, and C(column) is
    --category column.

    Value labels of a Stata file (.dta) are categories, but for outcome, weights and time; its
    codes . and .a to .z and empty text are missing values, see --missing.
    """
    made = _estimator(estimator, learner, settings, seed)
    data = _data(path, **roles)
    fitted = made.fit(data)
    result = fitted.estimate()
    click.echo(result.to_json(indent=2) if as_json else result.summary())
    if out is not None:
        _write(result, out)
        if hasattr(fitted, "report") and find_spec("matplotlib") is not None:
            fitted.report(out / "report.html", data)
        note(f"wrote {out}")


@main.command("demo")
@click.option(
    "--out",
    type=FOLDER,
    default="causalkit-demo",
    show_default=True,
    help="Write the report and tables here.",
)
@click.option("--open/--no-open", "open_report", default=False, help="Open the report.")
def show_demo(out: Path, *, open_report: bool) -> None:
    """Run the library on real and on simulated data; takes a minute or two."""
    from causalkit.demo import run_demo

    report = run_demo(out, echo=click.echo, progress=note)
    click.echo(f"\nReport: {report}")
    if open_report:
        webbrowser.open(report.resolve().as_uri())


def _estimator(name: str, learner: tuple[str, ...], settings: tuple[str, ...], seed: int) -> Any:
    """Estimator with its arguments; those that are set by name come before all others."""
    make = load("estimator", name, ESTIMATORS)
    known = make().get_params(deep=False)
    arguments = {"random_state": seed} if "random_state" in known else {}
    arguments |= _learners(name, known, learner)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ArgumentError(f"--set {setting}: give name=value, such as --set n_rep=3.")
        if key not in known:
            raise unknown_name(f"argument of {name}", key, known)
        arguments[key] = _value(value)
    return make(**arguments)


def _value(text: str) -> Any:
    """Python's reading of a number, list and the like; what is none of these is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError):
        return text


def _learners(estimator: str, known: Mapping[str, Any], given: tuple[str, ...]) -> dict[str, Any]:
    """Argument of the estimator that takes the learners: one, or those that it chooses among."""
    if not given:
        return {}
    if "learners" in known:
        return {"learners": list(given)}
    if "learner" not in known:
        raise ArgumentError(f"--learner: {estimator} has no learner to choose; leave it out.")
    if len(given) > 1:
        raise ArgumentError(
            f"--learner: {estimator} takes one learner, got {', '.join(given)}; name it once."
        )
    return {"learner": given[0]}


def _data(path: Path, *, categories: tuple[str, ...], **roles: Any) -> "CausalData":
    """Data from a table, or from a zarr store whose columns lie over ``obs``."""
    from causalkit.data import CausalData
    from causalkit.data.build import parted
    from causalkit.data.read_file import read_file

    image, arrays = roles["image"], None
    if path.suffix.lower() == ".zarr":
        store = _open(path)
        _check_image(store, image, roles["image_key"])
        frame, found = parted(store, () if image is None else (image,), ())
        arrays = None if image is None else found
    elif image is not None:
        raise ArgumentError(
            f"--image: {path.name!r} is a table, which holds no images; give a .zarr store that "
            "has the columns, over the dimension obs, beside the images."
        )
    else:
        # A category could be none of these, whatever labels its codes have.
        frame = read_file(path, numbers=(roles["outcome"], roles["weights"], roles["time"]))
    for name in categories:
        if name not in frame:
            raise unknown_name("column of --category", name, map(str, frame))
    frame = frame.astype(dict.fromkeys(categories, "category"))
    return CausalData.from_frame(frame, arrays=arrays, **roles)


def _open(path: Path) -> "xr.Dataset":
    """Store with its images left on disk."""
    require("zarr", extra="images", needed_by="causalkit fit DATA.zarr")
    import xarray as xr

    try:
        store: xr.Dataset = xr.open_zarr(path, chunks=None)
    except (OSError, ValueError, KeyError) as error:
        raise ArgumentError(f"cannot read {path.name!r}: {error}") from error
    return store


def _check_image(store: "xr.Dataset", image: str | None, image_key: str | None) -> None:
    """Refuse an image that the store lacks, and images without the column that names them."""
    if image is None:
        return
    if image not in store:
        wide = [str(name) for name in store.data_vars if store[name].ndim > 1]
        raise ArgumentError(
            f"--image: there is no {image!r} in the store; images: {', '.join(wide) or 'none'}."
        )
    if image_key is None and "obs" not in store[image].dims:
        columns = [str(name) for name in store.variables if store[name].dims == ("obs",)]
        raise ArgumentError(
            f"--image-key: the images of {image!r} lie over {store[image].dims[0]!r} and not over "
            f"'obs'; name the column that says which image a row has: {', '.join(columns)}."
        )


def _write(result: "EffectResult", out: Path) -> None:
    """Write a result in every format that somebody may want next."""
    files = {
        "result.json": result.to_json(indent=2),
        "tidy.csv": result.tidy().to_csv(index=False),
        "summary.txt": result.summary() + "\n",
        "table.tex": result.to_latex(),
        "table.md": result.to_markdown() + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(out / name, text)
    except OSError as error:
        raise cannot_write(f"into {out}", error) from error


if __name__ == "__main__":
    sys.exit(main())

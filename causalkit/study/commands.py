"""The commands of ``causalkit sim``: parse, call, print."""

import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from causalkit.errors import ArgumentError, cannot_write
from causalkit.whole_file import write_whole

if TYPE_CHECKING:
    import pandas as pd

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
INTERRUPTED, FAILED_COMPARISON = 130, 5


@click.group("sim")
def sim() -> None:
    """Simulation studies: declare, check, run, resume, summarise."""


@sim.command("new")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=20260101, show_default=True)
def new(path: Path, *, seed: int) -> None:
    """Write a commented study FILE to start from."""
    path = path if path.suffix else path.with_suffix(".toml")
    if path.exists():
        raise ArgumentError(f"{path} exists; name another file, or remove it.")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).strip("._-") or "study"
    text = files("causalkit.study").joinpath("template.toml").read_text(encoding="utf-8")
    filled = text.format(name=name, seed=seed, file=path.name, results=f"results/{name}")
    try:
        write_whole(path, filled)
    except OSError as error:
        raise cannot_write(path, error) from error
    click.echo(f"wrote {path}; next: causalkit sim check {path}")


@sim.command("generators")
@as_json
def generators(*, as_json: bool) -> None:
    """List the generators and their parameters."""
    from causalkit.generators.spec import list_generators

    _show(list_generators(), as_json=as_json)


@sim.command("check")
@click.argument("path", metavar="STUDY", type=FILE)
@click.option("--reps", type=click.IntRange(min=0), default=2, show_default=True, help="Per cell.")
@as_json
def check(path: Path, *, reps: int, as_json: bool) -> None:
    """Validate STUDY, list its cells, try a few replications and estimate the cost."""
    from causalkit.study.pilot import pilot
    from causalkit.study.study import Study

    study = Study.from_toml(path)
    found = pilot(study, reps=reps, progress=_on_terminal())
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
    if found.problems:
        sys.exit(3)


@sim.command("run")
@click.argument("path", metavar="STUDY", type=FILE)
@click.option("--backend", type=click.Choice(["processes", "serial", "dask"]))
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@click.option("--scheduler-file", type=FILE, help="Of a running dask scheduler.")
@click.option("--max-reps", type=click.IntRange(min=1), help="At most so many this time.")
@click.option("--only", help="Cells and estimators, such as est=LABEL,rho=0.5.")
@click.option("--shard", help="Part of the cells, such as 3/10; see `causalkit sim merge`.")
@click.option("--rep-shard", help="Part of the replications of each cell, such as 3/10.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for the results.")
@click.option("--fresh", is_flag=True, help="Move earlier results aside, and start again.")
@as_json
def run(path: Path, *, only: str | None, as_json: bool, **options: Any) -> None:
    """Run STUDY, or what is left of it.

    Exit codes: 0 targets met, or without targets all done; 2 bad input; 3 too many failures; 4 time
    or replications ended before the targets; 130 interrupted (finished blocks are kept).
    """
    from causalkit.study.shards import parsed
    from causalkit.study.study import Study

    study = Study.from_toml(path)
    for name in ("shard", "rep_shard"):
        options[name] = parsed(options[name], option=f"--{name.replace('_', '-')}")
    given = {key: value for key, value in options.items() if value is not None}
    scheduler_file = given.pop("scheduler_file", None)
    study = study.with_options(
        out=given.pop("out", None),
        scheduler_file=None if scheduler_file is None else str(scheduler_file),
    )
    try:
        with ending_like_ctrl_c():
            report = study.run(only=_parsed(only), progress=_on_terminal(), **given)
    except KeyboardInterrupt:
        click.echo(
            f"interrupted; finished blocks are kept in {study.results_folder}. "
            "Run the same command to go on.",
            err=True,
        )
        sys.exit(INTERRUPTED)
    for line in report.repairs:
        click.echo(line, err=True)
    click.echo(json.dumps(report.to_dict(), indent=2) if as_json else str(report))
    sys.exit(report.exit_code)


@sim.command("merge")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for it all.")
@as_json
def merge(folders: tuple[Path, ...], *, out: str, as_json: bool) -> None:
    """Bring together parts DIR... of one study, checked to be of one declaration."""
    from causalkit.study.merge import merge_results

    found = merge_results(folders, out=out)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))


@sim.command("status")
@click.argument("folder", metavar="DIR", type=FOLDER)
@as_json
def status(folder: Path, *, as_json: bool) -> None:
    """Show replications and failures of each cell and estimator in DIR."""
    from causalkit.study.collect import collect
    from causalkit.study.report_tables import stopping_table, told_stale

    results = collect(folder)
    _show(stopping_table(results), as_json=as_json)
    old = told_stale(results)
    if old:
        click.echo(old, err=True)


@sim.command("summary")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--measure", "measures", multiple=True, help="May be repeated; 'all' for all.")
@click.option("--by", multiple=True, help="Parameter to keep; may be repeated.")
@click.option("--reference", help="Estimator to take paired differences from.")
@click.option(
    "--analysis",
    type=click.Choice(["complete", "pairwise", "worst"]),
    default="complete",
    show_default=True,
)
@click.option("--long", "is_long", is_flag=True, help="One row per measure.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex", "html", "csv"]),
    default="text",
    show_default=True,
)
@as_json
def summary(
    folder: Path,
    *,
    measures: tuple[str, ...],
    by: tuple[str, ...],
    reference: str | None,
    analysis: Any,
    is_long: bool,
    form: Any,
    as_json: bool,
) -> None:
    """Show bias, RMSE, coverage and more, each with its Monte-Carlo error."""
    from causalkit.study.collect import collect
    from causalkit.study.printing import printed
    from causalkit.study.report_tables import USUAL, performance_table, performance_title
    from causalkit.study.summary import summarise

    results = collect(folder)
    chosen = None if "all" in measures else list(measures) or list(USUAL)
    found = summarise(
        results, measures=chosen, by=list(by) or None, reference=reference, analysis=analysis
    )
    # Differences in full, with what they rest on, are for a screen or a program to read.
    is_wide = not (is_long or by or (reference and form in ("text", "csv")))
    if as_json or (form == "text" and not is_wide):
        return _show(found, as_json=as_json)
    title = results.header["name"]
    if is_wide:
        title = performance_title(results, found)
        names = list(dict.fromkeys(found["measure"]))
        found = performance_table(results, found, measures=names)
    if form != "text":
        return click.echo(printed(found, form, title=title), nl=False)
    click.echo(f"{title}\n")
    _show(found, as_json=False)


@sim.command("plot")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--kind", "kinds", multiple=True, help="May be repeated. Default: all.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Default: DIR/figures."
)
@as_json
def plot(folder: Path, *, kinds: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Draw the study in DIR as PNG files."""
    from io import BytesIO

    from causalkit.errors import check_choice
    from causalkit.study.collect import collect
    from causalkit.study.plots import PLOTS
    from causalkit.study.store_write import write_output

    results, place = collect(folder), out or folder / "figures"
    for kind in kinds:
        check_choice("plot", kind, PLOTS)
    drawn = {}
    for kind in kinds or PLOTS:
        try:
            drawing = PLOTS[kind](results)
        except ArgumentError as error:
            click.echo(f"not drawn, {kind}: {error}", err=True)
            continue
        path, content = place / f"{kind}.png", BytesIO()
        getattr(drawing, "figure", drawing).savefig(content, dpi=150)
        write_output(path, content.getvalue())
        drawn[kind] = str(path)
        if not as_json:
            click.echo(f"wrote {path}")
    if as_json:
        click.echo(json.dumps(drawn, indent=2))


@sim.command("compare")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--reference", help="CSV file or shipped name. Default: the study's own.")
@as_json
def compare(folder: Path, *, reference: str | None, as_json: bool) -> None:
    """Compare the study in DIR with a published table; exit code 5 if they differ."""
    from causalkit.study.collect import comparison_of

    found = comparison_of(folder, reference)
    if found is None:
        raise ArgumentError("the study names no published table; give --reference.")
    if as_json:
        _show(found.table, as_json=True)
    else:
        click.echo(found.summary())
    if not found.passed:
        sys.exit(FAILED_COMPARISON)


@sim.command("failures")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--traceback", "show_text", is_flag=True, help="Show the texts.")
@as_json
def failures(folder: Path, *, show_text: bool, as_json: bool) -> None:
    """List the failures of the study in DIR, by cell, estimator and message."""
    from causalkit.study.collect import collect
    from causalkit.study.report_tables import failures_table

    results = collect(folder)
    if results.failures.empty and not as_json:
        return click.echo("no replication failed")
    _show(results.failures if as_json else failures_table(results), as_json=as_json)
    if show_text:
        for digest, text in results.tracebacks.items():
            click.echo(f"\n{digest}\n{text}")


@sim.command("export")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@as_json
def export(folder: Path, *, out: Path, as_json: bool) -> None:
    """Write the records of DIR as one .csv or .parquet file."""
    from causalkit.study import export as exporting
    from causalkit.study.collect import collect

    exporting.check_format(out)
    n = exporting.export(collect(folder), out)
    told = {"path": str(out), "records": n}
    click.echo(json.dumps(told) if as_json else f"wrote {n:,} records to {out}")


@sim.command("report")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: DIR/report.html."
)
@as_json
def report(folder: Path, *, out: Path | None, as_json: bool) -> None:
    """Write the report of the study in DIR as one HTML file."""
    from causalkit.study.collect import collect, comparison_of
    from causalkit.study.report import study_report

    path = out or folder / "report.html"
    study_report(collect(folder), comparison=comparison_of(folder), path=path)
    click.echo(json.dumps({"path": str(path)}) if as_json else f"wrote {path}")


@sim.command("replay")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--cell", required=True, help="Its id, or the start of it.")
@click.option("--rep", required=True, type=click.IntRange(min=0))
@click.option("--estimator", help="Label.")
@click.option("--debug", is_flag=True, help="Open the debugger where it fails.")
@as_json
def replay(
    folder: Path, *, cell: str, rep: int, estimator: str | None, debug: bool, as_json: bool
) -> None:
    """Draw one replication of DIR again, and run one estimator on it."""
    from causalkit.study.collect import study_of

    found = study_of(folder).replay(cell, rep, estimator, debug=debug)
    if as_json:
        return click.echo(json.dumps(found.to_dict(), indent=2))
    click.echo(f"cell {found.cell.id}  {found.cell.label}, replication {rep}\n")
    click.echo(found.data.describe().to_string(index=False, na_rep=""))
    click.echo(f"\ntruth: {dict(found.data.truth.estimands) if found.data.truth else 'none'}")
    for result in found.results:
        click.echo(f"\n{result.summary()}")


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, with which schedulers and systems end a run, gives up the folder as Ctrl-C does.

    Otherwise its lock would stay, which another machine cannot know to be that of a dead run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _on_terminal() -> bool:
    """Whether to show progress, which goes to standard error."""
    return sys.stderr.isatty()


def _parsed(only: str | None) -> dict[str, Any]:
    """``est=LABEL,rho=0.5`` as a mapping; values as in JSON, other text as it is.

    A part without ``=`` belongs to the one before it: labels may hold commas.
    """
    parts: list[str] = []
    for part in (only or "").split(","):
        if "=" in part or not parts:
            parts.append(part)
        else:
            parts[-1] += f",{part}"
    found: dict[str, Any] = {}
    for part in filter(str.strip, parts):
        key, equals, text = (word.strip() for word in part.partition("="))
        if not equals:
            raise ArgumentError(f"--only: {part!r} is not name=value.")
        if key == "est":
            found.setdefault("est", []).append(text)
            continue
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


def _show(frame: "pd.DataFrame", *, as_json: bool) -> None:
    """Print a table, or its records as JSON."""
    if as_json:
        click.echo(frame.to_json(orient="records", indent=2, double_precision=15))
    elif frame.empty:
        told = "nothing to show yet; `causalkit sim status` tells how far the study is"
        click.echo(told, err=True)
    else:
        click.echo(frame.to_string(index=False, na_rep=""))

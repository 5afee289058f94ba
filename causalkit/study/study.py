"""Study: the declaration of a simulation study, and what can be done with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from causalkit.errors import ArgumentError, ArgumentTypeError, check_level
from causalkit.inference.arguments import check_number
from causalkit.study import config
from causalkit.study.design import Budget, EstimatorSpec, GeneratorGrid, Reps, RunOptions

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from causalkit.study.plan import Plan
    from causalkit.study.published import Comparison
    from causalkit.study.replay import Replay
    from causalkit.study.results import Results
    from causalkit.study.run import RunReport


@dataclass(frozen=True, kw_only=True)
class Study:
    """A simulation study: cells × estimators × replications, and when to stop.

    Nothing is computed until :meth:`run`. Every random stream has an address made of the seed, the
    cell, the replication and the estimator, so that adding a cell, an estimator or a replication
    changes no number that is there, and neither does the number of workers.

    Parameters
    ----------
    name : str
        Name of the study and of its results folder.
    seed : int
    generators : list of mappings or of GeneratorGrid
        ``{"name": ..., "grid": {...}, "fixed": {...}, "exclude": [...]}`` each.
    estimators : list of mappings or of EstimatorSpec, or mapping of labels to objects
        ``{"label": ..., "use": ..., "args": {...}}`` each; or ``{"mine": my_function}``.
    aims : str
        What the study is to find out; the report's first line.
    reps : int, mapping or Reps
        Replications per cell; ``{"min": 200, "max": 2000, "batch": 100}`` with a stopping rule.
    level, null : float
        Of intervals, and of tests.
    treatment_cost : float
        Of treating a unit, for ``policy_regret``: a policy treats where the effect is larger.
    stop : mapping of str to float
        Largest Monte-Carlo error of each measure named; a cell and estimator stops when all hold.
    budget : mapping or Budget
        ``wall_s``, ``task_s``, ``rss_mb``, ``max_fail_share``.
    run_options : mapping or RunOptions
        ``backend``, ``workers``, ``out``, ``scheduler_file``, ``block``; table ``[run]`` of a file.
    data_generators, methods, performance : str
        Further text of the report's header; what the study declares, if left out.
    estimands : sequence of str
        Estimands of interest; the others of the generators are recorded as well.
    reference : str
        Published table to compare with: a CSV file or a shipped name.

    Examples
    --------
    >>> study = Study(
    ...     name="coverage", seed=1, aims="Does the interval cover?", reps=200,
    ...     generators=[{"name": "panel_cp2025", "grid": {"n_units": [100, 400]}}],
    ...     estimators=[{"label": "default", "use": "panel-dml"}],
    ... )
    >>> [cell.params for cell in study.plan().cells]
    [{'n_units': 100}, {'n_units': 400}]

    References
    ----------
    Morris, White & Crowther (2019), Statistics in Medicine 38, 2074-2102 (aims, data generators,
    estimands, methods, performance measures).
    """

    name: str
    seed: int
    generators: tuple[GeneratorGrid, ...]
    estimators: tuple[EstimatorSpec, ...]
    aims: str
    reps: Reps = field(default_factory=Reps)
    level: float = 0.95
    null: float = 0.0
    treatment_cost: float = 0.0
    stop: Mapping[str, float] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    run_options: RunOptions = field(default_factory=RunOptions)
    data_generators: str = ""
    estimands: tuple[str, ...] = ()
    methods: str = ""
    performance: str = ""
    reference: str = ""
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        _check_name(self.name)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ArgumentTypeError(f"seed must be a whole number ≥ 0, got {self.seed!r}.")
        for key in ("aims", "data_generators", "methods", "performance", "reference"):
            config.check_text(key, getattr(self, key))
        if not self.aims.strip():
            raise ArgumentError(
                "aims is empty; say in a sentence what the study is to find out, for its report."
            )
        put(self, "generators", config.grids_of(self.generators))
        put(self, "estimators", config.estimators_of(self.estimators))
        put(self, "reps", config.reps_of(self.reps))
        put(self, "budget", config.one(Budget, self.budget, where="budget"))
        put(self, "run_options", config.one(RunOptions, self.run_options, where="run"))
        put(self, "level", check_level(check_number("level", self.level)))
        for key in ("null", "treatment_cost"):
            put(self, key, check_number(key, getattr(self, key)))
        put(self, "estimands", _names(self.estimands, "estimands"))
        put(self, "stop", config.targets_of(self.stop))
        for kind in ("generators", "estimators"):
            if not getattr(self, kind):
                raise ArgumentError(f"study {self.name!r} has no {kind}; name at least one.")
        _unique([spec.label for spec in self.estimators])

    @classmethod
    def from_toml(cls, source: str | Path) -> Self:
        """Study of a file (TOML or YAML), or of TOML text with at least one line break.

        Raises
        ------
        ArgumentError
            If a key is unknown, missing or of the wrong kind; the message names it.
        """
        if isinstance(source, str) and "\n" in source:
            return cls(**config.parse(source))
        return cls(**config.read(source), folder=Path(source).resolve().parent)

    def to_toml(self) -> str:
        """Text of the study file; reading it gives an equal study."""
        return config.to_toml(self)

    def with_options(self, **options: Any) -> Self:
        """The study with other run options; those that are None stay as they are."""
        given = {key: value for key, value in options.items() if value is not None}
        return replace(self, run_options=replace(self.run_options, **given))

    @property
    def results_folder(self) -> Path:
        """Folder of the study's blocks."""
        return Path(self.run_options.out) / self.name

    @property
    def header(self) -> dict[str, str]:
        """Name and ADEMP text; what is not given is said by the declaration itself."""
        return {
            "name": self.name,
            "aims": self.aims,
            "data_generators": self.data_generators or _told_generators(self),
            "estimands": ", ".join(self.estimands) or "all whose truth the generators hold",
            "methods": self.methods or "; ".join(spec.label for spec in self.estimators),
            "performance": self.performance or _told_performance(self),
        }

    def plan(self) -> "Plan":
        """Cells, estimators with their source, replications needed for the targets."""
        from causalkit.study.plan import plan

        return plan(self)

    def run(
        self,
        *,
        backend: str | None = None,
        workers: int | None = None,
        max_reps: int | None = None,
        only: Mapping[str, Any] | None = None,
        shard: tuple[int, int] | None = None,
        rep_shard: tuple[int, int] | None = None,
        fresh: bool = False,
        progress: Any = None,
    ) -> "RunReport":
        """Run what is not there yet; call again to resume after an interruption.

        Parameters
        ----------
        backend : {"processes", "serial", "dask"}, optional
        workers : int, optional
        max_reps : int, optional
            At most so many replications this time.
        only : mapping, optional
            Cells with these parameter values, and under ``"est"`` these estimators.
        shard : (int, int), optional
            ``(3, 10)``: the third of ten parts of the cells. Parts that ran in folders of their own
            are brought together by :func:`causalkit.study.merge_results`.
        rep_shard : (int, int), optional
            Likewise of the replications of each cell, ``reps.max`` or ``max_reps``. What ``stop``
            and ``max_fail_share`` decide is decided on the whole.
        fresh : bool
            Move earlier results aside first.
        progress : bool or callable, optional

        Raises
        ------
        ArgumentError
            If the declaration cannot be run, or the folder holds another study.
        StorageError
            If results cannot be written.
        """
        from causalkit.study.run import run

        study = self.with_options(backend=backend, workers=workers)
        return run(
            study,
            max_reps=max_reps,
            only=only,
            shard=shard,
            rep_shard=rep_shard,
            fresh=fresh,
            progress=progress,
        )

    def results(self) -> "Results":
        """Records, failures and names, of what has been run."""
        from causalkit.study.collect import collect

        return collect(self.results_folder)

    def summarise(
        self,
        *,
        measures: Sequence[str] | None = None,
        by: Sequence[str] | None = None,
        reference: str | None = None,
        analysis: str = "complete",
    ) -> "pd.DataFrame":
        """Measures with their Monte-Carlo errors; see :func:`causalkit.study.summary.summarise`."""
        from causalkit.study.summary import summarise

        return summarise(
            self.results(),
            measures=measures,
            by=by,
            reference=reference,
            analysis=analysis,  # type: ignore[arg-type]  # checked there, with the choices named
        )

    def table(
        self,
        measures: Sequence[str] | None = None,
        *,
        form: str = "text",
        analysis: str = "complete",
    ) -> str:
        """Measures as value (Monte-Carlo error), a row for each cell and estimator, for print.

        Parameters
        ----------
        measures : sequence of str, optional
            Default: bias, empirical SE, RMSE, model SE, coverage.
        form : {"text", "markdown", "latex", "html", "csv"}
        analysis : {"complete", "pairwise", "worst"}
        """
        from causalkit.study.printing import printed
        from causalkit.study.report_tables import USUAL, performance_table, performance_title
        from causalkit.study.summary import summarise

        names, results = list(USUAL if measures is None else measures), self.results()
        summary = summarise(results, measures=names, analysis=analysis)  # type: ignore[arg-type]  # checked there
        wide = performance_table(results, summary, measures=names)
        title = performance_title(results, summary)
        return printed(wide, form, title=title)  # type: ignore[arg-type]  # checked there

    def to_xarray(
        self,
        *,
        measures: Sequence[str] | None = None,
        by: Sequence[str] | None = None,
        reference: str | None = None,
        analysis: str = "complete",
    ) -> "xr.Dataset":
        """Summary as a Dataset: parameters, estimator, estimand and measure are dimensions."""
        from causalkit.study.cube import to_xarray

        return to_xarray(
            self.summarise(measures=measures, by=by, reference=reference, analysis=analysis)
        )

    def status(self) -> "pd.DataFrame":
        """Replications run and failed, and why no more are, by cell and estimator."""
        from causalkit.study.report_tables import stopping_table

        return stopping_table(self.results())

    def compare(
        self,
        reference: str | Path | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        alpha: float = 0.01,
    ) -> "Comparison":
        """Compare with a published table; see :func:`causalkit.study.published.compare`."""
        from causalkit.study.published import compare

        source = reference or self.reference
        if not source:
            raise ArgumentError("name the published table: compare(reference=...).")
        table = config.beside(source, self.folder)
        return compare(self.results(), table, labels=labels, alpha=alpha)

    def replay(
        self, cell: Any, rep: int, estimator: str | None = None, *, debug: bool = False
    ) -> "Replay":
        """Data of one replication, and one estimator run on them in the foreground.

        Parameters
        ----------
        cell : Cell, str or mapping
            The cell, its id or the start of it, or its parameters.
        rep : int
        estimator : str, optional
            Label.
        debug : bool
            Open the debugger where the estimator fails.
        """
        from causalkit.study.replay import replay

        return replay(self, cell, rep, estimator, debug=debug)

    def report(self, path: str | Path | None = None) -> str:
        """Report of the study as one HTML file; see :func:`causalkit.study.report.study_report`."""
        from causalkit.study.report import study_report

        comparison = self.compare() if self.reference else None
        return study_report(self.results(), comparison=comparison, path=path)


def _check_name(name: Any) -> None:
    allowed = isinstance(name, str) and name.replace("-", "").replace("_", "").replace(".", "")
    if not (isinstance(allowed, str) and allowed.isalnum()) or name.startswith("."):
        raise ArgumentError(
            f"name must be made of letters, digits, '-', '_' and '.', as it names a folder; "
            f"got {name!r}."
        )


def _names(value: Any, what: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ArgumentTypeError(f"{what} must be a list of texts, got {value!r}.")
    return tuple(value)


def _unique(labels: list[str]) -> None:
    if not all(label.strip() for label in labels):
        raise ArgumentError("an estimator has an empty label; labels name table rows.")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ArgumentError(f"two estimators have the label {twice[0]!r}; labels name table rows.")


def _told_generators(study: Study) -> str:
    told = []
    for grid in study.generators:
        values = [f"{key} in {list(items)}" for key, items in grid.grid.items()]
        values += [f"{key} = {value}" for key, value in grid.fixed.items()]
        told.append(f"{grid.name} ({', '.join(values) or 'defaults'})")
    return "; ".join(told)


def _told_performance(study: Study) -> str:
    targets = [f"{name} to a Monte-Carlo error of {value:g}" for name, value in study.stop.items()]
    return "; ".join(targets) or "bias, empirical SE, RMSE, model SE, coverage"

"""What a worker does with a job. It imports little, since every worker has to."""

from dataclasses import dataclass
from pathlib import Path

from causalkit.study.block import run_block
from causalkit.study.design import Job
from causalkit.study.resolve import reach
from causalkit.study.store_write import write_block


@dataclass(frozen=True, slots=True)
class Counters:
    """What travels back from a worker; the records are on disk by then.

    Attributes
    ----------
    seconds : float
    n_fits : int
    out_of_memory : tuple of (int, str)
        Replication and estimator id of the fits that ran out of memory.
    """

    seconds: float
    n_fits: int
    out_of_memory: tuple[tuple[int, str], ...]


def work(job: Job) -> Counters:
    """Run a job and write its blocks: what a worker does."""
    for path in job.paths:
        reach(Path(path))
    block = run_block(job)
    write_block(Path(str(job.folder)), block)
    short = block.failures[block.failures["status"] == "oom"]
    return Counters(
        seconds=block.seconds,
        n_fits=(job.last - job.first + 1) * len(job.estimators),
        out_of_memory=tuple(zip(short["rep"].tolist(), short["est_id"].tolist(), strict=True)),
    )

"""Threads of the processor that train shares of a stack side by side.

Torch's own threads cut single operations into pieces, and those of a small network are too short
for that; members of a stack have nothing to say to each other during an epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers, and a word to them to leave.

    Attributes
    ----------
    size : int
        Threads, 1 for the caller's own.
    leave : Event
        Set when the caller was interrupted.
    """

    size: int = 1
    leave: Event = field(default_factory=Event)
    _pool: ThreadPoolExecutor | None = None

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Answers of all jobs, in their order."""
        if self._pool is None:
            return [job() for job in jobs]
        try:
            return [future.result() for future in [self._pool.submit(job) for job in jobs]]
        except BaseException:
            self.leave.set()
            raise


@contextmanager
def crew(device: Any, n_members: int, *, apart: bool) -> Iterator[Crew]:
    """As many workers as torch has threads, while each of them computes with one.

    So a member's numbers depend neither on the threads nor on who trains beside it. On a GPU, and
    where members are not to be taken ``apart``, the caller works with what torch has.
    """
    import torch

    if device.type != "cpu" or not apart:
        yield Crew()
        return
    before = torch.get_num_threads()
    size = min(before, n_members)
    torch.set_num_threads(1)
    try:
        if size <= 1:
            yield Crew()
        else:
            with ThreadPoolExecutor(size) as pool:
                yield Crew(size, _pool=pool)
    finally:
        torch.set_num_threads(before)

"""Read ahead: the next items are made in a thread while the last is used."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()
_DEPTH = 2


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Same items in the same order, up to two of them made before they are asked for.

    A thread, not a process: decoding and reading release the interpreter lock, nothing is copied
    between processes, and no store is opened twice. An error in the thread is raised here.

    Parameters
    ----------
    items : iterable
        Run through in the thread.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="causalkit-read-ahead") as pool:
        pending = deque(pool.submit(next, source, _END) for _ in range(_DEPTH))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, source, _END))
            yield item

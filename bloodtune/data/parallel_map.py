"""A function over many items in threads: results in order, the threads only a few items ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def usable_cpus() -> set[int]:
    """Return the numbers of the CPUs that this process may use; all CPUs where the system has no affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def map_in_threads(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    ahead: int,
    workers: int | None = None,
    initializer: Callable[[], Any] | None = None,
) -> Iterator[_Result]:
    """Yield ``function(item)`` for each item, in order.

    At most ``ahead`` items per thread, and one, wait or are finished at a time; items are taken one by one. ``workers``
    is the number of threads (default: one per core); ``initializer`` runs once in each. If the caller stops early,
    items that wait are dropped.
    """
    workers = workers or len(usable_cpus())
    waiting = deque[Future[_Result]]()
    with ThreadPoolExecutor(workers, initializer=initializer) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

"""Work cut into tasks for several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def spread(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Yield what ``work`` returns for each task, as it comes; it must be a function of a module."""
    if workers == 1:
        yield from map(work, tasks)
        return
    # Spawned, not forked: a worker must not start with what this process imported, opened or locked.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    with pool:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()

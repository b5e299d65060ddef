"""A log without its thread: the keeper's jobs are run by whoever waits for them.

Starting a thread and waiting for it costs more than opening a small store does, and opening is done a million
times here. The jobs are the keeper's own, in its own order; only the thread is another. With one thread each
run does the same, so a crash state can be named by numbers and looked at again.
"""

from __future__ import annotations

import contextlib
import queue
import weakref
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tidal.db import ending
from tidal.wal import buffer, writer


class _Keeper:
    """In place of threading.Thread: notes whose loop it was to run, and gives it a queue that waits."""

    def __init__(self, target: Any, **options: Any) -> None:
        self._log, self._loop = target.__self__, target.__name__

    def start(self) -> None:
        if self._loop == "_keep":  # a queue before the log is drained by whoever wants it empty
            self._log._jobs = _Jobs(self._log)

    def is_alive(self) -> bool:
        return True

    def join(self, timeout: float | None = None) -> None:
        pass


class _Jobs:
    """In place of queue.SimpleQueue."""

    owners: dict[int, Any] = {}  # noqa: RUF012  # by id of a job that waits: its log

    def __init__(self, log: Any) -> None:
        self._log = log
        self._waiting: deque[Any] = deque()

    def put(self, job: Any) -> None:
        self._waiting.append(job)
        self.owners[id(job)] = self._log

    def get(self, timeout: float | None = None, block: bool = True) -> Any:
        if not self._waiting:
            raise queue.Empty
        return self._waiting.popleft()

    get_nowait = get

    def empty(self) -> bool:
        return not self._waiting

    def qsize(self) -> int:
        return len(self._waiting)


def _run_jobs(job: Any, *limits: Any) -> bool:
    if (log := _Jobs.owners.pop(id(job), None)) is not None:
        while not log._jobs.empty():
            log._run(log._take(None))
    return True


def _wait(job: Any, *keeper: Any) -> None:
    _run_jobs(job)
    if job.error is not None:
        raise job.error


@contextlib.contextmanager
def inline_keeper() -> Iterator[None]:
    """Let the logs that are opened inside have no thread."""
    with contextlib.ExitStack() as stack:
        for module in (writer, buffer):
            names = {name: getattr(module.threading, name) for name in dir(module.threading)}
            threading = SimpleNamespace(**names | {"Thread": _Keeper})
            stack.enter_context(mock.patch.object(module, "threading", threading))
        # What is left open is a crash: nobody runs its jobs, so the end of the process must not wait.
        ignored = SimpleNamespace(register=lambda call: None, unregister=lambda call: None)
        stack.enter_context(mock.patch.object(writer, "atexit", ignored))
        stack.enter_context(mock.patch.object(ending, "_open_databases", weakref.WeakSet()))
        stack.enter_context(mock.patch.object(writer._Job, "wait", _wait))
        stack.enter_context(mock.patch.object(writer._Job, "ends_within", _run_jobs))
        yield

"""A few threads that work off a queue, and end when it is empty."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from tidal.meters import said

_logger = logging.getLogger(__name__)


class Pool:
    """Calls ``work`` with each item, in at most so many threads at once. ``work`` must not raise.

    A thread lives as long as there is something to do. Methods may be called from any thread.
    """

    def __init__(self, work: Callable[[str], None], threads_max: int) -> None:
        self._work, self._threads_max = work, threads_max
        self._lock = threading.Lock()
        self._queue: deque[str] = deque()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def submit(self, item: str) -> None:
        """Work on an item when its turn comes; after close() never."""
        with self._lock:
            if self._closed or item in self._queue:
                return
            self._queue.append(item)
            if len(self._threads) < self._threads_max:
                self._start_thread()

    def close(self) -> None:
        """Begin nothing more, and return once what was begun has ended."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            threads = self._threads - {threading.current_thread()}
        for thread in threads:
            thread.join()

    def _start_thread(self) -> None:
        # A daemon: at the interpreter's end the database is closed, which ends the work; it is not waited
        # for before that.
        thread = threading.Thread(target=self._loop, name="tidal-job", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # the item waits for another thread, or for the next item
            self._threads.discard(thread)
            about = said("no_thread", error_type=type(error).__name__)
            _logger.warning("no thread could be started for a job: %s", error, extra=about)

    def _loop(self) -> None:
        while (item := self._next()) is not None:
            self._work(item)

    def _next(self) -> str | None:
        with self._lock:
            if self._queue and not self._closed:
                return self._queue.popleft()
            self._threads.discard(threading.current_thread())
            return None

"""Work on chunks that goes on while the next are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

AHEAD_MAX: Final = 4  # chunks that wait for their turn: memory stays flat whoever is slower


class Behind:
    """Calls ``work`` with each chunk, in their order, in a thread of its own.

    What ``work`` raises comes out of a later put(), or of finish(). stop() must be called, whatever happened.
    """

    def __init__(self, work: Callable[[bytes], object]) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tidal-export")
        self._pending: deque[Future[object]] = deque()
        self._has_thread = True

    def put(self, chunk: bytes) -> None:
        """Have a chunk worked on; wait while too many are before it."""
        while len(self._pending) >= AHEAD_MAX:
            self._pending.popleft().result()
        if self._has_thread:
            try:
                self._pending.append(self._pool.submit(self._work, chunk))
                return
            except RuntimeError:  # the system has no thread to give, or the interpreter ends
                self._has_thread = False  # for good: the pool may have kept this chunk
                self.finish()
        self._work(chunk)

    def finish(self) -> None:
        """Return once all chunks were worked on."""
        while self._pending:
            self._pending.popleft().result()

    def stop(self) -> None:
        """End the thread, after the chunk that it is at."""
        self._pool.shutdown(cancel_futures=True)

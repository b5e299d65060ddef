"""A gate that many pass at once, and that closes for whoever needs the state to stand still."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Final

_LOOK_AGAIN_SECONDS: Final = 0.05  # for the case that who left was interrupted before saying so


class Gate:
    """``passing()`` for those who change state, ``closed()`` for who copies it. A closer waits for those
    inside.

    Ctrl-C may strike between any two steps of Python, and would leave a Condition locked, or a count one too
    high, for ever. So each change here is one step of C, and is undone whether or not it was made.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()  # held by a closer all the time, by who enters for a moment
        self._inside: set[object] = set()
        self._left: queue.SimpleQueue[None] | None = None  # where a closer that waits is told

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        token = object()
        try:
            with self._door:
                self._inside.add(token)
            yield
        finally:
            self._inside.discard(token)
            if (left := self._left) is not None:
                left.put(None)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        with self._door:
            left = self._left = queue.SimpleQueue()
            try:
                while self._inside:
                    with contextlib.suppress(queue.Empty):
                        left.get(timeout=_LOOK_AGAIN_SECONDS)
                yield
            finally:
                self._left = None

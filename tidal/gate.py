"""A gate that many pass at once, and that closes for whoever needs the state to stand still."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Gate:
    """``passing()`` for those who change state, ``closed()`` for who copies it. A closer waits for those
    inside.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closers = 0

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        with self._condition:
            while self._closers:
                self._condition.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                if not self._inside:
                    self._condition.notify_all()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        with self._condition:
            while self._closers:
                self._condition.wait()
            self._closers += 1
            while self._inside:
                self._condition.wait()
        try:
            yield
        finally:
            with self._condition:
                self._closers -= 1
                self._condition.notify_all()

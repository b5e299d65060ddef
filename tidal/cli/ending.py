"""Signals that end a command: the usual end of one that runs until then, or a way out of it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

ENDS: Final = (signal.SIGTERM, signal.SIGINT)
HANG_UPS: Final = (signal.SIGTERM, signal.SIGHUP)

_LOOK_SECONDS: Final = 0.05  # a handler may set a flag, and no lock that the code it interrupts may hold


def leave(number: int, frame: FrameType | None) -> None:
    """Handle a signal by leaving the process, with what every ``with`` block does at its end."""
    raise SystemExit(128 + number)


@contextlib.contextmanager
def unwound_by_signals() -> Iterator[None]:
    """A block that SIGTERM and SIGHUP leave as Ctrl-C does; the exit code is 128 and the signal's number."""
    before = {number: signal.signal(number, leave) for number in HANG_UPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Asked(BaseException):
    """Ends what the command does before it waits for the first time."""


class Ending:
    """Whether a signal has asked for the end."""

    def __init__(self) -> None:
        self.asked = False
        self._raises = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        raises, self._raises, self.asked = self._raises, False, True
        if raises:
            raise _Asked

    def wait(self, seconds: float) -> bool:
        """Return whether the end was asked for, after so many seconds or as soon as it is.

        From the first call on signals raise nothing, so that what the block does between two calls is done.
        """
        self._raises = False
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self.asked


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """A block that a signal ends: at once until it first waits, and then when it looks."""
    ending = Ending()
    before = {number: signal.signal(number, ending.handle) for number in ENDS}
    try:
        with contextlib.suppress(_Asked):
            yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

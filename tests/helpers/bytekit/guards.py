"""An end to what takes too long."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

HANG_SECONDS: Final = 10.0  # of the processor, far beyond what any input takes: a busy machine is no hang


class Hang(BaseException):
    """What was guarded took longer than it may."""


@contextlib.contextmanager
def hang_guard() -> Iterator[None]:
    """Raise Hang in the block when it has used HANG_SECONDS of the processor; call in the main thread."""
    seconds = HANG_SECONDS

    def stop(_: int, __: FrameType | None) -> None:
        raise Hang(f"longer than {seconds} s of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

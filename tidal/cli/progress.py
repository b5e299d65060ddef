"""A progress line: rewritten in place on a terminal, now and then a new line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Self, TextIO

from tidal.cli.figures import format_bytes
from tidal.cli.tables import WIDTH

BAR_WIDTH: Final = 24
TERMINAL_INTERVAL: Final = 0.1  # seconds between two drawings
LINE_INTERVAL: Final = 5.0  # seconds between two lines where nothing can be rewritten


class Progress:
    """Shows how far a task is: share done, how much, rate, time left.

    Use it as a context manager. Nothing is drawn more often than people can read, so ``update`` may be
    called for every batch. ``start`` units were done before. With ``enabled=False`` nothing is written.
    """

    def __init__(
        self,
        stream: TextIO,
        unit: str,
        *,
        start: int = 0,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._unit, self._start, self._enabled, self._clock = (
            stream,
            unit,
            start,
            enabled,
            clock,
        )
        self._terminal = stream.isatty()
        self._interval = TERMINAL_INTERVAL if self._terminal else LINE_INTERVAL
        self._started = self._drawn = clock()
        self._open_line = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, done: int, share: float, *, read: int | None = None) -> None:
        """Tell that ``done`` units are done, which is ``share`` (0 to 1) of the whole; ``read``: in bytes."""
        now = self._clock()
        if self._enabled and (now - self._drawn >= self._interval or (share >= 1 and self._terminal)):
            self._drawn = now
            seconds = now - self._started
            self._draw(progress_line(done, share, seconds, self._unit, start=self._start, read=read))

    def close(self) -> None:
        """End the line, so that what is written next starts on its own."""
        if self._open_line:
            self._stream.write("\n")
            self._stream.flush()
            self._open_line = False

    def _draw(self, line: str) -> None:
        self._stream.write(f"\r{line:<{WIDTH - 1}}" if self._terminal else line + "\n")
        self._stream.flush()
        self._open_line = self._terminal


def progress_line(
    done: int, share: float, seconds: float, unit: str, *, start: int = 0, read: int | None = None
) -> str:
    """Return one line of progress; the rate is that of what came after ``start``, ``read`` is in bytes.

    The bar is as long as the rest leaves room for.

    >>> progress_line(250_000, 0.5, 2.0, "rows")
    ' 50% [############............]  250,000 rows  125,000/s  0:02 left'
    """
    share = min(max(share, 0.0), 1.0)
    said = f"  {done:,} {unit}"
    if read is not None:
        said += f"  {format_bytes(read)}"
    if seconds > 0 and done > start:
        rate = (done - start) / seconds
        said += f"  {rate:,.0f}/s"
        if 0 < share < 1:
            said += f"  {format_seconds(done * (1 - share) / share / rate)} left"
    # A line that is wrapped cannot be rewritten in place; "100% [" and "]" stand around the bar.
    width = min(BAR_WIDTH, max(0, WIDTH - 1 - len(said) - 7))
    filled = round(share * width)
    return f"{share:4.0%} [{'#' * filled}{'.' * (width - filled)}]{said}"


def format_seconds(seconds: float) -> str:
    """Return minutes and seconds, with hours if there are any.

    >>> format_seconds(75), format_seconds(3725)
    ('1:15', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

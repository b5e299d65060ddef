"""The progress line on a terminal and elsewhere; time is passed in."""

from __future__ import annotations

import io

from tidal.cli.progress import LINE_INTERVAL, Progress, format_seconds, progress_line
from tidal.cli.tables import WIDTH


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_sees_one_line_rewritten() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, "rows", clock=clock) as progress:
        for step in range(1, 5):
            clock.now += 1
            progress.update(step * 1000, step / 4)
    written = stream.getvalue()
    assert written.count("\r") == 4 and written.count("\n") == 1 and written.endswith("\n")
    assert " 50% [############............]  2,000 rows  1,000/s  0:02 left" in written
    assert all(len(line) < WIDTH for line in written.rstrip("\n").split("\r"))


def test_a_terminal_is_not_flooded() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, "rows", clock=clock) as progress:
        for step in range(1000):
            clock.now += 0.001
            progress.update(step, step / 1000)
    assert stream.getvalue().count("\r") <= 11


def test_elsewhere_there_are_few_whole_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(stream, "rows", clock=clock) as progress:
        for step in range(1, 13):
            clock.now += 1
            progress.update(step, step / 12)
    written = stream.getvalue()
    assert "\r" not in written
    assert written.count("\n") == int(12 // LINE_INTERVAL)


def test_disabled_is_silent() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, "rows", enabled=False, clock=clock) as progress:
        clock.now += 10
        progress.update(1, 1.0)
    assert stream.getvalue() == ""


def test_lines_at_the_ends() -> None:
    assert progress_line(0, 0.0, 0.0, "rows") == "  0% [........................]  0 rows"
    assert progress_line(9, 1.0, 3.0, "rows") == "100% [########################]  9 rows  3/s"
    assert progress_line(9, 7.0, 3.0, "rows").startswith("100%")
    assert progress_line(60, 0.6, 1.0, "rows", start=50).endswith("60 rows  10/s  0:04 left")
    assert format_seconds(59.6) == "1:00"


def test_large_numbers_leave_the_line_in_one_piece() -> None:
    line = progress_line(4_000_000_000, 0.5, 300, "events", read=25 << 30)
    assert len(line) == WIDTH - 1
    assert line == " 50% [########.........]  4,000,000,000 events  25 GiB  13,333,333/s  5:00 left"


def test_bytes_stand_beside_what_is_counted() -> None:
    assert progress_line(10, 0.5, 1.0, "events", read=2_500_000).startswith(
        " 50% [############............]  10 events  2.38 MiB  10/s"
    )

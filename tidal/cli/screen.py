"""A terminal that is drawn over again and again: only changed lines are sent, and all is put back after."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, Self, TextIO

from tidal.cli.ending import unwound_by_signals

ENTER: Final = "\x1b[?1049h\x1b[?25l"  # the alternate screen, no cursor
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"


def in_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether to write in colour: to a terminal that is not dumb, where NO_COLOR is not set."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Screen:
    """The alternate screen of a terminal, as a context manager. SIGTERM and SIGHUP leave it, too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: list[str] = []
        self._size = self.size
        self._signals = unwound_by_signals()

    @property
    def size(self) -> os.terminal_size:
        """The columns and lines of the terminal, now; 80 by 24 where it does not say."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return os.terminal_size((80, 24))
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def __enter__(self) -> Self:
        self._signals.__enter__()
        self._stream.write(ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.write(LEAVE)
        self._stream.flush()
        self._signals.__exit__(None, None, None)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, from the top; each is at most as wide as the terminal."""
        if self.size != self._size:  # it was made larger or smaller: nothing is where it was
            self._size, self._shown = self.size, []
            self._stream.write("\x1b[H" + CLEAR_BELOW)
        for place, line in enumerate(lines):
            if place >= len(self._shown) or self._shown[place] != line:
                self._stream.write(f"\x1b[{place + 1};1H{line}{CLEAR_LINE}")
        if len(lines) < len(self._shown):
            self._stream.write(f"\x1b[{len(lines) + 1};1H{CLEAR_BELOW}")
        self._shown = list(lines)
        self._stream.flush()

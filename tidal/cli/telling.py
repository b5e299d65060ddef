"""A story on a terminal: numbered steps, paragraphs, tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TextIO

from tidal.cli.tables import WIDTH, Column, render_table


class Telling:
    """Writes to ``out``, at most as wide as a terminal is."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._step = 0

    def heading(self, text: str) -> None:
        """Begin the next step."""
        self._step += 1
        title = f"{self._step}. {text}"
        self._out.write(f"\n{title}\n{'─' * len(title)}\n")
        self._out.flush()

    def say(self, paragraph: str) -> None:
        """Write a paragraph."""
        self.line(textwrap.fill(paragraph, WIDTH, break_on_hyphens=False))

    def line(self, text: str) -> None:
        """Write a line as it is."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
        """Write a table after an empty line."""
        self._out.write(f"\n{render_table(columns, rows)}")
        self._out.flush()

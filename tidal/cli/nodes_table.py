"""How far each node of a cluster is: a table drawn over on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TextIO

from tidal.cli.tables import WIDTH, Column, cut, format_cell, render_table
from tidal.demo.cluster.nodes import Node

TERMINAL_INTERVAL: Final = 0.1  # seconds between two drawings
LINE_INTERVAL: Final = 2.0  # seconds between two lines where nothing can be drawn over

_COLUMNS: Final = (
    Column("node", text=True),
    Column("does", text=True),
    Column("events"),
    Column("behind"),
    Column("seconds", decimals=2),
    Column("", text=True),
)
_BAR_WIDTH: Final = 30


class NodesTable:
    """Draws nodes of a cluster that is to have ``total`` events, not more often than people can read."""

    def __init__(self, stream: TextIO, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._total, self._clock = stream, total, clock
        self._terminal = stream.isatty()
        self._interval = TERMINAL_INTERVAL if self._terminal else LINE_INTERVAL
        self._drawn_at = clock()
        self._lines = 0

    def update(self, nodes: Sequence[Node]) -> None:
        """Draw, if it is time to."""
        if (now := self._clock()) - self._drawn_at >= self._interval:
            self._drawn_at = now
            self._draw(nodes)

    def close(self, nodes: Sequence[Node]) -> None:
        """Draw the nodes once more, and leave that: what is drawn next is below it."""
        self._draw(nodes)
        self._lines = 0

    def _draw(self, nodes: Sequence[Node]) -> None:
        if self._terminal:
            text = nodes_table(nodes, self._total)
            up = f"\x1b[{self._lines}A" if self._lines else ""
            self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in text.splitlines()))
            self._lines = text.count("\n")
        else:
            self._stream.write(nodes_line(nodes) + "\n")
        self._stream.flush()


def nodes_table(nodes: Sequence[Node], total: int) -> str:
    """Return the nodes as a table, with a bar for how much of all events each has.

    >>> print(nodes_table([Node("a", "leads", 500), Node("b", "follows", 250, 250, 0.1)], 1000), end="")
    node  does     events  behind  seconds
    ────  ───────  ──────  ──────  ───────  ──────────────────────────────
    a     leads       500       –        –  ###############...............
    b     follows     250     250     0.10  ########......................
    """
    rows = [(it.name, it.does, it.events, it.behind, it.seconds, _bar(it.events / total)) for it in nodes]
    return render_table(_COLUMNS, rows)


def nodes_line(nodes: Sequence[Node]) -> str:
    """Return the nodes in one line that fits a terminal.

    >>> nodes_line([Node("a", "leads", 5000), Node("b", "follows", 4000, 1000, 0.1)])
    'a leads: 5,000   b follows: 4,000, 1,000 behind'
    """
    parts = []
    for it in nodes:
        behind = f", {format_cell(it.behind)} behind" if it.behind else ""
        parts.append(f"{it.name} {it.does}: {it.events:,}{behind}")
    return cut("   ".join(parts), WIDTH)


def _bar(share: float) -> str:
    filled = round(min(max(share, 0.0), 1.0) * _BAR_WIDTH)
    return "#" * filled + "." * (_BAR_WIDTH - filled)

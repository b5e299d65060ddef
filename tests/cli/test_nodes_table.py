"""The nodes of a cluster: drawn over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import io

from tidal.cli.nodes_table import LINE_INTERVAL, TERMINAL_INTERVAL, NodesTable
from tidal.cli.tables import WIDTH
from tidal.demo.cluster.nodes import Node
from tidal.demo.cluster.processes import Line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def nodes(events: int) -> list[Node]:
    return [Node("a", "leads", events), Node("b", "follows", events - 50, 50, 0.25)]


def test_a_terminal_shows_one_table_and_its_newest_state() -> None:
    out, now = Terminal(), [0.0]
    table = NodesTable(out, 541_909, clock=lambda: now[0])
    for events in (100, 200, 300):
        now[0] += TERMINAL_INTERVAL
        table.update(nodes(events))
        table.update(nodes(events + 1))  # too soon to be read
    first, second, third = out.getvalue().split("\x1b[4A")
    assert [len(drawn.splitlines()) for drawn in (first, second, third)] == [4, 4, 4]
    assert "100" in first and "200" in second and "300" in third and "301" not in third
    table.close(nodes(541_909))
    table.update(nodes(1))
    assert out.getvalue().count("\x1b[4A") == 3
    lines = [line.replace("\x1b[2K", "") for line in out.getvalue().split("\x1b[4A")[-1].splitlines()]
    assert lines[2] == f"a     leads    541,909       –        –  {'#' * 30}"
    assert all(len(line) <= WIDTH for line in lines)


def test_elsewhere_it_is_a_line_now_and_then() -> None:
    out, now = io.StringIO(), [0.0]
    table = NodesTable(out, 1000, clock=lambda: now[0])
    for _ in range(5):
        now[0] += LINE_INTERVAL / 2
        table.update(nodes(100))
    table.close(nodes(1000))
    assert out.getvalue().splitlines() == [
        *["a leads: 100   b follows: 50, 50 behind"] * 2,
        "a leads: 1,000   b follows: 950, 50 behind",
    ]


def test_a_node_is_what_it_said_last() -> None:
    node = Node("b", "follows")
    node.hear(Line("b", {"epoch": 2, "last_seq": 7, "position": {"epoch": 1, "seq": 7}, "lag_events": 3}))
    assert (node.epoch, node.events, node.position, node.behind, node.seconds) == (2, 7, (1, 7), 3, None)
    leader = Node("a", "leads")
    for acknowledged in (5, 0):
        leader.hear(Line("a", {"epoch": 3, "last_seq": 9, "acknowledged": acknowledged}))
    assert (leader.acknowledged, leader.behind) == (5, None)

"""The nodes of the demo: which folder each has, which process it is, and what it said last."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tidal.demo.cluster.processes import Line, NodeProcess
from tidal.demo.cluster.server import NatsServer
from tidal.errors import TidalError

PATIENCE_SECONDS: Final = 120.0
FOLLOW_SECONDS: Final = 0.2  # between two lines of a follower

_LOOK_SECONDS = 0.05


@dataclass(slots=True)
class Node:
    """A node as it was heard of last. ``behind`` and ``seconds`` are by its own word; None of a leader."""

    name: str
    does: str
    events: int = 0
    behind: int | None = None
    seconds: float | None = None
    epoch: int = 0
    position: tuple[int, int] = (0, 0)  # of a follower: (epoch of its last event, that event)
    acknowledged: int = 0

    def hear(self, line: Line) -> None:
        """Take in what its process said."""
        said = line.said or {}
        self.epoch = said.get("epoch", self.epoch)
        if "position" in said:
            self.position = said["position"]["epoch"], said["position"]["seq"]
        self.events = said.get("last_seq", self.events)
        self.behind, self.seconds = said.get("lag_events"), said.get("lag_seconds")
        self.acknowledged = max(self.acknowledged, said.get("acknowledged", 0))


class Nodes:
    """Processes on one machine, with a broker of their own; all are ended with the block.

    ``on_change`` is called whenever something was heard, and now and then.
    """

    def __init__(self, folder: Path, scratch: Path, on_change: Callable[[], None]) -> None:
        self.known: dict[str, Node] = {}
        self._folder, self._scratch, self._on_change = folder, scratch, on_change
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._running: dict[str, NodeProcess] = {}
        self._ends = ExitStack()
        self.url = self._ends.enter_context(NatsServer(scratch)).url
        try:
            self._check_transport()
        except BaseException:
            self.close()
            raise

    def _check_transport(self) -> None:
        """Raise here what every node would: MissingExtra, TransportError."""
        from tidal.transports.nats import NatsTransport

        NatsTransport(self.url).close()

    def path(self, name: str) -> Path:
        """Return the folder of a node's store."""
        return self._folder / name

    def lead(self, name: str, followers: list[str], skip_rows: int) -> Node:
        """Start a process that leads with a node's folder, and ingests."""
        command = ["tidal.demo.cluster.leader", str(self.path(name)), name, ",".join(followers), self.url]
        return self._start(name, "leads", [*command, str(skip_rows)])

    def follow(self, name: str, *options: str) -> Node:
        """Start a process that follows with a node's folder, as an operator would."""
        command = ["tidal.cli", "follow", str(self.path(name)), "--nats", self.url, "--name", name, *options]
        return self._start(name, "follows", [*command, "--format", "json", "--interval", str(FOLLOW_SECONDS)])

    def _start(self, name: str, does: str, command: list[str]) -> Node:
        process = NodeProcess(name, command, self._scratch / f"{name}.err", self._lines)
        self._ends.callback(process.close)
        self._running[name] = process
        node = self.known[name] = Node(name, does, self.known[name].events if name in self.known else 0)
        return node

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Take in what is said until a condition holds; TidalError if a node ends, or none goes on."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            try:
                self._hear(self._lines.get(timeout=_LOOK_SECONDS))
            except queue.Empty:
                if time.monotonic() > give_up_at:
                    raise TidalError(f"the nodes are not where they should be: {self.known}") from None
            self._on_change()

    def listen(self, seconds: float) -> None:
        """Take in what is said for so long."""
        until = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() >= until)

    def _hear(self, line: Line) -> None:
        if line.said is not None:
            self.known[line.node].hear(line)
        elif (process := self._running.pop(line.node, None)) is not None:
            process.wait()
            raise TidalError(f"node {line.node} ended by itself: {process.errors}")

    def kill(self, name: str) -> None:
        """End a node's process by SIGKILL; what it had said before is heard."""
        self._leave(name).kill()
        self._drain()
        self.known[name].does = "killed"

    def stop(self, name: str) -> None:
        """End a follower's process by SIGTERM, or a leader's by the end of its input. TidalError."""
        process, leads = self._leave(name), self.known[name].does == "leads"
        process.finish() if leads else process.stop()
        self._drain()
        self.known[name].does = "stopped"

    def released(self, name: str) -> None:
        """Note that a node's process was ended by somebody else."""
        self._leave(name).wait()
        self._drain()

    def _leave(self, name: str) -> NodeProcess:
        return self._running.pop(name)

    def _drain(self) -> None:
        while not self._lines.empty():
            self._hear(self._lines.get())

    def close(self) -> None:
        """End all processes."""
        self._ends.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""`tidal demo --cluster`: a leader is killed, a follower takes its place, and every number is as it was."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.ending import unwound_by_signals
from tidal.cli.nodes_table import NodesTable
from tidal.cli.tables import Column
from tidal.cli.telling import Telling
from tidal.demo.cluster.agreement import REPLAY, Agreement, compare_stores
from tidal.demo.cluster.nodes import Nodes
from tidal.demo.cluster.processes import environment
from tidal.demo.retail import ROWS, join, read_order_lines
from tidal.demo.worker import BATCH_ROWS, KILL_DELAY_MAX
from tidal.errors import TidalError
from tidal.opening import open as open_db

NAMES: Final = ("a", "b", "c")
QUIET_SECONDS: Final = 1.0  # after the kill: what was under way arrives

_PROMOTE_SECONDS = 60.0
_READ_ROWS = 1 << 16
_DIGEST_SHOWN = 24


@dataclass(slots=True)
class ClusterOutcome:
    """What happened, for the end of the story and as JSON."""

    folder: str
    events: int = 0
    acknowledged_before_kill: int = 0
    events_of_killed: int = 0
    promoted: str = ""
    promoted_at: int = 0
    epoch: int = 0
    seconds_without_leader: float = 0.0
    seconds: float = 0.0
    agreement: dict[str, Any] = field(default_factory=dict)
    equal: bool = False

    @property
    def lost(self) -> int:
        """Events that were acknowledged, and that the new leader did not have."""
        return max(0, self.acknowledged_before_kill - self.promoted_at)

    @property
    def given_up(self) -> int:
        """Events of the killed leader that nobody had acknowledged, and no other node had."""
        return max(0, self.events_of_killed - self.promoted_at)

    @property
    def good(self) -> bool:
        return self.equal and not self.lost

    def as_json(self) -> dict[str, Any]:
        """Return it with what follows from it."""
        return {**asdict(self), "lost": self.lost, "given_up": self.given_up, "good": self.good}


class ClusterStory(Telling):
    """The steps, in order. ``rows`` is how many of the bundled order lines are used, from the end."""

    def __init__(self, folder: Path, rows: int, out: TextIO) -> None:
        super().__init__(out)
        self._folder, self._rows, self._skip = folder, rows, ROWS - rows
        self._table = NodesTable(out, rows)
        self._outcome = ClusterOutcome(str(folder))
        self._nodes: Nodes

    def tell(self) -> ClusterOutcome:
        started = time.monotonic()
        self._folder.mkdir()
        self.say(
            f"{self._rows:,} real order lines of a UK gift shop go to a leader, and by NATS JetStream to two "
            "followers: five processes on this machine. Data: Online Retail, D. Chen, UCI Machine Learning "
            "Repository, CC BY 4.0."
        )
        with (
            unwound_by_signals(),
            tempfile.TemporaryDirectory(prefix="tidal-demo-") as scratch,
            Nodes(self._folder, Path(scratch), self._draw) as self._nodes,
        ):
            self._start_and_kill()
            killed_at = time.monotonic()
            self._promote()
            self._go_on(killed_at)
        self._compare()
        self._outcome.seconds = time.monotonic() - started
        self.line(f"\n{self._outcome.seconds:.0f} s in all. The stores are left in {self._folder}.")
        return self._outcome

    def _start_and_kill(self) -> None:
        nodes, outcome = self._nodes, self._outcome
        self.heading("Node a leads, b and c follow; then a is killed")
        self.say(
            f"a ingests batches of {BATCH_ROWS:,} rows. A batch is acknowledged once it is on the disks of a "
            "and of one follower, synced. Half way a gets SIGKILL, which no process can catch."
        )
        self.line("")
        leader = nodes.lead("a", ["b", "c"], self._skip)
        nodes.wait_until(lambda: leader.epoch > 0)
        for name in ("b", "c"):
            nodes.follow(name)
        nodes.wait_until(lambda: leader.acknowledged >= self._rows // 2)
        time.sleep(random.uniform(0, KILL_DELAY_MAX))
        nodes.kill("a")
        nodes.listen(QUIET_SECONDS)
        self._table.close(self._shown())
        outcome.acknowledged_before_kill = leader.acknowledged
        with open_db(nodes.path("a"), clock="event", read_only=True) as db:
            outcome.events_of_killed = db.last_seq
        self.line("")
        self.say(
            f"Killed. It had acknowledged {outcome.acknowledged_before_kill:,} events, and had "
            f"{outcome.events_of_killed:,} in its own log."
        )

    def _promote(self) -> None:
        nodes, outcome = self._nodes, self._outcome
        chosen = max((nodes.known[name] for name in ("b", "c")), key=lambda it: it.position)
        self.heading(f"Node {chosen.name} is promoted")
        self.say(
            "Nobody is promoted by himself: an operator chooses the follower with the most events. The "
            "command listens first whether a leader is alive, or another follower is ahead."
        )
        done = self._command("promote", str(nodes.path(chosen.name)), "--nats", nodes.url, "--stop")
        nodes.released(chosen.name)
        outcome.promoted, outcome.promoted_at, outcome.epoch = chosen.name, done["last_seq"], done["epoch"]
        verdict = "nothing that was acknowledged is missing."
        if outcome.lost:
            verdict = f"{outcome.lost:,} ACKNOWLEDGED EVENTS ARE LOST."
        place = f"from epoch {outcome.epoch} on, after event {outcome.promoted_at:,}"
        self.say(f"{chosen.name} leads {place}: {verdict}")

    def _go_on(self, killed_at: float) -> None:
        nodes, outcome = self._nodes, self._outcome
        other = next(name for name in ("b", "c") if name != outcome.promoted)
        self.heading(f"The rest of the rows goes to {outcome.promoted}; a comes back as its follower")
        self.line("")
        leader = nodes.lead(outcome.promoted, ["a", other], self._skip)
        nodes.wait_until(lambda: leader.acknowledged > 0)
        outcome.seconds_without_leader = time.monotonic() - killed_at
        nodes.follow("a", "--demote")
        nodes.wait_until(lambda: leader.acknowledged >= self._rows)
        nodes.wait_until(lambda: all(it.events >= self._rows for it in nodes.known.values()))
        self._table.close(self._shown())
        for name in ("a", other, outcome.promoted):
            nodes.stop(name)
        outcome.events = leader.events
        self.line("")
        verdict = "a had nothing that the others lacked."
        if outcome.given_up:
            verdict = (
                f"{outcome.given_up:,} events of a, which nobody had acknowledged, are in its folder "
                "quarantine/ and were ingested again."
            )
        self.say(f"There was no leader for {outcome.seconds_without_leader:.1f} s. {verdict}")

    def _compare(self) -> None:
        outcome = self._outcome
        self.heading("Does everybody answer the same?")
        self.say(
            "Each store is opened by itself, and held to the acknowledged rows, ingested again into a "
            "database in memory."
        )
        lines = join(list(read_order_lines(batch_rows=_READ_ROWS, skip_rows=self._skip)))
        names = sorted(NAMES, key=lambda name: name != outcome.promoted)
        found = compare_stores({name: self._folder / name for name in names}, lines)
        outcome.equal = found.equal and found.states[REPLAY].events == outcome.events == self._rows
        outcome.agreement = asdict(found)
        self._show(found)

    def _show(self, found: Agreement) -> None:
        roles = {name: self._role(name) for name in found.states}
        self.table(
            [Column("signal", text=True), Column("product", text=True), *(Column(roles[it]) for it in roles)],
            [(it.measure, it.title, *(it.values[name] for name in roles)) for it in found.answers],
        )
        self.table(
            [
                Column("store", text=True), Column("events"), Column("numbers"), Column("that differ"),
                Column("digest of all state", text=True),
            ],
            [
                (roles[name], it.events, it.numbers, it.differing, it.digest[:_DIGEST_SHOWN])
                for name, it in found.states.items()
            ],
        )  # fmt: skip
        self.line("")
        if self._outcome.good:
            self.say(
                "Equal, every number and byte for byte: scores, counts and times of each product and signal."
            )
        else:
            self.say("THEY ARE NOT EQUAL, or events are missing. Please report it, with the stores.")

    # ------------------------------------------------------------------------------ inside

    def _role(self, name: str) -> str:
        does = {REPLAY: "", self._outcome.promoted: " leads"}.get(name, " follows")
        return f"{name}{does}"

    def _shown(self) -> Sequence[Any]:
        return [self._nodes.known[name] for name in NAMES if name in self._nodes.known]

    def _draw(self) -> None:
        self._table.update(self._shown())

    def _command(self, *arguments: str) -> dict[str, Any]:
        """Run a command of tidal, shown as an operator writes it, and return its answer."""
        self.line(f"\n  tidal {' '.join(arguments)}\n")
        command = [sys.executable, "-m", "tidal.cli", *arguments, "--format", "json"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROMOTE_SECONDS, env=environment(),
            start_new_session=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise TidalError(f"tidal {arguments[0]} ended with exit code {done.returncode}: {done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

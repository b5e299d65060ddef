"""Three regions, all of which take writes: a simulated run, and what must hold in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tidal.regions import Region, SessionIntake, SessionOp
from tidal.regions.negatives import SORTS, NegativeKey, Sort
from tidal.schema import SchemaBuilder
from tidal.testing.cluster.machine import Machine
from tidal.testing.cluster.network import Network
from tidal.testing.cluster.oracle import RegionOracle, Taken
from tidal.testing.cluster.sessions import MARKS, OPERATIONS, Clients, SimEvent, sealed, unsealed
from tidal.testing.cluster.world import NS, World

SCHEMA: Final = SchemaBuilder().signal("view", half_life="1h", windows=("1h", "24h"), velocity=True).build()
MEMBERS: Final = (1, 2, 3)
ENTITIES: Final = 6
_USERS, _TARGETS, _NAMES = 2, 2, 2
_INTERVAL_NS: Final = NS
_SKEW_MOST_NS: Final = 20 * NS  # each way: less than what regions accept of each other


class RegionNode:
    """A region on a machine of its own, and what it must know because it said so."""

    def __init__(self, world: World, network: Network, number: int, clients: Clients) -> None:
        rng = world.rng
        self.clients = clients
        self.world, self.network, self.number = world, network, number
        self.machine = Machine(
            world,
            f"region{number}",
            SCHEMA,
            sync=rng.choice(("group", "group", "os")),
            skew_ns=rng.randint(-_SKEW_MOST_NS, _SKEW_MOST_NS),
        )
        self.oracle = RegionOracle(world, number)
        self.region: Region | None = None
        self._intake: SessionIntake | None = None
        self._life = 0
        network.join(self.machine.name, self.receive)

    # ------------------------------------------------------------------------------ life

    def start(self) -> None:
        """Open the store, as after a crash; what it lost it may never have called durable."""
        db = self.machine.open()
        self.region = Region(
            db,
            region=self.number,
            members=MEMBERS,
            interval="1s",
            max_payload=self.world.rng.choice((4096, 1 << 20)),
        )
        self.oracle.recovered(self.region)
        self._intake = SessionIntake(db)
        self._life += 1
        self._tick(self._life)

    def stop(self, *, how: str) -> None:
        """End the process: ``kill``, ``power`` cut, or power cut in the ``midst`` of one more operation."""
        self.world.note(f"{self.machine.name} ends by {how}")
        if how == "midst":
            self.machine.begin_step()
            with self.oracle.in_doubt():
                self.act()
        if how == "kill":
            self.machine.kill()
        else:
            self.machine.cut_power(torn=how == "midst")
        self.region = None

    @property
    def life(self) -> int:
        """How many times the store was opened."""
        return self._life

    @property
    def open(self) -> Region:
        """The region, which must not have ended."""
        assert self.region is not None
        return self.region

    def _tick(self, life: int) -> None:
        if self.region is None or life != self._life:
            return
        self._send(self.region.step(self.world.now))
        self.oracle.told(self.region)
        jitter = self.world.rng.randint(0, _INTERVAL_NS // 4)
        self.world.after(_INTERVAL_NS + jitter, lambda: self._tick(life))

    def receive(self, channel: str, data: bytes) -> None:
        """Take a message of the network."""
        if self.region is not None and channel == OPERATIONS:
            op = unsealed(data)
            mine = op is not None and self.clients.home[op.session_id] == self.number
            if op is not None and mine and (mark := self._take_in(op)):  # 0: there is nothing to tell
                self.network.send(self.machine.name, MARKS, sealed(SessionOp(op.session_id, mark, b"")))
        elif self.region is not None:
            self._send(self.region.on_message(data, self.world.now))

    def _take_in(self, op: SessionOp) -> int:
        """Take an operation of a session, and return how far that is."""
        assert self._intake is not None
        db = self.open.db
        before = db.last_seq
        mark = self._intake.receive(op)
        steps = self.clients.steps[op.session_id][mark - (db.last_seq - before) : mark]
        taken = [Taken(op.session_id, step.op.seq, step.event) for step in steps]
        self.oracle.took(taken, db.last_seq, db.durable_seq)
        return mark

    def _send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.network.send(self.machine.name, "regions", payload)

    # ------------------------------------------------------------------------------ what clients do

    def act(self) -> None:
        """Do something by chance, as a client of this region would."""
        actions: tuple[Callable[[], None], ...] = (
            self._signal, self._signal, self._ingest, self._keep,
            self._negate, self._negate, self._add, self._write, self._session,
        )  # fmt: skip
        self.world.rng.choice(actions)()

    def _signal(self) -> None:
        self._record(1)

    def _session(self) -> None:
        """As if a message of a client had come, and the answer to it was lost."""
        if due := self.clients.due(self.number):
            self._take_in(self.world.rng.choice(due))

    def _ingest(self) -> None:
        self._record(self.world.rng.randint(2, 6))

    def _record(self, count: int) -> None:
        rng, db = self.world.rng, self.open.db
        now = self.machine.wall_clock()
        events: list[SimEvent] = [
            (rng.randrange(ENTITIES), rng.choice((1.0, 0.5, 3.0)), now - rng.randrange(7200) * NS)
            for _ in range(count)
        ]
        entities, weights, times = zip(*events, strict=True)
        done = db.ingest(signal="view", entity_id=list(entities), weight=list(weights), timestamp=list(times))
        self.oracle.recorded(events, done.last_seq, db.durable_seq)

    def _negate(self) -> None:
        rng = self.world.rng
        sort: Sort = rng.choice(tuple(SORTS))
        key, on = (
            NegativeKey(rng.randrange(_USERS), SORTS[sort][0], rng.randrange(_TARGETS)),
            rng.random() < 0.6,
        )
        before = self.open._negatives.vector()
        self.open.negate(sort, key.user_id, key.target_id, on=on)
        self.oracle.negated(key, on, self.open._negatives.vector()[self.number], before)

    def _add(self) -> None:
        rng = self.world.rng
        name, amount = f"count{rng.randrange(_NAMES)}", rng.randint(-3, 5)
        self.open.add(name, amount)
        self.oracle.added(name, amount)

    def _write(self) -> None:
        name, value = f"flag{self.world.rng.randrange(_NAMES)}", self.world.rng.randbytes(3)
        self.open.write(name, value)
        self.oracle.wrote(name, value, self.open._values.register(name).stamp)

    def _keep(self) -> None:
        if self.world.rng.random() < 0.5:
            self.open.db.flush()
        else:
            self.open.db.checkpoint()
        self.oracle.durable(self.open.db.durable_seq)

"""A node of a simulated run that leads or follows: a store, and the shipper or receiver around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast

from tidal.errors import StaleEpoch
from tidal.following import FollowerDb
from tidal.following.opening import open_followed
from tidal.opening import StoreOptions
from tidal.replication.claims import LaterClaim, claim_epoch
from tidal.replication.lag import Position
from tidal.replication.leading import make_shipper
from tidal.replication.shipper import WalShipper
from tidal.replication.transport import Outgoing, Transport
from tidal.schema import SchemaBuilder
from tidal.testing.cluster.lineage import Lineages, SimEvent
from tidal.testing.cluster.machine import PATHS, Machine
from tidal.testing.cluster.network import Network
from tidal.testing.cluster.world import NS, World
from tidal.testing.disk import Image, MemoryDisk

SCHEMA: Final = SchemaBuilder().signal("view", half_life="1h", windows=("1h", "24h")).build()
ENTITIES: Final = 6
_MAX_PAYLOAD: Final = 4096  # small: runs of frames come in parts
_STEP_NS: Final = NS // 5


class LogNode:
    """One node, which begins on a copy of the leader's folder. It leads if nobody does in a later epoch."""

    def __init__(self, world: World, network: Network, name: str, image: Image, lineages: Lineages) -> None:
        self.world, self.network, self.lineages = world, network, lineages
        self.machine = Machine(world, name, SCHEMA, sync=world.rng.choice(("group", "os")))
        self.machine.disk = MemoryDisk(image)
        self.db: FollowerDb | None = None
        self.shipper: WalShipper | None = None
        self._later: LaterClaim | None = None
        self._life = 0
        self._marked = 0  # what it said that it has
        network.join(name, self.receive)

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def position(self) -> Position:
        """How far a follower is."""
        assert self.db is not None
        return self.db.position

    @property
    def up(self) -> bool:
        """Whether its process runs."""
        return self.machine.db is not None

    # ------------------------------------------------------------------------------ life

    def start(self) -> None:
        """Open the store, to lead or to follow."""
        self._life += 1
        if self.lineages.leader == self.name:
            self._start_leading(self.lineages.epoch_of.get(self.name, 0))
        else:
            self._start_following()
        self._tick(self._life)

    def _start_leading(self, source: int) -> None:
        db = self.machine.open()
        led = replace(db._led(self.name), claim=self.name.encode())
        self.lineages.begin(self.name, led.identity.epoch, source, db)
        epoch, winner = claim_epoch(
            cast(Transport, self.network), led.identity, led.identity.epoch, led.claim
        )
        self.world.check(winner == led.claim, f"{self.name} leads in epoch {epoch}, which {winner!r} has")
        self.shipper = make_shipper(led, _MAX_PAYLOAD)
        self._later = LaterClaim(cast(Transport, self.network), led.identity)
        self.world.note(f"{self.name} leads in epoch {epoch} from event {db.last_seq}")

    def _start_following(self) -> None:
        machine = self.machine
        options = StoreOptions(schema=None, shards=1)
        db = open_followed(PATHS, options, machine.settings(), machine.wiring(), self.name)
        self.db = machine.db = db
        self.world.note(f"{self.name} follows from event {db.last_seq}")
        self.lineages.follows(self.name, db.last_seq)
        self.lineages.check_follower(self.name, db)
        kept = db.last_seq >= self._marked
        self.world.check(kept, f"{self.name} said that it has {self._marked} events, and has {db.last_seq}")
        self._send(db.receiver.start(machine.wall_clock()))

    def stop(self, *, how: str) -> None:
        """End the process: ``kill``, ``power`` cut, or power cut in the ``midst`` of what it does."""
        self.world.note(f"{self.name} ends by {how}")
        if how == "midst" and self.shipper is not None:
            self.machine.begin_step()
            self.act(acknowledged=False)
        if how == "kill":
            self.machine.kill()
        else:
            self.machine.cut_power(torn=how == "midst" and self.shipper is not None)
        self.db = self.shipper = None

    def promote(self) -> None:
        """Make this follower the leader, if no other was faster, as FollowerDb.promote() does."""
        assert self.db is not None
        host, identity = self.db._host, self.db._disk.identity  # type: ignore[union-attr]
        wanted = max(host.epoch, host.log_epoch) + 1
        epoch, _ = claim_epoch(
            cast(Transport, self.network), identity, wanted, self.name.encode(), force=True
        )
        self.world.note(f"{self.name} is promoted in epoch {epoch} at event {self.db.last_seq}")
        source = host.end.epoch
        host.end_following(epoch - 1)
        self.db.close()
        self.db = self.machine.db = None
        self._life, self._marked = self._life + 1, 0
        self._start_leading(source)
        self._tick(self._life)

    # ------------------------------------------------------------------------------ messages

    def _tick(self, life: int) -> None:
        if life != self._life or not self.up:
            return
        now = self.machine.wall_clock()
        if self.shipper is not None:
            self._sync()
            if self._later is not None and (epoch := self._later.look(now)) is not None:
                self.shipper.depose(epoch)
            self._send(self.shipper.step(now))
            self._step_down_if_deposed()
        elif self.db is not None:
            self._send(self.db.receiver.step(now))
            self.lineages.check_follower(self.name, self.db)
        self.world.after(_STEP_NS + self.world.rng.randrange(_STEP_NS), lambda: self._tick(life))

    def _sync(self) -> None:
        """Make durable what is to be sent, as tidal.replication.leading does."""
        db = self.machine.db
        if (
            db is not None
            and self.shipper is not None
            and self.shipper.wanted
            and db.durable_seq < db.last_seq
        ):
            db.flush()

    def receive(self, channel: str, data: bytes) -> None:
        """Take a message of the network."""
        now = self.machine.wall_clock()
        if self.shipper is not None and channel == self.shipper.channels.marks:
            self._send(self.shipper.on_message(data, now))
            self._step_down_if_deposed()
        elif self.db is not None and channel == self.db.receiver.channels.log:
            before = self.db.last_seq
            self._send(self.db.receiver.on_message(data, now))
            if self.db.last_seq > before:
                self.lineages.check_grown(self.name, self.db)
            stopped = self.db.receiver.stopped  # no log here begins later than with its first event
            self.world.check(stopped is None, f"{self.name} stopped: {stopped}")

    def _send(self, out: list[Outgoing]) -> None:
        if self.db is not None:
            self._marked = self.db.last_seq  # what it sends says so
        elif self.machine.db is not None:
            self.lineages.durable(self.name, self.machine.db.durable_seq)
        for channel, payload in out:
            self.network.send(self.name, channel, payload)

    def _step_down_if_deposed(self) -> None:
        """Close a leader that another one has followed, and let it follow that one."""
        if self.shipper is None or self.shipper.deposed is None:
            return
        assert isinstance(self.shipper.deposed, StaleEpoch) and self.machine.db is not None
        self.world.note(f"{self.name} steps down: {self.shipper.deposed}")
        last_seq = self.machine.db.last_seq
        self.machine.db.close()
        self.lineages.durable(self.name, last_seq)
        self.machine.db = self.shipper = None
        self._marked = 0
        self.start()

    # ------------------------------------------------------------------------------ what clients do

    def act(self, *, acknowledged: bool = True) -> None:
        """Record something by chance, or make what was recorded durable."""
        db, rng = self.machine.db, self.world.rng
        if db is None or self.shipper is None:
            return
        if acknowledged and rng.random() < 0.15:
            db.checkpoint()
            self.lineages.durable(self.name, db.durable_seq)
            return
        now = self.machine.wall_clock()
        events: list[SimEvent] = [
            (rng.randrange(ENTITIES), rng.choice((1.0, 0.5, 3.0)), now - rng.randrange(7200) * NS)
            for _ in range(rng.choice((1, 1, 4, 30)))
        ]
        entities, weights, times = zip(*events, strict=True)
        done = db.ingest(signal="view", entity_id=list(entities), weight=list(weights), timestamp=list(times))
        self.world.note(f"{self.name} {len(events)} events to {done.last_seq}, durable to {db.durable_seq}")
        self.lineages.recorded(self.name, events, db.durable_seq if acknowledged else 0)

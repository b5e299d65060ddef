"""P1 and P2: batches of columns into a database in memory, and into one on disk."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.common import (
    BATCH_EVENTS,
    SKEWED,
    UNIFORM,
    Events,
    events,
    folder_bytes,
    schema,
)

import tidal
from goals.bench import Bench, alternate, in_threads, seconds
from goals.row import Row
from goals.yardstick import Yardstick
from tidal.demo.retail import read_order_lines, retail_schema
from tidal.store import StorePaths

SMALL = 10_000
SLOW_PER_SECOND = 1_000


def in_memory(bench: Bench) -> Iterator[Row]:
    """P1: nanoseconds an event, beside the floor and the plain ledger."""
    for entities in (SMALL, bench.entities):
        for name, skew, late in (
            ("uniform", UNIFORM, 0.0),
            ("skewed", SKEWED, 0.0),
            ("10 % late", UNIFORM, 0.1),
        ):
            stream = events(entities, bench.events, skew=skew, late=late)
            yield from _beside_yardsticks(bench, f"{name}, {entities:,} entities", stream)
    slow = events(bench.entities, bench.events, per_second=SLOW_PER_SECOND)
    yield from _beside_yardsticks(bench, f"uniform, {SLOW_PER_SECOND:,} events/s", slow)


def _beside_yardsticks(bench: Bench, work: str, stream: Events) -> Iterator[Row]:
    db = Feed(tidal.open(schema=schema()), stream)
    one_shard = Feed(tidal.open(schema=schema(), shards=1), stream)
    counted = tidal.open(schema=schema(), metrics="127.0.0.1:0")
    with counted, Yardstick(bench, stream) as yardstick:
        taken = alternate(
            bench.passes,
            {
                "tidal": db.seconds,
                "one shard": one_shard.seconds,
                "counted": Feed(counted, stream).seconds,
                "floor": yardstick.floor,
                "ledger": yardstick.ledger,
            },
        )
    each = {name: value / len(stream.ids) * 1e9 for name, value in taken.items()}
    yield Row("P1", work, each["tidal"], "ns", "floor", each["floor"], at_most=1.5)
    yield Row("", "", each["tidal"], "ns", "ledger", each["ledger"], at_most=0.25)
    yield Row("", "with shards=1", each["one shard"], "ns", "floor", each["floor"])
    yield Row("", "with metrics", each["counted"], "ns", "without", each["tidal"])


def durable(bench: Bench) -> Iterator[Row]:
    """P2: the same on disk, beside the same in memory; and the size of the log on real data."""
    for name, skew in (("uniform", UNIFORM), ("skewed", SKEWED)):
        stream = events(bench.entities, bench.events, skew=skew)
        memory = Feed(tidal.open(schema=schema()), stream)
        with tidal.open(bench.new_folder() / "store", schema=schema()) as store:
            taken = alternate(bench.passes, {"disk": Feed(store, stream).seconds, "memory": memory.seconds})
        each = {where: value / len(stream.ids) * 1e9 for where, value in taken.items()}
        yield Row("P2", f"durable, {name}", each["disk"], "ns", "memory", each["memory"], at_most=2)
    yield Row("", "log of order lines, an event", _log_bytes(bench), "B", "", 8, at_most=1)


class Feed:
    """A stream into a database, again and again, each time later by its span; the first time unmeasured."""

    def __init__(self, db: tidal.TidalDb, stream: Events) -> None:
        self._db, self._stream, self._shift_ns = db, stream, 0
        self.seconds()

    def seconds(self, *, threads: int = 1) -> float:
        """Return the seconds that feeding all events took; ``threads`` take the batches in turns."""
        batches = list(self._stream.batches(shift_ns=self._shift_ns))
        self._shift_ns += self._stream.span_ns

        def feed(thread: int) -> None:
            for batch in batches[thread::threads]:
                self._db.ingest(**batch)

        return seconds(lambda: in_threads(threads, feed))


def _log_bytes(bench: Bench) -> float:
    """Return the bytes an event in the log of the bundled shop: with users, sessions and product keys."""
    folder = bench.new_folder() / "store"
    with tidal.open(folder, schema=retail_schema(), sync="os", clock="event") as db:
        for lines in read_order_lines(batch_rows=BATCH_EVENTS):
            db.ingest(**lines.events())
        return folder_bytes(StorePaths(folder).wal) / db.last_seq

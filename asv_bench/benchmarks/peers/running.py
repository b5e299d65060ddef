"""Each event brought into a state that is kept: by tidal, and by what a user would keep it in instead.

The state: a score with a half-life of seven days, and counts by minute and by hour, of which the windows are
sums. River keeps less, as it says. Events are made ready when an engine is made: ``feed`` is what to measure.
"""

from __future__ import annotations

import math
import sqlite3
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

import tidal
from benchmarks.common import SIGNAL, START_NS, Events, ingest, resident_bytes, schema
from benchmarks.peers import peer
from benchmarks.peers.redis_server import RedisServer

ROUND_TRIP_EVENTS: Final = 1_000  # of SQLite a transaction, of Redis a pipeline

_MINUTE_NS: Final = 60 * 10**9
_HOUR_NS: Final = 60 * _MINUTE_NS
_DECAY_PER_S: Final = math.log(2) / (7 * 24 * 3600)


class Engine(ABC):
    """A state that is empty when it is made. Close it, or use it in a ``with`` block."""

    def __init__(self, events: Events) -> None:
        self.events = events

    @abstractmethod
    def feed(self) -> None:
        """Bring all events into the state, in order."""

    @abstractmethod
    def score(self, entity_id: int, at: int) -> float:
        """Return an entity's decayed score at a time in ns."""

    @abstractmethod
    def count_24h(self, entity_id: int, at: int) -> int:
        """Return an entity's events in the whole hours that 24h means."""

    @abstractmethod
    def held_bytes(self) -> int:
        """Return the memory of the state."""

    def close(self) -> None:  # noqa: B027  not all have something to give back
        """Give everything back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TidalBatches(Engine):
    """tidal, fed whole columns."""

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self.db = tidal.open(schema=schema())

    def feed(self) -> None:
        ingest(self.db, self.events)

    def score(self, entity_id: int, at: int) -> float:
        return self.db.score(SIGNAL, entity_id, at=at)

    def count_24h(self, entity_id: int, at: int) -> int:
        return self.db.count(SIGNAL, entity_id, "24h", at=at)

    def held_bytes(self) -> int:
        stats = self.db.stats()["signals"][SIGNAL]
        return sum(value for name, value in stats.items() if name.endswith("_bytes"))


class TidalCalls(TidalBatches):
    """tidal, fed by a call for each event."""

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._rows = _rows(events)

    def feed(self) -> None:
        signal = self.db.signal
        for entity_id, weight, time in self._rows:
            signal(SIGNAL, entity_id, weight, timestamp=time)


class Sqlite(Engine):
    """SQLite in memory: upserts, a transaction for each thousand events.

    An event adds its weight as it would be at START_NS, so that an update is an addition.
    """

    _TABLES = """
        CREATE TABLE entity (id INTEGER PRIMARY KEY, sum REAL, total INTEGER);
        CREATE TABLE minute (id INTEGER, at INTEGER, n INTEGER, PRIMARY KEY (id, at)) WITHOUT ROWID;
        CREATE TABLE hour (id INTEGER, at INTEGER, n INTEGER, PRIMARY KEY (id, at)) WITHOUT ROWID;
    """
    _UPSERTS = (
        "INSERT INTO entity VALUES (:id, :weight, 1) "
        "ON CONFLICT DO UPDATE SET sum = sum + :weight, total = total + 1",
        "INSERT INTO minute VALUES (:id, :minute, 1) ON CONFLICT DO UPDATE SET n = n + 1",
        "INSERT INTO hour VALUES (:id, :hour, 1) ON CONFLICT DO UPDATE SET n = n + 1",
    )

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(self._TABLES)
        weights = events.weights * np.exp((events.times - START_NS) / 1e9 * _DECAY_PER_S)
        names = ("id", "weight", "minute", "hour")
        columns = (events.ids.view("i8"), weights, events.times // _MINUTE_NS, events.times // _HOUR_NS)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._rows = [dict(zip(names, row, strict=True)) for row in rows]

    def feed(self) -> None:
        for start in range(0, len(self._rows), ROUND_TRIP_EVENTS):
            rows = self._rows[start : start + ROUND_TRIP_EVENTS]
            self._connection.execute("BEGIN")
            for upsert in self._UPSERTS:
                self._connection.executemany(upsert, rows)
            self._connection.execute("COMMIT")

    def score(self, entity_id: int, at: int) -> float:
        total = self._one("SELECT sum FROM entity WHERE id = ?", _signed(entity_id))
        return float(total) * math.exp((START_NS - at) / 1e9 * _DECAY_PER_S)

    def count_24h(self, entity_id: int, at: int) -> int:
        first = at // _HOUR_NS - 23
        return int(
            self._one("SELECT sum(n) FROM hour WHERE id = ? AND at >= ?", _signed(entity_id), first) or 0
        )

    def held_bytes(self) -> int:
        return int(self._one("PRAGMA page_count")) * int(self._one("PRAGMA page_size"))

    def _one(self, query: str, *values: int) -> Any:
        return self._connection.execute(query, values).fetchone()[0]

    def close(self) -> None:
        self._connection.close()


class Redis(Engine):
    """Redis on loopback: a script for each event, a thousand of them in a pipeline."""

    _SCRIPT = """
        local key, weight, time = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
        local kept = redis.call('HMGET', key, 's', 't')
        local score, last = tonumber(kept[1] or '0'), tonumber(kept[2] or ARGV[2])
        if time >= last then
            score, last = score * math.exp((last - time) * DECAY) + weight, time
        else
            score = score + weight * math.exp((time - last) * DECAY)
        end
        redis.call('HSET', key, 's', string.format('%.17g', score), 't', string.format('%.17g', last))
        redis.call('HINCRBY', key, 'm' .. ARGV[3], 1)
        redis.call('HINCRBY', key, 'h' .. ARGV[4], 1)
        redis.call('HINCRBY', key, 'n', 1)
    """.replace("DECAY", repr(_DECAY_PER_S))

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._server = RedisServer()
        self._client = self._server.client()
        self._script = self._client.script_load(self._SCRIPT)
        self._empty = self._used()
        columns = (
            events.ids,
            events.weights,
            (events.times - START_NS) / 1e9,
            events.times // _MINUTE_NS,
            events.times // _HOUR_NS,
        )
        self._rows = list(zip(*(column.tolist() for column in columns), strict=True))

    def feed(self) -> None:
        for start in range(0, len(self._rows), ROUND_TRIP_EVENTS):
            pipeline = self._client.pipeline(transaction=False)
            for row in self._rows[start : start + ROUND_TRIP_EVENTS]:
                pipeline.evalsha(self._script, 1, *row)
            pipeline.execute()

    def score(self, entity_id: int, at: int) -> float:
        score, last = map(float, self._client.hmget(entity_id, "s", "t"))
        return score * math.exp((last - (at - START_NS) / 1e9) * _DECAY_PER_S)

    def count_24h(self, entity_id: int, at: int) -> int:
        hour = at // _HOUR_NS
        counts = self._client.hmget(entity_id, [f"h{hour - back}" for back in range(24)])
        return sum(int(count or 0) for count in counts)

    def held_bytes(self) -> int:
        return self._used() - self._empty

    def _used(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        self._client.close()
        self._server.close()


class River(Engine):
    """River, whose running mean forgets by events and not by time: a mean and a total for each entity.

    Its windows over time keep every event; they are left out.
    """

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self._stats = peer("river.stats")
        self._means: dict[int, Any] = {}
        self._totals: dict[int, Any] = {}
        self._rows = _rows(events)
        self._before = resident_bytes()

    def feed(self) -> None:
        means, totals, stats = self._means, self._totals, self._stats
        for entity_id, weight, _ in self._rows:
            if entity_id not in means:
                means[entity_id], totals[entity_id] = stats.EWMean(), stats.Count()
            means[entity_id].update(weight)
            totals[entity_id].update(weight)

    def score(self, entity_id: int, at: int) -> float:
        return float(self._means[entity_id].get())

    def count_24h(self, entity_id: int, at: int) -> int:
        return int(self._totals[entity_id].get())

    def held_bytes(self) -> int:
        return resident_bytes() - self._before


ENGINES: Final[dict[str, type[Engine]]] = {
    "tidal": TidalBatches,
    "tidal calls": TidalCalls,
    "sqlite": Sqlite,
    "redis": Redis,
    "river": River,
}


def _rows(events: Events) -> list[tuple[int, float, int]]:
    return list(zip(events.ids.tolist(), events.weights.tolist(), events.times.tolist(), strict=True))


def _signed(entity_id: int) -> int:
    return entity_id - (1 << 64) if entity_id >> 63 else entity_id

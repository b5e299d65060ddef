"""P4 and P5: single calls, the candidates of a ranking, and the best of all."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from benchmarks.common import BATCH_EVENTS, SIGNAL, SKEWED, each_once, events, filled, ingest, schema

import tidal
from goals.bench import Bench, alternate, seconds
from goals.row import Row
from goals.yardstick import Yardstick

CALLS = 2_000
CANDIDATES = 200
CANDIDATE_CALLS = 50
DURABLE_CALLS = 100
BLOCK = b"\x5a" * 4096

_T = TypeVar("_T")


def single(bench: Bench) -> Iterator[Row]:
    """P4: one call, each of a loop for another entity; what the loop itself takes is subtracted."""
    db = filled(bench.entities, "system")
    popular = events(bench.entities, CALLS, skew=SKEWED).ids.tolist()
    columns = np.split(each_once(bench.entities).ids[: CANDIDATES * CANDIDATE_CALLS], CANDIDATE_CALLS)
    writer = tidal.open(schema=schema())
    taken = alternate(
        bench.passes,
        {
            "signal()": lambda: _each(lambda entity_id: writer.signal(SIGNAL, entity_id), popular),
            "score()": lambda: _each(lambda entity_id: db.score(SIGNAL, entity_id), popular),
            "count()": lambda: _each(lambda entity_id: db.count(SIGNAL, entity_id, "1h"), popular),
            "scores()": lambda: _each(lambda ids: db.scores(SIGNAL, ids), columns),
            "bare": lambda: _each(lambda entity_id: operator.is_(SIGNAL, entity_id), popular),
            "clock": lambda: _each(lambda entity_id: time.time_ns(), popular),
            "nothing": lambda: _each(lambda entity_id: None, popular),
        },
    )
    empty = taken.pop("nothing")
    each = {call: value - empty for call, value in taken.items()}
    yield Row("P4", "signal() in memory", each["signal()"] * 1e9, "ns", "", 200, at_most=1)
    yield Row("", "score()", each["score()"] * 1e9, "ns", "", 120, at_most=1)
    yield Row("", 'count(..., "1h")', each["count()"] * 1e9, "ns")
    yield Row("", f"scores() of {CANDIDATES} candidates", each["scores()"] * 1e6, "µs", "", 5, at_most=1)
    yield Row("", "a compiled call, and no more", each["bare"] * 1e9, "ns")
    yield Row("", "the clock, read from Python", each["clock"] * 1e9, "ns")
    yield _durable(bench)


def _each(call: Callable[[_T], object], arguments: Sequence[_T]) -> float:
    """Return the mean seconds of a call."""

    def run() -> None:
        for argument in arguments:
            call(argument)

    return seconds(run) / len(arguments)


def _durable(bench: Bench) -> Row:
    folder = bench.new_folder()
    bare = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT)
    with tidal.open(folder / "store", schema=schema()) as db:
        db.signal(SIGNAL, 1)  # makes the first segment
        taken = alternate(
            DURABLE_CALLS,
            {
                "signal": lambda: seconds(lambda: db.signal(SIGNAL, 1)),
                "bare": lambda: seconds(lambda: _write_block(bare)),
            },
        )
    os.close(bare)
    micros = {name: value * 1e6 for name, value in taken.items()}
    return Row("", "signal() durable", micros["signal"], "µs", "4 KiB synced", micros["bare"], at_most=1.2)


def _write_block(file: int) -> None:
    os.write(file, BLOCK)
    os.fdatasync(file)


def top(bench: Bench) -> Iterator[Row]:
    """P5: top(100) of all entities, also after a batch of events; and of reading every record once."""
    db, fed = filled(bench.entities, "event"), tidal.open(schema=schema(), clock="event")
    ingest(fed, each_once(bench.entities))
    batch = next(each_once(bench.entities).batches())
    with Yardstick(bench, each_once(bench.entities)) as yardstick:
        taken = alternate(
            10 * bench.passes,
            {
                "score": lambda: seconds(lambda: db.top(SIGNAL, 100)),
                "count": lambda: seconds(lambda: db.top(SIGNAL, 100, by="count.24h")),
                "after a batch": lambda: _after_batch(fed, batch),
                "scan": yardstick.scan,
            },
        )
    milliseconds = {name: value * 1e3 for name, value in taken.items()}
    yield Row("P5", "top(100) by score", milliseconds["score"], "ms", "", 3, at_most=1)
    yield Row("", "", milliseconds["score"], "ms", "one read", milliseconds["scan"], at_most=1.5)
    yield Row("", 'top(100) by="count.24h"', milliseconds["count"], "ms", "", 3, at_most=1)
    yield Row("", f"by score, after {BATCH_EVENTS:,} events", milliseconds["after a batch"], "ms")


def _after_batch(db: tidal.TidalDb, batch: dict[str, Any]) -> float:
    """Return the seconds of a top(100) for which nearly every block of records must be looked at anew."""
    db.ingest(**batch)
    return seconds(lambda: db.top(SIGNAL, 100))

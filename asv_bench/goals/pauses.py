"""P8: how long a writer or a reader may have to wait while events pour in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
from benchmarks.common import SIGNAL, UNIFORM, events, schema
from numpy.typing import NDArray

import tidal
from goals.bench import Bench
from goals.row import Row

PER_SECOND = 20_000  # of event time: each minute that turns has touched most of a million entities
CALL_EVENTS = 4_096
READ_EVERY_NS = 1_000_000
TO_THE_HOUR_NS = 44 * 60 * 10**9  # START_NS is 46 minutes and 40 seconds before an hour turns


def under_load(bench: Bench) -> Iterator[Row]:
    """Calls of ingest() while a store grows from nothing, minutes and an hour turn, and it checkpoints.

    A second thread reads one score each millisecond. A read that is late, because another thread had the
    interpreter or the ledger, counts from when it was due; and so do those that came due while it waited.
    """
    stream = events(bench.entities, bench.events, skew=UNIFORM, per_second=PER_SECOND)
    ids = stream.ids[:1000].tolist()
    with tidal.open(bench.new_folder() / "store", schema=schema(), sync="os", clock="event") as db:
        idle = _read_latencies(lambda entity_id: db.score(SIGNAL, entity_id), ids, lambda: time.sleep(1))
        calls: list[float] = []

        def pour() -> None:
            for batch in stream.batches(shift_ns=TO_THE_HOUR_NS, size=CALL_EVENTS):
                start = time.perf_counter_ns()
                db.ingest(**batch)
                calls.append(time.perf_counter_ns() - start)

        reads = _read_latencies(lambda entity_id: db.score(SIGNAL, entity_id), ids, pour)
    ingest = np.array(calls) / 1e6
    slowest = _percentile(ingest, 99.9)
    yield Row("P8", f"ingest of {CALL_EVENTS:,} events, p99.9", slowest, "ms", "", 15, at_most=1)
    yield Row("", "median", _percentile(ingest, 50), "ms")
    yield Row("", "longest", float(ingest.max()), "ms")
    yield Row("", "point read meanwhile, p99", _percentile(reads, 99) / 1e3, "µs", "", 200, at_most=1)
    yield Row("", "median", _percentile(reads, 50) / 1e3, "µs")
    yield Row("", "longest", float(reads.max()) / 1e3, "µs")
    yield Row("", "point read alone, p99", _percentile(idle, 99) / 1e3, "µs")


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent))


def _read_latencies(
    read: Callable[[int], object], ids: list[int], load: Callable[[], object]
) -> NDArray[np.float64]:
    """Return how many ns after it was due each read was answered, while ``load`` ran in this thread."""
    done = threading.Event()
    latencies: list[int] = []

    def keep_reading() -> None:
        due = time.perf_counter_ns()
        while not done.is_set():
            time.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
            read(ids[len(latencies) % len(ids)])
            answered = time.perf_counter_ns()
            waits = range(answered - due, -1, -READ_EVERY_NS)  # of this read, and of those due meanwhile
            latencies.extend(waits)
            due += READ_EVERY_NS * len(waits)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        load()
    finally:
        done.set()
        reader.join()
    return np.array(latencies, np.float64)

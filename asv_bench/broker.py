"""How fast events go through a NATS server: published, ingested, and how late one is that comes alone.

    python asv_bench/broker.py [--events 2000000]

Starts a nats-server of its own on loopback, one node that syncs as it does by default; the store is on the
disk of --folder, opened with sync="group". Prints one line for each figure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tidal
from tidal.broker import BatchPublisher, Ingestor, Positions, with_positions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from natskit import nats_servers

CALL_EVENTS = 100_000
ALONE = 200
ENTITIES = 100_000
SCHEMA = with_positions(tidal.SchemaBuilder().signal("view", half_life="7d", windows=("24h",))).build()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, nats_servers(Path(folder)) as [server]:
        measure(server.url, Path(folder) / "store", args.events)


def measure(url: str, folder: Path, events: int) -> None:
    rng, positions = np.random.default_rng(0), Positions(SCHEMA)
    now = time.time_ns()
    given = [
        (rng.zipf(1.2, CALL_EVENTS).astype(np.uint64) % ENTITIES, now + np.arange(CALL_EVENTS) * 1000)
        for _ in range(events // CALL_EVENTS)
    ]
    with (
        BatchPublisher(url, SCHEMA) as publisher,
        tidal.open(folder, schema=SCHEMA, materializers={"positions": positions}) as db,
    ):
        begun = time.perf_counter()
        messages = 0
        for entity_id, timestamp in given:
            messages += publisher.publish(signal="view", entity_id=entity_id, timestamp=timestamp).messages
        say("published", events / (time.perf_counter() - begun), "events/s")
        begun = time.perf_counter()
        with Ingestor(url, db, positions) as ingestor:
            wait_for(ingestor, messages)
            say("ingested, durable", events / (time.perf_counter() - begun), "events/s")
            delays = []
            for number in range(1, ALONE + 1):
                begun = time.perf_counter()
                publisher.publish(signal="view", entity_id=7)
                wait_for(ingestor, messages + number)
                delays.append(1e3 * (time.perf_counter() - begun))
            delays.sort()
            say("one event, from publish() to durable in the store: half", statistics.median(delays), "ms")
            say("one event, 99 of 100 within", delays[ALONE * 99 // 100 - 1], "ms")


def wait_for(ingestor: Ingestor, position: int) -> None:
    """Return once the messages up to this one are durable in the store."""
    while ingestor.status.position < position:
        assert ingestor.error is None, ingestor.error
        time.sleep(0.0002)


def say(what: str, figure: float, unit: str) -> None:
    print(f"{what}: {figure:,.1f} {unit}")


if __name__ == "__main__":
    main()

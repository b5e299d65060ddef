"""What regions cost: the messages of one that has many entities, who makes and takes them, reads, and hides.

    python asv_bench/regions.py [--entities 1000000]

Two stores in one process, in --folder; messages go from hand to hand. Prints one line for each figure.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

import tidal
from tidal.regions import HardNegatives

START = 1_700_000_000 * 10**9
WEEK = 7 * 86_400 * 10**9
ROUNDS = 5  # events of each entity, on average
HIDES = 200_000
READS = 1_000
_T = TypeVar("_T")
SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
    .build()
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        with (
            tidal.open(Path(folder) / "east", schema=SCHEMA, clock="event", region=1) as east,
            tidal.open(Path(folder) / "west", schema=SCHEMA, clock="event", region=2) as west,
        ):
            ids = fill(east, args.entities)
            signals(tidal.Region(east, members=(1, 2)), tidal.Region(west, members=(1, 2)), ids)
        with tidal.open(Path(folder) / "hides", schema=SCHEMA, region=1) as db:
            hides(tidal.Region(db, members=(1, 2)))


def fill(db: tidal.TidalDb, entities: int) -> np.ndarray:
    """Record events of a week, of entities with ids from all 64 bits, and return these."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2**63, entities).astype(np.uint64)
    times = START + np.sort(rng.integers(0, WEEK, ROUNDS * entities))
    for number, part in enumerate(np.array_split(times, ROUNDS)):
        chosen = ids if number == 0 else ids[(entities * rng.random(len(part)) ** 3).astype(np.int64)]
        db.ingest(signal="view", entity_id=chosen, timestamp=part)
    return ids


def signals(sender: tidal.Region, taker: tidal.Region, ids: np.ndarray) -> None:
    asked = taker.step(0)
    _, making = timed(lambda: sender.step(0))
    sent, sending = timed(lambda: [it for data in asked for it in sender.on_message(data, 0)])
    size = sum(map(len, sent))
    say("a state, in all its messages", size / len(ids), "bytes an entity")
    say("to make and send it", making + sending, "s of a processor")
    gc.collect()
    before = resident()
    begun = time.process_time()
    while sent:
        taker.on_message(sent.pop(0), 0)
    taking = time.process_time() - begun
    say("to check and take it", taking, "s of a processor")
    taker.score("view", int(ids[0]))
    gc.collect()
    say(
        "what it takes in memory, messages given back",
        (resident() - before + size) / len(ids),
        "bytes an entity",
    )
    _, reading = timed(lambda: [taker.score("view", int(it)) for it in ids[:READS]])
    say("score()", 1e6 * reading / READS, "µs")
    say("top(100)", timed(lambda: taker.top("view", 100))[1], "s")


def hides(region: tidal.Region) -> None:
    negatives = HardNegatives()
    gc.collect()
    before = resident()
    for number in range(HIDES):
        negatives.put("hide", number // 10, number, region._clock.tick)
    say("a hide, in memory", (resident() - before) / HIDES, "bytes")
    say("a hide, in a message", len(negatives.encode()) / HIDES, "bytes")
    known = negatives.vector()
    negatives.put("hide", 1, 1, region._clock.tick)
    say("what is new among all of them", 1e6 * timed(lambda: negatives.delta(known))[1], "µs")
    begun = time.perf_counter()
    for number in range(READS // 5):
        region.hide(number, number)
    say("hide(), until it is durable", 1e3 * (time.perf_counter() - begun) / (READS // 5), "ms")


def timed(work: Callable[[], _T]) -> tuple[_T, float]:
    """Return what some work returns, and the seconds of a processor that it takes."""
    begun = time.process_time()
    found = work()
    return found, time.process_time() - begun


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def say(what: str, figure: float, unit: str) -> None:
    print(f"{what}: {figure:,.2f} {unit}", flush=True)


if __name__ == "__main__":
    main()

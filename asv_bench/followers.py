"""What a follower costs, and how far it is behind: within one process, and over JetStream in one of its own.

python asv_bench/followers.py              two minutes at most; writes docs/performance.md
python asv_bench/followers.py --quick      a tenth of it; prints

Starts a nats-server of its own on loopback, one node that syncs as it does by default. The stores are on the
disk of --folder, opened with sync="group". An event is durable at a follower once its word has come back.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from follower_ways import NAME, InProcess, OverJetStream, Seen, Way
from goals.machine import machine
from table import PAGE, replaced

import tidal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from natskit import nats_servers

BEGIN: Final = "<!-- followers.py writes from here -->"
EVENTS: Final = 1_000_000
CALL_EVENTS: Final = 8_192
ENTITIES: Final = 100_000
PASSES: Final = 3
STEADY_RATE: Final = 20_000  # events a second
STEADY_CALLS: Final = 100  # a second
STEADY_SECONDS: Final = 8.0
QUICK: Final = 10  # times less
PATIENCE: Final = "120s"
SCHEMA: Final = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("24h",)).build()


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; else the system's temporary one")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="tidal-bench-", dir=options.folder) as name:
        folder = Path(name)
        about = [f"- {line}" for line in machine(folder)]
        with nats_servers(folder) as [server]:
            ways: dict[str, Way] = {"in process": InProcess(), "over JetStream": OverJetStream(server.url)}
            figures = Bench(folder, EVENTS // size, STEADY_SECONDS / size).figures(ways)
    today = datetime.datetime.now(datetime.UTC).date()
    said = f"Measured {today}: {EVENTS // size:,} events, medians of {PASSES} passes taken in turns."
    report = "\n".join([said, "", *about, "", *table(["", *ways], figures)])
    print(report)
    if not options.quick:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), report, BEGIN), encoding="utf-8")
    return 0


def table(heading: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; figures stand to the right."""
    widths = [max(len(line[at]) for line in (heading, *rows)) for at in range(len(heading))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return f"| {first[0]:<{first[1]}} | " + " | ".join(f"{it:>{width}}" for it, width in others) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(heading), line(rule), *(line(row) for row in rows)]


# ------------------------------------------------------------------------------------ what is measured


class Bench:
    """The measurements, each with stores of its own."""

    def __init__(self, folder: Path, events: int, seconds: float) -> None:
        self._folder, self._events, self._seconds = folder, events, seconds
        self._stores = 0
        self._ids = np.random.default_rng(0).zipf(1.2, events).astype(np.uint64) % ENTITIES

    def figures(self, ways: dict[str, Way]) -> list[list[str]]:
        """Return the rows of the table: what, and a figure for each way."""
        alone: list[float] = []
        shipped: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        behind: dict[str, list[float]] = {way: [] for way in ways}
        self._alone()  # what the first time takes longer
        for number in range(PASSES):
            print(f"pass {number + 1} of {PASSES}", file=sys.stderr, flush=True)
            alone.append(self._alone())
            for name, way in ways.items():
                shipped[name].append(self._shipped(way))
                behind[name].append(self._caught_up(way))
        lags = [self._steady(way) for way in ways.values()]
        without = statistics.median(alone)
        ingest = [statistics.median(it[0] for it in shipped[way]) for way in ways]
        durable = [statistics.median(it[1] for it in shipped[way]) for way in ways]
        steady = f"{STEADY_RATE:,} events/s, behind by"
        return [
            ["ingest without a follower, events/s", *(rate(without) for _ in ways)],
            ["ingest with one, events/s", *map(rate, ingest)],
            ["the second by the first", *(f"{it / without:.2f}" for it in ingest)],
            ["until the follower has them durably, events/s", *map(rate, durable)],
            ["a follower that catches up, events/s", *(rate(statistics.median(behind[way])) for way in ways)],
            [f"{steady}: half within", *(milliseconds(lag, 0.5) for lag in lags)],
            [f"{steady}: 99 of 100 within", *(milliseconds(lag, 0.99) for lag in lags)],
        ]

    def _alone(self) -> float:
        """Events a second into a durable store that nobody follows."""
        with self._open() as db:
            return self._events / self._ingest(db)

    def _shipped(self, way: Way) -> tuple[float, float]:
        """Events a second into a store that is followed; and until the follower has the last one durably."""
        with self._open() as db, way.transport() as transport:
            shipping = db.ship(transport, followers=[NAME])
            with way.follower(transport, self._path()) as follower:
                follower.start()
                begun = time.perf_counter()
                seconds = self._ingest(db)
                shipping.wait_for(db.last_seq, timeout=PATIENCE)
                return self._events / seconds, self._events / (time.perf_counter() - begun)

    def _caught_up(self, way: Way) -> float:
        """Events a second, from the opening of a follower that has none of them, until it has all durably."""
        path = self._path()
        with self._open() as db, way.transport() as transport:
            shipping = db.ship(transport, followers=[NAME])
            with way.follower(transport, path) as follower:
                follower.start()
            self._ingest(db)
            with way.follower(transport, path) as follower:
                begun = time.perf_counter()
                follower.start()
                shipping.wait_for(db.last_seq, timeout=PATIENCE)
                return self._events / (time.perf_counter() - begun)

    def _steady(self, way: Way) -> list[float]:
        """Seconds from the return of each ingest() until the follower's reads answer with its events."""
        each = STEADY_RATE // STEADY_CALLS
        with self._open() as db, way.transport() as transport:
            db.ship(transport, followers=[NAME])
            with way.follower(transport, self._path()) as follower:
                follower.start()
                given: Seen = []
                begun = time.monotonic()
                for call in range(int(self._seconds * STEADY_CALLS)):
                    time.sleep(max(0.0, begun + call / STEADY_CALLS - time.monotonic()))
                    start = call * each % (self._events - each)
                    done = db.ingest(signal="view", entity_id=self._ids[start : start + each])
                    given.append((done.last_seq, time.monotonic()))
                seen = follower.seen(db.last_seq)
        places = np.searchsorted([seq for seq, _ in seen], [seq for seq, _ in given])
        return [max(0.0, seen[place][1] - at) for place, (_, at) in zip(places, given, strict=True)]

    # ------------------------------------------------------------------------------ inside

    def _open(self) -> tidal.TidalDb:
        return tidal.open(self._path(), schema=SCHEMA, checkpoint_bytes=None)

    def _path(self) -> Path:
        self._stores += 1
        return self._folder / f"store-{self._stores}"

    def _ingest(self, db: tidal.TidalDb) -> float:
        """Ingest all events; return the seconds that took."""
        begun = time.perf_counter()
        for start in range(0, self._events, CALL_EVENTS):
            db.ingest(signal="view", entity_id=self._ids[start : start + CALL_EVENTS])
        return time.perf_counter() - begun


def rate(events: float) -> str:
    return f"{events / 1e6:.2f} M"


def milliseconds(lags: list[float], share: float) -> str:
    return f"{1e3 * float(np.quantile(lags, share)):.1f} ms"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

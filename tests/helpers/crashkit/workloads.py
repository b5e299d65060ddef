"""What a store is put through: small stories, each with its own order of steps on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crashkit.bench import Bench
from crashkit.events import LATER
from tidal import Dedup
from tidal.archive.retention import Retention


def singles(**given: Any) -> Bench:
    """One event after another, a clean end, and a few more."""
    bench = Bench(**given)
    bench.signal(4)
    bench.close()
    bench.open()
    bench.signal(2)
    return bench


def rolling(**given: Any) -> Bench:
    """Batches that fill several segments, each synced on its own."""
    bench = Bench(sync="always", **given)
    for count in (3, 60, 1, 40, 2, 80):
        bench.ingest(count)
    bench.close()
    return bench


def unsynced(**given: Any) -> Bench:
    """Much that is not synced, then a flush, then more of it."""
    bench = Bench(sync="os", **given)
    for count in (1, 30, 50, 2):
        bench.ingest(count)
    bench.flush()
    for count in (70, 1, 20, 90, 5):
        bench.ingest(count)
    return bench


def checkpoints(**given: Any) -> Bench:
    """Three checkpoints, so that the first is removed; events before, between and after."""
    bench = Bench(**given)
    bench.signal(2)
    bench.checkpoint()
    bench.ingest(30)
    bench.checkpoint()
    bench.ingest(50)
    bench.signal()
    bench.checkpoint()
    bench.signal(2)
    bench.close()
    bench.open()
    bench.signal()
    return bench


def names(**given: Any) -> Bench:
    """String keys: named in the log, then in the entities' file, and beside metadata."""
    bench = Bench(keyed=True, **given)
    bench.signal(2)
    bench.ingest(9)
    bench.put("item-2", {"title": "Ebb"})
    bench.checkpoint()
    bench.signal(3)
    bench.close()
    bench.open()
    bench.ingest(4)
    return bench


def evolution(**given: Any) -> Bench:
    """A signal type is added, and used at once."""
    bench = Bench(**given)
    bench.signal(2)
    bench.close()
    bench.signals = ("view", "like")
    bench.open(schema=LATER)
    bench.signal(3)
    bench.checkpoint()
    bench.signal(2)
    return bench


def interval(**given: Any) -> Bench:
    """A policy that acknowledges before it syncs, and a timer that never strikes."""
    bench = Bench(sync="interval:1h", **given)
    bench.signal(3)
    bench.ingest(45)
    bench.checkpoint()
    bench.ingest(45)
    bench.signal(3)
    bench.close()
    return bench


def killed(**given: Any) -> Bench:
    """The process dies twice with a tail that is not synced, and the machine goes on."""
    bench = Bench(sync="os", **given)
    bench.ingest(20)
    bench.signal(2)
    bench.kill()
    bench.open()
    bench.ingest(35)
    bench.kill()
    bench.open()
    bench.signal()
    bench.flush()
    return bench


def archived(**given: Any) -> Bench:
    """Segments go to the archive in two turns; nothing is retired."""
    bench = Bench(**given)
    for count in (60, 70, 50, 80):
        bench.ingest(count)
        bench.checkpoint()
    for count in (90, 90, 90):  # sealed segments that no checkpoint covers
        bench.ingest(count)
    bench.archive()
    bench.signal()
    bench.ingest(60)
    bench.checkpoint()
    bench.archive()
    bench.close()
    bench.open()
    bench.signal()
    return bench


def retired(**given: Any) -> Bench:
    """Retention gives up all that it may: what two checkpoints cover, and a follower has."""
    bench = Bench(retention=Retention(size=1), **given)
    for count in (60, 70, 50, 90):
        bench.ingest(count)
        bench.checkpoint()
    for count in (90, 90, 90):
        bench.ingest(count)
    bench.checkpoint()
    bench.hold("follower", 100)
    bench.archive()
    bench.hold("follower", 500)
    bench.archive()
    bench.archive()
    bench.signal()
    bench.release()
    bench.open()
    bench.signal()
    return bench


def buffered(**given: Any) -> Bench:
    """Events that wait in memory, and are asked for to be durable in every way there is."""
    bench = Bench(sync="buffered:1h", **given)
    bench.signal(3)
    bench.flush()
    bench.signal(2)
    bench.ingest(4)
    bench.flush()
    bench.signal(2)
    bench.checkpoint()
    bench.signal(2)
    bench.release()
    bench.open()
    bench.signal()
    bench.flush()
    return bench


def retried(**given: Any) -> Bench:
    """Each event is sent again after the process died, and is still one."""
    bench = Bench(dedup=Dedup("event_id", events=50), **given)
    bench.signal(3)
    bench.retry(3)
    bench.kill()
    bench.open()
    bench.retry(3)
    bench.signal()
    bench.checkpoint()
    bench.signal()
    bench.kill()
    bench.open()
    bench.retry(5)
    bench.signal()
    return bench


def in_doubt(**given: Any) -> Bench:
    """The log is closed without a checkpoint, with much that was not synced."""
    bench = Bench(sync="os", **given)
    for count in (30, 1, 60):
        bench.ingest(count)
    bench.release()
    bench.open()
    bench.ingest(40)
    bench.ingest(40)
    bench.release()
    return bench


WORKLOADS: dict[str, Callable[..., Bench]] = {
    it.__name__: it
    for it in (
        singles, rolling, unsynced, checkpoints, names, evolution, interval, killed, archived, retired,
        buffered, retried, in_doubt,
    )
}  # fmt: skip

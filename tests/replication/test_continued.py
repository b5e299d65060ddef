"""A follower's log: what it writes is durable, and every power cut on the way leaves a log that goes on."""

from __future__ import annotations

import errno
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytekit.segments import IDENTITY, Made, make_chain, make_segment

from tidal.errors import NoSpace, ReadOnly, StoreClosed
from tidal.following.follower import FollowerDb
from tidal.following.opening import open_followed
from tidal.format.manifest import Manifest
from tidal.opening.arguments import checked_settings
from tidal.opening.options import StoreOptions, Wiring
from tidal.replication import continued
from tidal.replication.continued import FollowerLog
from tidal.replication.frames import NO_EPOCH, Run, check_run
from tidal.replication.lag import Position
from tidal.schema import EventBatch, SchemaBuilder
from tidal.store import StorePaths, name_store, prepare_store
from tidal.testing.disk import Fault, FileEngine, Image, MemoryDisk, crash_states
from tidal.wal import write_manifest

SCHEMA = SchemaBuilder().signal("view").build()
PATHS = StorePaths(Path("/f"))


def batch(count: int, seed: int = 0) -> EventBatch:
    rng = np.random.default_rng(seed)
    return EventBatch(
        rng.integers(0, 1 << 63, count, dtype=np.uint64),  # a frame is to lie in several sectors
        np.zeros(count, np.uint8),
        np.ones(count, np.float32),
        np.arange(count) + 10**18,
    )


def new_disk() -> MemoryDisk:
    """A disk with the folder of a follower that has nothing yet."""
    disk = MemoryDisk()
    prepare_store(disk, PATHS, SCHEMA)
    FileEngine(disk, PATHS.entities, create=True)
    write_manifest(disk, PATHS.wal, Manifest(IDENTITY.store_id, 0, clean=False))
    name_store(disk, PATHS, IDENTITY.store_id)
    return MemoryDisk(disk.image())


def follower_on(disk: MemoryDisk) -> FollowerDb:
    settings = checked_settings(clock=lambda: 10**18, max_future_skew=None, checkpoint_bytes=None)
    return open_followed(PATHS, StoreOptions(shards=1), settings, Wiring(fs=disk, engine=FileEngine), "f")


def take(follower: FollowerDb, made: Made, first: int, last: int) -> None:
    """Take in the frames of a segment from one to another."""
    start, end = made.frames[first].offset, made.frames[last].end
    run = Run(made.data[:128], start, made.data[start:end])
    host = follower._host
    checked = check_run(run, IDENTITY, host.end)
    if checked.frames:
        host.take(checked)


def log_of(image: Image) -> bytes:
    return b"".join(data for name, data in sorted(image.files.items()) if name.endswith(".seg"))


@pytest.mark.parametrize(
    "durable, sizes",
    [
        ([0, 0, 0], [3]),
        ([0, 2, 4], [1, 1, 1]),
        ([0, 0, 4, 4], [2, 2]),
        ([0, 2, 2, 2], [1, 3]),
    ],
)
def test_frames_are_written_together_as_far_as_they_vouch_for_nothing(
    durable: list[int], sizes: list[int]
) -> None:
    """None of what is written together may say that another part of it was durable."""
    made = make_segment([batch(2, seed) for seed in range(len(durable))], durable, sealed=False)
    follower = follower_on(new_disk())
    checked = check_run(Run(made.data[:128], 128, made.data[128:]), IDENTITY, follower._host.end)
    log = follower._log
    assert isinstance(log, FollowerLog)
    assert [len(step) for step in log.steps(checked)] == sizes


@pytest.mark.parametrize("together", [1, 3, 9], ids=["one by one", "three", "rewritten"])
def test_every_power_cut_leaves_a_log_that_goes_on(together: int) -> None:
    """Two segments, whose frames each say that all before them was durable."""
    chain = make_chain(
        [[batch(60, seed) for seed in range(9)], [batch(50, seed) for seed in range(2)]], sealed=False
    )
    disk = new_disk()
    follower = follower_on(disk)
    for made in chain:
        for first in range(0, len(made.frames), together):
            last = min(first + together, len(made.frames)) - 1
            take(follower, made, first, last)
            disk.mark("durable", made.frames[last].last_seq)
    follower.close()
    whole = log_of(disk.image())
    seen = 0
    for state in crash_states(disk.initial, disk.journal, limit=40, rng=random.Random(together)):
        seen += 1
        again = MemoryDisk(state.image)
        follower = follower_on(again)
        here = follower.last_seq
        assert here >= state.marks.get("durable", 0)
        assert follower.stats()["signals"]["view"]["events"] == here
        for made in chain:
            take(follower, made, 0, len(made.frames) - 1)
        follower.close()
        assert log_of(again.image()) == whole, f"op {state.op} state {state.number}"
    assert seen > 40


def test_a_full_disk_takes_nothing_and_goes_on_when_there_is_room() -> None:
    full = False

    def faults(call: str, path: str) -> Fault | None:
        return Fault(errno.ENOSPC) if full and call == "append" and path.endswith(".seg") else None

    disk = new_disk()
    disk.faults = faults
    made = make_segment([batch(2, seed) for seed in range(4)], sealed=False)
    follower = follower_on(disk)
    take(follower, made, 0, 1)
    full = True
    with pytest.raises(NoSpace):
        take(follower, made, 2, 3)
    assert follower.last_seq == 4
    assert follower.stats()["signals"]["view"]["events"] == 4
    full = False
    take(follower, made, 2, 3)
    assert follower.last_seq == 8
    follower.close()
    assert log_of(disk.image()) == made.data


def test_a_follower_s_log_takes_no_events_of_its_own() -> None:
    log = follower_on(new_disk())._log
    with pytest.raises(ReadOnly, match="follows another"):
        log.append(batch(1))
    log.close()
    with pytest.raises(StoreClosed):
        log.flush()


def test_a_log_is_cut_where_a_batch_ends() -> None:
    chain = make_chain(
        [[batch(2, seed) for seed in range(5)], [batch(2, seed) for seed in range(5)]], sealed=False
    )
    for seq in range(0, 21, 2):
        disk = new_disk()
        follower = follower_on(disk)
        for made in chain:
            take(follower, made, 0, 4)
        hashes = {0: bytes(32)} | {frame.last_seq: frame.hash for made in chain for frame in made.frames}
        follower._host.rewind(seq, hashes[seq])
        assert (follower.last_seq, follower.stats()["signals"]["view"]["events"]) == (seq, seq)
        kept = [data for name, data in disk.image().files.items() if name.startswith("/f/quarantine/")]
        assert bool(kept) == (seq < 20)
        for made in chain:
            take(follower, made, 0, 4)
        assert follower.last_seq == 20
        follower.close()


def test_every_power_cut_while_a_log_is_cut_can_be_made_good() -> None:
    chain = make_chain(
        [[batch(2, seed) for seed in range(3)], [batch(2, seed) for seed in range(3)]], sealed=False
    )
    disk = new_disk()
    follower = follower_on(disk)
    for made in chain:
        take(follower, made, 0, 2)
    follower.checkpoint()
    begin = len(disk.journal)
    target = chain[0].frames[1]
    follower._host.rewind(target.last_seq, target.hash)
    follower.close()
    for state in crash_states(disk.initial, disk.journal, limit=8, rng=random.Random(1), begin=begin):
        follower = follower_on(MemoryDisk(state.image))
        assert target.last_seq <= follower.last_seq <= 12
        follower._host.rewind(target.last_seq, target.hash)
        assert follower.last_seq == target.last_seq
        assert follower.stats()["signals"]["view"]["events"] == target.last_seq
        follower.close()


def test_a_log_without_events_is_of_no_epoch() -> None:
    """Of what lies before its begin it has no events; for a promotion the manifest's epoch counts."""
    disk = MemoryDisk()
    disk.make_dir(Path("/wal"))
    manifest = Manifest(IDENTITY.store_id, 3, clean=False, start_seq=11, start_hash=bytes([1]) * 32)
    log = FollowerLog(disk, Path("/wal"), manifest)
    assert (log.end.last_seq, log.end.final_hash, log.end.epoch) == (10, bytes([1]) * 32, NO_EPOCH)
    assert log.position == Position(3, 10)
    empty = FollowerLog(disk, Path("/wal"), Manifest(IDENTITY.store_id, 3, clean=False))
    assert empty.position == Position(NO_EPOCH, 0)


@pytest.mark.parametrize("start", [1, 5], ids=["from the first event", "from a checkpoint"])
def test_a_store_that_lost_all_of_a_later_epoch_takes_what_an_earlier_one_left(start: int) -> None:
    """It led in epoch 9 and lost all it had; in epoch 10 another leads, whose events are of epoch 3."""
    first, second = make_chain([[batch(2, 1), batch(2, 2)], [batch(2, 3)]], sealed=False)
    disk = new_disk()
    follower = follower_on(disk)
    take(follower, first, 0, 1)
    follower.checkpoint()
    follower.close()
    (path,) = (Path(name) for name in disk.image().files if name.endswith(".seg"))
    if start > 1:
        disk.remove(path)
    lost = Manifest(
        IDENTITY.store_id, 9, clean=False, start_seq=start,
        start_hash=first.frames[-1].hash if start > 1 else bytes(32),
    )  # fmt: skip
    write_manifest(disk, PATHS.wal, lost)
    follower = follower_on(disk)
    take(follower, second, 0, 0)
    assert (follower.last_seq, follower.position) == (6, Position(IDENTITY.epoch, 6))


def test_a_segment_is_not_removed_while_a_place_in_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archiver, in its thread, comes between the list of the segments and the reading of one."""
    chain = make_chain([[batch(2, seed) for seed in range(3)] for _ in range(2)], sealed=False)
    follower = follower_on(new_disk())
    for made in chain:
        take(follower, made, 0, 2)
    log, read = follower._log, continued.read_segment
    assert isinstance(log, FollowerLog)

    def archive() -> None:
        if log._lock.acquire(blocking=False):  # else it would wait for its turn
            log.forget(6)
            log._lock.release()

    def read_later(*given: Any) -> memoryview:
        archiver = threading.Thread(target=archive)
        archiver.start()
        archiver.join()
        return read(*given)

    monkeypatch.setattr(continued, "read_segment", read_later)
    assert log.hash_at(4) == chain[0].frames[1].hash
    monkeypatch.undo()
    assert len(log.forget(6)) == 1
    assert (log.hash_at(4), log.hash_at(6)) == (None, chain[0].frames[2].hash)

"""Ends of a log as crashes leave them, and as damage leaves them, each with a label of which it is.

The log is written by the real writer to a disk that knows what was synced. The label follows from that alone,
and from which units still have their bytes; nothing here decodes what it damaged:

- ``torn``: every changed byte lies behind what was synced. A crash may do that, and open() must go on.
- ``corrupt``: a unit that was synced is changed, and one behind it that is not changed says so.
- ``blind``: a unit that was synced is changed, and nothing behind it says so. Looks like a crash, as
  docs/format/wal.md says; what counts is that nothing wrong is read.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from bytekit.flips import units
from bytekit.scanning import FOLDER, Verdict, disk_of, misread, scan_verdict
from bytekit.segments import IDENTITY, START, random_batch
from tidal.format.frame import FRAME_HEADER
from tidal.format.segment import NO_HASH, SEAL_MAGIC, SEGMENT_HEADER
from tidal.testing.disk import Create, MemoryDisk, Sync
from tidal.wal import parse_sync
from tidal.wal.writer import LogWriter

POLICIES: Final = ("group", "always", "os", "interval:1h")
SECTOR: Final = 512

_FIRST_SEQ = 8  # of a frame's header, which ends in its claim and its hash
_SEAL_LAST_SEQ = 8


class Mark(NamedTuple):
    """A frame or the seal of the last segment: its place, and what it says was durable then."""

    offset: int
    end: int
    first_seq: int  # of a seal: after the last event
    claim: int


class Log(NamedTuple):
    """What a writer left on the disk when it was cut off."""

    policy: str
    files: dict[str, bytes]
    last: str  # the name of the segment that may be unfinished
    synced: int  # bytes of it that were durable
    marks: tuple[Mark, ...]  # in the last segment

    @property
    def data(self) -> bytes:
        return self.files[self.last]


class Case(NamedTuple):
    """One damaged end of a log."""

    label: str
    how: str
    data: bytes  # of the last segment
    first_bad: int  # the number of the first mark that changed


def make_log(rng: random.Random, policy: str) -> Log:
    """Return what is on the disk after a random run of the writer that was never closed."""
    disk = disk_of({})
    numbers = np.random.default_rng(rng.getrandbits(32))
    writer = LogWriter(
        disk, FOLDER, identity=IDENTITY, next_seq=1, previous_hash=NO_HASH, sync=parse_sync(policy),
        wall_clock=lambda: START, monotonic=lambda: 0.0, segment_bytes=rng.choice((4_000, 1 << 20)),
    )  # fmt: skip
    for _ in range(rng.randint(2, 24)):
        _, last_seq = writer.append(random_batch(numbers, rng.choice((1, 1, 2, 5, 20))))
        if rng.random() < 0.7:
            writer.commit(last_seq)
        if rng.random() < 0.15:
            writer.flush()
    closed = rng.random() < 0.15
    if closed:
        writer.close()
    files = {name.removeprefix(f"{FOLDER}/"): data for name, data in disk.image().files.items()}
    segments = {name: data for name, data in files.items() if name.endswith(".seg")}
    last = max(segments)
    log = Log(policy, segments, last, _synced(disk, f"{FOLDER}/{last}"), tuple(_marks(segments[last])))
    writer.close()
    return log


def _synced(disk: MemoryDisk, path: str) -> int:
    """Return how long a file was at its last sync."""
    node = next(op.node for op in disk.journal if isinstance(op, Create) and op.path == path)
    size = synced = 0
    for op in disk.journal:
        if getattr(op, "node", None) == node:
            if isinstance(op, Sync):
                synced = size
            elif hasattr(op, "data"):
                size = op.offset + len(op.data)
    return synced


def _marks(data: bytes) -> Iterator[Mark]:
    for offset, end in units(memoryview(data)):
        if data[offset : offset + 4] == SEAL_MAGIC:
            last_seq = int.from_bytes(data[offset + _SEAL_LAST_SEQ : offset + 16], "little")
            yield Mark(offset, end, last_seq + 1, last_seq)
        elif offset:
            fields = FRAME_HEADER.unpack_from(data, offset)
            yield Mark(offset, end, fields[3], fields[6])


# ------------------------------------------------------------------------------------ damage


def make_case(rng: random.Random, log: Log) -> Case:
    """Return the last segment damaged at random, and labelled; half of the cases are as a crash leaves it."""
    for _ in range(100):
        how, damage = rng.choice(CRASHES if rng.random() < 0.5 else DAMAGES)
        data = damage(rng, log)
        if data is not None and data != log.data:
            return _labelled(how, data, log)
    return _labelled("cut at a byte", log.data[: max(SEGMENT_HEADER.size, len(log.data) - 1)], log)


def _labelled(how: str, data: bytes, log: Log) -> Case:
    whole = log.data
    bad = [
        number for number, mark in enumerate(log.marks) if data[slice(*mark[:2])] != whole[slice(*mark[:2])]
    ]
    if not bad:  # only the bytes behind the last mark changed
        return Case("torn", how, data, len(log.marks))
    first = log.marks[bad[0]]
    behind = [mark for number, mark in enumerate(log.marks) if number > bad[0] and number not in bad]
    if any(mark.claim >= first.first_seq for mark in behind):
        return Case("corrupt", how, data, bad[0])
    return Case("blind" if first.end <= log.synced else "torn", how, data, bad[0])


def wrong(case: Case, log: Log) -> str | None:
    """Return what the real scan got wrong of a case, or None."""
    files = log.files | {log.last: case.data}
    verdict = scan_verdict(files)
    if misread(verdict, files, log.files):
        return f"{case.how}: something else was read than was written"
    allowed = {"corrupt": ("corrupt",), "torn": ("torn", "whole"), "blind": ("torn", "whole", "corrupt")}
    if verdict.kind not in allowed[case.label]:
        return f"{case.how}: {case.label}, and the scan says {verdict}"
    if verdict.kind != "corrupt" and verdict.last_seq != _prefix(case, log):
        return f"{case.how}: {verdict} although the good prefix ends at {_prefix(case, log)}"
    return None


def _prefix(case: Case, log: Log) -> int:
    """Return the last sequence before the first changed mark."""
    if case.first_bad < len(log.marks):
        return log.marks[case.first_bad].first_seq - 1
    return _last_seq(log)


def _last_seq(log: Log) -> int:
    verdict: Verdict = scan_verdict(log.files)
    return verdict.last_seq


Damage = Callable[[random.Random, Log], "bytes | None"]


def _cut(rng: random.Random, log: Log) -> bytes | None:
    start = max(log.synced, SEGMENT_HEADER.size)
    return log.data[: rng.randint(start, len(log.data))] if start < len(log.data) else None


def _lost_sectors(rng: random.Random, log: Log) -> bytes | None:
    """Some sectors of what was not synced never arrived; the size did."""
    data = bytearray(log.data)
    start = max(log.synced, SEGMENT_HEADER.size)
    for sector in range(start // SECTOR, -(-len(data) // SECTOR)):
        if rng.random() < 0.5:
            low, high = max(start, sector * SECTOR), min(len(data), (sector + 1) * SECTOR)
            data[low:high] = bytes(high - low)
    return bytes(data[: rng.randint(start, len(data))] if rng.random() < 0.5 else data)


def _grown(rng: random.Random, log: Log) -> bytes | None:
    """The size arrived, and of the data a prefix."""
    start = max(log.synced, SEGMENT_HEADER.size)
    kept = rng.randint(start, len(log.data))
    return log.data[:kept] + bytes(rng.randint(0, len(log.data) - kept))


def _garbage(rng: random.Random, log: Log) -> bytes | None:
    """Blocks that the file got, but not its data: what other files left there, such as batches."""
    start = max(log.synced, SEGMENT_HEADER.size)
    if start >= len(log.data):
        return None
    kept = rng.randint(start, len(log.data) - 1)
    source = rng.choice([*log.files.values(), rng.randbytes(4096)])
    at = rng.randrange(len(source))
    return log.data[:kept] + source[at : at + rng.randint(1, len(log.data) - kept)]


def _flip(rng: random.Random, log: Log) -> bytes | None:
    data = bytearray(log.data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(SEGMENT_HEADER.size, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _overwritten(rng: random.Random, log: Log) -> bytes | None:
    """A run of bytes or sectors that became zeros, noise, or bytes from elsewhere in the log."""
    data = bytearray(log.data)
    if rng.random() < 0.5:
        low = rng.randrange(SEGMENT_HEADER.size, len(data))
        high = min(len(data), low + rng.choice((1, 8, 64, 300, 2000)))
    else:
        low = max(SEGMENT_HEADER.size, SECTOR * rng.randrange(-(-len(data) // SECTOR)))
        high = min(len(data), (low // SECTOR + rng.choice((1, 1, 2, 8))) * SECTOR)
    size = high - low
    source = rng.choice(list(log.files.values()))
    at = rng.randrange(len(source))
    data[low:high] = rng.choice((bytes(size), rng.randbytes(size), source[at : at + size].ljust(size, b"\0")))
    return bytes(data)


def _cut_anywhere(rng: random.Random, log: Log) -> bytes | None:
    return log.data[: rng.randrange(SEGMENT_HEADER.size, len(log.data))]


def _cut_at_a_batch(rng: random.Random, log: Log) -> bytes | None:
    return log.data[: rng.choice(log.marks).offset] if log.marks else None


def _removed(rng: random.Random, log: Log) -> bytes | None:
    """A batch, or more, taken out of the middle; what followed moved up."""
    if not log.marks:
        return None
    low, high = sorted((rng.choice(log.marks).offset, rng.choice(log.marks).end))
    return log.data[:low] + log.data[high:]


CRASHES: Final[tuple[tuple[str, Damage], ...]] = (
    ("cut at a byte", _cut),
    ("sectors that did not arrive", _lost_sectors),
    ("the size, and a prefix", _grown),
    ("blocks with old bytes", _garbage),
)
DAMAGES: Final[tuple[tuple[str, Damage], ...]] = (
    *[("flipped bits", _flip), ("overwritten bytes", _overwritten)] * 3,  # the rest is mostly blind
    ("cut anywhere", _cut_anywhere),
    ("cut at a batch", _cut_at_a_batch),
    ("batches removed", _removed),
)

"""The last segment of a log that was not closed: its good part, and whether what follows is torn or damaged.

Here alone it is decided whether the end of the log is as a crash leaves it, and may be cut off.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tidal.durable import FileSystem
from tidal.errors import CorruptLog, FormatError, FormatTooNew
from tidal.format.segment import SEGMENT_HEADER, LogIdentity
from tidal.wal.segments import SegmentWalk, check_header, has_data, read_segment, walk_to_end
from tidal.wal.sift import Hole, SealAt, TooNew, sift


class TornTail(NamedTuple):
    """The end of the log that a crash left unfinished; never anything that was known to be durable."""

    path: Path
    offset: int
    size: int  # bytes
    first_dropped_seq: int
    reason: str
    batches: int = 0  # whole ones among the bytes: written behind what was lost, and not acknowledged


class Tail(NamedTuple):
    """The good part of a last segment, and what a crash left behind it; None where there is neither."""

    walk: SegmentWalk | None
    torn: TornTail | None


def scan_tail(
    fs: FileSystem, path: Path, identity: LogIdentity, base_seq: int, *, live: bool = False, watch: int = 0
) -> Tail:
    """Return what a last segment holds; ``watch`` as in SegmentWalk, ``live`` as in scan_log.

    The file is read from the device: what a failed sync left in the kernel's cache alone is not seen.
    Raises as scan_log.
    """
    tail = _look_at(fs, path, identity, base_seq, live, watch)
    if not live:
        return tail
    while tail.torn is not None and fs.size(path) != tail.torn.offset + tail.torn.size:
        tail = _look_at(fs, path, identity, base_seq, live, watch)  # it grew: that was half of a write
    return tail if tail.walk is not None else Tail(None, None)  # without a header: it is being made


def _look_at(
    fs: FileSystem, path: Path, identity: LogIdentity, base_seq: int, sync: bool, watch: int
) -> Tail:
    data = read_segment(fs, path, from_device=True, sync=sync)
    try:
        info = check_header(path, data, identity)
    except FormatError as error:
        if has_data(data[SEGMENT_HEADER.size :]):  # batches are written only after the header was synced
            raise CorruptLog(path, 0, str(error)) from error
        return Tail(None, TornTail(path, 0, len(data), base_seq, str(error)))
    walk = walk_to_end(info, data, watch)
    if walk.stopped is None:
        return Tail(walk, None)
    batches = _refuse_lost_durable(walk, data)
    info = walk.info
    torn = TornTail(path, info.size, len(data) - info.size, info.last_seq + 1, walk.stopped, batches)
    return Tail(walk, torn)


def _refuse_lost_durable(walk: SegmentWalk, data: memoryview) -> int:
    """Return how many good batches lie behind the damage; CorruptLog if one says that it had been synced."""
    info, identity = walk.info, walk.info.header.identity
    lost, batches = info.last_seq + 1, 0
    for unit in sift(data, info.size, identity):
        if isinstance(unit, TooNew):
            raise FormatTooNew(f"{info.path} at byte {unit.offset}: {unit.reason}")
        if isinstance(unit, Hole):
            if not unit.searched:
                raise CorruptLog(
                    info.path, info.size, f"{walk.stopped}; what follows cannot be told from damage"
                )
            continue
        if isinstance(unit, SealAt):
            durable = unit.seal.last_seq
        else:
            durable = unit.durable_seq
            batches += 1
        if durable >= lost:
            raise CorruptLog(
                info.path, info.size,
                f"{walk.stopped}; but at byte {unit.offset} a good batch says that events up to {durable} "
                f"were durable, so events from {lost} on are damaged, not unfinished",
            )  # fmt: skip
    return batches

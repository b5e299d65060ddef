"""Segments of the log made byte by byte, with any claims about what was durable, for tests of damage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from tidal.format.frame import Frame, encode_frame
from tidal.format.payload import DIRECTORY, KEY, EncodedPayload, encode_payload
from tidal.format.segment import NO_HASH, SEAL, SEGMENT_HEADER, LogIdentity, SegmentHeader, segment_name
from tidal.schema.events import EventBatch, NewKey
from tidal.wal.segments import SegmentInfo

IDENTITY: Final = LogIdentity(bytes(range(16)), epoch=1)
START: Final = 1_700_000_000 * 10**9  # ns
_TEXT_MAX = 50  # of a key in a column too short to be compressed


@dataclass(frozen=True)
class Made:
    """A segment's bytes, what they are, and the frames in them."""

    data: bytes
    info: SegmentInfo
    frames: tuple[Frame, ...]

    @property
    def name(self) -> str:
        return self.info.path.name


def random_batch(rng: np.random.Generator, count: int) -> EventBatch:
    """Events in which a codec finds next to nothing."""
    return EventBatch(
        rng.integers(1 << 63, 1 << 64, count, dtype=np.uint64),
        rng.integers(0, 256, count).astype(np.uint8),
        (rng.random(count) + 0.1).astype(np.float32),
        rng.integers(1 << 60, 1 << 62, count),
    )


def make_segment(
    batches: Iterable[EventBatch],
    durable: Sequence[int] | None = None,
    *,
    log: LogIdentity = IDENTITY,
    base_seq: int = 1,
    previous: bytes = NO_HASH,
    created_at: int = START,
    sealed: bool = True,
) -> Made:
    """Return the segment of these batches; ``durable`` is what each claims to be synced, else all before."""
    header = SegmentHeader(log, base_seq, created_at, previous)
    head = header.encode()
    info = SegmentInfo(Path(segment_name(log, base_seq)), header, len(head), base_seq - 1, head[-32:])
    parts, frames = [head], []
    for number, batch in enumerate(batches):
        encoded = encode_payload(batch, created_at)
        claim = info.last_seq if durable is None else durable[number]
        bytes_, frame = _frame(info, encoded, claim)
        info = info.with_frame(frame, encoded.summary)
        parts.append(bytes_)
        frames.append(frame)
    if sealed:
        parts.append(info.seal().encode(header.identity, info.size))
    return Made(b"".join(parts), info, tuple(frames))


def make_chain(
    batches: Sequence[Sequence[EventBatch]], *, log: LogIdentity = IDENTITY, sealed: bool = True
) -> list[Made]:
    """Return segments of these batches, each going on from the one before; ``sealed`` says it of the last."""
    made: list[Made] = []
    for number, group in enumerate(batches):
        base_seq = made[-1].info.last_seq + 1 if made else 1
        previous = made[-1].info.final_hash if made else NO_HASH
        last = number == len(batches) - 1
        made.append(
            make_segment(group, log=log, base_seq=base_seq, previous=previous, sealed=sealed or not last)
        )
    return made


def full_segment(size: int, seed: int, counts: Sequence[int] = (1, 20, 60)) -> Made:
    """Return a sealed segment of exactly ``size`` bytes, its batches of these many events by turns."""
    rng = np.random.default_rng(seed)
    room = size - SEGMENT_HEADER.size - SEAL.size
    batches: list[EventBatch] = []
    largest = _frame_bytes(random_batch(rng, max(counts)))
    while room > 3 * largest:
        batches.append(random_batch(rng, counts[len(batches) % len(counts)]))
        room -= _frame_bytes(batches[-1])
    batches += [sized_batch(rng, room // 2), sized_batch(rng, room - room // 2)]
    made = make_segment(batches)
    if len(made.data) != size:
        raise AssertionError(f"{len(made.data)} bytes instead of {size}")
    return made


def sized_batch(rng: np.random.Generator, frame_bytes: int) -> EventBatch:
    """Return a batch whose frame takes exactly these bytes, 320 or more; a key's text makes up the rest."""
    batch = random_batch(rng, 1)
    while (rest := frame_bytes - _frame_bytes(batch) - DIRECTORY.size - KEY.size) > _TEXT_MAX:
        batch = random_batch(rng, len(batch) + 1)
    return replace(batch, new_keys=(NewKey("item", 1, "k" * rest),))


def _frame_bytes(batch: EventBatch) -> int:
    return len(_frame(_EMPTY, encode_payload(batch, START), 0)[0])


def _frame(info: SegmentInfo, encoded: EncodedPayload, durable_seq: int) -> tuple[bytes, Frame]:
    head, own = encode_frame(
        encoded, first_seq=info.last_seq + 1, durable_seq=durable_seq, link=info.final_hash,
        offset=info.size, identity=info.header.identity,
    )  # fmt: skip
    data = head + encoded.payload
    end = info.size + len(data)
    return data, Frame(info.size, end, info.last_seq + 1, encoded.events, durable_seq, info.final_hash, own)


_EMPTY = make_segment([], sealed=False).info

"""Frames of a segment decoded. A call for each event leaves one frame each: those are decoded together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tidal.errors import CorruptLog, FormatError
from tidal.format.frame import Frame
from tidal.format.payload import EVENTS_PER_BATCH_MAX, decode_payload
from tidal.format.singles import decode_singles, is_single
from tidal.schema.events import EventBatch

_WORTH_JOINING: Final = 4  # fewer payloads are decoded sooner one by one


def decode_frames(path: Path, data: memoryview, frames: Iterable[Frame]) -> Iterator[tuple[int, EventBatch]]:
    """Yield (first seq, batch) of the frames in order; single events that follow each other as one batch.

    ``frames`` are of the segment ``data``, and were checked by a SegmentWalk. Raises CorruptLog with the
    offset of a frame that is not what encode_payload writes.
    """
    singles: list[Frame] = []
    for frame in frames:
        if singles and (frame.first_seq != singles[-1].last_seq + 1 or len(singles) == EVENTS_PER_BATCH_MAX):
            yield from _joined(path, data, singles)
            singles = []
        if frame.events == 1 and is_single(data[frame.payload]):
            singles.append(frame)
            continue
        yield from _joined(path, data, singles)
        singles = []
        yield _decoded(path, data, frame)
    yield from _joined(path, data, singles)


def _joined(path: Path, data: memoryview, singles: list[Frame]) -> Iterator[tuple[int, EventBatch]]:
    if len(singles) >= _WORTH_JOINING:
        try:
            yield singles[0].first_seq, decode_singles([data[frame.payload] for frame in singles])
            return
        except FormatError:
            pass  # one of them is bad: decoded alone, it says where it lies
    for frame in singles:
        yield _decoded(path, data, frame)


def _decoded(path: Path, data: memoryview, frame: Frame) -> tuple[int, EventBatch]:
    try:
        return frame.first_seq, decode_payload(data[frame.payload], frame.events)
    except FormatError as error:
        raise CorruptLog(path, frame.offset, str(error)) from error

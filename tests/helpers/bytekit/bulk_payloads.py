"""The decoders of payloads, with tables of inputs; what other targets need to know of a payload."""

from __future__ import annotations

import functools
import random
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np

from bytekit.bulk import (
    Arguments,
    BulkTarget,
    Places,
    Table,
    copies,
    mutate_table,
    of_other_length,
    places,
    rows_of,
)
from bytekit.bulk_targets import CODECS, COMPRESSIONS
from bytekit.segments import START
from bytekit.targets import good_events, rich_batch
from tidal.errors import FormatError
from tidal.format import payload, singles
from tidal.schema import EventBatch


@functools.cache
def _payloads() -> tuple[tuple[bytes, int], ...]:
    rng = random.Random(5)
    batches = [rich_batch(rng, count) for count in (1, 2, 3, 9, 40) * 16]
    made = [
        (payload.encode_payload(batch, START, small=number % 3 == 0)) for number, batch in enumerate(batches)
    ]
    return tuple((it.payload, it.events) for it in made)


def payload_places(data: bytes) -> Places:
    """Return the fields of a payload: its summary, its directory, and its columns as bytes."""
    number = payload.SUMMARY.unpack_from(data)[4]
    end = payload.SUMMARY.size + number * payload.DIRECTORY.size
    parts = [places(payload.SUMMARY)]
    at = end
    for row in range(payload.SUMMARY.size, end, payload.DIRECTORY.size):
        parts.append(places(payload.DIRECTORY, row))
        if size := payload.DIRECTORY.unpack_from(data, row)[5]:
            parts.append(np.array([(at, size)] * 3, np.int64))
            at += size
    return np.concatenate(parts)


def payload_tables(rng: np.random.Generator, rows: int, of_each: int = 512) -> list[tuple[Table, int]]:
    """Return tables of mutated payloads, of one template each, and the events that each should have."""
    made = []
    for _ in range(-(-rows // of_each)):
        data, count = _payloads()[rng.integers(0, len(_payloads()))]
        table = copies(rng, [data], of_each)
        mutate_table(rng, table, payload_places(data), most=2)
        made.append((table, count))
    return made


def _make_payloads(rng: np.random.Generator, rows: int) -> list[Arguments]:
    made: list[Arguments] = []
    for table, count in payload_tables(rng, rows):
        data = list(rows_of(table))
        of_other_length(rng, data)
        other = rng.integers(0, 32, len(data)).tolist()
        counts = rng.choice([0, 1, count + 1, 65_536, 65_537, 1 << 40], len(data)).tolist()
        made += [(view, counts[number] if other[number] == 0 else count) for number, view in enumerate(data)]
    return made


def known_codecs(data: memoryview, codecs: Collection[int] = CODECS) -> bool:
    """Return whether the directory of an accepted payload names only what encoders write."""
    number = payload.SUMMARY.unpack_from(data)[4]
    rows = data[payload.SUMMARY.size : payload.SUMMARY.size + number * payload.DIRECTORY.size]
    return all(
        codec in codecs and form in (0, 1) and compression in COMPRESSIONS
        for _, codec, form, compression, *_ in payload.DIRECTORY.iter_unpack(rows)
    )


def _payload_check(given: Arguments, batch: EventBatch) -> bool:
    data, count = given
    if not (good_events(batch, count) and known_codecs(data)):
        return False
    again = payload.encode_payload(batch, 0)
    return same_events(payload.decode_payload(memoryview(again.payload), count), batch)


def same_events(left: EventBatch, right: EventBatch) -> bool:
    """Return whether two batches that were decoded hold the same, bit by bit."""
    return (
        all(
            getattr(left, name).tobytes() == getattr(right, name).tobytes()
            for name in ("entity_id", "type_id", "weight", "timestamp")
        )
        and all(
            _same_ids(getattr(left, name), getattr(right, name))
            for name in ("user_id", "session_id", "event_id")
        )
        and (left.new_keys, left.notes) == (right.new_keys, right.notes)
    )


def _same_ids(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return bool(
        np.array_equal(left.values, right.values)
        and (left.valid is None) == (right.valid is None)
        and (left.valid is None or np.array_equal(left.valid, right.valid))
    )


@functools.cache
def _singles() -> tuple[bytes, ...]:
    rng = random.Random(6)
    made = (
        payload.encode_payload(replace(rich_batch(rng, 1), new_keys=()), START).payload for _ in range(400)
    )
    return tuple(data for data in made if singles.is_single(memoryview(data)))


def _make_singles(rng: np.random.Generator, rows: int) -> list[Arguments]:
    made: list[Arguments] = []
    while len(made) < rows:
        data = _singles()[rng.integers(0, len(_singles()))]
        table = copies(rng, [data], 512)
        mutate_table(rng, table, payload_places(data), most=2)
        made += [(view,) for view in rows_of(table)]
    return made


def _decode_single(data: memoryview) -> EventBatch | None:
    """As readers do: a checked summary, then the fast path for those that it takes."""
    payload.decode_summary(data)
    return singles.decode_singles([data]) if singles.is_single(data) else None


def _single_check(given: Arguments, found: EventBatch | None) -> bool:
    return found is None or same_events(payload.decode_payload(given[0], 1), found)


PAYLOAD_TARGETS: Final[dict[str, BulkTarget]] = {
    "payload": BulkTarget(_make_payloads, payload.decode_payload, (FormatError,), _payload_check, 100_000, 8),
    "single": BulkTarget(_make_singles, _decode_single, (FormatError,), _single_check, 100_000, 2),
}  # fmt: skip

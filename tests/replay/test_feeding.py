"""The events of a source as few large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import tidal
from tidal.durable import OsFileSystem
from tidal.format.segment import LogIdentity
from tidal.replay import feeding
from tidal.replay.job import make_job
from tidal.replay.place import Place
from tidal.replay.source import Source
from tidal.schema import EventBatch
from tidal.schema.events import NewKey

Kept = Callable[..., Iterator[tuple[int, EventBatch]]]

SCHEMA = tidal.SchemaBuilder().signal("view").build()


def single(number: int) -> EventBatch:
    column = np.array([number], np.uint64)
    return EventBatch(
        column, np.zeros(1, np.uint8), np.ones(1, np.float32), column.astype(np.int64),
        new_keys=(NewKey("item", number, f"item:{number}"),),
    )  # fmt: skip


@pytest.mark.parametrize("kept", [feeding.kept_events, feeding.kept_batches])
@pytest.mark.parametrize(("count", "most"), [(200, 1_000), (200, 64), (203, 64), (7, 1_000), (0, 1_000)])
def test_batches_of_one_event_are_copied_twice_at_most(
    monkeypatch: pytest.MonkeyPatch, count: int, most: int, kept: Kept
) -> None:
    copied = 0
    join = feeding.join_batches

    def joined(batches: Sequence[EventBatch]) -> EventBatch:
        nonlocal copied
        copied += sum(map(len, batches))
        return join(batches)

    monkeypatch.setattr(feeding, "join_batches", joined)
    monkeypatch.setattr(feeding, "PARTS_MAX", 8)
    monkeypatch.setattr(feeding, "BATCH_EVENTS", most)
    monkeypatch.setattr(feeding, "EVENTS_PER_BATCH_MAX", most)
    monkeypatch.setattr(feeding, "read_events", lambda *_: ((it + 1, single(it)) for it in range(count)))
    fs = OsFileSystem()
    source = Source("a log", Place(Path("log"), fs), LogIdentity(bytes(16), 1), SCHEMA, (), 1, count)
    found = list(kept(fs, source, make_job(source, None, None, None, skip=False), []))
    assert [last for last, _ in found] == [*range(most, count + 1, most), *([count] if count % most else [])]
    assert [id for _, batch in found for id in batch.entity_id.tolist()] == list(range(count))
    assert [key.id for _, batch in found for key in batch.new_keys] == list(range(count))
    assert copied <= 2 * count

"""Which events a request chooses, held to a loop over all of them; and what is left unread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from unittest import mock

import numpy as np
import pytest
from export_rows import START
from hypothesis import given
from hypothesis import strategies as st

import tidal
from tidal.export import ExportRequest, selection
from tidal.export.selection import Selection
from tidal.schema import EventBatch, Schema, SchemaBuilder
from tidal.schema.events import EventRow, batch_of_rows
from tidal.wal import frames

SCHEMA = SchemaBuilder().signal("view").signal("like").signal("skip").build()


@dataclass
class Listed:
    """Batches in memory as a source."""

    batches: list[list[EventRow]]
    schema: Schema = SCHEMA

    @property
    def rows(self) -> list[EventRow]:
        return [row for batch in self.batches for row in batch]

    @property
    def durable_seq(self) -> int:
        return len(self.rows)

    def names(self, kind: str, ids: Iterable[int]) -> list[str | None]:
        return [f"{kind} {id}" if id % 2 else None for id in ids]

    def read(
        self, after_seq: int | None, until_seq: int, since: Any, until: Any, types: Collection[int] | None
    ) -> Iterator[tuple[int, EventBatch]]:
        after = after_seq or 0
        ends = accumulate(map(len, self.batches))
        for end, batch in zip(ends, self.batches, strict=True):
            first = end - len(batch) + 1
            rows = [row for seq, row in enumerate(batch, first) if after < seq <= until_seq]
            if rows:
                yield max(first, after + 1), batch_of_rows(rows)


few = st.integers(0, 3)
rows = st.tuples(few, st.integers(0, 2), few.map(float), few, st.none() | few, st.none() | few, st.none())
requests = st.builds(
    ExportRequest,
    user_id=st.none() | few,
    signal_types=st.sets(st.sampled_from(SCHEMA.names)).map(sorted),
    since=st.none() | few,
    until=st.none() | few,
    limit=st.none() | st.integers(0, 12),
    session_id=st.none() | few,
    entity_id=st.none() | few,
    all=st.just(True),
    after_seq=st.none() | st.integers(0, 20),
    until_seq=st.none() | st.integers(0, 20),
)


def chosen(source: Listed, request: ExportRequest) -> list[int]:
    """The sequences that are wanted, by the definition."""
    types = [SCHEMA.signal(name).type_id for name in request.signal_types or SCHEMA.names]
    seqs = [
        seq
        for seq, (entity, type_id, _, time, user, session, _) in enumerate(source.rows, 1)
        if type_id in types
        and (request.since is None or time >= request.since)
        and (request.until is None or time < request.until)
        and request.user_id in (None, user)
        and request.session_id in (None, session)
        and request.entity_id in (None, entity)
        and seq > (request.after_seq or 0)
        and (request.until_seq is None or seq <= request.until_seq)
    ]
    return seqs if request.limit is None else seqs[: request.limit]


@given(
    st.lists(st.lists(rows, min_size=1, max_size=5), max_size=6),
    requests,
    st.integers(1, 7),
    st.integers(2, 3),
)
def test_a_request_chooses_what_its_definition_says(
    batches: list[list[EventRow]], request: ExportRequest, block: int, parts: int
) -> None:
    source = Listed(batches)
    due = chosen(source, request)
    with (
        mock.patch.object(selection, "BLOCK_EVENTS", block),
        mock.patch.object(selection, "PARTS_MAX", parts),
    ):
        found = Selection(source, request.checked(SCHEMA))
        seqs: list[int] = []
        for each in found:
            assert len(each.events) == len(each.seqs) > 0
            assert each.after_seq < int(each.seqs[0]) and int(each.seqs[-1]) <= found.last_seq
            rows_due = [source.rows[seq - 1] for seq in each.seqs.tolist()]
            assert each.events.entity_id.tolist() == [row[0] for row in rows_due]
            assert each.events.timestamp.tolist() == [row[3] for row in rows_due]
            seqs += each.seqs.tolist()
            # What comes after last_seq is all that is left.
            assert seqs == [seq for seq in due if seq <= found.last_seq]
    assert seqs == due
    assert found.first_event == (due[0] if due else None)
    if request.limit is None or len(due) < request.limit:
        assert found.last_seq >= min(
            source.durable_seq, 20 if request.until_seq is None else request.until_seq
        )


@given(st.lists(st.lists(rows, min_size=1, max_size=5), max_size=6), requests, st.integers(1, 4))
def test_parts_are_the_whole(batches: list[list[EventRow]], request: ExportRequest, limit: int) -> None:
    """Going on from last_seq, a few at a time, misses nothing and takes nothing twice."""
    source = Listed(batches)
    whole = chosen(source, ExportRequest(**{**_fields(request), "limit": None}))
    seqs: list[int] = []
    after = request.after_seq or 0
    for _ in range(len(source.rows) + 2):
        part = ExportRequest(**{**_fields(request), "after_seq": after, "limit": limit})
        found = Selection(source, part.checked(SCHEMA))
        seqs += [seq for each in found for seq in each.seqs.tolist()]
        after = found.last_seq
    assert seqs == whole


def _fields(request: ExportRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ExportRequest.__slots__}


def test_keys_are_those_of_each_events_kind() -> None:
    schema = SchemaBuilder().signal("view").signal("follow", kind="creator").build()
    events: list[EventRow] = [
        (1, 0, 1.0, 0, 3, None, None),
        (1, 1, 1.0, 0, None, None, None),
        (2, 0, 1.0, 0, 2, None, None),
    ]
    source = Listed([events], schema)
    found = Selection(source, ExportRequest(all=True).checked(schema))
    (each,) = found
    assert found.entity_keys(each.events) == ["item 1", "creator 1", None]
    assert found.user_keys(each.events) == ["user 3", None, None]


def test_batches_beside_the_wanted_ones_are_not_decompressed(
    db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(20):
        signal = "like" if hour % 5 == 0 else "view"
        db.ingest(
            signal=signal, entity_id=np.arange(10), timestamp=START + hour * 3600 * 10**9 + np.arange(10)
        )
    db.flush()
    decoded = 0
    whole = frames.decode_payload

    def counted(*args: Any) -> EventBatch:
        nonlocal decoded
        decoded += 1
        return whole(*args)

    monkeypatch.setattr(frames, "decode_payload", counted)
    hour = 3600 * 10**9
    part = ExportRequest.time_range(START + 3 * hour, START + 5 * hour)
    assert len(db.export_signals(part).to_list()) == 20
    assert decoded == 2
    assert len(db.export_signals(ExportRequest(signal_types=["like"], all=True)).to_list()) == 40
    assert decoded == 6

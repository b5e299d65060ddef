"""Batches joined into blocks: every event and every key once, in order, in as few blocks as there can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.archive import blocks
from tidal.archive.blocks import join_blocks
from tidal.format.archive import PlainHash
from tidal.format.payload import EVENTS_PER_BATCH_MAX
from tidal.schema import EventBatch, IdColumn, NewKey
from tidal.schema.events import NOTE_TYPE_ID


def batch(ids: list[int], users: list[int | None] | None = None, keys: tuple[NewKey, ...] = ()) -> EventBatch:
    count = len(ids)
    column = None
    if users is not None:
        known = np.array([user is not None for user in users])
        column = IdColumn(np.array([user or 0 for user in users], np.uint64), known)
    return EventBatch(
        np.array(ids, np.uint64),
        np.zeros(count, np.uint8),
        np.ones(count, np.float32),
        np.arange(count, dtype=np.int64),
        user_id=column,
        new_keys=keys,
    )


def run(count: int) -> EventBatch:
    return batch(list(range(count)))


@pytest.mark.parametrize(
    ("counts", "joined"),
    [
        ([1] * 5, [5]),
        ([40_000, 40_000], [65_536, 14_464]),
        ([65_536, 65_536], [65_536, 65_536]),
        ([1, 65_536], [65_536, 1]),
        ([65_535, 1, 1], [65_536, 1]),
        ([65_536] * 2 + [7], [65_536, 65_536, 7]),
    ],
)
def test_blocks_are_full_but_for_the_last(counts: list[int], joined: list[int]) -> None:
    assert EVENTS_PER_BATCH_MAX == 65_536
    assert [len(block) for block in join_blocks(map(run, counts))] == joined


def test_nothing_is_joined_to_nothing() -> None:
    assert list(join_blocks([])) == []


def test_a_block_holds_no_more_keys_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TEXT_BYTES_PER_BLOCK", 100)
    keys = tuple(NewKey("item", number, "x" * 9) for number in range(20))  # of 20 bytes each
    parts = list(join_blocks([batch([*range(20), 3, 4], keys=keys)]))
    assert [len(part) for part in parts] == [5, 5, 5, 7]
    assert [key for part in parts for key in part.new_keys] == list(keys)


def test_an_event_s_keys_stay_with_it_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TEXT_BYTES_PER_BLOCK", 100)
    large = NewKey("item", 2, "x" * 500)
    parts = list(join_blocks([batch([1, 2, 3], keys=(large,))]))
    assert [(len(part), part.new_keys) for part in parts] == [(1, ()), (1, (large,)), (1, ())]


def with_notes(events: EventBatch, notes: Sequence[bytes | None]) -> EventBatch:
    types = np.array([0 if note is None else NOTE_TYPE_ID for note in notes], np.uint8)
    return replace(events, type_id=types, notes=tuple(note for note in notes if note is not None))


def test_a_block_holds_no_more_notes_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TEXT_BYTES_PER_BLOCK", 100)
    keys = (NewKey("item", 0, "x" * 37), NewKey("item", 3, "x" * 39))  # of 48 and 50 bytes
    one = with_notes(batch([0, 1, 2, 3], keys=keys), [None, b"a" * 48, b"b" * 48, None])
    parts = list(join_blocks([one, replace(one, new_keys=())]))
    assert [part.entity_id.tolist() for part in parts] == [[0, 1], [2, 3, 0], [1, 2, 3]]
    assert [part.notes for part in parts] == [one.notes[:1], one.notes[1:], one.notes]


def test_the_hash_of_events_covers_their_notes() -> None:
    """It is what lets the log go: an archive that lost or changed a note must not have the same."""

    def digest(*notes: bytes) -> bytes:
        plain = PlainHash()
        plain.add(with_notes(batch(list(range(len(notes)))), notes))
        return plain.digest()

    assert len({digest(b"a", b"bc"), digest(b"ab", b"c"), digest(b"a", b"bd"), digest(b"bc", b"a")}) == 4


def test_notes_are_not_hoarded_until_a_block_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "TEXT_BYTES_PER_BLOCK", 100)
    taken = 0

    def stream() -> Iterator[EventBatch]:
        nonlocal taken
        for number in range(100):
            taken = number
            yield with_notes(batch([number]), [b"a" * 48])

    next(join_blocks(stream()))
    assert taken == 2


IDS = st.integers(0, 12)
KEYS = st.builds(
    lambda kind, number, size: NewKey(kind, number, f"{number}" * size),
    st.sampled_from(("item", "user")),
    IDS,
    st.integers(0, 9),
)


@st.composite
def batches(draw: st.DrawFn) -> list[EventBatch]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        ids = draw(st.lists(IDS, min_size=1, max_size=8))
        users = draw(st.none() | st.lists(st.none() | IDS, min_size=len(ids), max_size=len(ids)))
        notes = draw(st.lists(st.none() | st.binary(max_size=9), min_size=len(ids), max_size=len(ids)))
        one = batch(ids, users, tuple(draw(st.lists(KEYS, max_size=4))))
        found.append(with_notes(one, notes))
    return found


@given(batches(), st.integers(1, 60), st.integers(2, 9))
def test_nothing_is_lost_and_names_come_first(
    given_batches: list[EventBatch], keys_bytes: int, events: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "TEXT_BYTES_PER_BLOCK", keys_bytes)
        patch.setattr(blocks, "EVENTS_PER_BATCH_MAX", events)
        joined = list(join_blocks(given_batches))
    before, after = PlainHash(), PlainHash()
    for part in given_batches:
        before.add(part)
    for part in joined:
        after.add(part)
    assert after.digest() == before.digest()
    notes = [note for part in given_batches for note in part.notes]
    assert [note for part in joined for note in part.notes] == notes
    assert all(len(part.notes) == len(part.note_rows()) for part in joined)
    assert all(1 <= len(part) <= events for part in joined)
    starts = np.cumsum([0, *map(len, joined)])
    use: dict[NewKey, int] = {}
    for (start, stop), part in zip(pairwise(starts.tolist()), joined, strict=True):
        for key in part.new_keys:
            use[key] = min(use.get(key, stop), start)
    row = 0
    for part in given_batches:
        for key in part.new_keys:
            users = [] if part.user_id is None else part.user_id.values.tolist()
            rows = [
                row + at
                for at, one in enumerate(
                    zip(part.entity_id.tolist(), users or part.entity_id.tolist(), strict=True)
                )
                if key.id in one
            ]
            assert not rows or use[key] <= rows[0]
        row += len(part)


def test_an_unused_key_is_kept() -> None:
    key = NewKey("creator", 99, "nobody")
    (part,) = join_blocks([run(3), replace(run(2), new_keys=(key,))])
    assert part.new_keys == (key,)

"""Cutting batches for the log: all events in order, each key with its first use, no part too large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tidal.parts
from tidal.format.payload import EVENTS_PER_BATCH_MAX, KEYS_PER_EVENT_MAX
from tidal.parts import NewNames, join_batches, log_parts, pieces
from tidal.schema import EventBatch, IdColumn, NewKey
from tidal.schema.events import NOTE_TYPE_ID


def batch(ids: list[int], users: list[int] | None = None, keys: tuple[NewKey, ...] = ()) -> EventBatch:
    n = len(ids)
    return EventBatch(
        np.array(ids, np.uint64),
        np.zeros(n, np.uint8),
        np.ones(n, np.float32),
        np.arange(n, dtype=np.int64),
        user_id=None if users is None else IdColumn(np.array(users, np.uint64)),
        new_keys=keys,
    )


def test_a_small_batch_is_one_part() -> None:
    given = batch([1, 2, 3])
    assert [part is given for part in log_parts(given)] == [True]
    assert list(log_parts(batch([]))) == []


def test_a_large_one_is_cut_in_order() -> None:
    given = batch(list(range(EVENTS_PER_BATCH_MAX * 2 + 5)))
    parts = list(log_parts(given))
    assert [len(part) for part in parts] == [EVENTS_PER_BATCH_MAX, EVENTS_PER_BATCH_MAX, 5]
    assert np.concatenate([part.entity_id for part in parts]).tolist() == given.entity_id.tolist()


def test_each_key_goes_with_its_first_use() -> None:
    n = EVENTS_PER_BATCH_MAX
    late, early, user = NewKey("item", 9, "late"), NewKey("item", 1, "early"), NewKey("user", 5, "user")
    parts = list(log_parts(batch([1] * n + [9, 1], [4] * n + [5, 5], (late, early, user))))
    assert [part.new_keys for part in parts] == [(early,), (late, user)]


def test_a_part_never_holds_more_keys_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidal.parts, "KEYS_BYTES_MAX", 200)
    keys = tuple(NewKey("item", i, f"key {i:020}") for i in range(40))
    parts = list(log_parts(batch(list(range(40)), keys=keys)))
    assert len(parts) == 8
    assert all(len(part.new_keys) == 5 for part in parts)
    assert [key for part in parts for key in part.new_keys] == list(keys)
    assert [i for part in parts for i in part.entity_id.tolist()] == list(range(40))


def noted(count: int, note: bytes, keys: tuple[NewKey, ...] = ()) -> EventBatch:
    types = np.full(count, NOTE_TYPE_ID, np.uint8)
    return replace(batch(list(range(count)), keys=keys), type_id=types, notes=(note,) * count)


def test_a_part_never_holds_more_notes_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidal.parts, "NOTES_BYTES_MAX", 50)
    parts = list(log_parts(noted(8, b"x" * 18)))
    assert [part.entity_id.tolist() for part in parts] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert all(part.notes == (b"x" * 18,) * 2 for part in parts)


def test_keys_that_only_a_note_names_go_with_it() -> None:
    keys = tuple(NewKey("item", 100 + number, str(number)) for number in range(8))
    (part,) = log_parts(noted(1, b"{}", keys))
    assert part.new_keys == keys[:KEYS_PER_EVENT_MAX]
    (part,) = log_parts(noted(2, b"{}", keys))
    assert part.new_keys == keys
    (part,) = log_parts(replace(batch([1]), new_keys=keys))
    assert part.new_keys == ()


def test_joined_batches_have_the_notes_of_all() -> None:
    joined = join_batches([noted(1, b"a"), batch([5]), noted(2, b"b")])
    assert (joined.notes, joined.note_rows().tolist()) == ((b"a", b"b", b"b"), [0, 2, 3])
    assert [joined.rows(start, start + 2).notes for start in range(3)] == [(b"a",), (b"b",), (b"b", b"b")]
    assert joined.where(np.array([False, True, True, False])).notes == (b"b",)


def test_rows_that_are_left_out_leave_their_names_to_others() -> None:
    """As deduplication does it: of each piece only some rows are logged."""
    n = EVENTS_PER_BATCH_MAX
    first, second, unused = (
        NewKey("item", 1, "first"),
        NewKey("item", 2, "second"),
        NewKey("item", 3, "unused"),
    )
    given = batch([1, 3] + [2] * (n - 2) + [1, 2], keys=(first, second, unused))
    names = NewNames(given.new_keys)
    head, tail = pieces(given)
    (head_frame,) = names.frames(head.where(head.entity_id == 2))
    (tail_frame,) = names.frames(tail)
    assert (head_frame.new_keys, len(head_frame)) == ((second,), n - 2)
    assert (tail_frame.new_keys, len(tail_frame)) == ((first,), 2)
    assert list(names.frames(tail.where(np.zeros(2, np.bool_)))) == []
    assert [frame.new_keys for frame in NewNames(()).frames(given)] == [()]

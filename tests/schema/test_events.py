from __future__ import annotations

import numpy as np

from tidal.schema import EventBatch, IdColumn, NewKey
from tidal.schema.events import NOTE_TYPE_ID, TIME_MAX_NS, TIME_MIN_NS, CodedIds, plain_ids


def test_the_length_of_a_batch_is_its_number_of_events() -> None:
    for size in (0, 3):
        columns = [np.zeros(size, dtype) for dtype in (np.uint64, np.uint8, np.float32, np.int64)]
        assert len(EventBatch(*columns)) == size


def test_the_distance_of_any_two_times_fits_an_int64() -> None:
    span = TIME_MAX_NS - TIME_MIN_NS
    assert span <= np.iinfo(np.int64).max


def test_chosen_events_come_without_new_keys() -> None:
    batch = EventBatch(
        np.array([1, 2, 3], np.uint64), np.array([0, 1, 0], np.uint8), np.ones(3, np.float32), np.arange(3),
        user_id=IdColumn(np.array([7, 8, 9], np.uint64), np.array([True, False, True])),
        event_id=IdColumn(np.array([4, 5, 6], np.uint64)), new_keys=(NewKey("item", 1, "a"),),
    )  # fmt: skip
    chosen = batch.where(np.array([False, True, True]))
    assert (chosen.entity_id.tolist(), chosen.type_id.tolist()) == ([2, 3], [1, 0])
    assert (chosen.weight.tolist(), chosen.timestamp.tolist()) == ([1.0, 1.0], [1, 2])
    assert chosen.user_id is not None and chosen.user_id.valid is not None
    assert (chosen.user_id.values.tolist(), chosen.user_id.valid.tolist()) == ([8, 9], [False, True])
    assert chosen.event_id is not None and chosen.event_id.valid is None
    assert chosen.event_id.values.tolist() == [5, 6]
    assert (chosen.session_id, chosen.new_keys, len(chosen)) == (None, (), 2)


def test_notes_stay_with_their_events() -> None:
    types = np.array([0, NOTE_TYPE_ID, 0, NOTE_TYPE_ID, NOTE_TYPE_ID], np.uint8)
    columns = np.arange(5, dtype=np.uint64), types, np.ones(5, np.float32), np.arange(5)
    batch = EventBatch(*columns, notes=(b"1", b"3", b"4"))
    for start in range(6):
        for stop in range(start, 6):
            part = batch.rows(start, stop)
            assert part.notes == tuple(b"%d" % row for row in (1, 3, 4) if start <= row < stop)
            assert part.entity_id[part.note_rows()].tolist() == [int(note) for note in part.notes]
    assert batch.where(np.array([True, True, True, False, True])).notes == (b"1", b"4")
    assert batch.where(types == 0).notes == ()


def test_coded_ids_are_looked_up_once_and_cut_as_places() -> None:
    words = np.array([30, 10, 20], np.uint64)
    coded = CodedIds(np.array([2, 0, 0, 1], np.uint32), words)
    assert (len(coded), coded.ids.tolist()) == (4, [20, 30, 30, 10])
    assert coded.ids is coded.ids
    assert coded[1:].words is words and coded[1:].ids.tolist() == [30, 30, 10]
    assert coded[np.array([True, False, False, True])].ids.tolist() == [20, 10]
    assert plain_ids(coded) is coded.ids and plain_ids(words) is words


def test_a_batch_of_coded_ids_is_cut_and_chosen_as_any_other() -> None:
    words, places = np.array([30, 10, 20], np.uint64), np.array([2, 0, 0, 1], np.uint32)
    columns = np.zeros(4, np.uint8), np.ones(4, np.float32), np.arange(4)
    coded, plain = EventBatch(CodedIds(places, words), *columns), EventBatch(words[places], *columns)
    chosen = np.array([False, True, False, True])
    assert len(coded) == 4 and coded.entity_id.tolist() == plain.entity_id.tolist()
    assert coded.rows(1, 3).entity_id.tolist() == plain.rows(1, 3).entity_id.tolist()
    assert coded.where(chosen).entity_id.tolist() == plain.where(chosen).entity_id.tolist()
    assert isinstance(coded.rows(1, 3).entities, CodedIds)

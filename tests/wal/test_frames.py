"""Single events that follow each other are read as one batch; nothing else of reading changes."""

from __future__ import annotations

import pytest

from tidal.errors import CorruptLog, FormatError
from tidal.wal import frames, read_batches

COUNTS = [1] * 6 + [3] + [1] * 2 + [5] + [1] * 9


def sizes(log, **options) -> list[tuple[int, int]]:
    return [(first, len(batch)) for first, batch in read_batches(log.fs, log.directory, **options)]


def test_neighbours_are_joined_where_it_is_worth_it(log) -> None:
    log.filled(COUNTS)
    assert sizes(log) == [(1, 6), (7, 3), (10, 1), (11, 1), (12, 5), (17, 9)]
    assert log.events() == list(range(1, sum(COUNTS) + 1))


def test_every_range_of_single_events(log) -> None:
    log.filled(COUNTS)
    last = sum(COUNTS)
    for after in range(last + 1):
        for until in range(after, last + 1):
            assert log.events(after_seq=after, until_seq=until) == list(range(after + 1, until + 1))


def test_what_is_left_out_ends_a_batch(log) -> None:
    writer = log.writer()
    for seq in range(1, 21):
        writer.append(log.batch(1, seq, type_id=7 if seq == 10 else 0))
    writer.close()
    assert sizes(log, types={0}) == [(1, 9), (11, 10)]
    assert sizes(log, types={7}) == [(10, 1)]


def test_no_batch_is_longer_than_a_frame_may_be(log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.filled([1] * 10)
    monkeypatch.setattr(frames, "EVENTS_PER_BATCH_MAX", 4)
    assert sizes(log) == [(1, 4), (5, 4), (9, 1), (10, 1)]


def test_a_bad_one_among_good_ones_is_named_by_its_place(log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.filled([1] * 10)
    decode_payload, decoded = frames.decode_payload, []

    def refuse(payloads: object) -> None:
        raise FormatError("one of them")

    def refuse_the_fifth(payload: memoryview, events: int) -> object:
        decoded.append(len(payload))
        if len(decoded) == 5:
            raise FormatError("this one")
        return decode_payload(payload, events)

    monkeypatch.setattr(frames, "decode_singles", refuse)
    monkeypatch.setattr(frames, "decode_payload", refuse_the_fifth)
    batches = read_batches(log.fs, log.directory)
    assert [next(batches)[0] for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(CorruptLog, match="this one") as caught:
        next(batches)
    (path,) = log.paths
    frame = (path.stat().st_size - caught.value.offset) / 6  # it and five more end the file, but for the seal
    assert caught.value.path == path and frame > decoded[0]

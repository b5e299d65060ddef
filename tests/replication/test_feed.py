"""What a leader reads of its own log, while another thread writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from archivekit import Store

from tidal.errors import CorruptLog
from tidal.format.segment import SEGMENT_HEADER, segment_name
from tidal.replication.feed import LogFeed, Origin, Place


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A log of the events 1 to 12 of epoch 1, in three segments; the last is being written."""
    made = Store(tmp_path / "store")
    made.fill([3, 4, 5])
    return made


def answers(feed: LogFeed) -> list[Origin | Place | None]:
    """All that a feed says of the places from the log's begin to its next event."""
    said: list[Origin | Place | None] = [feed.epoch_after(0), feed.epoch_after(1)]
    for seq in range(1, 13):
        said += [feed.epoch_of(seq), feed.segment_of(seq), feed.at(seq)]
    return [*said, feed.segment_of(13)]


@pytest.mark.parametrize("there", [0, SEGMENT_HEADER.size - 1])
def test_a_segment_that_is_being_made_is_not_there_yet(store: Store, there: int) -> None:
    feed = LogFeed(store.fs, store.paths.wal, store.identity)
    before = answers(feed)
    assert [it.epoch for it in before if isinstance(it, Origin)] == [1] * 26
    (store.paths.wal / segment_name(store.identity, 13)).write_bytes(bytes(there))
    assert answers(feed) == before
    assert feed.sizes()[-1] == (13, there)


def test_a_log_whose_first_segment_is_being_made_is_empty(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.paths.wal / segment_name(store.identity, 1)).write_bytes(b"")
    feed = LogFeed(store.fs, store.paths.wal, store.identity)
    assert (feed.epoch_after(0), feed.epoch_of(1), feed.segment_of(1)) == (None, None, None)
    assert feed.start_seq(7) == 1


def test_a_last_segment_that_is_taken_back_is_not_missed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: its file was made, and removed before its size was asked for."""
    feed = LogFeed(store.fs, store.paths.wal, store.identity)
    before = answers(feed)
    there = feed.segments()
    monkeypatch.setattr(feed, "segments", lambda: [*there, (13, store.paths.wal / "gone.seg")])
    assert answers(feed) == before
    assert [base_seq for base_seq, _ in feed.sizes()] == [1, 4, 8]


def test_any_other_segment_without_its_header_is_damaged(store: Store) -> None:
    path = store.paths.wal / store.segments[1]
    path.write_bytes(path.read_bytes()[: SEGMENT_HEADER.size - 1])
    feed = LogFeed(store.fs, store.paths.wal, store.identity)
    for ask in (lambda: feed.epoch_after(1), lambda: feed.epoch_of(8), lambda: feed.segment_of(4)):
        with pytest.raises(CorruptLog, match="ends in the segment's header"):
            ask()


@pytest.mark.parametrize("through", [3, 7])
def test_what_is_archived_between_two_looks_is_as_if_it_had_gone_before(
    store: Store, monkeypatch: pytest.MonkeyPatch, through: int
) -> None:
    def answers() -> list[Origin | None]:
        asked = (feed.epoch_of, feed.segment_of)
        return [
            feed.epoch_after(0),
            feed.epoch_after(1),
            *(ask(seq) for ask in asked for seq in range(1, 14)),
        ]

    feed = LogFeed(store.fs, store.paths.wal, store.identity)
    there = feed.segments()
    store.archive(through)
    after = answers()
    monkeypatch.setattr(feed, "segments", lambda: there)
    assert answers() == after
    assert [it.seq for it in after if it is not None][:1] == [through]

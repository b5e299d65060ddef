"""Archive and log as one stream: every event once, in order, whatever moves meanwhile."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from archivekit import Store
from hypothesis import given, settings
from hypothesis import strategies as st

import tidal.history
from tidal.errors import CorruptArchive, CorruptLog, MissingSegment, StorageError, TidalError
from tidal.format.payload import TypeSet, type_set
from tidal.history import newest_times, read_history
from tidal.ledger import SignalLedger
from tidal.schema import SchemaBuilder

SECOND = 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store")
    yield made
    with contextlib.suppress(TidalError):
        made.log.close()


def test_events_that_are_in_both_are_read_once(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())  # archived, and not forgotten
    assert len(store.segments) == 4
    assert store.events() == list(range(1, 15))


def test_a_store_without_an_archive(store: Store) -> None:
    assert store.events() == []
    store.fill([3, 4])
    assert store.events() == list(range(1, 8))


@settings(max_examples=25)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.integers(0, 30), st.data())
def test_any_range_is_what_the_log_had(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], needed_after: int, data: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("history") / "store")
    store.fill(counts)
    store.archive(needed_after)
    last = sum(counts)
    after = data.draw(st.integers(0, last))
    until = data.draw(st.none() | st.integers(after, last))
    assert store.events(after_seq=after, until_seq=until) == list(
        range(after + 1, (last if until is None else until) + 1)
    )
    since = data.draw(st.integers(0, last + 1))
    found = store.events(since=store.now + since * SECOND)
    assert found[-(last - since + 1) :] == list(range(max(1, since), last + 1)) or since > last
    assert store.events(types=[7]) == []
    store.log.close()


def test_it_replays_to_the_same_state(store: Store) -> None:
    schema = SchemaBuilder().signal("view", half_life="7d").signal("like", half_life="30d").build()
    store.fill([3, 400, 5, 65_536, 2])

    def replay() -> bytes:
        ledger = SignalLedger(schema)
        for _, batch in read_history(store.fs, store.paths, identity=store.identity):
            ledger.apply(batch)
        return ledger.state_digest()

    of_log = replay()
    store.archive()
    assert len(store.segments) == 1
    assert replay() == of_log


def test_a_file_that_is_lost_is_not_taken_for_retired(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    (store.paths.archive / store.files[1]).unlink()
    with pytest.raises(MissingSegment) as gap:
        store.events()
    assert (gap.value.first, gap.value.last) == (4, 7)
    assert store.events(until_seq=3) == [1, 2, 3]
    assert store.events(after_seq=7) == list(range(8, 15))


def test_a_gap_between_archive_and_log(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive(3)
    (store.paths.wal / "wal-00000000000000000004.seg").unlink()
    with pytest.raises(MissingSegment) as gap:
        store.events()
    assert (gap.value.first, gap.value.last) == (4, 7)


def test_more_than_there_is(store: Store) -> None:
    store.fill([3, 4])
    store.archive()
    with pytest.raises(MissingSegment) as gap:
        store.events(until_seq=9)
    assert (gap.value.first, gap.value.last) == (8, 9)


def test_a_file_of_the_same_place_and_other_events_is_refused(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for made in (store, other):
        made.fill([3, 4, 5, 2] if made is store else [3, 4, 6])
        made.archive()
    other.log.close()
    shutil.copy(other.paths.archive / other.files[1], store.paths.archive / store.files[1])
    assert store.events()  # the same bytes: the chain up to there is the same
    damaged = (store.paths.archive / store.files[2]).read_bytes()
    (store.paths.archive / store.files[1]).write_bytes(damaged)
    with pytest.raises(CorruptArchive, match="not the file that the manifest lists"):
        store.events()


def test_damage_is_named(store: Store) -> None:
    store.fill([3, 4, 5])
    store.archive()
    path = store.paths.archive / store.files[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArchive) as damage:
        store.events()
    assert damage.value.path == path
    segment = store.paths.wal / store.segments[-1]
    data = bytearray(segment.read_bytes())
    data[200] ^= 1
    segment.write_bytes(data)
    with pytest.raises(CorruptLog):
        store.events(after_seq=7, until_seq=12)


# ------------------------------------------------------------------------------------ beside a writer


def between(monkeypatch: pytest.MonkeyPatch, at: int, step: Any) -> None:
    """Run a step right after the history's n-th look (from 0) at the archive's manifest."""
    look = tidal.history.read_archive_manifest
    looks = iter(range(10**6))

    def watched(*arguments: Any) -> Any:
        found = look(*arguments)
        if next(looks) == at:
            step()
        return found

    monkeypatch.setattr(tidal.history, "read_archive_manifest", watched)


@pytest.mark.parametrize("at", range(5))
def test_segments_that_are_archived_between_two_looks(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    store.fill([3, 4, 5, 2])
    store.archive(3)
    between(monkeypatch, at, store.archive)
    assert store.events() == list(range(1, 15))


def test_files_that_are_retired_between_two_looks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    store.archiver = store.new_archiver(0)
    between(monkeypatch, 0, store.archive)
    with pytest.raises(MissingSegment) as gap:
        store.events()
    assert (gap.value.first, gap.value.last) == (1, 12)


def test_other_errors_of_the_disk_are_raised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise StorageError(5, "bad")

    store.fill([3])
    monkeypatch.setattr(tidal.history, "read_batches", fail)
    with pytest.raises(StorageError, match="bad"):
        store.events()


def test_readers_beside_a_writer_that_archives(store: Store) -> None:
    done = threading.Event()
    failures: list[BaseException] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        try:
            while not done.is_set():
                found = store.events()
                assert found == list(range(1, len(found) + 1))
                reads += 1
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while (reads < 3 and not failures) or len(store.files) < 30:
        store.fill([2, 3])
        store.archive()
    done.set()
    reader.join()
    assert not failures, failures
    assert reads >= 3


# ------------------------------------------------------------------------------------ one for the other


def both(store: Store) -> Path:
    """Four segments in log and archive; returns the second archive file, of the events 4 to 7."""
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())
    return store.paths.archive / store.files[1]


@pytest.mark.parametrize("damage", ["cut", "lost", "other"])
def test_the_log_stands_in_for_a_file_of_the_archive(
    store: Store, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = both(store)
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(
            path.read_bytes()[:-1] if damage == "cut" else path.with_name(store.files[0]).read_bytes()
        )
    assert store.events() == list(range(1, 15))
    assert store.events(after_seq=5, until_seq=6) == [6]
    assert "the log is read instead" in caplog.text


def test_what_the_log_has_not_either_is_the_archives_damage(store: Store) -> None:
    path = both(store)
    path.write_bytes(path.read_bytes()[:-1])
    store.log.forget(7)
    with pytest.raises(CorruptArchive) as damage:
        store.events()
    assert damage.value.path == path


def test_the_log_does_without_a_damaged_manifest_of_the_archive_if_it_can(store: Store) -> None:
    both(store)
    path = store.paths.archive / "manifest.json"
    path.write_bytes(path.read_bytes()[:-2])
    assert store.events(until_seq=14) == list(range(1, 15))
    with pytest.raises(CorruptArchive):  # where nobody says how much there must be, it cannot be known
        store.events()
    store.log.forget(3)
    assert store.events(after_seq=3, until_seq=14) == list(range(4, 15))
    with pytest.raises(CorruptArchive, match=r"manifest\.json"):
        store.events(until_seq=14)


def test_a_log_that_does_not_continue_the_archive_is_refused(store: Store, tmp_path: Path) -> None:
    """Of two copies that went their own ways one has the archive, the other the log."""
    store.fill([3, 4, 5])
    other = Store(tmp_path / "other")
    other.fill([2, 1, 4, 5])
    store.archive()
    shutil.copy(other.paths.wal / other.segments[3], store.paths.wal / store.segments[0])
    other.log.close()
    assert store.events(until_seq=7) == list(range(1, 8))
    with pytest.raises(CorruptLog, match=r"does not continue archive/manifest\.json"):
        store.events()


class Part(NamedTuple):
    min_time: int
    max_time: int
    types: TypeSet


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(-50, 50)), min_size=1, max_size=6)))
def test_newest_times_are_of_each_type_and_never_too_late(parts: list[list[tuple[int, int]]]) -> None:
    """From what a file says of its events: their types together, and their times together."""
    events = [event for part in parts for event in part]
    found = newest_times(
        Part(min(t for _, t in part), max(t for _, t in part), type_set({kind for kind, _ in part}))
        for part in parts
    )
    assert found.keys() == {kind for kind, _ in events}
    assert all(t <= max(at for kind, at in events if kind == type_id) for type_id, t in found.items())
    alone = [part for part in parts if len({kind for kind, _ in part}) == 1]
    assert all(found[part[0][0]] >= max(t for _, t in part) for part in alone)

"""Dictionaries in archives: made where they pay, read from whichever copy is good."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidal
from tidal.archive import ArchiveFile, archive_segments, read_archive, verify_archive, writer
from tidal.archive import dictionaries as made_here
from tidal.archive.dictionaries import make_dictionaries
from tidal.durable import OsFileSystem
from tidal.errors import CorruptArchive, FormatError
from tidal.format.archive import PlainHash, cut_directory, decode_dictionaries
from tidal.format.dictionary import BY_HASH, DICTIONARY_IDS_MAX, decode_dictionary
from tidal.format.payload import TAG_ENTITY_ID, TAG_SESSION_ID, TAG_USER_ID
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.inspect import verify
from tidal.ledger import SignalLedger
from tidal.ledger.gathering import ENTITIES_MIN
from tidal.salvage import salvage
from tidal.schema import EventBatch, IdColumn, SchemaBuilder
from tidal.schema.events import U64
from tidal.wal import LogWriter, parse_sync, read_batches

FS = OsFileSystem()
IDENTITY = LogIdentity(bytes(range(16)), epoch=1)
SCHEMA = SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
RNG = np.random.default_rng(11)
COUNT = 300_000
HASHED = RNG.integers(0, 2**64, 30_000, np.uint64)


def batch(ids: U64, users: IdColumn | None = None, sessions: IdColumn | None = None) -> EventBatch:
    count = len(ids)
    times = 1_700_000_000 * 10**9 + np.arange(count, dtype=np.int64) * 10**7
    return EventBatch(ids, np.zeros(count, np.uint8), np.ones(count, np.float32), times, users, sessions)


def blocks(events: EventBatch) -> list[EventBatch]:
    return [events.rows(start, start + 65_536) for start in range(0, len(events), 65_536)]


def logged(folder: Path, batches: list[EventBatch]) -> Path:
    """The sealed segment with these batches."""
    folder.mkdir(parents=True)
    log = LogWriter(
        FS, folder, identity=IDENTITY, next_seq=1, previous_hash=NO_HASH, sync=parse_sync("os"),
        wall_clock=lambda: 5, monotonic=lambda: 0.0,
    )  # fmt: skip
    for it in batches:
        for block in blocks(it):
            log.append(block)
    log.close()
    (path,) = folder.glob("*.seg")
    return path


def archived(folder: Path, batches: list[EventBatch]) -> Path:
    segment = logged(folder / "wal", batches)
    (folder / "archive").mkdir()
    archive_segments(FS, folder / "archive", [segment], identity=IDENTITY, schema=SCHEMA)
    (path,) = (folder / "archive").glob("*.arc")
    return path


def some_events(count: int = COUNT) -> EventBatch:
    """Entities without a pattern that come again, users of whom some are unknown, sessions in a row."""
    known = RNG.random(count) < 0.7
    users = np.where(known, HASHED[RNG.integers(0, 10_000, count)], np.uint64(0))
    sessions = (np.arange(count) // 9).astype(np.uint64)
    return batch(HASHED[RNG.integers(0, 30_000, count)], IdColumn(users, known), IdColumn(sessions))


def copies(path: Path) -> dict[int, tuple[int, int]]:
    """Where the two copies of each dictionary begin, by tag."""
    with ArchiveFile(FS, path) as file:
        placed = decode_dictionaries(file.header, cut_directory(file.header, file._directory)[1])
    return {entry.tag: places for entry, places in placed}


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)


def hash_of(path: Path) -> bytes:
    plain = PlainHash()
    for _, events in read_archive(FS, path):
        plain.add(events)
    return plain.digest()


# ------------------------------------------------------------------------------------ made where they pay


def test_ids_that_look_random_and_come_again_get_one() -> None:
    events = some_events()
    found = {it.entry.tag: it for it in make_dictionaries(blocks(events))}
    assert list(found) == [TAG_ENTITY_ID, TAG_USER_ID]
    assert found[TAG_ENTITY_ID].entry.ids == len(np.unique(events.entity_id))
    assert found[TAG_USER_ID].entry.ids == 10_001  # with the 0 of an unknown one


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(200_000, dtype=np.uint64),  # small numbers, close to each other
        RNG.integers(0, 2**64, 200_000, np.uint64),  # none comes again
        np.concatenate([RNG.choice(it, 65_536) for it in HASHED.reshape(6, -1)]),  # of a block, not of many
        (RNG.integers(0, 4, 300_000, np.uint64) << np.uint64(56))
        + RNG.integers(0, 100_000, 300_000, np.uint64),
        (RNG.integers(0, 2, 400_000, np.uint64) << np.uint64(63))
        + RNG.integers(0, 2**17, 400_000, np.uint64),
        np.uint64(2**60) + (RNG.integers(0, 30_000, 200_000, np.uint64) << np.uint64(22)),
    ],
    ids=["in a row", "once each", "by block", "kinds and numbers", "two kinds", "multiples"],
)
def test_what_gains_nothing_gets_none(ids: U64) -> None:
    assert make_dictionaries(blocks(batch(ids))) == []


def test_places_are_by_hash_where_replays_go_by_place() -> None:
    assert made_here.HASHED_MIN == ENTITIES_MIN


@pytest.mark.parametrize("hot", [1, 2, 50])
def test_no_step_is_mixed_with_the_next(hot: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come most often keep the first places, though all others ascend from there on."""
    monkeypatch.setattr(made_here, "HASHED_MIN", 1)
    ids = np.sort(HASHED)
    chosen = RNG.permutation(np.concatenate([np.repeat(ids[:hot], 200_000 // hot), np.repeat(ids, 6)]))
    (made,) = make_dictionaries(blocks(batch(chosen)))
    assert made.entry.order == BY_HASH
    assert made.codes(ids[:hot]).max() == hot - 1
    assert made.codes(ids[hot:]).min() == hot


def test_ids_come_in_steps_of_how_often_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_here, "HASHED_MIN", 30_000)
    often, seldom = np.sort(HASHED[:10_000]), np.sort(HASHED[10_000:])
    ids = RNG.permutation(np.concatenate([np.repeat(often, 32), np.repeat(seldom, 8)]))
    (made,) = make_dictionaries(blocks(batch(ids)))
    found = decode_dictionary(made.entry, made.stored)
    assert (made.entry.order, found.tolist() != [*often.tolist(), *seldom.tolist()]) == (BY_HASH, True)
    assert [np.sort(part).tolist() for part in (found[:10_000], found[10_000:])] == [
        often.tolist(),
        seldom.tolist(),
    ]
    assert found[made.codes(ids)].tolist() == ids.tolist()


def test_more_ids_than_a_file_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_here, "DICTIONARY_IDS_MAX", 39_000)
    assert [it.entry.tag for it in make_dictionaries(blocks(some_events()))] == [TAG_ENTITY_ID]
    monkeypatch.setattr(made_here, "DICTIONARY_IDS_MAX", 29_000)
    assert [it.entry.tag for it in make_dictionaries(blocks(some_events()))] == [TAG_USER_ID]


def test_a_file_with_dictionaries_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = batch(RNG.choice(HASHED, 300_000))
    small = archived(tmp_path / "with", [events])
    monkeypatch.setattr(writer, "DICTIONARY_EVENTS_MIN", 10**9)
    assert small.stat().st_size < 0.75 * archived(tmp_path / "without", [events]).stat().st_size


# ------------------------------------------------------------------------------------ what is read


IDS = st.lists(st.sampled_from(HASHED[:40].tolist()), max_size=120).map(lambda it: HASHED[:8].tolist() + it)
KNOWN = st.sampled_from(HASHED[:9].tolist())


@settings(max_examples=60)
@given(entities=IDS, data=st.data())
def test_every_event_comes_back_and_replays_alike(
    tmp_path_factory: pytest.TempPathFactory, entities: list[int], data: st.DataObject
) -> None:
    count = len(entities)

    def column() -> IdColumn | None:
        rows = st.lists(st.none() | KNOWN, min_size=count, max_size=count)
        found = data.draw(st.none() | rows)
        if found is None:
            return None
        known = np.array([it is not None for it in found])
        return IdColumn(np.array([it or 0 for it in found], np.uint64), None if known.all() else known)

    events = batch(np.array(entities, np.uint64), column(), column())
    base = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writer, "DICTIONARY_EVENTS_MIN", 1)
        patched.setattr(made_here, "_GAIN", 1000.0)  # also where it does not pay
        path = archived(base, [events.rows(0, count // 2), events.rows(count // 2, count)])
    assert TAG_ENTITY_ID in copies(path)
    from_log, replayed, again = PlainHash(), SignalLedger(SCHEMA), SignalLedger(SCHEMA)
    for _, it in read_batches(FS, base / "wal"):
        from_log.add(it)
        replayed.apply(it)
    for _, it in read_archive(FS, path):
        again.apply(it)
    assert hash_of(path) == from_log.digest() == verify_archive(FS, path).plain_hash
    assert again.state_digest() == replayed.state_digest()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archived(tmp_path_factory.mktemp("original"), [some_events()])


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / original.name
    copy.write_bytes(original.read_bytes())
    return copy


@pytest.mark.parametrize("number", [0, 1])
def test_one_damaged_copy_takes_nothing_away(
    path: Path, original: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    places = [both[number] for both in copies(path).values()]
    flip(path, *places)
    with caplog.at_level(logging.WARNING, "tidal.archive"):
        assert hash_of(path) == hash_of(original)
    events = [record.tidal["event"] for record in caplog.records]  # type: ignore[attr-defined]
    assert events == ([] if number else ["archive_dictionary_damaged"] * 2)
    with pytest.raises(CorruptArchive, match="does not match its hash") as caught:
        verify_archive(FS, path)
    assert caught.value.offset == places[0]
    report = verify(path)
    assert [(it.code, it.offset) for it in report.findings] == [("archive-damaged", it) for it in places]


def fields_of_entries(path: Path) -> list[int]:
    """A byte of each field of each dictionary's entry in the directory."""
    with ArchiveFile(FS, path) as file:
        end, count = file.header.directory_end, file.header.dictionaries
    return [
        end - (number + 1) * 48 + field for number in range(count) for field in (0, 1, 2, 3, 4, 8, 12, 16)
    ]


def test_a_damaged_entry_costs_no_event(original: Path, tmp_path: Path) -> None:
    for place in fields_of_entries(original):
        folder = tmp_path / str(place)
        (folder / "archive").mkdir(parents=True)
        path = folder / "archive" / original.name
        path.write_bytes(original.read_bytes())
        flip(path, place)
        assert any(it.code == "archive-damaged" for it in verify(path).findings)
        new = tmp_path / f"{place} saved"
        report = salvage(folder, new, schema=SCHEMA)
        assert report.events == COUNT, place
        with tidal.open(new, read_only=True) as saved:
            ids = set(saved.read("view", measures=[])["entity_id"].tolist())
        assert ids <= set(HASHED.tolist()), place


def test_entries_that_are_damaged_at_the_end_are_found(path: Path, original: Path) -> None:
    at = path.stat().st_size - 40
    flip(path, at)
    assert hash_of(path) == hash_of(original)
    with pytest.raises(CorruptArchive, match="entries of dictionaries at the end"):
        verify_archive(FS, path)
    (finding,) = verify(path).findings
    assert (finding.code, finding.offset) == ("archive-damaged", path.stat().st_size - 96)


def test_no_two_fields_of_an_entry_bring_in_other_ids(path: Path) -> None:
    with ArchiveFile(FS, path) as file:
        ((entry, places), *_) = decode_dictionaries(
            file.header, cut_directory(file.header, file._directory)[1]
        )
        stored = file._file.read_at(places[0], entry.stored_bytes)
    assert len(decode_dictionary(entry, stored)) == entry.ids
    for changed in (entry._replace(codec=3, ids=entry.ids + 1), entry._replace(tag=TAG_SESSION_ID)):
        with pytest.raises(FormatError, match="does not match its hash"):
            decode_dictionary(changed, stored)


def test_few_events_get_none(tmp_path: Path) -> None:
    events = batch(RNG.choice(HASHED, 300_000))
    assert copies(archived(tmp_path / "few", [events.rows(0, writer.DICTIONARY_EVENTS_MIN - 1)])) == {}
    assert list(copies(archived(tmp_path / "more", [events]))) == [TAG_ENTITY_ID]


def test_two_damaged_copies_stop_a_reader_and_say_of_what(path: Path) -> None:
    flip(path, *copies(path)[TAG_USER_ID])
    with pytest.raises(CorruptArchive, match=f"column {TAG_USER_ID} is of a dictionary that is not there"):
        hash_of(path)


def test_both_copies_are_the_same_bytes_and_far_apart(original: Path) -> None:
    data = original.read_bytes()
    with ArchiveFile(FS, original) as file:
        placed = decode_dictionaries(file.header, cut_directory(file.header, file._directory)[1])
        blocks = list(file.blocks())
    for entry, (first, second) in placed:
        assert data[first : first + entry.stored_bytes] == data[second : second + entry.stored_bytes]
        assert first < blocks[0].offset
        assert second >= blocks[-1].offset + blocks[-1].stored_bytes


def test_sessions_may_have_one_too() -> None:
    sessions = IdColumn(RNG.choice(HASHED, 200_000))
    found = make_dictionaries(blocks(batch(np.arange(200_000, dtype=np.uint64), sessions=sessions)))
    assert [it.entry.tag for it in found] == [TAG_SESSION_ID]


def test_what_is_left_of_a_store_is_good_with_one_good_copy(
    path: Path, original: Path, tmp_path: Path
) -> None:
    flip(path, *(first for first, _ in copies(path).values()))
    folder = tmp_path / "worn"
    (folder / "archive").mkdir(parents=True)
    path.rename(folder / "archive" / path.name)
    report = salvage(folder, tmp_path / "new", schema=SCHEMA)
    assert report.events == COUNT


def test_memory_is_bounded_by_the_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = RNG.permutation(np.repeat(RNG.integers(0, 2**64, 400_000, np.uint64), 4))
    path = archived(tmp_path, [batch(ids)])
    (entry,) = [it for it in copies(path)]
    tracemalloc.start()
    try:
        with ArchiveFile(FS, path) as file:
            file.read(next(file.blocks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    block = 65_536 * 64
    assert entry == TAG_ENTITY_ID
    assert peak < 4 * 8 * 400_000 + block, f"{peak / 2**20:.1f} MiB"
    assert 4 * 8 * DICTIONARY_IDS_MAX == 64 << 20  # so much for the largest, beside its block

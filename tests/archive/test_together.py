"""Segments that wait together go into one file; whatever is interrupted or damaged, none is lost by that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archivekit import Died, FailingFs, Store, spoil

from tidal.archive import (
    ArchiveFile,
    archive_segments,
    dictionaries,
    holds_segment,
    read_archive_manifest,
    writer,
)
from tidal.errors import CorruptArchive, CorruptLog, NoSpace
from tidal.format.archive_manifest import ArchivedFile
from tidal.ledger import SignalLedger
from tidal.schema import IdColumn
from tidal.wal.segments import check_ends, list_segments

ALL = 1 << 27


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "together", file_log_bytes=ALL)
    yield made
    made.log.close()


def sequences(files: tuple[ArchivedFile, ...]) -> list[tuple[int, int]]:
    return [(file.base_seq, file.last_seq) for file in files]


def test_all_that_waits_goes_into_one_file(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    infos = [check_ends(store.fs, path, None) for _, path in list_segments(store.fs, store.paths.wal)[:3]]
    report = store.archive()
    assert sequences(report.archived) == [(1, 12)]
    assert (len(report.removed), report.segment_bytes) == (3, sum(it.size for it in infos))
    (file,) = report.archived
    assert [it.last_seq for it in file.segments] == [3, 7]
    with ArchiveFile(store.fs, store.paths.archive / store.files[0]) as opened:
        header = opened.header
    assert (header.batches, header.segment_bytes) == (3, report.segment_bytes)
    assert (header.previous, header.final_hash) == (infos[0].header.previous, infos[2].final_hash)
    assert store.events() == list(range(1, 15))
    for info in infos:
        key = info.base_seq, info.last_seq, info.final_hash
        assert holds_segment(store.fs, store.paths.archive, store.identity, *key)
    assert not holds_segment(store.fs, store.paths.archive, store.identity, 1, 7, infos[1].final_hash)
    store.fill([6, 2])
    assert sequences(store.archive().archived) == [(13, 20)]
    assert store.events() == list(range(1, 23))


def test_no_file_has_more_of_the_log_than_it_may(store: Store) -> None:
    store.fill([9] * 8)
    size = check_ends(store.fs, store.paths.wal / store.segments[1], None).size
    store.file_log_bytes = 3 * size
    store.archiver = store.new_archiver()
    assert sequences(store.archive().archived) == [(1, 27), (28, 54), (55, 63)]


def test_stop_is_asked_between_files(store: Store) -> None:
    store.fill([9] * 6)
    store.file_log_bytes = 2 * check_ends(store.fs, store.paths.wal / store.segments[1], None).size
    told: list[tuple[int, int]] = []
    report = store.new_archiver().run(
        54, store.log.forget, stop=lambda: len(told) == 2, progress=lambda *it: told.append(it)
    )
    assert sequences(report.archived) == [(1, 18), (19, 36)]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == report.segment_bytes < told[-1][1]


@pytest.mark.parametrize("error", [Died(), NoSpace(28, "full")], ids=["end of the process", "full disk"])
def test_no_interruption_loses_an_event(tmp_path: Path, error: BaseException) -> None:
    at = 0
    while True:
        store = Store(tmp_path / str(at), file_log_bytes=ALL)
        store.fill([3, 4, 70, 2])
        fs = FailingFs(at, error)
        archiver = store.new_archiver(fs=fs)
        failed = True
        try:
            archiver.run(79, lambda seq, fs=fs, log=store.log: (fs.step(), log.forget(seq), fs.step())[1])
            failed = False
        except type(error):
            pass
        assert store.events() == list(range(1, 80))
        store.archiver = store.new_archiver()
        store.archive()
        assert (len(store.files), len(store.segments)) == (1, 1)
        assert store.events() == list(range(1, 80))
        store.log.close()
        shutil.rmtree(store.paths.base)
        if not failed:
            break
        at += 1
    assert at > 30


@pytest.mark.parametrize("lost", [False, True])
def test_a_file_that_went_bad_is_made_again_while_the_log_has_it(store: Store, lost: bool) -> None:
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())  # a crash, say, kept the segments in the log
    path = store.paths.archive / store.files[0]
    good = spoil(path, lost)
    report = store.new_archiver().run(14, store.log.forget)
    assert sequences(report.archived) == [(1, 12)] and len(report.removed) == 3
    assert path.read_bytes() == good
    assert store.events() == list(range(1, 15))


def test_it_may_be_made_again_as_several(store: Store) -> None:
    """By another version, say, that puts less into a file."""
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())
    (store.paths.archive / store.files[0]).unlink()
    made: list[int] = []

    def only_one(fs, directory, segments, **options):  # type: ignore[no-untyped-def]
        made.append(len(segments))
        return archive_segments(fs, directory, segments[:1], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidal.archive.upkeep.archive_segments", only_one)
        report = store.new_archiver().run(14, store.log.forget)
    assert made == [3, 2, 1]
    assert sequences(report.archived) == [(1, 3), (4, 7), (8, 12)]
    assert store.events() == list(range(1, 15))


def test_of_a_bad_file_the_log_has_a_part_of(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())
    (store.paths.archive / store.files[0]).unlink()
    store.log.forget(3)
    with pytest.raises(CorruptArchive, match="of its events the log has only those from 4 to 12; restore"):
        store.archive()
    assert len(store.segments) == 3
    manifest = read_archive_manifest(store.fs, store.paths.archive, store.identity)
    assert manifest is not None and sequences(manifest.files) == [(1, 12)]


def test_a_segment_that_does_not_continue_the_one_before_it(store: Store, tmp_path: Path) -> None:
    store.fill([3, 4, 5, 2])
    other = Store(tmp_path / "other")
    other.fill([3, 3, 1, 5, 2])
    foreign = other.paths.wal / "wal-00000000000000000008.seg"
    shutil.copy(foreign, store.paths.wal / foreign.name)
    other.log.close()
    paths = [path for _, path in list_segments(store.fs, store.paths.wal)[:3]]
    with pytest.raises(CorruptLog, match=r"does not continue wal-00000000000000000004\.seg"):
        archive_segments(
            store.fs, store.paths.archive, paths, identity=store.identity, schema=store.archiver._schema
        )
    with pytest.raises(CorruptLog, match="does not continue the archive"):
        store.archive()
    assert len(store.segments) == 4


def test_fewer_segments_where_their_ids_are_too_many_for_one_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dictionary for half of the events is worth more than none for all."""
    monkeypatch.setattr(writer, "DICTIONARY_EVENTS_MIN", 1)
    monkeypatch.setattr(dictionaries, "DICTIONARY_IDS_MAX", 100)
    monkeypatch.setattr(dictionaries, "_GAIN", 1000)  # so few events do not pay for one
    rng = np.random.default_rng(3)
    batches = [
        replace(
            store.batch(300, 1 + 300 * part), entities=np.resize(rng.integers(0, 2**64, 30, np.uint64), 300)
        )
        for part in range(8)
    ]
    for batch in batches:
        store.log.append(batch)
    store.fill([1])
    files = store.archive().archived
    assert sequences(files) == [(1, 600), (601, 1500), (1501, 2400)]
    for name in store.files:
        with ArchiveFile(store.fs, store.paths.archive / name) as opened:
            assert opened.header.dictionaries == 1
    replayed, alone = SignalLedger(store.archiver._schema), SignalLedger(store.archiver._schema)
    for name in store.files:
        with ArchiveFile(store.fs, store.paths.archive / name) as opened:
            for _, batch in opened.events():
                replayed.apply(batch)
    for batch in batches:
        alone.apply(batch)
    assert replayed.state_digest() == alone.state_digest()


def test_nothing_is_forgotten_whose_file_went_bad_when_archiving_is_told_to_stop(store: Store) -> None:
    """A later file is good; that the log may go up to it does not follow."""
    store.fill([9] * 4)
    store.file_log_bytes = 2 * check_ends(store.fs, store.paths.wal / store.segments[1], None).size
    store.new_archiver().run(36, lambda seq: ())
    assert len(store.files) == 2
    (store.paths.archive / store.files[0]).unlink()
    report = store.new_archiver(0).run(36, store.log.forget, stop=lambda: True)
    assert (report.archived, report.removed, report.retired) == ((), (), ())
    assert store.events() == list(range(1, 37))
    report = store.new_archiver().run(36, store.log.forget)
    assert (sequences(report.archived), len(report.removed)) == ([(1, 18)], 3)
    assert store.events() == list(range(1, 37))


def test_a_file_is_made_again_of_all_its_segments_wherever_the_limit_is_now(store: Store) -> None:
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())
    (store.paths.archive / store.files[0]).unlink()
    report = store.new_archiver().run(5, store.log.forget)
    assert sequences(report.archived) == [(1, 12)]
    assert [path.name for path in report.removed] == ["wal-00000000000000000001.seg"]
    assert store.events() == list(range(1, 15))


def test_a_damaged_segment_does_not_hold_up_those_before_it(store: Store) -> None:
    store.fill([3, 4, 5, 6, 2])
    path = store.paths.wal / store.segments[2]
    path.write_bytes(path.read_bytes()[:200] + b"?" + path.read_bytes()[201:])
    with pytest.raises(CorruptLog, match=path.name):
        store.archive()
    manifest = read_archive_manifest(store.fs, store.paths.archive, store.identity)
    assert manifest is not None and sequences(manifest.files) == [(1, 7)]


def test_a_column_of_which_each_event_has_an_id_of_its_own_makes_no_file_smaller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dictionaries, "DICTIONARY_IDS_MAX", 100)
    ids, unique = np.arange(600, dtype=np.uint64) % 10, np.arange(600, dtype=np.uint64)
    batch = replace(Store.batch(600, 1), entities=ids)
    blocks = [batch.rows(start, start + 60) for start in range(0, 600, 60)]
    own = [replace(it, session_id=IdColumn(unique[60 * i : 60 * i + 60])) for i, it in enumerate(blocks)]
    dictionaries.make_dictionaries(own, or_fewer=True)
    with pytest.raises(dictionaries.DictionariesFull):
        shared = [
            replace(it, session_id=IdColumn(unique[60 * i : 60 * i + 60] // 4)) for i, it in enumerate(own)
        ]
        dictionaries.make_dictionaries(shared, or_fewer=True)

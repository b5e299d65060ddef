"""What may be archived, when it leaves the log, and that nothing is lost wherever that is interrupted."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from archivekit import Died, FailingFs, Store, spoil

from tidal.archive import read_archive_manifest, verify_archive
from tidal.archive.marks import Marks
from tidal.errors import CorruptArchive, CorruptLog, MissingSegment, NoSpace, StorageError

DAY = 86400 * 10**9


def names(*bases: int) -> list[str]:
    return [f"archive-{base:020}.arc" for base in bases]


def test_the_log_gives_up_what_is_archived(store) -> None:
    store.fill([3, 4, 5, 2])
    report = store.archive()
    assert store.files == names(1, 4, 8)
    assert [path.name for path in report.removed] == [f"wal-{base:020}.seg" for base in (1, 4, 8)]
    assert store.segments == ["wal-00000000000000000013.seg"]
    assert (report.events, report.held_at, report.held_by) == (12, 14, "checkpoint")
    assert report.archived_bytes == sum((store.paths.archive / name).stat().st_size for name in store.files)
    assert store.events() == list(range(1, 15))


def test_a_second_run_has_nothing_to_do(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    report = store.archive()
    assert (report.archived, report.removed, report.segment_bytes) == ((), (), 0)


@pytest.mark.parametrize(
    ("needed_after", "archived"),
    [(0, 0), (2, 0), (3, 1), (6, 1), (7, 2), (11, 2), (12, 3), (13, 3), (14, 3)],
)
def test_a_segment_stays_while_the_older_checkpoint_lacks_an_event_of_it(
    store, needed_after: int, archived: int
) -> None:
    store.fill([3, 4, 5, 2])  # they end at 3, 7, 12; the last one never goes
    assert len(store.archive(needed_after).archived) == archived


def test_a_mark_holds_back(store) -> None:
    store.fill([3, 4, 5, 2])
    marks = Marks(store.fs, store.paths.archive, store.identity.store_id)
    marks.set("follower", 6)
    marks.set("other", 13)
    report = store.archive()
    assert (len(report.archived), report.held_at, report.held_by) == (1, 6, "follower")
    marks.remove("follower")
    assert len(store.archive().archived) == 2


def test_a_mark_that_goes_back_stops_retention(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    Marks(store.fs, store.paths.archive, store.identity.store_id).set("late", 5)
    store.archiver = store.new_archiver(0)
    assert [file.base_seq for file in store.archive().retired] == [1]
    assert store.events(after_seq=5) == list(range(6, 15))


def test_retention_by_size(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    sizes = [(store.paths.archive / name).stat().st_size for name in store.files]
    store.archiver = store.new_archiver(sizes[1] + sizes[2])
    assert [file.base_seq for file in store.archive().retired] == [1]
    store.archiver = store.new_archiver(sizes[1] + sizes[2] - 1)
    assert [file.base_seq for file in store.archive().retired] == [4]
    assert store.files == names(8)
    assert store.events(after_seq=7) == list(range(8, 15))
    with pytest.raises(MissingSegment) as gap:
        store.events(after_seq=2)
    assert (gap.value.first, gap.value.last) == (3, 7)


def test_retention_by_age_is_of_the_newest_event_in_a_file(store) -> None:
    store.fill([3, 4, 5, 2])  # event n is at second n
    store.archiver = store.new_archiver("1d")
    second = 10**9
    start = store.now
    store.now = start + DAY + 7 * second
    assert [file.base_seq for file in store.archive().retired] == [1]
    store.now += second
    assert [file.base_seq for file in store.archive().retired] == [4]


def test_a_lost_file_may_be_retired(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    (store.paths.archive / store.files[0]).unlink()
    store.archiver = store.new_archiver(0)
    assert len(store.archive().retired) == 3
    assert store.archive().retired == ()


def test_everything_may_be_retired_and_archiving_goes_on(store) -> None:
    store.fill([3, 4])
    store.archiver = store.new_archiver(0)
    assert [file.base_seq for file in store.archive().retired] == [1]
    store.fill([5])
    report = store.archive()
    assert [file.base_seq for file in report.retired] == [4]
    manifest = read_archive_manifest(store.fs, store.paths.archive, store.identity)
    assert manifest is not None
    assert (manifest.start_seq, manifest.last_seq, manifest.files) == (8, 7, ())
    assert store.events(after_seq=7) == list(range(8, 13))


def test_stop_is_asked_between_segments_and_progress_told(store) -> None:
    store.fill([3, 4, 5, 2])
    told: list[tuple[int, int]] = []
    report = store.archiver.run(
        14, store.log.forget, stop=lambda: len(told) == 2, progress=lambda *it: told.append(it)
    )
    assert len(report.archived) == len(report.removed) == 2
    assert told[-1][0] == report.segment_bytes < told[-1][1]


# ------------------------------------------------------------------------------------ interruptions


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sweep(error: BaseException, tmp_path: Path, retain: str | int) -> int:
    """Archive, failing at each call in turn; return how many there were. Each time nothing may be lost, and
    the next run must do the rest.
    """
    undisturbed = Store(tmp_path / "undisturbed")
    undisturbed.fill([3, 4, 70, 2])
    undisturbed.archiver = undisturbed.new_archiver(retain)
    undisturbed.archive()
    expected = files_of(undisturbed.paths.archive), undisturbed.segments
    undisturbed.log.close()
    kept_from = 1 if retain == "forever" else 78
    at = 0
    while True:
        store = Store(tmp_path / str(at))
        store.fill([3, 4, 70, 2])
        fs = FailingFs(at, error)
        archiver = store.new_archiver(retain, fs)
        try:
            archiver.run(79, lambda seq, fs=fs, log=store.log: (fs.step(), log.forget(seq), fs.step())[1])
        except type(error):
            pass
        else:
            assert fs.calls == at
            return at
        finally:
            manifest = read_archive_manifest(store.fs, store.paths.archive, store.identity)
            start = manifest.start_seq if manifest else 1
            assert start in {1, kept_from}
            assert store.events(after_seq=start - 1) == list(range(start, 80))
            if isinstance(error, NoSpace):
                assert not list(store.paths.archive.glob("*.tmp"))
            store.archiver = store.new_archiver(retain)
            store.archive()
            assert (files_of(store.paths.archive), store.segments) == expected
            store.log.close()
            shutil.rmtree(store.paths.base)
        at += 1


@pytest.mark.parametrize(
    ("error", "retain"),
    [
        (NoSpace(errno.ENOSPC, "full"), 0),
        (StorageError(errno.EIO, "bad"), 0),
        (None, 0),
        (None, "forever"),
    ],
    ids=["full disk", "input/output error", "end of the process", "nothing retired"],
)
def test_no_interruption_loses_an_event(
    tmp_path: Path, error: BaseException | None, retain: str | int
) -> None:
    assert sweep(error or Died(), tmp_path, retain) > 40


def test_a_manifest_whose_sync_failed_is_written_again_before_the_log_lets_go(store) -> None:
    """The manifest that can be read may not be the one that a power cut leaves."""
    store.fill([3, 4])
    count = FailingFs(10**9, StorageError())
    store.new_archiver(fs=count).run(7, lambda seq: (count.step(), ())[1])
    last_sync_dir = count.calls - 2  # then the log was told
    (store.paths.archive / "manifest.json").unlink()
    fs = FailingFs(last_sync_dir, StorageError(errno.EIO, "bad"))
    archiver = store.new_archiver(fs=fs)
    with pytest.raises(StorageError):
        archiver.run(7, store.log.forget)
    assert (store.paths.archive / "manifest.json").exists()
    assert len(store.segments) == 2
    fs.renamed.clear()
    renamed_before: list[list[str]] = []
    archiver.run(7, lambda seq: (renamed_before.append(list(fs.renamed)), ())[1])
    assert renamed_before == [["manifest.json"]]


# ------------------------------------------------------------------------------------ refusals


def test_a_damaged_segment_is_not_archived(store) -> None:
    store.fill([3, 4])
    path = store.paths.wal / store.segments[0]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptLog):
        store.archive()
    assert (store.files, len(store.segments)) == ([], 2)


def test_a_gap_in_the_log_is_refused(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive(3)
    (store.paths.wal / "wal-00000000000000000004.seg").unlink()
    with pytest.raises(MissingSegment) as gap:
        store.archive()
    assert (gap.value.first, gap.value.last) == (4, 7)


def test_a_lost_manifest_is_not_begun_anew(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive(3)
    (store.paths.archive / "manifest.json").unlink()
    with pytest.raises(CorruptArchive, match=r"the manifest is missing, but .*0001\.arc"):
        store.archive()
    assert len(store.segments) == 3


def test_a_segment_of_other_events_is_refused(store, tmp_path: Path) -> None:
    store.fill([3, 4, 5, 2])
    other = Store(tmp_path / "other")
    other.fill([3, 3, 5, 2])
    store.archiver.run(7, lambda seq: ())  # archived, and still in the log
    shutil.copy(other.paths.wal / other.segments[1], store.paths.wal / other.segments[1])
    other.log.close()
    with pytest.raises(CorruptLog, match="the archive has other events of these sequences"):
        store.archive()


def test_a_segment_that_does_not_continue_the_archive_is_refused(store, tmp_path: Path) -> None:
    store.fill([3, 4, 5, 2])
    store.archive(3)
    other = Store(tmp_path / "other")
    other.fill([2, 1, 4, 5])
    shutil.copy(other.paths.wal / other.segments[2], store.paths.wal / other.segments[2])
    other.log.close()
    with pytest.raises(CorruptLog, match="does not continue the archive"):
        store.archive()


def test_what_retention_left_behind_is_removed_by_the_next_run(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    copy = (store.paths.archive / names(1)[0]).read_bytes()
    store.archiver = store.new_archiver(0)
    store.archive()
    (store.paths.archive / names(1)[0]).write_bytes(copy)
    (store.paths.archive / (names(99)[0] + ".tmp")).write_bytes(b"half")
    store.archive()
    assert store.files == []


def test_archives_verify(store) -> None:
    store.fill([3, 4, 5, 2])
    store.archive()
    headers = [verify_archive(store.fs, store.paths.archive / name, from_device=True) for name in store.files]
    assert [(it.base_seq, it.last_seq) for it in headers] == [(1, 3), (4, 7), (8, 12)]
    assert [it.previous for it in headers[1:]] == [it.final_hash for it in headers[:-1]]


@pytest.mark.parametrize("lost", [False, True])
def test_the_log_lets_go_of_nothing_whose_file_went_bad_meanwhile(store, lost: bool) -> None:
    store.fill([3, 4, 5, 2])
    store.archiver.run(14, lambda seq: ())  # a crash, say, kept the segments in the log
    path = store.paths.archive / store.files[1]
    good = spoil(path, lost)
    report = store.new_archiver().run(14, store.log.forget)
    assert [file.base_seq for file in report.archived] == [4] and len(report.removed) == 3
    assert path.read_bytes() == good
    assert [file.name for file in store.paths.quarantine.glob("*")] == ([] if lost else [path.name])
    assert store.events() == list(range(1, 15))

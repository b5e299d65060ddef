"""A whole store at a glance: what it says of a good one, of damaged ones, and beside a writer."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faultkit.hooked import Call, HookedFs
from worn import EVENTS, ROUNDS, SCHEMA, START, files_of, fill, make_store

import tidal
from tidal.durable import File, OsFileSystem
from tidal.errors import StorageError, UsageError
from tidal.inspect import Severity, Survey, examine, survey, survey_store
from tidal.inspect.place import Place

LAST = ROUNDS * EVENTS
NEWEST = START + (LAST - 1) * 10**9


def codes(found: Survey) -> set[tuple[str, str]]:
    return {(finding.code, finding.file) for finding in found.findings}


# ------------------------------------------------------------------------------------ a good store


def test_what_a_store_that_has_lived_holds(store: Path) -> None:
    found = survey(store)
    assert (found.findings, found.exists, found.is_store) == ((), True, True)
    assert (found.first_seq, found.last_seq, found.newest_time) == (1, LAST, NEWEST)
    assert (found.log.segments, found.log.first_seq, found.log.last_segment_seq) == (2, 241, 301)
    assert (found.log.last_seq, found.log.start_seq, found.log.epoch) == (LAST, 241, ROUNDS)
    assert (found.log.clean, found.log.batches_to_replay) == (True, 0)
    assert (found.archive.files, found.archive.first_seq, found.archive.last_seq) == (4, 1, 240)
    assert (found.archive.oldest_time, found.archive.newest_time) == (START, START + 239 * 10**9)
    assert [one.seq for one in found.checkpoints] == [360, 300]
    assert found.marks == {"follower": 1}
    assert found.schema is not None and found.schema.names == SCHEMA.names


def test_sizes_are_those_of_the_files(store: Path) -> None:
    found = survey(store)
    folders = {"log": "wal", "archive": "archive", "checkpoints": "checkpoints"}
    sizes = {part: sum(p.stat().st_size for p in (store / name).iterdir()) for part, name in folders.items()}
    assert {part: found.disk[part] for part in sizes} == sizes
    assert found.disk["entities"] == (store / "entities.sqlite").stat().st_size
    assert found.disk["total"] == sum(size for part, size in found.disk.items() if part != "total")
    assert (found.log.bytes, found.archive.bytes) == (sizes["log"], sizes["archive"])


def test_a_checkpoint_tells_entities_sessions_and_bytes(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, sync="os") as db:
        db.ingest(signal="view", entity_id=[f"item{n}" for n in range(7)])
        db.signal("follow", 3)
        with db.session(user_id=1, agent="a"):
            pass
        db.session(user_id=2, agent="a")
    (newest, *_) = survey(tmp_path / "store").checkpoints
    assert {name: state.entities for name, state in newest.signals.items()} == {"view": 7, "follow": 1}
    assert all(state.bytes >= 20 * state.entities for state in newest.signals.values())  # id, sum, total
    assert sum(state.bytes for state in newest.signals.values()) < newest.bytes
    assert (newest.sessions_open, newest.sessions_closed) == (1, 1)
    assert newest.bytes == (tmp_path / "store" / newest.file).stat().st_size
    assert newest.written_at == (tmp_path / "store" / newest.file).stat().st_mtime_ns


def test_jobs_are_counted(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, sync="os") as db:
        db.signal("view", 1)
        job = db.jobs.create("signals", format="jsonl")
        db.jobs.wait(job.id)
    found = survey(tmp_path / "store")
    assert found.jobs.by_status == {"done": 1} and 0 < found.jobs.bytes == found.disk["exports"]
    (document,) = (tmp_path / "store" / "exports" / "jobs").glob("*.job")
    document.write_text("{}")
    found = survey(tmp_path / "store")
    assert found.jobs.by_status == {}
    assert codes(found) == {("job-damaged", f"exports/jobs/{document.name}")}


def test_what_opening_would_replay(tmp_path: Path) -> None:
    db = tidal.open(tmp_path / "store", schema=SCHEMA, sync="os", clock="event")
    try:
        fill(db, 0)
        db.checkpoint()
        fill(db, 1)
        ahead = survey(tmp_path / "store").reopening
    finally:
        db.close()
    assert (ahead.checkpoint_seq, ahead.replay_events, ahead.replay_batches) == (EVENTS, EVENTS, 6)
    assert ahead.checkpoint_bytes > 0 and 0 < ahead.estimated_seconds < 1
    assert survey(tmp_path / "store").reopening.replay_events == 0


# ------------------------------------------------------------------------------------ nothing there


def test_no_folder_an_empty_one_and_one_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for name, exists in (("none", False), ("empty", True), ("other", True)):
        found = survey(tmp_path / name)
        assert (found.exists, found.is_store, found.last_seq, found.findings) == (exists, False, 0, ())
    with pytest.raises(UsageError, match="not a folder"):
        survey(tmp_path / "other" / "notes.txt")
    for name in ("none", "empty", "other"):
        with pytest.raises((UsageError, tidal.StoreMissing)):
            survey_store(tmp_path / name)


def test_a_folder_of_archives_is_no_store(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store / "archive", tmp_path / "archives")
    with pytest.raises(UsageError, match="name the folder of a store"):
        survey_store(tmp_path / "archives")


# ------------------------------------------------------------------------------------ damaged ones


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM: list[Callable[[Path], None]] = [Path.unlink, cut, blank, link, folder]
NEEDED = ("store.json", "schema.json", "wal/", "archive/archive-", "archive/manifest.json", "checkpoints/")


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_each_file_that_is_harmed_is_a_finding(
    original: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    for number, name in enumerate(files_of(original)):
        store = Path(shutil.copytree(original, tmp_path / str(number)))
        harm(store / name)
        found = survey(store)
        examine(found, NEWEST)
        harmless = harm is Path.unlink and name.startswith("checkpoints/")  # one fewer
        # Bytes inside a listed segment or archive file, and SQLite's, are what verify() reads.
        unread = harm is blank and name.startswith(("archive/archive-", "wal/wal-00000000000000000241"))
        if name.startswith(NEEDED) and not harmless and not unread:
            assert {one.severity for one in found.findings} & {Severity.DAMAGE}, (name, found.findings)


def test_a_listed_file_of_another_size(store: Path) -> None:
    segment = store / "wal" / "wal-00000000000000000241.seg"
    archived = store / "archive" / "archive-00000000000000000061.arc"
    for path in (segment, archived):
        path.write_bytes(path.read_bytes() + b"x")
    assert {finding.code: (finding.first_seq, finding.last_seq) for finding in survey(store).findings} == {
        "manifest-misfit": (None, None),
        "archive-damaged": (61, 120),
    }


def test_a_folder_that_is_gone_or_no_folder(store: Path) -> None:
    shutil.rmtree(store / "wal")
    assert ("manifest-missing", "wal/manifest.json") in codes(survey(store))
    (store / "wal").write_text("a file")
    shutil.rmtree(store / "checkpoints")
    (store / "checkpoints").symlink_to(store / "items")
    found = survey(store)
    assert {"wal", "checkpoints"} <= {finding.file for finding in found.findings}
    assert found.archive.files == 4


def test_a_store_without_its_identity_still_tells(store: Path) -> None:
    (store / "store.json").unlink()
    found = survey(store)
    assert ("identity-damaged", "store.json") in codes(found)
    assert (found.store_id, found.last_seq, found.archive.files) == (None, LAST, 4)


def test_whatever_the_disk_refuses_to_read_is_a_finding(store: Path) -> None:
    calls: list[Call] = []
    survey(store, file_system=HookedFs(lambda call: calls.append(call) or call.run()))
    kinds = {
        (call.op, call.path) for call in calls if call.op in ("list_dir", "open_read", "read_at", "size")
    }
    assert len(kinds) > 40
    for bad in sorted(kinds):

        def refuse(call: Call, bad: tuple[str, Path] = bad) -> object:
            if (call.op, call.path) == bad:
                raise StorageError(errno.EIO, "Input/output error", str(call.path))
            return call.run()

        if bad == ("list_dir", store):
            with pytest.raises(StorageError, match="Input/output"):
                survey(store, file_system=HookedFs(refuse))
            continue
        found = survey(store, file_system=HookedFs(refuse))
        told = {finding.severity for finding in found.findings} & {Severity.UNREADABLE, Severity.DAMAGE}
        # The size of what nobody lists is no more than a figure.
        assert told or (bad[0] == "size" and not bad[1].name.startswith(("wal-", "archive-"))), bad
        examine(found, NEWEST)


def test_a_checkpoint_of_another_store(store: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", rounds=7, archive=False)
    (name,) = (path.name for path in (other / "checkpoints").iterdir() if path.name.endswith("0420.ckpt"))
    shutil.copy(other / "checkpoints" / name, store / "checkpoints" / name)
    found = survey(store)
    assert codes(found) == {("checkpoint-foreign", f"checkpoints/{name}")}
    assert [one.seq for one in found.checkpoints] == [360, 300] and found.last_seq == LAST


def test_leftovers_and_quarantine(store: Path) -> None:
    (store / "checkpoints" / "checkpoint-00000000000000000400.ckpt.tmp").write_text("half")
    (store / "quarantine").mkdir()
    (store / "quarantine" / "wal-1.seg.tail").write_text("torn")
    found = survey(store)
    assert codes(found) == {("leftover", "checkpoints/checkpoint-00000000000000000400.ckpt.tmp")}
    assert found.quarantined == ("wal-1.seg.tail",) and found.disk["quarantine"] == 4


# ------------------------------------------------------------------------------------ beside a writer


def test_beside_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with tidal.open(path, schema=SCHEMA, sync="os", clock="event") as db:
        for number in range(5):
            fill(db, number)
            db.checkpoint()
            found = survey(path)
            assert found.last_seq == db.last_seq and found.log.clean is False
            assert not [f for f in found.findings if f.severity is not Severity.UNFINISHED], found.findings
            db.archive()
    assert survey(path).log.clean is True


class Busy(OsFileSystem):
    """What the log's manifest says when it is first opened is out of date when it was read."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__()
        self.change: Callable[[], object] | None = change

    def open_read(self, path: Path) -> File:
        file = super().open_read(path)
        if path.parent.name == "wal" and path.name == "manifest.json" and self.change is not None:
            change, self.change = self.change, None
            change()
        return file


def test_what_changes_while_it_is_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for number in range(4):
        with tidal.open(path, schema=SCHEMA, sync="os", clock="event", archive=False) as db:
            fill(db, number)
    with tidal.open(path, schema=SCHEMA, sync="os", clock="event", archive=False) as db:
        segments = survey(path).log.segments
        found = survey(path, file_system=Busy(db.archive))
    assert [f for f in found.findings if f.severity is Severity.DAMAGE] == []
    assert found.log.segments < segments


class Untouchable(OsFileSystem):
    """What a folder that may only be read allows."""

    def _refuse(self, *_: object, **__: object) -> None:
        raise AssertionError("a survey changes nothing")

    create = open_append = rename = remove = make_dir = sync_dir = lock = _refuse  # type: ignore[assignment]


def test_no_byte_is_changed(store: Path) -> None:
    (store / "checkpoints" / "left.tmp").write_text("half")
    before = files_of(store)
    for path in (*store.rglob("*"), store):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        found = survey(store, file_system=Untouchable())
        examine(found, NEWEST)
    finally:
        for path in (store, *store.rglob("*")):
            path.chmod(0o700)
    assert found.last_seq == LAST and files_of(store) == before


def test_the_place_can_be_told(store: Path) -> None:
    place = Place(free_bytes=17)
    assert survey(store, place=place).place == place

"""verify(): it finds every change of every file, names it, changes nothing, and cries no wolf."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from replicakit import events, leader_at
from worn import EVENTS, ROUNDS, SCHEMA, START, files_of, fill, make_store

import tidal
from tidal.durable import OsFileSystem
from tidal.errors import StorageError, StoreMissing, TidalError, UsageError
from tidal.format.frame import decode_frame
from tidal.format.segment import SEGMENT_HEADER, decode_segment_header
from tidal.inspect import Report, Severity, verify

FLIPS = 12  # of each file; the whole sweep is a few hundred
NOT_HASHED = ("LOCK", "entities.sqlite")


def damaged(report: Report) -> set[str]:
    return {finding.file for finding in report.findings if finding.severity is Severity.DAMAGE}


def flip(path: Path, offset: int, mask: int = 0x01) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def frame_starts(path: Path) -> list[int]:
    data = memoryview(path.read_bytes())
    identity = decode_segment_header(data)[0].identity
    starts, offset = [], SEGMENT_HEADER.size
    while bytes(data[offset : offset + 4]) != b"TdlS":
        starts.append(offset)
        offset = decode_frame(data, offset, identity).end
    return starts


def segments(store: Path) -> list[Path]:
    return sorted((store / "wal").glob("*.seg"))


# ------------------------------------------------------------------------------------ good stores


def test_a_good_store_has_nothing_to_say_of(store: Path) -> None:
    report = verify(store)
    assert (report.findings, report.worst, report.damaged) == ((), None, False)
    assert (report.kind, report.first_seq, report.last_seq) == ("store", 1, ROUNDS * EVENTS)
    assert report.store_id == json.loads((store / "store.json").read_text())["store_id"]
    looked = {file.file for file in report.files}
    assert looked == files_of(store).keys() - {"LOCK"}
    assert all(report.state_of(file) == "good" for file in looked)


def test_it_changes_nothing_and_may_not(store: Path) -> None:
    before = files_of(store)
    for folder, _, names in os.walk(store):
        for name in names:
            os.chmod(Path(folder) / name, 0o400)
        os.chmod(folder, 0o500)
    flip_target = segments(store)[0]
    verify(store)
    assert files_of(store) == before
    os.chmod(flip_target, 0o600)
    flip(flip_target, 200)
    before = files_of(store)
    assert verify(store).damaged
    assert files_of(store) == before


def test_it_takes_no_lock_and_reads_beside_a_writer(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "live", schema=SCHEMA, clock="event") as db:
        fill(db, 0)
        report = verify(tmp_path / "live")
        assert [finding.code for finding in report.findings] == ["log-open"]
        assert report.worst is Severity.UNFINISHED
        fill(db, 1)


def test_a_writer_at_work_is_no_damage(tmp_path: Path) -> None:
    path, done, failures = tmp_path / "live", threading.Event(), []

    def write() -> None:
        try:
            for number in range(12):
                with tidal.open(path, schema=SCHEMA, clock="event", sync="os") as db:
                    fill(db, number)
                    db.archive()
                    fill(db, number)
        except Exception as error:
            failures.append(error)
        finally:
            done.set()

    with tidal.open(path, schema=SCHEMA, clock="event"):
        pass
    writer = threading.Thread(target=write)
    writer.start()
    looks = 0
    while not done.is_set():
        report = verify(path)
        assert not report.damaged, report.findings
        looks += 1
    writer.join()
    assert not failures and looks
    assert verify(path).worst is None


def test_progress_ends_at_the_whole(store: Path) -> None:
    seen: list[tuple[int, float]] = []
    verify(store, progress=lambda done, share: seen.append((done, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and 0.5 < shares[-1] <= 1.0


# ------------------------------------------------------------------------------------ every byte


def test_every_change_of_every_hashed_file_is_found(store: Path) -> None:
    rng = random.Random(7)
    for name, (data, size, _) in files_of(store).items():
        if name in NOT_HASHED:
            continue
        for _ in range(FLIPS):
            changed = bytearray(data)
            changed[rng.randrange(size)] ^= rng.randrange(1, 256)
            (store / name).write_bytes(changed)
            report = verify(store)
            assert name in {finding.file for finding in report.findings}, name
            assert report.state_of(name) != "good" or name in ("store.json", "schema.json")
        (store / name).write_bytes(data)
    assert verify(store).findings == ()


@pytest.mark.parametrize("name", ["store.json", "schema.json", "wal/manifest.json", "archive/marks.json"])
def test_every_byte_of_the_small_files_is_found(store: Path, name: str) -> None:
    data = (store / name).read_bytes()
    for offset in range(len(data)):
        for mask in (0x01, 0x20):
            changed = bytearray(data)
            changed[offset] ^= mask
            (store / name).write_bytes(changed)
            assert verify(store / name).findings, (offset, mask)


def test_a_row_of_the_entities_is_found(store: Path) -> None:
    path = store / "entities.sqlite"
    data = path.read_bytes()
    flip(path, data.index(b"The title of item 3") + 4)
    report = verify(store)
    assert damaged(report) == {"entities.sqlite"}
    assert "does not match its CRC-32" in report.findings[0].what


def test_a_cut_or_missing_file_is_found(store: Path) -> None:
    for name, (data, size, _) in files_of(store).items():
        if name == "LOCK":
            continue
        (store / name).write_bytes(data[: size // 2])
        assert name in damaged(verify(store)), name
        (store / name).unlink()
        report = verify(store)
        if not name.startswith("checkpoints/") and name != "archive/marks.json":  # there may be none of these
            assert any(name.startswith(file) for file in damaged(report)), name
        (store / name).write_bytes(data)


def test_nothing_stops_it(store: Path) -> None:
    wanted = set()
    for name in files_of(store):
        if name not in NOT_HASHED and not name.endswith("manifest.json"):
            flip(store / name, (store / name).stat().st_size // 2)
            wanted.add(name)
    assert wanted <= damaged(verify(store))


# ------------------------------------------------------------------------------------ what it says


def test_damage_in_the_middle_names_the_events(store: Path) -> None:
    path = segments(store)[0]
    starts = frame_starts(path)
    flip(path, starts[2] + 120)
    flip(path, starts[3] + 120)
    (finding,) = verify(store).findings
    base = int(path.stem.removeprefix("wal-"))
    assert (finding.code, finding.offset) == ("batch-damaged", starts[2])
    assert (finding.first_seq, finding.last_seq) == (base + 20, base + 39)
    assert "tidal salvage" in finding.advice


def test_a_damaged_header_does_not_hide_what_is_behind(store: Path) -> None:
    path = segments(store)[1]
    flip(path, 20)
    flip(path, frame_starts_of_copy(path, 20)[1] + 120)
    findings = [finding for finding in verify(store).findings if finding.file == f"wal/{path.name}"]
    assert [finding.code for finding in findings] == ["header-damaged", "batch-damaged"]
    base = int(path.stem.removeprefix("wal-"))
    assert (findings[1].first_seq, findings[1].last_seq) == (base + 10, base + 19)


def frame_starts_of_copy(path: Path, flipped: int) -> list[int]:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    flip(copy, flipped)
    starts = frame_starts(copy)
    copy.unlink()
    return starts


def torn_store(tmp_path: Path) -> tuple[Path, Path]:
    """A store as a kill leaves it: copied while it was open, the last batch cut."""
    with tidal.open(tmp_path / "live", schema=SCHEMA, clock="event") as db:
        fill(db, 0)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
    (segment,) = segments(tmp_path / "killed")
    return tmp_path / "killed", segment


def test_a_torn_tail_is_unfinished_and_no_damage(tmp_path: Path) -> None:
    store, segment = torn_store(tmp_path)
    last = frame_starts_open(segment)[-1]
    os.truncate(segment, segment.stat().st_size - 7)
    (finding,) = verify(store).findings
    assert (finding.severity, finding.code, finding.offset) == (Severity.UNFINISHED, "tail-torn", last)
    with tidal.open(store) as db:
        assert db.recovery is not None and db.recovery.torn is not None
    report = verify(store)
    assert [finding.code for finding in report.findings] == ["quarantined"]
    assert report.worst is Severity.NOTE


def frame_starts_open(path: Path) -> list[int]:
    data = memoryview(path.read_bytes())
    identity = decode_segment_header(data)[0].identity
    starts, offset = [], SEGMENT_HEADER.size
    while offset < len(data):
        starts.append(offset)
        offset = decode_frame(data, offset, identity).end
    return starts


def test_damage_to_what_was_durable_is_no_torn_tail(tmp_path: Path) -> None:
    store, segment = torn_store(tmp_path)
    starts = frame_starts_open(segment)
    flip(segment, starts[1] + 120)
    finding, still_open = verify(store).findings
    assert still_open.code == "log-open"
    assert (finding.severity, finding.offset) == (Severity.DAMAGE, starts[1])
    assert (finding.first_seq, finding.last_seq) == (11, 20)


def test_a_closed_log_has_no_torn_tail(store: Path) -> None:
    last = segments(store)[-1]
    os.truncate(last, last.stat().st_size - 7)
    assert f"wal/{last.name}" in damaged(verify(store))


def test_a_missing_last_segment_is_known_from_the_manifest(store: Path) -> None:
    segments(store)[-1].unlink()
    report = verify(store)
    lost = [finding for finding in report.findings if finding.code == "segment-missing"]
    assert [(finding.first_seq, finding.last_seq) for finding in lost] == [(301, 360)]
    assert any(finding.code == "checkpoint-ahead" for finding in report.findings)


def test_a_segment_of_another_store_is_named(store: Path, tmp_path: Path) -> None:
    with tidal.open(tmp_path / "other", schema=SCHEMA, clock="event") as db:
        fill(db, 0)
    (foreign,) = segments(tmp_path / "other")
    shutil.copy(foreign, store / "wal" / "wal-00000000000000000361.seg")
    finding = next(f for f in verify(store).findings if f.file.endswith("361.seg"))
    assert finding.code == "segment-foreign"


def test_an_old_copy_that_was_put_back_is_seen(tmp_path: Path) -> None:
    store, old = tmp_path / "store", tmp_path / "old"
    for number in range(3):
        with tidal.open(store, schema=SCHEMA, clock="event", archive=False) as db:
            fill(db, number)
        if number == 1:
            shutil.copytree(store / "wal", old)
    assert not verify(store).damaged
    shutil.copy(old / "manifest.json", store / "wal" / "manifest.json")
    assert any("an older copy was put back" in finding.what for finding in verify(store).findings)


def test_a_segment_of_another_history_of_the_store_is_seen(tmp_path: Path) -> None:
    """Two copies of a store that went on apart: every hash is good, and only manifest and checkpoint tell."""
    for name in ("store", "other"):
        if name == "other":
            shutil.copytree(tmp_path / "base", tmp_path / "other")
        with tidal.open(tmp_path / name, schema=SCHEMA, clock="event", archive=False) as db:
            fill(db, 0 if name == "store" else 2)
        if name == "store":
            shutil.copytree(tmp_path / "store", tmp_path / "base")
            with tidal.open(tmp_path / "store", clock="event", archive=False) as db:
                fill(db, 1)
    name = segments(tmp_path / "store")[1].name
    shutil.copy(tmp_path / "other" / "wal" / name, tmp_path / "store" / "wal" / name)
    codes = {finding.code for finding in verify(tmp_path / "store").findings}
    assert codes == {"manifest-misfit", "checkpoint-foreign"}


def test_a_gap_is_seen_without_a_manifest(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", rounds=3, archive=False)
    segments(store)[1].unlink()
    (store / "wal" / "manifest.json").unlink()
    gap = [finding for finding in verify(store).findings if finding.first_seq == 61]
    assert [(finding.code, finding.last_seq) for finding in gap] == [("events-gone", 120)]
    for path in (store / "checkpoints").iterdir():
        path.unlink()
    gap = [finding for finding in verify(store).findings if finding.first_seq == 61]
    assert [(finding.code, finding.last_seq) for finding in gap] == [("segment-missing", 120)]


def test_what_a_writer_changes_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    """Between the manifest and the segments the writer archives: on the first look they are missing."""
    store = make_store(tmp_path / "store", rounds=4, archive=False)

    class Busy(OsFileSystem):
        looks = 0

        def list_dir(self, path: Path) -> list[str]:
            if path == store / "wal":
                self.looks += 1
                if self.looks == 3:  # after the size of all, and the signature
                    with tidal.open(store, clock="event", archive=False) as db:
                        assert db.archive().removed
            return super().list_dir(path)

    fs = Busy()
    report = verify(store, file_system=fs)
    assert not report.damaged, report.findings
    assert fs.looks > 5


def test_without_a_checkpoint_the_archive_must_reach_back(store: Path) -> None:
    for path in (store / "checkpoints").iterdir():
        path.unlink()
    assert not verify(store).damaged
    shutil.rmtree(store / "archive")
    (store / "archive").mkdir()
    codes = {finding.code for finding in verify(store).findings}
    assert {"state-lost", "archive-missing"} <= codes


def test_a_newer_format_is_unreadable_and_not_damage(store: Path) -> None:
    from tidal.store import _digest  # the file must be whole, and newer

    body = {"format": 2, "store_id": "00" * 16}
    (store / "store.json").write_text(json.dumps({**body, "blake3": _digest(body)}))
    finding = next(f for f in verify(store).findings if f.file == "store.json")
    assert (finding.severity, finding.code) == (Severity.UNREADABLE, "too-new")


def test_a_link_is_refused_and_the_rest_checked(store: Path) -> None:
    path = segments(store)[0]
    path.rename(store / "elsewhere")
    path.symlink_to(store / "elsewhere")
    report = verify(store)
    assert report.state_of(f"wal/{path.name}") != "good"
    assert any(finding.file == "elsewhere" and finding.code == "not-ours" for finding in report.findings)


def test_what_the_archive_has_is_damage_that_mends(tmp_path: Path) -> None:
    """A crash between archiving and removing, and then a flipped bit: the archive has the segment."""
    store = make_store(tmp_path / "store", rounds=4, archive=False)
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    with tidal.open(copy, clock="event", archive=False) as db:
        db.archive()
    shutil.copytree(copy / "archive", store / "archive", dirs_exist_ok=True)
    assert not verify(store).damaged
    flip(segments(store)[1], 300)
    (finding,) = verify(store).findings
    assert (finding.code, finding.file) == ("segment-archived", f"wal/{segments(store)[1].name}")
    flip(sorted((store / "archive").glob("*.arc"))[1], 900)
    assert {finding.code for finding in verify(store).findings} == {"batch-damaged", "archive-damaged"}
    flip(sorted((store / "archive").glob("*.arc"))[1], 900)
    with tidal.open(store, clock="event", archive=False) as db:
        assert db.last_seq == 4 * EVENTS
        db.archive()
    assert not verify(store).damaged


def test_leftovers_and_strangers_are_noted(store: Path) -> None:
    (store / "wal" / "manifest.json.tmp").write_bytes(b"half")
    (store / "wal" / "notes.txt").write_text("mine")
    (store / "checkpoints" / "checkpoint-1.old").write_text("mine")
    report = verify(store)
    assert {finding.code for finding in report.findings} == {"leftover", "not-ours"}
    assert report.worst is Severity.NOTE


# ------------------------------------------------------------------------------------ other paths


def test_an_archive_alone_is_verified(store: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copytree(store / "archive", tmp_path / "backup"))
    report = verify(backup)
    assert (report.kind, report.findings, report.first_seq, report.last_seq) == ("archive", (), 1, 240)
    names = sorted(path.name for path in backup.glob("*.arc"))
    flip(backup / names[1], 500)
    (backup / names[2]).unlink()
    assert damaged(verify(backup)) == {names[1], names[2]}


def test_one_file_is_verified_by_itself(store: Path) -> None:
    for name in files_of(store):
        if name == "LOCK":
            with pytest.raises(UsageError):
                verify(store / name)
            continue
        report = verify(store / name)
        assert (report.kind, report.damaged) == ("file", False), name
        if name != "entities.sqlite":
            flip(store / name, (store / name).stat().st_size // 2)
            assert damaged(verify(store / name)) == {Path(name).name}


def test_what_is_none_of_these_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        verify(tmp_path / "nothing")
    with pytest.raises(UsageError):
        verify(tmp_path)
    (tmp_path / "poem").write_text("no store")
    with pytest.raises(UsageError):
        verify(tmp_path / "poem")


# ------------------------------------------------------------------------------------ and open()


@pytest.mark.parametrize("part", ["wal", "checkpoints", "archive", "."])
def test_what_verify_calls_good_opens(store: Path, tmp_path: Path, part: str) -> None:
    """No change that verify passes makes open() refuse the store."""
    rng = random.Random(part)
    files = [p for p in (store / part).iterdir() if p.is_file() and p.name not in NOT_HASHED]
    for _ in range(25):
        path = rng.choice(files)
        data = path.read_bytes()
        change: Callable[[bytes], bytes] = rng.choice(
            [
                lambda d: d[: rng.randrange(len(d))],
                lambda d: d[:1] + bytes(len(d) - 1),
                lambda d: d + b"more",
                lambda d: bytes([d[0] ^ 0x10]) + d[1:],
            ]
        )
        path.write_bytes(change(data))
        report = verify(store)
        try:
            tidal.open(store, read_only=True).close()
        except (TidalError, StorageError):
            assert report.damaged, path
        path.write_bytes(data)


def test_a_day_is_as_it_was(store: Path) -> None:
    """What the store says is not touched by all this."""
    with tidal.open(store, read_only=True, clock="event") as db:
        assert db.last_seq == ROUNDS * EVENTS
        assert db.now() == START + (ROUNDS * EVENTS - 1) * 10**9


def test_an_archived_segment_that_a_copy_of_the_log_has_the_beginning_of(tmp_path: Path) -> None:
    """A copy of a store that is written to: the log first, and the archive when it had gone on."""
    folder, copy = tmp_path / "store", tmp_path / "copy"
    with leader_at(folder, segment_bytes=1 << 12) as db:
        events(db, 150)
        shutil.copytree(folder, copy)
        for number in range(24):
            events(db, 150)
            if number % 8 == 7:
                db.checkpoint()
        db.archive()
    (copy / "archive").mkdir(exist_ok=True)
    shutil.copy(min((folder / "archive").glob("*.arc")), copy / "archive")
    report = verify(copy)
    assert not report.damaged
    assert "leftover" in {finding.code for finding in report.findings}
    with leader_at(copy, segment_bytes=1 << 12) as db:
        assert db.last_seq == 150
        for number in range(24):
            events(db, 150, seed=1)
            if number % 8 == 7:
                db.checkpoint()
        assert db.archive().archived
    assert not verify(copy).findings
    with tidal.open(copy, clock="event", read_only=True) as db:
        rows = sum(1 for _ in db.export_signals(tidal.ExportRequest(all=True)))
    assert rows == 3750

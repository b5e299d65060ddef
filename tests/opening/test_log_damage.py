"""The rows of open()'s table that are about the bytes of the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal
from tests.opening.conftest import SCHEMA, checkpoints, content, digest_of, fill, flip, open_small, segments
from tidal.format.frame import PAYLOAD_OFFSET
from tidal.format.segment import SEAL, SEGMENT_HEADER

Refused = Callable[..., Any]


def recovery_of(db: tidal.TidalDb) -> tidal.RecoveryReport:
    assert db.recovery is not None
    return db.recovery


def test_a_store_that_was_closed_is_found_so(closed: Path) -> None:
    with open_small(closed) as db:
        report = recovery_of(db)
        assert report.clean and report.clean_shutdown
        assert (report.checkpoint_seq, report.replayed_events, report.last_seq) == (300, 200, 500)
        assert (report.quarantined, report.leftovers, report.notes) == ((), (), ())
        assert db._ledger.state_digest() == digest_of(500)


def test_a_killed_process_loses_nothing(crashed: Path) -> None:
    with open_small(crashed) as db:
        report = recovery_of(db)
        assert report.clean and not report.clean_shutdown
        assert db._ledger.state_digest() == digest_of(500)
        fill(db)
    with open_small(crashed) as db:
        assert recovery_of(db).clean_shutdown
        assert db._ledger.state_digest() == digest_of(600)


def test_an_unfinished_end_is_cut_off_and_kept(crashed: Path) -> None:
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes()[:-9])
    cut = last.read_bytes()[SEGMENT_HEADER.size :]
    with open_small(crashed) as db:
        report = recovery_of(db)
        assert report.torn is not None and not report.clean
        assert (report.torn.path, report.torn.offset, report.torn.size) == (
            last,
            SEGMENT_HEADER.size,
            len(cut),
        )
        assert (report.torn.first_dropped_seq, report.torn.batches) == (401, 0)
        (kept,) = report.quarantined
        assert kept.parent == crashed / "quarantine" and kept.read_bytes() == cut
        assert db._ledger.state_digest() == digest_of(400)
        fill(db)
        assert db.last_seq == 500
    with open_small(crashed) as db:
        assert recovery_of(db).clean
        assert db._ledger.state_digest() == digest_of(500)


def test_whole_batches_behind_the_unfinished_one_are_counted(tmp_path: Path) -> None:
    """A power cut may keep a later sector and lose an earlier one, of batches that were not acknowledged."""
    with tidal.open(tmp_path / "s", schema=SCHEMA, sync="os", clock="event") as db:
        fill(db, 3)
        live = segments(tmp_path / "s")[-1].read_bytes()
        manifest = (tmp_path / "s" / "wal" / "manifest.json").read_bytes()
    for path in checkpoints(tmp_path / "s"):
        path.unlink()
    segments(tmp_path / "s")[-1].write_bytes(live)
    (tmp_path / "s" / "wal" / "manifest.json").write_bytes(manifest)
    flip(segments(tmp_path / "s")[-1], SEGMENT_HEADER.size + PAYLOAD_OFFSET + 5)
    with tidal.open(tmp_path / "s") as db:
        torn = recovery_of(db).torn
        assert torn is not None and (torn.first_dropped_seq, torn.batches) == (1, 2)
        assert torn.size == len(live) - SEGMENT_HEADER.size


def test_absolute_refuses_an_unfinished_end(crashed: Path, refused: Refused) -> None:
    last = segments(crashed)[-1]
    with tidal.open(crashed, recovery="absolute", read_only=True) as db:
        assert db.last_seq == 500  # no seal, but whole
    last.write_bytes(last.read_bytes()[:-9])
    error = refused(crashed, tidal.CorruptLog, recovery="absolute")
    assert (error.path, error.offset) == (last, SEGMENT_HEADER.size)
    assert "strict" in str(error)


def test_a_log_that_was_closed_has_no_unfinished_end(closed: Path, refused: Refused) -> None:
    last = segments(closed)[-1]
    last.write_bytes(last.read_bytes()[: -SEAL.size - 9])
    assert refused(closed, tidal.CorruptLog).path == last


def test_damage_in_the_middle_is_refused(crashed: Path, refused: Refused) -> None:
    path = segments(crashed)[3]
    flip(path, SEGMENT_HEADER.size + 100)
    error = refused(crashed, tidal.CorruptLog)
    assert (error.path, error.offset) == (path, SEGMENT_HEADER.size)
    assert "events from 301 on" in str(error)


def test_a_good_batch_that_vouches_for_the_damaged_one_is_believed(tmp_path: Path, refused: Refused) -> None:
    db = tidal.open(tmp_path / "s", schema=SCHEMA, clock="event", checkpoint_bytes=None)
    fill(db, 3)
    live = segments(tmp_path / "s")[-1].read_bytes()
    manifest = (tmp_path / "s" / "wal" / "manifest.json").read_bytes()
    db._release()
    segments(tmp_path / "s")[-1].write_bytes(live)
    (tmp_path / "s" / "wal" / "manifest.json").write_bytes(manifest)
    flip(segments(tmp_path / "s")[-1], SEGMENT_HEADER.size + PAYLOAD_OFFSET + 5)
    assert "a good batch says" in str(refused(tmp_path / "s", tidal.CorruptLog))


@pytest.mark.parametrize("zeros", [1, 511, 4096])
def test_a_rest_of_zeros_is_the_end(crashed: Path, zeros: int) -> None:
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes() + bytes(zeros))
    with open_small(crashed) as db:
        assert recovery_of(db).clean and db.last_seq == 500


def test_data_behind_zeros_is_no_end(crashed: Path) -> None:
    last = segments(crashed)[-1]
    last.write_bytes(last.read_bytes() + bytes(100) + b"x")
    with open_small(crashed) as db:
        assert recovery_of(db).torn is not None and db.last_seq == 500


def test_a_seal_that_is_gone_is_damage(crashed: Path, refused: Refused) -> None:
    for path in (segments(crashed)[3], segments(crashed)[1]):  # after the checkpoints, and before
        whole = path.read_bytes()
        path.write_bytes(whole[: -SEAL.size])
        assert refused(crashed, tidal.CorruptLog).path == path
        path.write_bytes(whole)


def test_a_read_error_is_not_taken_for_the_end(crashed: Path) -> None:
    before = content(crashed)

    class Failing(tidal.durable.OsFileSystem):
        def open_read(self, path: Path) -> Any:
            file = super().open_read(path)
            if path == segments(crashed)[-1]:
                file.read_at = _fail
            return file

    with pytest.raises(tidal.StorageError) as caught:
        tidal.open(crashed, file_system=Failing())
    assert not isinstance(caught.value, tidal.NoSpace) and content(crashed) == before


def _fail(offset: int, length: int) -> bytes:
    raise tidal.StorageError(5, "read: Input/output error")

"""The SQLite engine: the protocol, and what can happen to its files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tidal.errors import (
    CorruptionError,
    CorruptStore,
    FormatTooNew,
    LimitExceeded,
    NoSpace,
    ReadOnly,
    StorageError,
    StorePoisoned,
    TidalError,
)
from tidal.storage import KEYSPACES, SqliteEngine, StorageEngine
from tidal.storage.keys import KEY_FIELDS
from tidal.storage.sqlite import APPLICATION_ID, TABLE, VERSION
from tidal.testing.storage import StorageEngineTests

ITEMS, USERS, CREATORS = KEYSPACES.values()
NAME = "entities.sqlite"


class TestSqliteEngine(StorageEngineTests):
    persistent = True

    def open_engine(self, tmp_path: Path) -> StorageEngine:
        return SqliteEngine(tmp_path / NAME, create=True)


def filled(folder: Path, rows: int = 3) -> Path:
    path = folder / NAME
    engine = SqliteEngine(path, create=True)
    with engine.batch() as batch:
        for n in range(rows):
            batch.put(ITEMS, struct.pack(">I", n), b"value %d" % n)
    engine.close()
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# ---------------------------------------------------------------------------------- files


def test_a_closed_store_is_one_private_file(tmp_path: Path) -> None:
    path = filled(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [NAME]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_file_is_not_created_unless_asked_for(tmp_path: Path) -> None:
    with pytest.raises(CorruptStore, match="missing"):
        SqliteEngine(tmp_path / NAME)
    with pytest.raises(CorruptStore, match="missing"):
        SqliteEngine(tmp_path / NAME, create=True, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_side_file_without_its_database_is_damage(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)
    engine.put(ITEMS, b"key", b"value")
    lost = tmp_path / "lost"
    lost.mkdir()
    shutil.copy(tmp_path / f"{NAME}-wal", lost)
    engine.close()
    before = content(lost)
    with pytest.raises(CorruptStore, match="missing"):
        SqliteEngine(lost / NAME, create=True)
    assert content(lost) == before


def test_read_only_gives_up_on_a_store_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SqliteEngine(tmp_path / NAME, create=True)
    writer.put(ITEMS, b"key", b"value")
    salts = iter(range(100))
    monkeypatch.setattr("tidal.storage.sqlite._side_heads", lambda fs, path: next(salts))
    with pytest.raises(StorageError, match="is being written to"):
        SqliteEngine(tmp_path / NAME, read_only=True)
    monkeypatch.undo()
    reader = SqliteEngine(tmp_path / NAME, read_only=True)
    assert reader.get(ITEMS, b"key") == b"value"
    reader.close()
    writer.close()


def test_create_keeps_what_is_there(tmp_path: Path) -> None:
    path = filled(tmp_path)
    engine = SqliteEngine(path, create=True)
    assert engine.verify() == 3
    engine.close()


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0", bytes(4096), b"not a database at all" * 300])
def test_what_is_no_database_is_refused_and_kept(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / NAME
    path.write_bytes(data)
    with pytest.raises(CorruptStore, match="not an SQLite database"):
        SqliteEngine(path, create=True)
    assert content(tmp_path) == {NAME: data}


def test_a_foreign_database_is_refused_and_kept(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute("CREATE TABLE items (a)")
    connection.commit()
    connection.close()
    before = content(tmp_path)
    with pytest.raises(CorruptStore, match="application id 0x0"):
        SqliteEngine(tmp_path / NAME, create=True)
    assert content(tmp_path) == before


def test_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[60:64] = struct.pack(">I", VERSION + 1)
    path.write_bytes(data)
    with pytest.raises(FormatTooNew, match="Upgrade"):
        SqliteEngine(path, create=True)
    assert content(tmp_path) == {NAME: bytes(data)}


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    (tmp_path / "symlink").symlink_to(path)
    with pytest.raises(CorruptStore, match="a symbolic link"):
        SqliteEngine(tmp_path / "symlink")
    (tmp_path / "hardlink").hardlink_to(path)
    with pytest.raises(CorruptStore, match="one name"):
        SqliteEngine(path)


def test_a_missing_table_is_damage(tmp_path: Path) -> None:
    path = filled(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE users")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptStore, match="tables are not those of this format"):
        SqliteEngine(path)


def test_a_changed_value_is_found(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"value 1", b"value 7"))
    engine = SqliteEngine(path)
    assert engine.get(ITEMS, struct.pack(">I", 0)) == b"value 0"
    for read in (
        lambda: engine.get(ITEMS, struct.pack(">I", 1)),
        lambda: list(engine.scan(ITEMS)),
        engine.verify,
    ):
        with pytest.raises(CorruptStore, match=r"row b.*x01. of items does not match"):
            read()
    engine.close()


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    """Each byte of a small database that is in use: an error, or the right answer; never another value."""
    path = filled(tmp_path)
    good = path.read_bytes()
    expected = [(struct.pack(">I", n), b"value %d" % n) for n in range(3)]
    found = 0
    for place in [n for n, byte in enumerate(good) if byte]:
        data = bytearray(good)
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        try:
            engine = SqliteEngine(path, read_only=True)
            try:
                pairs = list(engine.scan(ITEMS))
            finally:
                engine.close()
        except TidalError as error:
            assert isinstance(error, CorruptionError | FormatTooNew | StorageError)
            found += 1
        else:
            assert set(pairs) <= set(expected)
    assert found > 100


def test_a_truncated_file_is_damage(tmp_path: Path) -> None:
    path = filled(tmp_path, rows=2000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 8192 * 4096])
    with pytest.raises(CorruptStore):
        engine = SqliteEngine(path)
        try:
            engine.verify()
        finally:
            engine.close()


def test_each_commit_is_synced(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)
    pragmas = [
        engine._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    ]
    assert pragmas == [b"wal", 2]
    engine.close()


def test_a_scan_outlives_the_engine(tmp_path: Path) -> None:
    engine = SqliteEngine(filled(tmp_path))
    pairs = engine.scan(ITEMS)
    first = next(pairs)
    engine.close()
    assert [first, *pairs] == [(struct.pack(">I", n), b"value %d" % n) for n in range(3)]
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


# ---------------------------------------------------------------------------------- read only


def test_read_only_reads_and_changes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = content(tmp_path)
    engine = SqliteEngine(path, read_only=True)
    assert engine.verify() == 3
    with pytest.raises(ReadOnly):
        engine.put(ITEMS, b"key", b"value")
    engine.close()
    assert content(tmp_path) == before


def test_read_only_sees_what_a_crash_left_in_the_side_file(tmp_path: Path) -> None:
    writer = SqliteEngine(tmp_path / NAME, create=True)
    writer.put(ITEMS, b"key", b"value")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{tmp_path / NAME}{suffix}", crashed)
    writer.close()
    before = content(crashed)
    engine = SqliteEngine(crashed / NAME, read_only=True)
    assert list(engine.scan(ITEMS)) == [(b"key", b"value")]
    with pytest.raises(ReadOnly):
        engine.put(ITEMS, b"key", b"other")
    engine.close()
    assert content(crashed) == before


# ---------------------------------------------------------------------------------- failures


def test_a_full_disk_changes_nothing_and_passes(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)
    engine.put(ITEMS, b"kept", b"1")
    (pages,) = engine._connection.execute("PRAGMA page_count").fetchone()
    engine._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NoSpace), engine.batch() as batch:
        batch.put(USERS, b"small", b"1")
        batch.put(ITEMS, b"large", bytes(1 << 20))
    assert list(engine.scan(USERS)) == []
    engine._connection.execute("PRAGMA max_page_count = 1000000")
    engine.put(ITEMS, b"large", bytes(1 << 20))
    assert [key for key, _ in engine.scan(ITEMS)] == [b"kept", b"large"]
    engine.close()


def test_an_input_output_error_poisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)
    engine.put(ITEMS, b"kept", b"1")

    def fail(changes: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_transact", fail)
        with pytest.raises(StorageError, match="disk I/O error"):
            engine.put(ITEMS, b"key", b"2")
    for call in (lambda: engine.put(ITEMS, b"key", b"2"), engine.flush):
        with pytest.raises(StorePoisoned, match="disk I/O error"):
            call()
    assert engine.get(ITEMS, b"kept") == b"1"
    engine.close()


def test_a_value_above_the_limit_is_refused(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)
    engine._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    with pytest.raises(LimitExceeded):
        engine.put(ITEMS, b"key", bytes(2000))
    engine.put(ITEMS, b"key", b"value")
    engine.close()


def test_an_interrupt_leaves_no_transaction_open(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / NAME, create=True)

    class Interrupting(dict[bytes, bytes | None]):
        def items(self) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine._apply({ITEMS: {b"a": b"1"}, USERS: Interrupting()})
    assert engine.get(ITEMS, b"a") is None
    engine.put(ITEMS, b"b", b"2")
    assert list(engine.scan(ITEMS)) == [(b"b", b"2")]
    engine.close()


WRITER = """
import sys
from pathlib import Path
from tidal.storage import KEYSPACES, SqliteEngine
engine = SqliteEngine(Path(sys.argv[1]), create=True)
n = max([int(key) for key, _ in engine.scan("items")], default=0)
while True:
    n += 1
    with engine.batch() as batch:
        for keyspace in KEYSPACES.values():
            batch.put(keyspace, b"%09d" % n, b"x" * (n % 5000))
    print(n, flush=True)
"""


def test_killed_writers_leave_whole_batches(tmp_path: Path) -> None:
    acknowledged = 0
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / NAME)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout:  # what it wrote before the signal came
            if line.endswith("\n"):
                acknowledged = int(line)
        writer.stdout.close()
        writer.wait()
        engine = SqliteEngine(tmp_path / NAME)
        keys = [[key for key, _ in engine.scan(keyspace)] for keyspace in KEYSPACES.values()]
        engine.close()
        assert keys[0] == keys[1] == keys[2] == [b"%09d" % n for n in range(1, len(keys[0]) + 1)]
        assert acknowledged <= len(keys[0]) <= acknowledged + 1


# ---------------------------------------------------------------------------------- documentation


def test_the_documented_format_is_the_format() -> None:
    page = (Path(__file__).parents[2] / "docs/format/storage.md").read_text()
    fields = re.findall(r"^\| `(\w+)` \| (\d+) \| (\w+) \|", page, re.MULTILINE)
    assert fields == [("user_version", "60", str(VERSION)), ("application_id", "68", f"0x{APPLICATION_ID:X}")]
    assert TABLE in page
    assert dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)) == dict(KEYSPACES)
    offset, key_fields = 0, []
    for name, form in KEY_FIELDS:
        key_fields.append((str(offset), str(struct.calcsize(">" + form)), name))
        offset += struct.calcsize(">" + form)
    assert re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \|", page, re.MULTILINE) == key_fields


def test_a_reader_is_untouched_by_a_writer_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / NAME
    keys = [b"%05d" % n for n in range(3000)]
    with_old = SqliteEngine(path, create=True)
    with with_old.batch() as batch:
        for key in keys:
            batch.put(ITEMS, key, b"old" * 100)
    with_old.close()
    reader, writer = SqliteEngine(path, read_only=True), SqliteEngine(path)
    for round_ in range(4):  # enough for SQLite to move its log into the file
        with writer.batch() as batch:
            for key in keys:
                batch.put(ITEMS, key, b"new" * (200 + round_))
    assert {reader.get(ITEMS, key) for key in keys} == {b"old" * 100}
    reader.close()
    writer.close()

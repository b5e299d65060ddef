"""The persistent storage engine: one SQLite database, by the standard library's module.

Metadata, names and sessions are small beside the events, and are read by people rather than by hot
loops. SQLite is fast enough for that (on the order of 10^5 reads a second), adds no dependency, and
its recovery is better tested than anything we could write.

All keyspaces share one file, because a batch must be atomic over them: SQLite commits a transaction over
several files in one of its WAL databases each, so a crash could keep a part of it.

SQLite reads and writes its files itself: the one exception to the rule that all file access goes through
tidal.durable. Creation keeps the rule, so that a file has its final name only when it is complete.
SQLite's pages carry no checksum: each row holds a CRC-32 of its key and value, checked when it is read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidal.durable import FileSystem, OsFileSystem, read_file, replace_file
from tidal.errors import (
    CorruptStore,
    FormatTooNew,
    LimitExceeded,
    NoSpace,
    ReadOnly,
    StorageError,
    StoreClosed,
    StorePoisoned,
)
from tidal.storage.engine import Changes, WriteBatch, check_keyspace
from tidal.storage.keys import KEYSPACES, prefix_end

if TYPE_CHECKING:
    import tempfile

# These are part of the file format: they are on disk and do not change.
APPLICATION_ID: Final = 0x5449444C  # "TIDL", at byte 68 of the file
VERSION: Final = 1  # SQLite's user version, at byte 60
TABLE: Final = (
    "CREATE TABLE {} (key BLOB PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID"
)

_TABLES = tuple(TABLE.format(keyspace) for keyspace in KEYSPACES.values())
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_U32 = struct.Struct(">I")
SIDE_FILES = ("-wal", "-shm", "-journal")  # what SQLite has beside a database, after its name
_SIDE_FILES = ("-wal", "-journal")  # where SQLite keeps what is committed but not in the file yet
_SIDE_HEAD_BYTES = 32
_COPY_ATTEMPTS = 5
_PROBLEMS_MAX = 100  # that SQLite's check lists before it stops


class SqliteEngine:
    """A StorageEngine in one file, which must be given.

    A put, a delete and a batch are each one synced transaction: durable on return. Use a batch for many.

    Raises CorruptStore for a file that is missing (unless ``create``), damaged or not ours; FormatTooNew,
    with nothing touched, for one of a newer tidal. After an I/O error every later write raises
    StorePoisoned, since what is on disk is unknown; after NoSpace the store goes on when space returns.

    ``read_only`` changes no byte in the folder: a private copy is read. SQLite cannot share a file with a
    writer, nor recover one that was not closed, without writing beside it.
    """

    def __init__(
        self, path: Path, *, create: bool = False, read_only: bool = False, fs: FileSystem | None = None
    ) -> None:
        fs = fs or OsFileSystem()
        self._path = path
        self._read_only = read_only
        self._lock = threading.RLock()
        self._idle: list[sqlite3.Connection] = []  # readers, each with a snapshot of its own while it scans
        self._poison: StorageError | None = None
        self._closed = False
        self._process = os.getpid()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        # A side file without its database is what is left of one: SQLite would play it into the new file.
        if create and not read_only and not any(fs.exists(file) for file in (path, *_side_files(path))):
            replace_file(fs, path, [_empty_database()])
        _check_file(fs, path)
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        try:
            if read_only:  # also of a closed store: a writer may come, and change pages under a reader
                import tempfile

                self._copy = tempfile.TemporaryDirectory(prefix="tidal-")
                self._uri = f"{_copy_database(fs, path, Path(self._copy.name)).as_uri()}?mode=rw"
            self._connection = self._connect()
        except BaseException:
            self._remove_copy()
            raise

    def get(self, keyspace: str, key: bytes) -> bytes | None:
        check_keyspace(keyspace)
        with self._lock, self._typed():
            self._check_open()
            row = self._connection.execute(
                f"SELECT value, crc FROM {keyspace} WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else self._checked(keyspace, key, *row)

    def put(self, keyspace: str, key: bytes, value: bytes) -> None:
        with self.batch() as batch:
            batch.put(keyspace, key, value)

    def delete(self, keyspace: str, key: bytes) -> None:
        with self.batch() as batch:
            batch.delete(keyspace, key)

    def scan(
        self, keyspace: str, prefix: bytes = b"", *, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        check_keyspace(keyspace)
        return self._scan(keyspace, max(prefix, start), prefix_end(prefix))

    def batch(self) -> WriteBatch:
        return WriteBatch(self._apply)

    def flush(self) -> None:
        with self._lock:  # every transaction was synced by itself: there is nothing left to do but to tell
            self._check_open()
            self._check_poison()

    def verify(self) -> int:
        """Return the number of rows once SQLite's own check and every row's CRC-32 have passed."""
        for problem in self.problems():
            raise CorruptStore(self._path, 0, problem)
        return sum(1 for keyspace in KEYSPACES.values() for _ in self.scan(keyspace))

    def problems(self) -> Iterator[str]:
        """Yield in words all that SQLite's own check and the CRC-32 of every row find wrong."""
        with self._lock, self._typed():
            self._check_open()
            report = [
                text for (text,) in self._connection.execute(f"PRAGMA integrity_check({_PROBLEMS_MAX})")
            ]
        if report != [b"ok"]:
            yield from (text.decode(errors="replace") for text in report)
        for keyspace in KEYSPACES.values():
            for row in self.survey(keyspace):
                if isinstance(row, CorruptStore):
                    yield row.reason

    def survey(self, keyspace: str) -> Iterator[tuple[bytes, bytes] | CorruptStore]:
        """Yield every (key, value) of a keyspace, and in place of each row that is damaged what is wrong.

        Where SQLite itself cannot go on it is asked for the rows from the other end, so that a damaged page
        costs what is on it.
        """
        check_keyspace(keyspace)
        last = b""
        try:
            for key, row in self._survey(keyspace, "key >= ? ORDER BY key", b""):
                last = key
                yield row
        except CorruptStore as error:
            yield error
            with contextlib.suppress(CorruptStore):  # it was said once
                for _, row in self._survey(keyspace, "key > ? ORDER BY key DESC", last):
                    yield row

    def _survey(
        self, keyspace: str, where: str, bound: bytes
    ) -> Iterator[tuple[bytes, tuple[bytes, bytes] | CorruptStore]]:
        with self._typed():
            query = f"SELECT key, value, crc FROM {keyspace} WHERE {where}"
            for key, value, crc in self._connection.execute(query, (bound,)):
                try:
                    yield key, (key, self._checked(keyspace, key, value, crc))
                except CorruptStore as error:
                    yield key, error

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for connection in (*self._idle, self._connection):
                connection.close()  # the last one moves SQLite's log into the file
            self._idle.clear()
            self._remove_copy()

    def _scan(self, keyspace: str, first: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            self._check_open()
            reader = self._idle.pop() if self._idle else self._connect()
        try:
            below, limit = ("", ()) if end is None else (" AND key < ?", (end,))
            query = f"SELECT key, value, crc FROM {keyspace} WHERE key >= ?{below} ORDER BY key"
            with self._typed():
                for key, value, crc in reader.execute(query, (first, *limit)):
                    yield key, self._checked(keyspace, key, value, crc)
        finally:
            with self._lock:
                if self._closed:
                    reader.close()
                else:
                    self._idle.append(reader)

    def _apply(self, changes: Changes) -> None:
        with self._lock:
            self._check_open()
            self._check_poison()
            if self._read_only:
                raise ReadOnly(f"{self._path} was opened with read_only=True")
            try:
                with self._typed():
                    self._transact(changes)
            except StorageError as error:
                if _primary_code(error.__cause__) == sqlite3.SQLITE_IOERR:
                    self._poison = error
                raise

    def _transact(self, changes: Changes) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for keyspace, pairs in changes.items():
                connection.executemany(
                    f"INSERT INTO {keyspace} VALUES (?, ?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, crc = excluded.crc",
                    ((key, value, _crc(key, value)) for key, value in pairs.items() if value is not None),
                )
                connection.executemany(
                    f"DELETE FROM {keyspace} WHERE key = ?",
                    ((key,) for key, value in pairs.items() if value is None),
                )
            connection.execute("COMMIT")
        except BaseException:  # an interrupt too must not leave the transaction open for the next call
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        with self._typed():
            connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
            try:
                if not self._read_only:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("PRAGMA synchronous = FULL")
                connection.text_factory = bytes  # damaged text need not be UTF-8
                tables = connection.execute(
                    "SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
                )
                if [sql for (sql,) in tables] != [sql.encode() for sql in _TABLES]:
                    raise CorruptStore(self._path, 0, "the tables are not those of this format")
            except BaseException:
                connection.close()
                raise
        return connection

    def _checked(self, keyspace: str, key: bytes, value: bytes, crc: int) -> bytes:
        if not (isinstance(key, bytes) and isinstance(value, bytes)) or _crc(key, value) != crc:
            raise CorruptStore(self._path, 0, f"the row {key!r} of {keyspace} does not match its CRC-32")
        return value

    def _check_open(self) -> None:
        if self._closed or os.getpid() != self._process:  # SQLite may not be carried across a fork
            raise StoreClosed(
                "the storage engine is closed (or belongs to the parent of this forked process)"
            )

    def _check_poison(self) -> None:
        if self._poison is not None:
            raise StorePoisoned(
                f"an earlier write failed ({self._poison}); close and open the store"
            ) from self._poison

    def _remove_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = _primary_code(error)
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise CorruptStore(self._path, 0, f"SQLite says: {error}") from error
            if code == sqlite3.SQLITE_TOOBIG:
                raise LimitExceeded(
                    f"a key or value is above SQLite's limit of 10^9 bytes: {error}"
                ) from error
            kind = NoSpace if code == sqlite3.SQLITE_FULL else StorageError
            raise kind(f"{self._path}: SQLite says: {error}") from error
        except UnicodeDecodeError as error:  # SQLite quotes damaged text in an error of its own
            raise CorruptStore(self._path, 0, f"SQLite's error holds damaged text: {error}") from error


def _empty_database() -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        for table in _TABLES:
            connection.execute(table)
        connection.commit()
        return connection.serialize()


def _check_file(fs: FileSystem, path: Path) -> None:
    """Look at the file before SQLite does: opening may already write to it."""
    if not fs.exists(path):
        raise CorruptStore(
            path, 0, "the file is missing; restore it, it is not created anew beside other data"
        )
    file = fs.open_read(path)
    try:
        header = file.read_at(0, _HEADER_BYTES)
    finally:
        file.close()
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise CorruptStore(path, 0, "this is not an SQLite database")
    (version,), (application,) = _U32.unpack_from(header, 60), _U32.unpack_from(header, 68)
    if application != APPLICATION_ID:
        raise CorruptStore(
            path, 68, f"application id {application:#x} is not that of tidal, {APPLICATION_ID:#x}"
        )
    if version > VERSION:
        raise FormatTooNew(f"{path} has format {version}; this tidal reads up to {VERSION}. Upgrade tidal")


def _copy_database(fs: FileSystem, path: Path, folder: Path) -> Path:
    """Copy a database with its side files; again if a writer has moved those into it meanwhile."""
    for attempt in range(_COPY_ATTEMPTS):
        target = folder / str(attempt) / path.name
        fs.make_dir(target.parent)
        before = _side_heads(fs, path)
        for source in (path, *_side_files(path)):
            if fs.exists(source):
                file = fs.create(target.with_name(source.name))
                try:
                    file.append([read_file(fs, source)])
                finally:
                    file.close()
        # Without side files nothing but the pages themselves tells of a writer that came and went meanwhile.
        if _side_heads(fs, path) == before and (before or read_file(fs, path) == read_file(fs, target)):
            return target
    raise StorageError(f"{path} is being written to; read it through the process that writes, or try again")


def _side_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _SIDE_FILES]


def _side_heads(fs: FileSystem, path: Path) -> list[bytes]:
    """The first bytes of the side files: they hold a salt that changes when SQLite starts them over."""
    heads = []
    for side in _side_files(path):
        if fs.exists(side):
            file = fs.open_read(side)
            try:
                heads.append(file.read_at(0, _SIDE_HEAD_BYTES))
            finally:
                file.close()
    return heads


def _primary_code(error: BaseException | None) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # the higher bits only say more of the same


def _crc(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))

"""What a store must hold after any fault, whatever the fault was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from faultkit.events import KEYS, SCHEMA, expected, same
from tidal import TidalDb
from tidal.archive import read_archive_manifest
from tidal.durable import FileSystem, OsFileSystem
from tidal.entities import entity_key_id
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.ledger import SignalLedger
from tidal.schema import EventBatch
from tidal.store import StorePaths


class Violation(AssertionError):
    """The contract of docs/durability.md was broken."""


def require(good: bool, message: str) -> None:
    if not good:
        raise Violation(message)


def check_db(
    db: TidalDb,
    path: Path,
    acknowledged: int,
    submitted: int,
    *,
    after: int = 0,
    fs: FileSystem | None = None,
) -> int:
    """Return the last sequence of an open database once all of this holds, else raise Violation.

    1. Every acknowledged event is there. 2. What is there was submitted, under its own number. 3. There
    is no hole. 4. The state is byte for byte that of a replay of the log. 5. Every entity has its name.
    """
    last = db.last_seq
    require(last >= acknowledged, f"events {last + 1} to {acknowledged} were acknowledged and are gone")
    require(last <= submitted, f"events {submitted + 1} to {last} were never submitted")
    position = start = max(after, _retired(db, fs or OsFileSystem(), StorePaths(path)))
    for first, batch in _history(db, fs or OsFileSystem(), StorePaths(path), start, last):
        require(first == position + 1, f"event {position + 1} is missing from the log; {first} follows")
        require(same(batch, first), f"events {first} to {first + len(batch) - 1} are not those submitted")
        position += len(batch)
    require(position == last, f"the log ends at {position}, the database at {last}")
    replay = SignalLedger(SCHEMA, shards=1)
    if last:
        replay.apply(expected(0, last))
    require(
        db._ledger.state_digest() == replay.state_digest(), f"the state at {last} is not that of a replay"
    )
    for n in range(max(1, after, last - len(KEYS)), last + 1):
        key = KEYS[n * n % len(KEYS)]
        require(db.key_of(entity_key_id(key)) == key, f"entity {key!r} lost its name")
    return last


def _retired(db: TidalDb, fs: FileSystem, paths: StorePaths) -> int:
    """The last event that retention removed; 0 if it never removed one."""
    manifest = read_archive_manifest(fs, paths.archive, _identity(db))
    return 0 if manifest is None else manifest.start_seq - 1


def _history(
    db: TidalDb, fs: FileSystem, paths: StorePaths, after: int, last: int
) -> Iterator[tuple[int, EventBatch]]:
    if last > after:
        yield from read_history(fs, paths, identity=_identity(db), after_seq=after, until_seq=last)


def _identity(db: TidalDb) -> LogIdentity:
    assert db._disk is not None
    return db._disk.identity

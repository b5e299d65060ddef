"""What must hold of every crash state, asked of the real open()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crashkit.bench import PATHS, abandon, open_on
from crashkit.events import LATER, SCHEMA, Sent, as_batch
from crashkit.patching import no_nonsense
from tidal import TidalDb, TidalError
from tidal.archive import read_archive_manifest
from tidal.durable import TEMPORARY_SUFFIX
from tidal.format.segment import LogIdentity
from tidal.history import read_history
from tidal.testing.disk import Image, MemoryDisk, Op, Replay, Sync
from tidal.wal import read_manifest

_READ_ONLY_EVERY = 16  # of so many images one is opened to read only, too


class Found(NamedTuple):
    """What opening one image showed. ``journal`` is what opening did, for crashes in the midst of it."""

    last_seq: int
    problem: str | None
    journal: Sequence[Op] = ()
    start_seq: int = 1  # where the history begins that is kept


class Oracle:
    """Opens images of one workload's disk, and says what is wrong with what it sees.

    1. Nothing acknowledged is lost. 2. Nothing is there that was not sent. 3. There is no hole: the log is
    a prefix of what was sent, in whole calls. 4. The state is byte for byte that of a replay. 5. Opening
    again, after another crash, shows the same. 6. No state is refused, and every key has its name.
    """

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._ends = frozenset(sent.ends)
        self._again: dict[int, tuple[str | None, int]] = {}
        self.opened = 0

    def look(self, image: Image, *, store_made: bool) -> Found:
        """Open an image, and check all that does not depend on when the crash was."""
        disk = MemoryDisk(image)
        self.opened += 1
        try:
            db = open_on(disk, schema=self._schema(image))
        except Exception as error:
            return Found(0, _refused(error))
        journal = disk.journal
        try:
            last, problem = db.last_seq, self._wrong(db) or _wrong_quarantine(db, image, disk)
        finally:
            abandon(db, disk)
        start = 1
        if problem is None and store_made and str(PATHS.identity) not in image.files:
            problem = "the store had been made, and is gone"
        if problem is None and self.opened % _READ_ONLY_EVERY == 0:
            problem = self._wrong_to_read(image, last)
        if problem is None:
            problem, start = self._again_after(image, journal, last)
        return Found(last, problem, journal, start)

    def _schema(self, image: Image) -> object:
        return LATER if b"like" in image.files.get(str(PATHS.schema), b"") else SCHEMA

    def _wrong(self, db: TidalDb) -> str | None:
        last = db.last_seq
        if last not in self._ends:
            return f"the log ends at {last}, which is not the end of a call"
        if db._ledger.state_digest() != self._sent.digest(last):
            return f"the state at {last} is not that of a replay"
        if db.durable_seq < last:
            return f"durable_seq is {db.durable_seq} after opening at {last}"
        for event in self._sent.slice(1, last):
            if isinstance(event.entity, str) and db.key_of(event.id) != event.entity:
                return f"{event.entity} has no name"
        return None

    def _wrong_to_read(self, image: Image, last: int) -> str | None:
        """Open the image to read only: no more may be shown, and nothing changed."""
        if str(PATHS.identity) not in image.files:
            return None
        disk = MemoryDisk(image)
        try:
            db = open_on(disk, schema=None, read_only=True)
        except Exception as error:
            return f"to read only: {_refused(error)}"
        try:
            seen = db.last_seq
            if seen > last or seen not in self._ends:
                return f"to read only the log ends at {seen}, to write at {last}"
            if db._ledger.state_digest() != self._sent.digest(seen):
                return f"to read only the state at {seen} is not that of a replay"
        finally:
            abandon(db, disk)
        changes = [op for op in disk.journal if not isinstance(op, Sync)]
        return f"to read only, and {changes[0]} was done" if changes else None

    def _again_after(self, image: Image, journal: Sequence[Op], last: int) -> tuple[str | None, int]:
        """Cut the power as soon as the store is open, and open it again; also return where history begins."""
        replay = Replay(image)
        for op in journal:
            replay.step(op)
        after = replay.possible()
        start = 1
        for number in {0, after.total - 1}:
            left = after[number]
            key = _what_matters(left).key
            if key not in self._again:
                self._again[key] = self._reopen(left, last)
            problem, start = self._again[key]
            if problem is not None:
                return f"after opening, another crash and opening again: {problem}", start
        return None, start

    def _reopen(self, image: Image, last: int) -> tuple[str | None, int]:
        disk = MemoryDisk(image)
        self.opened += 1
        try:
            db = open_on(disk, schema=self._schema(image))
        except Exception as error:
            return _refused(error), 1
        try:
            if db.last_seq != last:
                return f"the log ends at {db.last_seq}, it had ended at {last}", 1
            if (problem := self._wrong(db)) is not None:
                return problem, 1
            identity = db._disk.identity
            try:
                start = history_start(disk, identity)
                return self._wrong_history(disk, identity, start, last), start
            except TidalError as error:
                return f"the history: {_refused(error)}", 1
        finally:
            abandon(db, disk)

    def _wrong_history(self, disk: MemoryDisk, identity: LogIdentity, start: int, last: int) -> str | None:
        """Read all events from the files: a checkpoint may hide that some are gone."""
        position = start - 1
        events = read_history(disk, PATHS, identity=identity, after_seq=position, until_seq=last)
        for first, batch in events if last > position else ():
            if first != position + 1:
                return f"event {position + 1} is not in the log; {first} follows"
            position += len(batch)
            want = as_batch(self._sent.slice(first, position))
            for name in ("entity_id", "type_id", "weight", "timestamp"):
                if getattr(batch, name).tobytes() != getattr(want, name).tobytes():
                    return f"events {first} to {position} have another {name} than those sent"
        return None if position == last else f"the log ends at {position}, the database at {last}"


def history_start(disk: MemoryDisk, identity: LogIdentity) -> int:
    """The first sequence that archive or log still has."""
    archive = read_archive_manifest(disk, PATHS.archive, identity)
    return archive.start_seq if archive else read_manifest(disk, PATHS.wal, identity).start_seq


def _refused(error: Exception) -> str:
    no_nonsense(error)
    return f"refused: {type(error).__name__}: {error}"


def _wrong_quarantine(db: TidalDb, image: Image, disk: MemoryDisk) -> str | None:
    """What was cut off must lie in quarantine, byte for byte."""
    if (torn := db.recovery.torn) is None or torn.size == 0:
        return None
    cut = image.files[str(torn.path)][torn.offset : torn.offset + torn.size]
    inside = f"{PATHS.quarantine}/"
    if not any(data == cut for path, data in disk.image().files.items() if path.startswith(inside)):
        return f"{torn.size} bytes were cut off {torn.path}, and are not in quarantine"
    return None


def _what_matters(image: Image) -> Image:
    """Return the image without what opening only puts away: it makes many images, and no difference."""
    quarantine = f"{PATHS.quarantine}/"
    kept = {
        path: data
        for path, data in image.files.items()
        if not path.startswith(quarantine) and not path.endswith(TEMPORARY_SUFFIX)
    }
    return Image(kept, image.folders)

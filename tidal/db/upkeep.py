"""What a database does for its files beside recording: checkpoints, and the archive of old log."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from tidal.archive.marks import Marks
from tidal.archive.upkeep import NOTHING_ARCHIVED, Archiver, ArchiveReport, Progress
from tidal.db.recorder import Recorder
from tidal.db.settings import OnDisk, Settings
from tidal.entities import KeyNames
from tidal.errors import StorageError
from tidal.format.snapshot import checkpoint_name
from tidal.ledger import SignalLedger
from tidal.log import Log
from tidal.meters import ARCHIVE, CHECKPOINT, COPY, failed
from tidal.recovery import State, copy_state, needed_after, save_checkpoint
from tidal.schema import Schema
from tidal.sessions import SessionState

_AT_ONCE_ENTITIES: Final = 1 << 16  # a state of so many is copied within a millisecond or two

_logger = logging.getLogger(__name__)


class Upkeep:
    """Checkpoints and archives, on demand or when due. ``check`` raises if nothing may be written; ``now`` is
    the present in ns, for retention by age.
    """

    def __init__(
        self,
        schema: Schema,
        ledger: SignalLedger,
        sessions: SessionState,
        log: Log,
        names: KeyNames,
        settings: Settings,
        disk: OnDisk | None,
        check: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self.checkpoint_seq = disk.report.checkpoint_seq if disk else 0
        self.checkpoint_error: Exception | None = None  # of the last one, if it failed in the background
        self.archive_error: Exception | None = None
        self.marks: Marks | None = None
        self._ledger, self._sessions, self._log, self._names = ledger, sessions, log, names
        self._settings, self._disk, self._check = settings, disk, check
        self._archiver: Archiver | None = None
        if disk is not None:
            self.marks = Marks(disk.fs, disk.paths.archive, disk.identity.store_id, check)
        if disk is not None and disk.lock is not None:
            self._archiver = Archiver(disk.fs, disk.paths, disk.identity, schema, settings.retention, now)
        self._checkpointing = threading.Lock()
        self._archiving = threading.Lock()
        self._needed_after = 0  # the log's later events, by the older of two checkpoints
        self._log_bytes = 0  # written when the last checkpoint was copied
        self._saved_at = settings.monotonic()  # when the last checkpoint was written, or the database opened
        self._aged = _age(disk)  # of the newest checkpoint at that time
        self._ending = False

    @property
    def unsaved_bytes(self) -> int:
        """Bytes of the log that were written since the state was last copied for a checkpoint."""
        return self._log.bytes_written - self._log_bytes

    @property
    def unsaved_seconds(self) -> float:
        """The time since a checkpoint was last written; before the first one, since opening."""
        return self._settings.monotonic() - self._saved_at

    @property
    def checkpoint_age(self) -> float | None:
        """The seconds since the newest checkpoint was written, whoever did it; None without one."""
        return self.unsaved_seconds + self._aged if self.checkpoint_seq else None

    # ------------------------------------------------------------------------------ on demand

    def checkpoint(self, recorder: Recorder) -> int:
        """Save the state durably and return its sequence."""
        with self._checkpointing:
            if self._disk is None or self._log.settle() == self.checkpoint_seq:
                return self._log.last_seq  # a copy would be for nothing, and as large as the state
            return self._save(self._copy(recorder))

    def archive(self, progress: Progress) -> ArchiveReport:
        """Archive what the log needs no longer, remove what retention gives up."""
        if self._archiver is None or self._disk is None:
            return NOTHING_ARCHIVED
        self._log.flush()  # a store that was opened on a full disk is prepared for writing first
        with self._checkpointing:
            after = needed_after(self._disk.fs, self._disk.paths, self._disk.identity)
        with self._archiving:
            self._check()
            return self._archive(self._archiver, after, progress)

    def end_soon(self) -> None:
        """Let archiving stop at the next file, and none begin."""
        self._ending = True

    @contextlib.contextmanager
    def ended(self) -> Iterator[None]:
        """Wait for what is being written; while this is open, nothing else begins."""
        with self._checkpointing, self._archiving:
            yield

    # ------------------------------------------------------------------------------ when due

    def checkpoint_if_due(self, recorder: Recorder) -> None:
        """Copy the state where enough was logged, and leave the writing to a thread.

        A large state is copied by the thread, too: the room for it takes longer to make than the copy, and
        nobody has to wait for that.
        """
        limit = self._settings.checkpoint_bytes
        if not limit or self.unsaved_bytes < limit:
            return
        if not self._checkpointing.acquire(blocking=False):
            return  # one is being written
        writer = None
        try:
            small = self._ledger.entity_count() <= _AT_ONCE_ENTITIES
            state = self._copy(recorder) if small else None
            writer = threading.Thread(target=self._write, args=(recorder, state), name="tidal-checkpoint")
            writer.start()
        except BaseException as error:
            if writer is None or writer.ident is None:  # else it releases the lock itself
                self._checkpointing.release()
            if not isinstance(error, Exception):
                raise
            # The event is logged and applied: its caller must not take this for a refusal and send it again.
            self._not_begun(error)

    def _write(self, recorder: Recorder, state: State | None) -> None:
        """Save a copy, or what is to be copied; then archive. For a thread that was given the lock."""
        if state is None:
            try:
                state = self._copy(recorder)
            except Exception as error:  # a materializer's may be any
                self._checkpointing.release()
                self._not_begun(error)
                return
        self._save_aside(state)

    def _not_begun(self, error: Exception) -> None:
        self.checkpoint_error = error
        self._tell("no checkpoint could be begun", CHECKPOINT, error)

    def _save_aside(self, state: State) -> None:
        try:
            self._save(state)
        except Exception as error:  # what a materializer gave may fit into no file
            # Nothing is lost: the log goes back to the older checkpoint, and the next one is tried when due.
            self.checkpoint_error = error
            self._tell("a checkpoint failed", CHECKPOINT, error, seq=state.seq)
        finally:
            self._checkpointing.release()
        if self._settings.archive and self._archiver is not None:
            self._archive_aside(self._archiver)

    def _archive_aside(self, archiver: Archiver) -> None:
        if not self._archiving.acquire(blocking=False):
            return  # archiving is going on
        try:
            self._archive(archiver, self._needed_after, lambda done, total: None)
        except Exception as error:
            # Nothing is lost: what was not archived is in the log, and is tried after the next checkpoint.
            self.archive_error = error
            self._tell("archiving failed", ARCHIVE, error)
        finally:
            self._archiving.release()

    # ------------------------------------------------------------------------------ steps

    def _copy(self, recorder: Recorder) -> State:
        settings, ledger = self._settings, self._ledger.copy()
        with recorder.standing_still():
            self._check()
            with settings.meters.timed(COPY, settings.monotonic):
                seq = self._log.settle()
                self._log_bytes = self._log.bytes_written
                return copy_state(seq, self._log.head_hash, ledger, self._sessions, settings.materializers)

    def _save(self, state: State) -> int:
        if self._disk is not None and state.seq > self.checkpoint_seq:
            disk, settings = self._disk, self._settings
            with settings.meters.timed(CHECKPOINT, settings.monotonic, seq=state.seq):
                self._log.flush()  # a checkpoint must never be ahead of the log
                self._names.flush()  # after this the log is no longer needed for them
                self._needed_after = save_checkpoint(disk.fs, disk.paths, disk.identity, state)
            self.checkpoint_seq, self._saved_at, self._aged = state.seq, settings.monotonic(), 0.0
            self.checkpoint_error = None
        return state.seq

    def _archive(self, archiver: Archiver, after: int, progress: Progress) -> ArchiveReport:
        if self._ending:
            return NOTHING_ARCHIVED
        settings = self._settings
        with settings.meters.timed(ARCHIVE, settings.monotonic) as about:
            report = archiver.run(after, self._log.forget, stop=lambda: self._ending, progress=progress)
            about |= {"files": len(report.archived), "events": report.events}
        settings.meters.archived_events += report.events
        self.archive_error = None
        return report

    def _tell(self, what: str, operation: str, error: Exception, **fields: Any) -> None:
        about = failed(self._settings.meters.store, operation, error, **fields)
        _logger.error("%s: %s", what, error, extra=about)


def _age(disk: OnDisk | None) -> float:
    """Return the seconds since the checkpoint was written that a store was opened from, 0.0 without one."""
    if disk is None or not (seq := disk.report.checkpoint_seq):
        return 0.0
    try:
        return disk.fs.age(disk.paths.checkpoints / checkpoint_name(seq))
    except StorageError:  # it was there a moment ago, and nothing depends on this
        return 0.0

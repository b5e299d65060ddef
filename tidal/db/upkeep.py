"""What a database does for its files beside recording: checkpoints, and the archive of old log."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from tidal.archive.marks import Marks
from tidal.archive.upkeep import NOTHING_ARCHIVED, Archiver, ArchiveReport, Progress
from tidal.db.recorder import Recorder
from tidal.db.settings import OnDisk, Settings
from tidal.entities import KeyNames
from tidal.errors import TidalError
from tidal.ledger import SignalLedger
from tidal.log import Log
from tidal.recovery import State, copy_state, needed_after, save_checkpoint
from tidal.schema import Schema
from tidal.sessions import SessionState

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
        self._ending = False

    # ------------------------------------------------------------------------------ on demand

    def checkpoint(self, recorder: Recorder) -> int:
        """Save the state durably and return its sequence."""
        with self._checkpointing:
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
            report = self._archiver.run(after, self._log.forget, stop=lambda: self._ending, progress=progress)
            self.archive_error = None
            return report

    def end_soon(self) -> None:
        """Let archiving stop at the next segment."""
        self._ending = True

    @contextlib.contextmanager
    def ended(self) -> Iterator[None]:
        """Wait for what is being written; while this is open, nothing else begins."""
        with self._checkpointing, self._archiving:
            yield

    # ------------------------------------------------------------------------------ when due

    def checkpoint_if_due(self, recorder: Recorder) -> None:
        """Copy the state where enough was logged, and leave the writing to a thread."""
        limit = self._settings.checkpoint_bytes
        if not limit or self._log.bytes_written - self._log_bytes < limit:
            return
        if not self._checkpointing.acquire(blocking=False):
            return  # one is being written
        writer = None
        try:
            state = self._copy(recorder)
            writer = threading.Thread(target=self._save_aside, args=(state,), name="tidal-checkpoint")
            writer.start()
        except BaseException as error:
            if writer is None or writer.ident is None:  # else it releases the lock itself
                self._checkpointing.release()
            if not isinstance(error, Exception):
                raise
            # The event is logged and applied: its caller must not take this for a refusal and send it again.
            self.checkpoint_error = error
            _logger.error("no checkpoint could be begun: %s", error)

    def _save_aside(self, state: State) -> None:
        try:
            self._save(state)
        except (TidalError, OSError) as error:
            # Nothing is lost: the log goes back to the older checkpoint, and the next one is tried when due.
            self.checkpoint_error = error
            _logger.error("checkpoint at %d failed: %s", state.seq, error)
        finally:
            self._checkpointing.release()
        if self._settings.archive and self._archiver is not None:
            self._archive_aside(self._archiver)

    def _archive_aside(self, archiver: Archiver) -> None:
        if not self._archiving.acquire(blocking=False):
            return  # archiving is going on
        try:
            if not self._ending:
                archiver.run(self._needed_after, self._log.forget, stop=lambda: self._ending)
                self.archive_error = None
        except (TidalError, OSError) as error:
            # Nothing is lost: what was not archived is in the log, and is tried after the next checkpoint.
            self.archive_error = error
            _logger.error("archiving failed: %s", error)
        finally:
            self._archiving.release()

    # ------------------------------------------------------------------------------ steps

    def _copy(self, recorder: Recorder) -> State:
        with recorder.standing_still():
            self._check()
            seq = self._log.flush()  # a checkpoint must never be ahead of the log
            self._log_bytes = self._log.bytes_written
            return copy_state(
                seq, self._log.head_hash, self._ledger, self._sessions, self._settings.materializers
            )

    def _save(self, state: State) -> int:
        if self._disk is not None and state.seq > self.checkpoint_seq:
            self._names.flush()  # after this the log is no longer needed for them
            disk = self._disk
            self._needed_after = save_checkpoint(disk.fs, disk.paths, disk.identity, state)
            self.checkpoint_seq = state.seq
            self.checkpoint_error = None
        return state.seq

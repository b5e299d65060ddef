"""What a receiver sees of a follower's store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import blake3

from tidal.archive import read_archive_manifest
from tidal.checkpoint.reader import list_checkpoints
from tidal.db.recorder import Recorder
from tidal.durable import set_aside
from tidal.errors import ForeignHistory, SchemaBehind, SchemaMismatch
from tidal.following.remembered import Remembered
from tidal.following.stored import Followed
from tidal.format.payload import TypeSet, type_set
from tidal.replication.feed import LogFeed, Origin
from tidal.replication.frames import CheckedFrame, CheckedRun
from tidal.replication.lag import Position
from tidal.schema import merge_schemas, schema_from_json, schema_to_json
from tidal.schema.events import NOTE_TYPE_ID, EventBatch
from tidal.store import save_schema
from tidal.wal.reader import cut_rows
from tidal.wal.segments import Link


class Store(Protocol):
    """A follower's database, whose state can be put in another's place."""

    @property
    def recorder(self) -> Recorder: ...

    def start_over(self, read: Callable[[], Followed]) -> None:
        """Answer from what ``read`` returns; it may change the files, which nothing else does meanwhile."""


class StoreHost:
    """A store that takes in a leader's log, a tidal.replication.receiver.Host. One thread."""

    def __init__(self, store: Store, followed: Followed, read: Callable[[bool], Followed]) -> None:
        """``read`` reads the files anew; it is told whether events were cut off."""
        self._store, self._read = store, read
        self._use(followed)

    def _use(self, followed: Followed) -> None:
        self._log, self._disk, self._remembered = followed.log, followed.disk, followed.remembered
        self._schema = followed.loaded.schema
        self._types = type_set({NOTE_TYPE_ID, *(signal.type_id for signal in self._schema)})
        report = followed.loaded.found.report
        # A checkpoint that was fetched may be ahead of the log, which then comes up to it.
        self._state_seq, self._checkpoint = report.last_seq, followed.loaded.found.head_hash

    @property
    def end(self) -> Link:
        return self._log.end

    @property
    def position(self) -> Position:
        """How far the log is, to be compared with those of other followers; for any thread."""
        return self._log.position

    @property
    def epoch(self) -> int:
        return self._remembered.leader_epoch

    @property
    def remembered(self) -> Remembered:
        """What is known of leaders beside the log."""
        return self._remembered

    @property
    def log_epoch(self) -> int:
        """The newest epoch that this store was ever written in."""
        return self._log.epoch

    @property
    def applied_seq(self) -> int:
        """How far both log and state are: while a run is taken in, the log is ahead."""
        return min(self._state_seq, self._log.last_seq)

    @property
    def whole(self) -> bool:
        """Whether the log has come up to the state."""
        return self._log.last_seq >= self._state_seq

    @property
    def schema_hash(self) -> bytes:
        """The BLAKE3 of the schema's file."""
        return blake3.blake3(schema_to_json(self._schema)).digest()

    def raise_epoch(self, epoch: int) -> None:
        self._remembered.raise_epoch(epoch)

    def take(self, run: CheckedRun) -> None:
        for checked in run.frames:
            self._check_types(checked.summary.types)
            if checked.frame.first_seq <= self._state_seq <= checked.frame.last_seq and not self.whole:
                self._check_checkpoint(checked)
        for step in self._log.steps(run):
            batches = [batch for checked in step for batch in self._beyond_state(checked)]
            self._store.recorder.continue_with(
                lambda frames=step: self._log.extend(run.header, frames),  # type: ignore[misc]
                batches,
            )
            self._state_seq = max(self._state_seq, self._log.last_seq)

    def _beyond_state(self, checked: CheckedFrame) -> list[EventBatch]:
        """Return the events of a frame that the state has not, as one batch or none."""
        frame = checked.frame
        if frame.last_seq <= self._state_seq:
            return []
        return [cut_rows(checked.batch, frame.first_seq, self._state_seq, None)[1]]

    def _check_types(self, types: TypeSet) -> None:
        if any(there & ~known for there, known in zip(types, self._types, strict=True)):
            raise SchemaBehind("the leader's schema has signal types that this one lacks; it is asked for")

    def _check_checkpoint(self, checked: CheckedFrame) -> None:
        if checked.frame.hash != self._checkpoint:
            raise ForeignHistory(f"the checkpoint at {self._state_seq} is of another history than the log")

    # ------------------------------------------------------------------------------ seldom

    def end_following(self, epoch: int) -> None:
        """Make the store one by itself: its next writer is of the epoch after this one, and claimed it."""
        self._log.raise_epoch(epoch)
        self._remembered.promote(epoch + 1)

    def adopt_schema(self, document: bytes) -> None:
        """Go on with the schema of the leader, which may only have grown; SchemaError."""
        schema = merge_schemas(self._schema, schema_from_json(document))
        if schema_to_json(schema) != document:
            raise SchemaMismatch(["the leader's schema lacks what this store's has"])
        if schema != self._schema:
            self._start_over(lambda: save_schema(self._disk.fs, self._disk.paths, schema), cut=False)

    def hash_at(self, seq: int) -> bytes | None:
        return self._log.hash_at(seq)

    def epoch_of(self, seq: int) -> Origin | None:
        return LogFeed(self._disk.fs, self._disk.paths.wal, self._disk.identity).epoch_of(seq)

    def rewind(self, seq: int, digest: bytes) -> None:
        self._start_over(lambda: self._cut(seq, digest), cut=True)

    def _cut(self, seq: int, digest: bytes) -> None:
        """Take log and checkpoints back to a sequence; ForeignHistory with nothing changed."""
        fs, paths = self._disk.fs, self._disk.paths
        archive = read_archive_manifest(fs, paths.archive, self._disk.identity)
        if archive is not None and archive.last_seq > seq:  # the log may have let these events go
            raise ForeignHistory(
                f"the archive has events after {seq} that the leader has not; move the folder away, and "
                "begin anew by tidal.open_follower()"
            )
        if self._log.hash_at(seq) != digest:
            raise ForeignHistory(f"this log and the leader's are not the same up to event {seq}; begin anew")
        checkpoints = list_checkpoints(fs, paths.checkpoints)
        if self._log.start_seq > 1 and all(it.seq > seq for it in checkpoints):
            raise ForeignHistory(f"no checkpoint is old enough to go back to event {seq}; begin anew")
        for it in checkpoints:
            if it.seq > seq:  # before the log: one that is ahead of it would be believed
                set_aside(fs, it.path, paths.quarantine)
        self._log.cut(seq, paths.quarantine)

    def _start_over(self, change: Callable[[], None], *, cut: bool) -> None:
        """Change the files, and go on from what they say then."""
        followed: list[Followed] = []

        def read() -> Followed:
            change()
            self._log.close()
            followed.append(self._read(cut))
            return followed[0]

        self._store.start_over(read)
        self._use(followed[0])

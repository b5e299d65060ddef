"""TidalDb: what is made of its events for others: exports, jobs, followers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tidal.archive.marks import Marks
from tidal.db.reads import Reads
from tidal.db.recorder import Recorder
from tidal.db.settings import OnDisk, Settings
from tidal.entities import KeyNames
from tidal.errors import InvalidOption, StoreClosed, StoreMissing
from tidal.ledger import SignalLedger
from tidal.links import Links
from tidal.log import Log
from tidal.schema import Schema
from tidal.sessions import Sessions
from tidal.storage import StorageEngine

if TYPE_CHECKING:
    from tidal.export import ExportRequest, SignalExport, StoreSource, Table
    from tidal.export.shapes import TrainingRequest
    from tidal.jobs import Job, Jobs
    from tidal.replication.leading import Led, Shipping
    from tidal.replication.shipper import FollowerStatus
    from tidal.replication.transport import Transport


class Outward(Reads):
    """The part of TidalDb that reads its log and archive for somebody else."""

    sessions: Sessions
    _log: Log
    _recorder: Recorder

    def __init__(
        self,
        schema: Schema,
        ledger: SignalLedger,
        engine: StorageEngine,
        names: KeyNames,
        settings: Settings,
        disk: OnDisk | None,
    ) -> None:
        super().__init__(schema, ledger, engine, names, settings)
        self._disk = disk
        self._read_only = disk is not None and disk.lock is None
        self._links = Links()  # what others attach that have to do with this database
        self._jobs: Jobs | None = None
        self._making_jobs = threading.Lock()
        self._shipping: Shipping | None = None
        self._making_shipping = threading.Lock()  # another one: to claim an epoch may take its time
        self._ending = False  # nothing more is made; set under both locks
        self._claimed: bytes | None = None  # what the epoch of this writer was claimed with

    if TYPE_CHECKING:

        @property
        def durable_seq(self) -> int: ...

        @property
        def marks(self) -> Marks: ...

        def _check_writable(self) -> None: ...

    # ------------------------------------------------------------------------------ export

    def export_signals(self, request: ExportRequest) -> SignalExport:
        """Return the recorded events that a request asks for, in the order of the log: an iterator of
        ExportedSignal, an Arrow table, or a file by ``.write(path)``.

        Log and archive are read up to what is durable now, while they are read from, without asking the
        writer. Raises InvalidOption, InvalidEntity, UnknownSignalType, StoreMissing for a database in
        memory, which has no log; while it is read MissingSegment, CorruptLog, CorruptArchive, StorageError.
        """
        from tidal.export import export_signals

        return export_signals(self._source(), request)

    def export_training(self, request: TrainingRequest) -> Table:
        """Return training data made of the recorded events and of entities' metadata: rows, an Arrow table,
        or a file by ``.write(path)``. Its ``info`` says what was left out and why.

        Raises what export_signals() does.
        """
        from tidal.export.shapes import export_training

        return export_training(self._source(), request, lambda kind, id: self._entities[kind].get(id))

    @property
    def jobs(self) -> Jobs:
        """Exports that run in threads of their own and survive a restart; those that an earlier process left
        go on when this is first used.

        StoreMissing for a database in memory, which has no folder for their files.
        """
        from tidal.jobs import JobFolder, JobLimits, Jobs

        self._check_open()
        if self._disk is None:
            raise StoreMissing("a database in memory has no folder for the files of jobs; open a folder")
        with self._making_jobs:
            self._check_not_ending()
            if self._jobs is None:
                disk = self._disk
                self._jobs = Jobs(
                    self,
                    JobFolder(disk.fs, disk.paths, disk.identity.store_id),
                    self._settings.jobs or JobLimits(),
                    signals=self._source,
                    names=lambda kind, ids: self._names.names(kind, ids),
                    now=self._settings.wall_clock,
                    read_only=self._read_only,
                )
            return self._jobs

    def _known_jobs(self) -> Sequence[Job]:
        """Return the export jobs, the newest first, and go on with none: looking changes nothing."""
        from tidal.jobs import JobFolder

        self._check_open()
        if self._jobs is not None:
            return self._jobs.list()
        if self._disk is None:
            return ()
        folder = JobFolder(self._disk.fs, self._disk.paths, self._disk.identity.store_id)
        return folder.read()[::-1]

    def _source(self) -> StoreSource:
        """Return the events that are durable now, for exports."""
        from tidal.export import StoreSource

        self._check_open()
        if self._disk is None:
            raise StoreMissing("a database in memory has no log that could be exported; open a folder")
        disk = self._disk
        return StoreSource(
            disk.fs, disk.paths, disk.identity, self.schema, self.durable_seq, self._names.names
        )

    # ------------------------------------------------------------------------------ followers

    def ship(
        self,
        transport: Transport,
        *,
        followers: Iterable[str] = (),
        name: str = "leader",
        hold_bytes: int | None = 8 << 30,
    ) -> Shipping:
        """Send the log to followers over a transport, in a thread, until close(); see tidal.open_follower().

        For each of ``followers``, by name, the log is kept until it has it, up to ``hold_bytes`` (None: any);
        others may follow too. ``name`` is this node's, for whoever claims to lead after it. What the sync
        policy leaves unsynced is synced before it is sent.

        Raises StaleEpoch if another node leads, StoreMissing for a database in memory, InvalidOption if it
        ships already, TransportError.
        """
        from tidal.replication.leading import Shipping

        self._check_open()
        with self._making_shipping:
            self._check_not_ending()
            if self._shipping is not None and not self._shipping.closed:
                raise InvalidOption("the database ships its log already")
            led = self._led(name)
            self._shipping = Shipping(led, transport, followers, hold_bytes, self._recorder.fence)
            self._links.attach("shipping", self._shipping.seen)
            return self._shipping

    def _led(self, name: str) -> Led:
        """Return what of the store is shipped; ``name`` is this node's."""
        from tidal.replication.feed import Origin
        from tidal.replication.leading import Led, claim_of

        self._check_writable()
        disk = self._disk
        if disk is None:
            raise StoreMissing("a database in memory has no log to ship; open a folder")
        self._claimed = self._claimed or claim_of(disk.fs, disk.paths, disk.identity, name)
        return Led(
            disk.fs,
            disk.paths,
            disk.identity,
            self._log,
            self._engine,
            self.marks,
            Origin(disk.identity.epoch, *disk.log_end),
            self._claimed,
            self._settings.wall_clock,
        )

    def followers(self) -> tuple[FollowerStatus, ...]:
        """Return what is known of each follower, by name; nothing where the log is not shipped.

        One that is silent for a day, and for which the log is not kept, is forgotten.
        """
        self._check_open()
        return () if self._shipping is None else self._shipping.followers()

    # ------------------------------------------------------------------------------ their end

    def _stop_outward(self) -> None:
        """Let jobs stop where they are, and what is durable go to the followers."""
        with self._making_jobs, self._making_shipping:
            self._ending = True
        if self._jobs is not None:
            self._jobs.close()
        if self._shipping is not None:
            self._shipping.close()

    def _check_not_ending(self) -> None:
        if self._ending:
            raise StoreClosed("the database is being closed; open it again with tidal.open()")

    def _abandon_outward(self) -> None:
        if self._jobs is not None:
            self._jobs.abandon()

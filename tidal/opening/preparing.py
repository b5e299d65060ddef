"""What must be done to a store before anything is written to it, and done again until it succeeds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tidal.checkpoint.reader import DamagedFile
from tidal.durable import FileSystem, set_aside
from tidal.errors import CorruptLog, StorageError
from tidal.format.manifest import Manifest
from tidal.log import Log
from tidal.opening.leftovers import remove_all, temporaries
from tidal.records import record
from tidal.recovery import Recovered, RecoveryReport, archived
from tidal.schema import Schema
from tidal.storage import StorageEngine
from tidal.store import StorePaths, save_schema
from tidal.wal import LogScan, repair_tail, scan_log, write_manifest


@record
class Writable:
    """What a store is written through."""

    log: Log
    engine: StorageEngine


class Preparation:
    """Makes a store that was read fit for writing, once. Safe to share by threads.

    In this order, so that a crash at any point leaves a store that opens as this one did: names are made
    durable, the schema is saved if it has grown, damaged checkpoints go to quarantine, the end of the log is
    repaired, and the manifest says, durably, that the log is open in a new epoch. Only then is something
    appended, or removed. ``follow``: the epoch stays, and the last segment gets no seal, since the log goes
    on as another one does.
    """

    def __init__(
        self,
        fs: FileSystem,
        paths: StorePaths,
        found: Recovered,
        *,
        grown: Schema | None,
        open_engine: Callable[[], StorageEngine],
        open_log: Callable[[Manifest], Log],
        follow: bool = False,
    ) -> None:
        self.report: RecoveryReport = found.report
        self._fs, self._paths, self._found, self._grown = fs, paths, found, grown
        self._open_engine, self._open_log = open_engine, open_log
        self._follow = follow
        self.on_done: Callable[[RecoveryReport], None] = lambda report: None
        self._kept: list[Path] = []
        self._lock = threading.Lock()
        self._done: Writable | None = None
        self._scan: LogScan | None = found.scan  # None: look again, an attempt may have changed the files

    @property
    def done(self) -> Writable | None:
        return self._done

    def run(self) -> Writable:
        """Return what to write through. Errors as tidal.open(); after NoSpace it may be called again."""
        with self._lock:
            if self._done is None:
                self._done = self._prepare()
            return self._done

    def _prepare(self) -> Writable:
        engine = self._open_engine()
        try:
            self._sync_names()
            if self._grown is not None:
                save_schema(self._fs, self._paths, self._grown)
            self._quarantine_checkpoints()
            seal = not self._follow
            scan = repair_tail(self._fs, self._look(), self._paths.quarantine, seal=seal)
            self._kept += scan.quarantined
            manifest = self._manifest(scan)
            write_manifest(self._fs, self._paths.wal, manifest)
            log = self._open_log(manifest)
        except BaseException:
            engine.close()
            raise
        self._finish_report()
        return Writable(log, engine)

    def _sync_names(self) -> None:
        """Make every name durable that was seen: the sync of a folder may have failed before this opening."""
        paths = self._paths
        for folder in paths.folders:
            self._fs.make_dir(folder)
        for folder in (paths.base.parent, paths.base, paths.checkpoints, paths.archive):
            self._fs.sync_dir(folder)

    def _look(self) -> LogScan:
        scan, self._scan = self._scan, None
        if scan is not None:
            return scan
        found = self._found
        scan = scan_log(
            self._fs, self._paths.wal, found.manifest.log,
            after_seq=found.report.checkpoint_seq, manifest=found.manifest,
            archived=archived(self._fs, self._paths, found.manifest.log),
        )  # fmt: skip
        if (scan.last_seq, scan.head_hash) != (found.scan.last_seq, found.scan.head_hash):
            raise CorruptLog(self._paths.wal, 0, "the log is not what it was when the store was opened")
        return scan

    def _quarantine_checkpoints(self) -> None:
        """Move damaged checkpoints aside, each once, and note where they lie now."""
        for number, (path, reason) in enumerate(damaged := list(self.report.damaged_checkpoints)):
            if path.parent == self._paths.checkpoints:
                damaged[number] = DamagedFile(set_aside(self._fs, path, self._paths.quarantine), reason)
                self.report = replace(self.report, damaged_checkpoints=tuple(damaged))
                self._kept.append(damaged[number].path)

    def _manifest(self, scan: LogScan) -> Manifest:
        found = self._found
        known = found.manifest.last_seq
        ended = (it for it in scan.segments if it.sealed or not self._follow)
        added = (it.listing for it in ended if it.base_seq > known)
        epoch = found.epoch if self._follow else found.next_epoch
        return replace(found.manifest, epoch=epoch, clean=False, segments=(*found.manifest.segments, *added))

    def _finish_report(self) -> None:
        found = self._found
        try:
            leftovers = [*found.scan.leftovers, *temporaries(self._fs, self._paths)]
        except StorageError:
            leftovers = []  # the next opening may see them
        removed, notes = remove_all(self._fs, leftovers)
        self.report = replace(
            self.report,
            quarantined=tuple(self._kept),
            leftovers=removed,
            notes=(*found.report.notes, *notes),
        )
        self.on_done(self.report)

"""What a database that only reads takes in of a log that grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tidal.db import Settings, TidalDb
from tidal.durable import FileSystem, read_file
from tidal.entities import KeyNames
from tidal.errors import CorruptLog, MissingSegment
from tidal.format.manifest import MANIFEST_NAME
from tidal.opening.beside import beside_writer
from tidal.opening.loading import Loaded, load_to_read
from tidal.opening.options import StoreOptions
from tidal.recovery import archived, history
from tidal.storage import StorageEngine
from tidal.store import StorePaths, load_store
from tidal.wal import read_manifest, scan_log
from tidal.wal.segments import list_segments

Signature = tuple[bytes, bytes, Path | None, int]


class Refresh:
    """Brings a database up to what the log holds now. Calls must not overlap.

    Where the history no longer reaches back to what the database has, or the schema has grown, the state is
    loaded anew from the newest checkpoint.
    """

    def __init__(
        self,
        fs: FileSystem,
        paths: StorePaths,
        options: StoreOptions,
        settings: Settings,
        open_engine: Callable[[], StorageEngine],
        loaded: Loaded,
    ) -> None:
        self._fs, self._paths, self._options = fs, paths, options
        self._settings, self._open_engine = settings, open_engine
        self._identity = loaded.identity
        self._log_end = loaded.found.scan.last_seq
        self._signature: Signature | None = None  # of the files, when all that they hold was taken in
        self._whole = True  # no batch was taken in by half

    def __call__(self, db: TidalDb) -> int:
        """Return how many events are new to the database."""
        signature = beside_writer(self._fs, self._paths, self._look)
        if signature == self._signature and self._whole:
            return 0
        before = db.last_seq
        beside_writer(self._fs, self._paths, lambda: self._catch_up(db))
        self._signature = signature
        return db.last_seq - before

    def _look(self) -> Signature:
        """What of the files changes when the log or the schema does."""
        fs, paths = self._fs, self._paths
        segments = list_segments(fs, paths.wal, self._identity.region, self._identity.shard)
        last = segments[-1][1] if segments else None
        manifest = read_file(fs, paths.wal / MANIFEST_NAME)
        return manifest, read_file(fs, paths.schema), last, fs.size(last) if last else 0

    def _catch_up(self, db: TidalDb) -> None:
        fs, paths, position = self._fs, self._paths, db.last_seq
        if not self._whole:
            return self._start_over(db)
        manifest = read_manifest(fs, paths.wal, self._identity)
        scan = scan_log(
            fs, paths.wal, self._identity,
            after_seq=position, manifest=manifest, archived=archived(fs, paths, self._identity), live=True,
        )  # fmt: skip
        if scan.last_seq < self._log_end:
            raise CorruptLog(
                paths.wal, 0,
                f"the log ends at event {scan.last_seq}, and ended at {self._log_end}: it was replaced by an "
                "earlier state; close the database and open it again",
            )  # fmt: skip
        if load_store(fs, paths).schema != db.schema:  # after the log: each type there is declared by now
            return self._start_over(db)
        try:
            for first, batch in history(fs, paths, self._identity, position, scan.last_seq):
                self._whole = False
                db._take_in(batch, first + len(batch) - 1)
                self._whole = True
        except MissingSegment:
            self._start_over(db)
        self._log_end = scan.last_seq

    def _start_over(self, db: TidalDb) -> None:
        fs, paths, position = self._fs, self._paths, db.last_seq
        materializers = self._settings.materializers
        loaded = load_to_read(fs, paths, self._options, replace(self._settings, materializers={}))
        if materializers:  # they go on from where they are: what they hold cannot be taken back
            if not self._whole:
                raise CorruptLog(paths.wal, 0, "materializers were interrupted; open the database again")
            for _, batch in history(fs, paths, self._identity, position, loaded.found.report.last_seq):
                self._whole = False  # until all was taken in: half of it must not be taken in twice
                for materializer in materializers.values():
                    materializer.on_events(batch)
        engine = self._open_engine()
        names = KeyNames(engine)
        names.adopt(loaded.found.new_keys)
        db._start_over(loaded.schema, loaded.ledger, loaded.sessions, engine, names, loaded.found.report)
        self._log_end, self._whole = loaded.found.scan.last_seq, True

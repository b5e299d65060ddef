"""A sync that really fails: the blocks that a file system has not used yet cannot be written any more.

The image of the file system lies on a tmpfs of limited size. Where the file system has nothing, holes are
punched in the image, and the tmpfs is filled: so new blocks cannot be written, and what exists still can.
The kernel then does what it does with a failed disk: it reports the error once, and forgets the data.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from pathlib import Path

from faultkit.events import columns
from faultkit.mounts import FLUSH_NOTHING, LoopDisk, fill
from faultkit.oracle import Violation, check_db, require
from faultkit.store import open_store
from tidal import TidalDb
from tidal.errors import NoSpace, StorageError, StorePoisoned, TidalError

_INGESTS_MAX = 2000
_CYCLES_OF_A_STORE = 10


class Rig:
    """Cycles of one store on ``disk``; ``hog`` lies on the tmpfs that holds the disk's image."""

    def __init__(self, disk: LoopDisk, hog: Path, seed: int) -> None:
        self._disk, self._hog, self._rng = disk, hog, random.Random(seed)
        self._stores = 0
        self.cycles = self.failed_syncs = self.opened_same_boot = self.gave_up = self.events = 0

    def run_store(self, cycles: int = _CYCLES_OF_A_STORE) -> None:
        """One store through its life; raises Violation."""
        self._stores += 1
        store = self._disk.point / f"store-{self._stores}"
        self._acknowledged = self._submitted = self._checked = 0
        self._sync = self._rng.choice(["group", "always"])
        for _ in range(cycles):
            self._cycle(store)
            self.cycles += 1
        self._checked = 0
        self._open(store, "at the end").close()
        self.events += self._submitted
        shutil.rmtree(store)

    def _cycle(self, store: Path) -> None:
        db = self._open(store, "at the beginning of a cycle")
        for _ in range(self._rng.randrange(1, 4)):
            self._ingest(db, self._rng.choice([1, 10, 60]))
        self._disk.punch_free_blocks()
        fill(self._hog)
        self._until_failure(db)
        with contextlib.suppress(StorageError):
            db.close()
        if self._rng.random() < 0.5:  # the fault stays for a while
            with contextlib.suppress(StorageError):
                self._open(store, "while the disk still fails").close()
        self._hog.unlink()
        try:
            db = self._open(store, "in the same boot")
            self.opened_same_boot += 1
        except StorageError:  # its journal could not be written, and it gave up
            self.gave_up += 1
            self._disk.come_back()
            db = self._open(store, "after the file system had given up")
        if self._rng.random() < 0.5:
            self._ingest(db, 5)
        self._disk.cut(FLUSH_NOTHING)
        with contextlib.suppress(TidalError):
            db.close()
        self._disk.come_back()

    def _until_failure(self, db: TidalDb) -> None:
        for _ in range(_INGESTS_MAX):
            try:
                self._ingest(db, self._rng.choice([20, 200]))
            except NoSpace:
                continue  # a write that was refused, and undone: not yet a failed sync
            except StorePoisoned:
                self.failed_syncs += 1
                break
        else:
            raise Violation(f"{_INGESTS_MAX} ingests on a disk that takes no block, and no error")
        for _ in range(2):
            with contextlib.suppress(StorePoisoned):
                self._ingest(db, 1)
                raise Violation("an event was acknowledged after a sync had failed")

    def _ingest(self, db: TidalDb, count: int) -> None:
        after = db.last_seq
        self._submitted = max(self._submitted, after + count)
        self._acknowledged = db.ingest(**columns(after, count)).last_seq

    def _open(self, store: Path, when: str) -> TidalDb:
        db = open_store(store, sync=self._sync)
        try:
            last = check_db(db, store, self._acknowledged, self._submitted, after=self._checked)
        except Violation as violation:
            raise Violation(f"{when}: {violation}") from violation
        require(last >= self._acknowledged, f"{when}: what an earlier open showed is gone")
        self._acknowledged = self._checked = last
        return db

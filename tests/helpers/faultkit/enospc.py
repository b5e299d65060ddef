"""A disk that fills and is freed: nothing acknowledged is lost, and service resumes by itself. Root only."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from faultkit.events import columns
from faultkit.mounts import fill, fill_names
from faultkit.oracle import check_db, require
from faultkit.store import POLICIES, open_store
from tidal import TidalDb
from tidal.errors import NoSpace, StorageError, StorePoisoned, TidalError

_INGESTS_MAX = 400
_CYCLES_OF_A_STORE = 25


class Filler:
    """Cycles of one store on a small disk that something else fills: ``disk`` is its folder."""

    def __init__(self, disk: Path, seed: int) -> None:
        self._disk, self._rng = disk, random.Random(seed)
        self._hog, self._names, self._stores = disk / "hog", disk / "names", 0
        self.cycles = self.refusals = self.opened_full = self.resumed = self.poisoned = self.events = 0

    def run_store(self, cycles: int = _CYCLES_OF_A_STORE) -> None:
        """One store through its life; raises Violation."""
        self._stores += 1
        store = self._disk / f"store-{self._stores}"
        self._acknowledged = self._submitted = self._checked = 0
        self._sync = POLICIES[self._stores % len(POLICIES)]
        db = self._open(store)
        for _ in range(cycles):
            db = self._cycle(store, db)
            self.cycles += 1
        db.close()
        self._checked = 0
        self._open(store).close()
        self.events += self._submitted
        shutil.rmtree(store)

    def _cycle(self, store: Path, db: TidalDb) -> TidalDb:
        self._ingest(db)
        by_names = self._rng.random() < 0.3
        if by_names:
            fill_names(self._names)
        else:
            fill(self._hog, leave=self._rng.choice([0, 0, 2000, 9000]))
        self._until_full(db)
        if self._rng.random() < 0.3:
            self._tolerate(db.checkpoint)
        if self._rng.random() < 0.3:
            self._tolerate(db.archive)
        if self._rng.random() < 0.4:
            self._tolerate(db.close)
            db = self._open_full(store)
        if by_names:
            shutil.rmtree(self._names)
        else:
            self._hog.unlink()
        try:
            self._ingest(db)
            self.resumed += 1
        except StorePoisoned:  # a sync failed, or there was no room to take a write back
            self.poisoned += 1
            db.close()
            db = self._open(store)
            self._ingest(db)
        self._acknowledged = max(self._acknowledged, db.checkpoint())
        return db

    def _open_full(self, store: Path) -> TidalDb:
        """With no room at all the store opens, reads work, and a write says why it is refused."""
        db = self._open(store)
        self.opened_full += 1
        self._until_full(db)
        return db

    def _until_full(self, db: TidalDb) -> None:
        for _ in range(_INGESTS_MAX):
            try:
                self._ingest(db)
            except (NoSpace, StorePoisoned):
                self.refusals += 1
                require(db.count("view", "item-1", "all") >= 0, "reads end with the space")
                return

    def _ingest(self, db: TidalDb) -> None:
        count, after = self._rng.choice([1, 10, 200]), db.last_seq
        self._submitted = max(self._submitted, after + count)
        self._acknowledged = db.ingest(**columns(after, count)).last_seq

    def _tolerate(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(StorageError):
            call()

    def _open(self, store: Path) -> TidalDb:
        db = open_store(store, sync=self._sync)
        try:
            last = check_db(db, store, self._acknowledged, self._submitted, after=self._checked)
        except TidalError:
            db.close()
            raise
        self._acknowledged = self._checked = last
        return db

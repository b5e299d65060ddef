"""Ctrl-C in the middle of calls, thousands of times: what a program counted is what the log holds.

The signal is made by a timer, so that it strikes anywhere in a call, also in C code that looks at
signals. What it raises is the KeyboardInterrupt of Python's own handler for SIGINT.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from faultkit.events import columns
from faultkit.oracle import check_db, require
from faultkit.store import POLICIES, open_store
from tidal import TidalDb
from tidal.errors import StorePoisoned

_INTERRUPTIONS_OF_A_STORE = 400
_WEIGHTS = {"signal": 30, "ingest": 60, "checkpoint": 5, "flush": 4, "close": 1}
_FIRST_GUESS_SECONDS = 0.001
_SPARED = 0.1  # so many calls go uninterrupted, and tell how long one takes


class Storm:
    """Runs stores in ``folder`` one after the other. Only in the main thread of a process of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._rng = folder, random.Random(seed)
        self._armed = False
        self._stores = 0
        self._takes = dict.fromkeys(_WEIGHTS, _FIRST_GUESS_SECONDS)
        self.interrupted: Counter[str] = Counter()  # interruptions by the call they struck
        self.poisoned = self.left_in_the_log = self.undone = 0
        self.events = 0
        signal.signal(signal.SIGALRM, self._strike)

    @property
    def interruptions(self) -> int:
        return self.interrupted.total()

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            signal.default_int_handler(number, frame)

    def _struck(self, name: str, call: Callable[[], Any]) -> tuple[bool, Any]:
        """Return whether the call was interrupted, and else what it returned."""
        if self._rng.random() < _SPARED:
            begin = time.perf_counter()
            found = call()
            self._takes[name] += 0.2 * (time.perf_counter() - begin - self._takes[name])
            return False, found
        seconds = self._rng.uniform(1e-6, 1.2 * self._takes[name])
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            found = call()
            self._armed = False
        except KeyboardInterrupt:
            self.interrupted[name] += 1
            return True, None
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False, found

    def run_store(self) -> None:
        """One store through its life; raises Violation."""
        self._stores += 1
        store = self._folder / f"store-{self._stores}"
        self._acknowledged = self._submitted = self._checked = 0
        options = {"sync": POLICIES[self._stores % len(POLICIES)]}
        until = self.interruptions + _INTERRUPTIONS_OF_A_STORE
        db = self._open(store, options)
        while self.interruptions < until:
            name = self._rng.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
            if name in ("signal", "ingest"):
                self._append(db, name)
            else:
                self._struck(name, getattr(db, name))
            if name == "close" or self._is_poisoned(db):
                db.close()
                db = self._open(store, options)
        db.close()
        self._checked = 0
        self._open(store, options).close()
        self.events += self._submitted
        shutil.rmtree(store)

    def _append(self, db: TidalDb, name: str) -> None:
        after = db.last_seq
        count = 1 if name == "signal" else self._rng.choice([1, 3, 40])
        given = columns(after, count)
        self._submitted = max(self._submitted, after + count)
        if name == "signal":
            one = {field: column[0] for field, column in given.items()}
            call: Callable[[], int] = lambda: db.signal(**one)  # noqa: E731
        else:
            call = lambda: db.ingest(**given).last_seq  # noqa: E731
        interrupted, last = self._struck(name, call)
        if not interrupted:
            require(last == after + count, f"{count} events after {after} were acknowledged as {last}")
            self._acknowledged = last

    def _is_poisoned(self, db: TidalDb) -> bool:
        """Whether the store asks to be opened again, as it does when log and state may differ."""
        before = self._acknowledged
        try:
            last = db.flush() if self._rng.random() < 0.05 else db._log.settle()  # type: ignore[attr-defined]
            db._check_writable()
        except StorePoisoned:
            self.poisoned += 1
            return True
        self._note(before, last)
        return False

    def _note(self, before: int, last: int) -> None:
        """What an interrupted call left is all of its events, or none."""
        require(last in (before, self._submitted), f"{before} acknowledged, {last} found: a part of a batch")
        if last > before:
            self.left_in_the_log += 1
        elif self._submitted > before:
            self.undone += 1
        self._acknowledged = self._submitted = last

    def _open(self, store: Path, options: dict[str, Any]) -> TidalDb:
        db = open_store(store, **options)
        last = check_db(db, store, self._acknowledged, self._submitted, after=self._checked)
        self._note(self._acknowledged, last)
        self._checked = last
        return db

"""kill -9, thousands of times: a warm parent forks workers, which die at a random moment or at a chosen call.

The parent has imported everything and runs no thread, so a worker costs a fork and not a start of Python.
A worker uses several stores, each in a thread of its own: one kill strikes each of them somewhere else. What
it was told about its events lies in memory that it shares with the parent, and outlives it. The next worker
of the same stores judges what it finds, and may be killed while it recovers them.
"""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import random
import select
import shutil
import signal
import time
import traceback
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from faultkit.events import columns
from faultkit.hooked import Call, HookedFs
from faultkit.oracle import check_db
from faultkit.store import POLICIES, open_store
from tidal import TidalDb

_CYCLES_OF_A_STORE = 12
_STORES_AT_ONCE = 4
_STEPS_MAX = 5
_HANG_SECONDS = 60.0
_FIELDS: Final = ("acknowledged", "submitted", "opened", "checked")
_VIOLATION = 9


_Store = tuple[Path, "NotesOfStore"]


class Notes:
    """Numbers of a worker's stores that outlive it; each is one machine word, so a kill cannot tear it."""

    def __init__(self, stores: int) -> None:
        self._map = mmap.mmap(-1, 1 << 16)  # shared and anonymous
        self._words = memoryview(self._map).cast("q")
        self.of_stores = [NotesOfStore(self._words, i * len(_FIELDS)) for i in range(stores)]
        self._struck = stores * len(_FIELDS)
        self._text = (self._struck + 1) * 8

    @property
    def struck(self) -> bool:
        """Whether the blow has been dealt."""
        return bool(self._words[self._struck])

    @struck.setter
    def struck(self, struck: bool) -> None:
        self._words[self._struck] = struck

    @property
    def text(self) -> str:
        return self._map[self._text :].split(b"\0", 1)[0].decode(errors="replace")

    @text.setter
    def text(self, text: str) -> None:
        data = text.encode()[-50_000:] + b"\0"
        self._map[self._text : self._text + len(data)] = data


class NotesOfStore:
    """What is known of one store by name."""

    def __init__(self, words: memoryview, start: int) -> None:
        self._words, self._start = words, start

    def __getitem__(self, field: str) -> int:
        return int(self._words[self._start + _FIELDS.index(field)])

    def __setitem__(self, field: str, value: int) -> None:
        self._words[self._start + _FIELDS.index(field)] = value

    def clear(self) -> None:
        for field in _FIELDS:
            self[field] = 0


class Death(NamedTuple):
    """How a worker dies: by the parent after a time, or by itself in its n-th call of one kind, or of any."""

    seconds: float | None = None
    op: str | None = None
    call: int = 0
    when: str = "before"  # before the call, after it, or in the middle of an append
    opened: bool = False  # counting from when the store is open

    @classmethod
    def drawn(cls, rng: random.Random, stores: int) -> Death:
        if rng.random() < 0.4:
            return cls(seconds=rng.random() ** 2 * 0.02 * stores)
        op = rng.choice([None, None, "append", "sync", "sync_dir", "rename", "create", "remove", "truncate"])
        most = {None: 80, "append": 30, "sync": 10}.get(op, 8) * stores
        return cls(
            None, op, int(most ** rng.random()), rng.choice(["before", "after", "middle"]), rng.random() < 0.5
        )

    @property
    def name(self) -> str:
        return "time" if self.seconds is not None else f"{self.when} {self.op or 'any call'}"


class Power(Protocol):
    """What more is taken from a worker than its life: ``cut`` does it, ``come_back`` makes the disk well."""

    def cut(self) -> None: ...

    def come_back(self) -> None: ...


class Killer:
    """Runs cycles on stores in ``folder`` (best on tmpfs: a kill asks nothing of the disk).

    A cycle is one store used by a process that was killed, or that came to its end, and judged by the next.
    With ``power`` the disk under the folder is cut off first, so only what was synced may be relied on.
    """

    def __init__(
        self, folder: Path, seed: int, power: Power | None = None, stores: int = _STORES_AT_ONCE
    ) -> None:
        self._folder, self._rng, self._power = folder, random.Random(seed), power
        self._notes = Notes(stores)
        self._groups = 0
        self.cycles = self.kills = self.recoveries_killed = self.stores_checked = self.events = 0
        self.processes_killed = 0
        self.deaths: Counter[str] = Counter()
        self.violations: list[str] = []
        gc.collect()
        gc.freeze()  # what is not touched need not be copied by a fork

    @property
    def figures(self) -> Counter[str]:
        return Counter(
            {
                "cycles": self.cycles,
                "kills": self.kills,
                "kills in recovery": self.recoveries_killed,
                "processes killed": self.processes_killed,
                "stores": self.stores_checked,
                "events": self.events,
            }
        )

    def run_stores(self, cycles: int = _CYCLES_OF_A_STORE) -> None:
        """Some stores through their lives: cycles of being killed, then opened twice and judged."""
        self._groups += 1
        stores = [
            (self._folder / f"store-{self._groups}-{number}", notes)
            for number, notes in enumerate(self._notes.of_stores)
        ]
        for _, notes in stores:
            notes.clear()
        for _ in range(cycles):
            if not self._cycle(stores, Death.drawn(self._rng, len(stores)), self._rng.getrandbits(32)):
                return  # left there as evidence
        if self._fork(stores, None, 0) == 0:
            for store, notes in stores:
                self.stores_checked += 1
                self.events += notes["submitted"]
                shutil.rmtree(store)

    def _cycle(self, stores: list[_Store], death: Death, seed: int) -> bool:
        for _, notes in stores:
            notes["opened"] = 0
        self._notes.struck = False
        code = self._fork(stores, death, seed)
        if self._power is not None:
            self._power.come_back()
        self.cycles += len(stores)
        if code == -signal.SIGKILL:
            self.processes_killed += 1
            self.kills += len(stores)
            self.deaths[death.name] += 1
            self.recoveries_killed += sum(not notes["opened"] for _, notes in stores)
        return code in (0, -signal.SIGKILL)

    def _fork(self, stores: list[_Store], death: Death | None, seed: int) -> int:
        where = stores[0][0]
        pid = os.fork()
        if pid == 0:
            _use(stores, self._notes, death, seed, self._power)
        watch = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            seconds = death.seconds if death is not None and death.seconds is not None else None
            if seconds is not None:
                time.sleep(seconds)
                _strike(pid, self._notes, self._power)
            if not poll.poll(_HANG_SECONDS * 1000):
                self.violations.append(f"{where}: the worker hangs; {death}, seed {seed}")
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(watch)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == -signal.SIGBUS and self._power is not None and self._notes.struck:
            code = -signal.SIGKILL  # SQLite maps a file, and a page of it cannot be read without power
        if code not in (0, -signal.SIGKILL):
            said = self._notes.text if code == _VIOLATION else f"exit code {code}"
            self.violations.append(f"{where}: {death}, seed {seed}: {said}")
        return code


def _strike(pid: int, notes: Notes, power: Power | None) -> None:
    notes.struck = True
    if power is not None:
        power.cut()
    os.kill(pid, signal.SIGKILL)


def _use(stores: list[_Store], notes: Notes, death: Death | None, seed: int, power: Power | None) -> None:
    """The life of a forked worker: all stores at once, until it dies or they are done with."""
    gc.disable()
    dying = None if death is None else _Dying(death, notes, power)
    with ThreadPoolExecutor(len(stores)) as pool:
        done = [
            pool.submit(_use_one, store, own, dying, random.Random(seed + number), power)
            for number, (store, own) in enumerate(stores)
        ]
        wait(done, return_when=FIRST_EXCEPTION)
    errors = [error for it in done if (error := it.exception()) is not None]
    if errors and notes.struck:  # errors are what a disk gives that has no power
        os.kill(os.getpid(), signal.SIGKILL)
    if errors:
        notes.text = "".join(traceback.format_exception(errors[0]))
    os._exit(_VIOLATION if errors else 0)


def _use_one(
    store: Path, notes: NotesOfStore, dying: _Dying | None, rng: random.Random, power: Power | None
) -> None:
    if dying is None:
        _judge_twice(store, notes)
    else:
        _Worker(store, notes, dying, rng, power).run()


def _judge_twice(store: Path, notes: NotesOfStore) -> None:
    """Open and judge, close, and do it again: what one open showed, the next shows, too."""
    for _ in range(2):
        with open_store(store) as db:
            notes["acknowledged"] = check_db(db, store, notes["acknowledged"], notes["submitted"])


class _Worker:
    """Opens a store, judges what it finds, and uses it until it dies."""

    def __init__(
        self, store: Path, notes: NotesOfStore, dying: _Dying, rng: random.Random, power: Power | None
    ) -> None:
        self._store, self._notes, self._rng = store, notes, rng
        fs = HookedFs(lambda call: dying.hook(call, notes)) if dying.death.seconds is None else None
        sync = rng.choice(POLICIES)
        self._options = {"sync": sync, "checkpoint_bytes": rng.choice([None, None, 3000]), "file_system": fs}
        # A kill takes nothing that the kernel has. A power cut takes what was not synced.
        self._all_stays = power is None or sync in ("group", "always")
        self._waits_in_memory = sync.startswith("buffered")

    def run(self) -> None:
        rng = self._rng
        db = self._open()
        for _ in range(_STEPS_MAX):
            choice = rng.random()
            if choice < 0.2:
                self._signal(db)
            elif choice < 0.76:
                self._ingest(db, rng.choice([1, 1, 3, 8, 40]))
            elif choice < 0.8:
                db.archive()
            elif choice < 0.88:
                self._notes["acknowledged"] = db.checkpoint()
            elif choice < 0.94:
                self._notes["acknowledged"] = db.flush()
            else:
                db.close()
                db = self._open()
        db.close()

    def _open(self) -> TidalDb:
        notes = self._notes
        db = open_store(self._store, **self._options)
        notes["opened"] = 1
        last = check_db(db, self._store, notes["acknowledged"], notes["submitted"], after=notes["checked"])
        notes["acknowledged"] = notes["checked"] = last
        return db

    def _ingest(self, db: TidalDb, count: int) -> None:
        notes, after = self._notes, db.last_seq
        notes["submitted"] = max(notes["submitted"], after + count)
        last = db.ingest(**columns(after, count)).last_seq
        notes["acknowledged"] = last if self._all_stays else db.durable_seq

    def _signal(self, db: TidalDb) -> None:
        notes, after = self._notes, db.last_seq
        notes["submitted"] = max(notes["submitted"], after + 1)
        last = db.signal(**{name: column[0] for name, column in columns(after, 1).items()})
        if not self._waits_in_memory:  # else it is promised nothing, but that what comes after it comes after
            notes["acknowledged"] = last if self._all_stays else db.durable_seq


class _Dying:
    """The hook of file systems whose process dies in one of their calls."""

    def __init__(self, death: Death, notes: Notes, power: Power | None) -> None:
        self.death, self._notes, self._power = death, notes, power
        self._calls = itertools.count(1)

    def hook(self, call: Call, store: NotesOfStore) -> Any:
        death = self.death
        if death.op not in (None, call.op) or (death.opened and not store["opened"]):
            return call.run()
        if next(self._calls) != death.call:
            return call.run()
        if death.when == "after":
            call.run()
        elif death.when == "middle" and call.cut is not None:
            call.cut(call.size // 2)
        _strike(os.getpid(), self._notes, self._power)
        raise AssertionError("unreachable")

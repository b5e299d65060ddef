"""kill -9, thousands of times: a warm parent forks workers, which die at a random moment or at a chosen call.

The parent has imported everything and runs no thread, so a worker costs a fork and not a start of Python.
What a worker was told about its events lies in memory that it shares with the parent, and outlives it. The
next worker of the same store judges what it finds, and may be killed while it recovers.
"""

from __future__ import annotations

import gc
import mmap
import os
import random
import select
import shutil
import signal
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from faultkit.events import columns
from faultkit.hooked import Call, HookedFs
from faultkit.oracle import check_db
from faultkit.store import POLICIES, open_store
from tidal import TidalDb

_CYCLES_OF_A_STORE = 12
_STEPS_MAX = 5
_HANG_SECONDS = 60.0
_FIELDS: Final = ("acknowledged", "submitted", "opened", "calls", "checked", "struck")
_TEXT_AT = 4096
_VIOLATION = 9


class Notes:
    """Numbers of a worker that outlive it; each is one machine word, so a kill cannot tear it."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 1 << 16)  # shared and anonymous
        self._words = memoryview(self._map).cast("q")

    def __getitem__(self, field: str) -> int:
        return int(self._words[_FIELDS.index(field)])

    def __setitem__(self, field: str, value: int) -> None:
        self._words[_FIELDS.index(field)] = value

    def clear(self) -> None:
        for field in _FIELDS:
            self[field] = 0

    @property
    def text(self) -> str:
        return self._map[_TEXT_AT:].split(b"\0", 1)[0].decode(errors="replace")

    @text.setter
    def text(self, text: str) -> None:
        data = text.encode()[-50_000:] + b"\0"
        self._map[_TEXT_AT : _TEXT_AT + len(data)] = data


class Death(NamedTuple):
    """How a worker dies: by the parent after a time, or by itself in its n-th call of one kind, or of any."""

    seconds: float | None = None
    op: str | None = None
    call: int = 0
    when: str = "before"  # before the call, after it, or in the middle of an append
    opened: bool = False  # counting from when the store is open

    @classmethod
    def drawn(cls, rng: random.Random) -> Death:
        if rng.random() < 0.4:
            return cls(seconds=rng.random() ** 2 * 0.02)
        op = rng.choice([None, None, "append", "sync", "sync_dir", "rename", "create", "remove", "truncate"])
        most = {None: 80, "append": 30, "sync": 10}.get(op, 8)
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

    With ``power`` the disk under the folder is cut off first, so only what was synced may be relied on.
    """

    def __init__(self, folder: Path, seed: int, power: Power | None = None) -> None:
        self._folder, self._rng, self._power = folder, random.Random(seed), power
        self._notes = Notes()
        self._stores = 0
        self.cycles = self.kills = self.recoveries_killed = self.stores_checked = self.events = 0
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
                "stores": self.stores_checked,
                "events": self.events,
            }
        )

    def run_store(self, cycles: int = _CYCLES_OF_A_STORE) -> None:
        """One store through its life: cycles of being killed, then opened twice and judged."""
        self._stores += 1
        store = self._folder / f"store-{self._stores}"
        self._notes.clear()
        for _ in range(cycles):
            if not self._cycle(store, Death.drawn(self._rng), self._rng.getrandbits(32)):
                return  # left there as evidence
        if self._fork(store, None, 0) == 0:
            self.stores_checked += 1
            self.events += self._notes["submitted"]
            shutil.rmtree(store)

    def _cycle(self, store: Path, death: Death, seed: int) -> bool:
        self._notes["opened"] = self._notes["calls"] = self._notes["struck"] = 0
        code = self._fork(store, death, seed)
        if self._power is not None:
            self._power.come_back()
        self.cycles += 1
        if code == -signal.SIGKILL:
            self.kills += 1
            self.deaths[death.name] += 1
            self.recoveries_killed += not self._notes["opened"]
        return code in (0, -signal.SIGKILL)

    def _fork(self, store: Path, death: Death | None, seed: int) -> int:
        pid = os.fork()
        if pid == 0:
            _worker(store, self._notes, death, seed, self._power)
        watch = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            seconds = death.seconds if death is not None and death.seconds is not None else None
            if seconds is not None:
                time.sleep(seconds)
                _strike(pid, self._notes, self._power)
            if not poll.poll(_HANG_SECONDS * 1000):
                self.violations.append(f"{store}: the worker hangs; {death}, seed {seed}")
                os.kill(pid, signal.SIGKILL)
        finally:
            os.close(watch)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == -signal.SIGBUS and self._power is not None and self._notes["struck"]:
            code = -signal.SIGKILL  # SQLite maps a file, and a page of it cannot be read without power
        if code not in (0, -signal.SIGKILL):
            said = self._notes.text if code == _VIOLATION else f"exit code {code}"
            self.violations.append(f"{store}: {death}, seed {seed}: {said}")
        return code


def _strike(pid: int, notes: Notes, power: Power | None) -> None:
    notes["struck"] = 1
    if power is not None:
        power.cut()
    os.kill(pid, signal.SIGKILL)


def _worker(store: Path, notes: Notes, death: Death | None, seed: int, power: Power | None) -> None:
    code = _VIOLATION
    try:
        gc.disable()
        if death is None:
            _judge_twice(store, notes)
        else:
            _Worker(store, notes, death, random.Random(seed), power).run()
        code = 0
    except BaseException:
        if notes["struck"]:  # errors are what a disk gives that has no power
            os.kill(os.getpid(), signal.SIGKILL)
        notes.text = traceback.format_exc()
    finally:
        os._exit(code)


def _judge_twice(store: Path, notes: Notes) -> None:
    """Open and judge, close, and do it again: what one open showed, the next shows, too."""
    for _ in range(2):
        with open_store(store) as db:
            notes["acknowledged"] = check_db(db, store, notes["acknowledged"], notes["submitted"])


class _Worker:
    """Opens a store, judges what it finds, and uses it until it dies."""

    def __init__(
        self, store: Path, notes: Notes, death: Death, rng: random.Random, power: Power | None
    ) -> None:
        self._store, self._notes, self._rng = store, notes, rng
        fs = HookedFs(_Dying(death, notes, power).hook) if death.seconds is None else None
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
    """The hook of a file system whose process dies in one of its calls."""

    def __init__(self, death: Death, notes: Notes, power: Power | None) -> None:
        self._death, self._notes, self._power = death, notes, power

    def hook(self, call: Call) -> Any:
        death = self._death
        if death.op not in (None, call.op) or (death.opened and not self._notes["opened"]):
            return call.run()
        self._notes["calls"] += 1
        if self._notes["calls"] != death.call:
            return call.run()
        if death.when == "after":
            call.run()
        elif death.when == "middle" and call.cut is not None:
            call.cut(call.size // 2)
        _strike(os.getpid(), self._notes, self._power)
        raise AssertionError("unreachable")

"""The n-th call sweep: fail call 1 of a workload, then call 2, until it ends without reaching the call."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from faultkit.events import columns
from faultkit.faulty import Fault, FaultyFs
from faultkit.oracle import Violation, check_db, require
from faultkit.store import open_store
from tidal import TidalDb
from tidal.errors import NoSpace, StorageError, StoreClosed, TidalError
from tidal.testing.disk import FileEngine, Image, MemoryDisk
from tidal.testing.disk.inline import inline_keeper

KINDS: Final = (
    *((code, short) for code in (errno.EIO, errno.ENOSPC, errno.EDQUOT) for short in (False, True)),
    (errno.EROFS, False),
    (errno.EINTR, False),
)
_HANG_SECONDS = 30.0


class Run:
    """One store under one fault: makes calls as a program would, and notes what it was told."""

    def __init__(
        self, path: Path, fault: Fault | None = None, memory: MemoryDisk | None = None, **options: Any
    ) -> None:
        self.path, self.memory = path, memory
        self.faulty = FaultyFs(fault, self._segment_lost, memory)
        self.acknowledged = self.submitted = 0
        self.errors: Counter[str] = Counter()
        self.options = options
        self.db: TidalDb | None = None
        self._lost_by: TidalDb | None = None  # whose sync failed: it must acknowledge nothing more

    def _segment_lost(self) -> None:
        self._lost_by = self.db

    def attempt(self, step: Callable[[], Any]) -> Any:
        """Return what a step returns, or the error it raised, which must be one of tidal's own."""
        try:
            return step()
        except TidalError as error:
            require(
                isinstance(error, StorageError | StoreClosed) or self.faulty.failed > 0,
                f"{type(error).__name__} without a fault: {error}",
            )
            require(bool(str(error)), f"a {type(error).__name__} that says nothing")
            self.errors[type(error).__name__] += 1
            return error

    def open(self, **options: Any) -> TidalDb | None:
        given = self.options | options
        db = self.attempt(lambda: self._opened(**given))
        if isinstance(db, Exception):
            again = self.attempt(lambda: self._opened(**given))  # a program would try once more
            db = None if isinstance(again, Exception) else again
        self.db = db
        if db is not None and not given.get("read_only"):
            require(
                db.last_seq >= self.acknowledged, f"{self.acknowledged} acknowledged, {db.last_seq} there"
            )
            self.acknowledged = db.last_seq  # what was shown must stay
        return db

    def _opened(self, **options: Any) -> TidalDb:
        """On a disk in memory the entities are there, too: SQLite would open files of its own."""
        wiring = {"engine": FileEngine} if self.memory is not None else {}
        return open_store(self.path, wiring=wiring, file_system=self.faulty.fs, **options)

    def ingest(self, count: int) -> None:
        """Ingest; after NoSpace once more, after any other error in a store that was opened again."""
        for _ in range(3):
            if self.db is None and self.open() is None:
                return
            assert self.db is not None
            done = self._ingest_once(self.db, count)
            if not isinstance(done, Exception):
                return
            require(isinstance(done, StorageError), f"ingest raised {done!r}")
            if not isinstance(done, NoSpace):
                self.close()

    def _ingest_once(self, db: TidalDb, count: int) -> Any:
        after = db.last_seq
        self.submitted = max(self.submitted, after + count)
        done = self.attempt(lambda: db.ingest(**columns(after, count)))
        if not isinstance(done, Exception):
            waits = self.options.get("sync", "group") in ("group", "always")
            require(
                db is not self._lost_by or not waits,
                f"events to {done.last_seq} were acknowledged after a sync of the log had failed",
            )
            # Under the other policies a sync that fails takes what came after the last one: a suffix.
            self.acknowledged = max(self.acknowledged, done.last_seq if waits else db.durable_seq)
        return done

    def checkpoint(self) -> None:
        if (db := self.db) is not None:
            done = self.attempt(db.checkpoint)
            if isinstance(done, int):
                self.acknowledged = max(self.acknowledged, done)

    def close(self) -> None:
        if (db := self.db) is not None:
            self.db = None
            self.attempt(db.close)

    def crash(self, torn_bytes: int) -> None:
        """Leave the store as a crash would, its last segment short of so many bytes."""
        if self.memory is not None:
            image = self.memory.image()
            self.close()
            files = dict(image.files)
            last = max(name for name in files if name.endswith(".seg"))
            files[last] = files[last][:-torn_bytes]
            self.memory = MemoryDisk(Image(files, image.folders))
            return
        copy = self.path.with_name("crashed")
        shutil.copytree(self.path, copy)
        self.close()
        shutil.rmtree(self.path)
        copy.rename(self.path)
        last_path = max((self.path / "wal").glob("wal-*.seg"))
        os.truncate(last_path, last_path.stat().st_size - torn_bytes)

    def judge(self) -> None:
        """The disk is well again: the store opens, holds what it must, goes on, and keeps what it showed."""
        self.faulty.heal()
        self.close()
        left = open_files(self.path)
        require(not left, f"files left open: {left}")
        with self._opened() as db:
            last = self._check(db, "in the same boot")
            self.submitted = max(self.submitted, last + 2)
            self.acknowledged = db.ingest(**columns(last, 2)).last_seq
        self.faulty.cut_power()
        with self._opened(read_only=True) as db:
            self._check(db, "after a power cut")

    def _check(self, db: TidalDb, when: str) -> int:
        try:
            return check_db(db, self.path, self.acknowledged, self.submitted, fs=self.faulty.fs)
        except Violation as violation:
            raise Violation(f"{when}: {violation}") from violation


def open_files(folder: Path) -> list[str]:
    """The files in a folder that this process has open, as Linux tells."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in found if path.startswith(f"{folder}{os.sep}")]


Workload = Callable[[Run], None]


def writing(run: Run) -> None:
    """A new store: ingest, roll, checkpoint, close; opened again, and once more."""
    run.open()
    for count in (1, 30, 60, 60):
        run.ingest(count)
    run.checkpoint()
    run.ingest(5)
    run.close()
    run.open()
    run.ingest(3)
    run.close()


def recovering(run: Run) -> None:
    """A store whose log ends in a torn batch (see ``torn_store``): opened, used, closed."""
    run.open()
    run.ingest(7)
    run.checkpoint()
    run.close()


def reading(run: Run) -> None:
    """The same store, opened to read; then opened to write."""
    db = run.open(read_only=True)
    if db is not None:
        run.attempt(lambda: db.scores("view", ["item-1", "item-2"]))
    run.close()
    run.open()
    run.ingest(1)
    run.close()


def archiving(run: Run) -> None:
    """A store whose log may be archived for the most part: done, retired by size, and read back."""
    db = run.open(retain=3000)
    run.ingest(3)
    for _ in range(2):
        if (db := run.db) is not None:
            run.attempt(db.archive)
        run.ingest(40)
        run.checkpoint()
    run.close()
    run.open()
    run.ingest(1)
    run.close()


def following(run: Run) -> None:
    """A reader beside the writer: it refreshes while the log grows, is sealed, and is archived."""
    writer = run.open()
    reader = run.attempt(lambda: run._opened(read_only=True))
    if isinstance(reader, Exception):
        return
    for count in (2, 60, 60):
        run.ingest(count)
        run.attempt(reader.refresh)
    run.checkpoint()
    if (writer := run.db) is not None:
        run.attempt(writer.archive)
    run.attempt(reader.refresh)
    require(reader.last_seq <= run.submitted, f"a reader shows {reader.last_seq} of {run.submitted} events")
    run.attempt(reader.close)
    run.close()


def long_store(run: Run) -> None:
    """Three checkpoints and a dozen segments, closed."""
    run.open()
    for _ in range(3):
        for count in (60, 60, 60):
            run.ingest(count)
        run.checkpoint()
    run.close()


def torn_store(run: Run) -> None:
    """Two checkpoints and several segments, cut off in the middle of the last batch."""
    run.open()
    for _ in range(2):
        for count in (20, 60, 60):
            run.ingest(count)
        run.checkpoint()
    run.ingest(9)
    torn_after = run.acknowledged
    run.ingest(9)
    run.crash(10)
    run.acknowledged = torn_after


# What is swept: each workload, and what makes the store it begins with.
WORKLOADS: Final[dict[str, tuple[Workload, Workload | None]]] = {
    "writing": (writing, None),
    "recovering": (recovering, torn_store),
    "reading": (reading, torn_store),
    "archiving": (archiving, long_store),
    "following": (following, long_store),
}


class Sweep:
    """Every call of a workload fails in turn, in every way; ``prepare`` makes the store it begins with.

    In ``folder``, or without one on a disk in memory, where the log has no thread: each run makes the same
    calls then, and the files of the entities fail, too.
    """

    def __init__(
        self,
        workload: Workload,
        prepare: Workload | None = None,
        *,
        folder: Path | None = None,
        **options: Any,
    ) -> None:
        self._folder, self._workload, self._options = folder, workload, options
        self._image: Image | None = None
        self._said = (0, 0)
        self.injections = 0
        self.sites: dict[str, int] = {}  # of a run without faults, each with the number of its first call
        self.sites_hit: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.violations: list[str] = []
        if prepare is not None:
            with self._keeper():
                run = self._new(None, empty=True)
                prepare(run)
            self._said = (run.acknowledged, run.submitted)
            if run.memory is not None:
                self._image = run.memory.image()
            elif folder is not None:
                run.path.rename(folder / "model")

    def _keeper(self) -> contextlib.AbstractContextManager[None]:
        return inline_keeper() if self._folder is None else contextlib.nullcontext()

    def calls(self) -> int:
        """Return how many calls the workload makes when all goes well; the sites are noted."""
        with self._keeper():
            run = self._new(None)
            self._play(run)
        self.sites = run.faulty.sites
        return run.faulty.calls

    def run(
        self,
        *,
        kinds: tuple[tuple[int, bool], ...] = KINDS,
        sticky: tuple[bool, ...] = (False, True),
        step: int = 1,
    ) -> Iterator[int]:
        """Yield after each injection, until every kind of fault ran past the workload's last call."""
        for code, short in kinds:
            for lasting in sticky:
                number = 1
                while self.inject(Fault(number, code, lasting, short)):
                    number += step
                    yield number

    def inject(self, fault: Fault) -> bool:
        """Return whether the workload reached the call."""
        with self._keeper():
            run = self._new(fault)
            try:
                with deadline(_HANG_SECONDS):
                    self._play(run)
                    hit = run.faulty.hit
                    run.judge()
            except Exception as error:
                hit = run.faulty.hit
                where = f"{run.faulty.hit_site} of {hit.path.name}" if hit else "no call"
                self.violations.append(
                    f"{self._workload.__name__}: {fault} ({where}): {type(error).__name__}: {error}"
                )
                run.faulty.heal()
                with contextlib.suppress(Exception):  # here, as at exit the log would have no thread
                    run.close()
        if hit is None:
            return False
        self.injections += 1
        self.sites_hit[run.faulty.hit_site] += 1
        self.errors += run.errors
        return True

    def _play(self, run: Run) -> None:
        self._workload(run)
        run.close()

    def _new(self, fault: Fault | None, *, empty: bool = False) -> Run:
        if self._folder is None:
            run = Run(Path("/store"), fault, MemoryDisk(self._image), **self._options)
        else:
            path, model = self._folder / "store", self._folder / "model"
            shutil.rmtree(path, ignore_errors=True)
            if model.exists() and not empty:
                shutil.copytree(model, path)
            run = Run(path, fault, **self._options)
        run.acknowledged, run.submitted = self._said
        return run


class deadline:
    """A block that takes longer than this raises Violation; in the main thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._raise)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def _raise(self, *_: object) -> None:
        threads = ", ".join(thread.name for thread in threading.enumerate())
        raise Violation(f"hangs for {self._seconds} s; threads: {threads}")

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

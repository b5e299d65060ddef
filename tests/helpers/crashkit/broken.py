"""A disk that fails, and a store that lives with it: one call of a workload fails, later the power does."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import NamedTuple

from crashkit.bench import PATHS, Bench, GaveUp, abandon, open_on
from crashkit.explore import Budget, Explorer
from crashkit.oracle import history_start
from crashkit.patching import no_nonsense
from tidal.durable import TEMPORARY_SUFFIX
from tidal.errors import StorageError, TidalError
from tidal.history import read_history
from tidal.testing.disk import Fault, Image, MemoryDisk

CHANGES = frozenset(("append", "sync", "truncate", "create", "rename", "remove", "make_dir", "sync_dir"))
READS = frozenset(("open_read", "read_at", "file_size"))


# What is read back once it is written.
_READ_BACK = tuple(
    f"{name}{TEMPORARY_SUFFIX}"
    for name in ("manifest.json", ".ckpt", ".seg", ".arc", "marks.json", "schema.json", "store.json")
)
_NOT_OURS = str(PATHS.entities)  # in earnest SQLite's: its errors are tested where it is


class Failure(NamedTuple):
    """Which calls of a kind fail, from the n-th on or that one alone, and how."""

    nth: int
    fault: Fault
    calls: frozenset[str] = CHANGES
    sticky: bool = False  # every later call of the same name fails, too
    suffix: tuple[str, ...] = ("",)  # of the paths that count

    def __str__(self) -> str:
        how = errno.errorcode.get(self.fault.errno, "a wrong bit" if self.fault.garbled else "Ctrl-C")
        return f"call {self.nth}: {how}{' from then on' if self.sticky else ''}"


class Faulty:
    """Makes a failure come to pass; ``struck_at`` is the place in the journal."""

    def __init__(self, failure: Failure) -> None:
        self._failure, self._calls = failure, 0
        self._name: str | None = None
        self.disk: MemoryDisk | None = None
        self.struck_at: int | None = None

    def __call__(self, call: str, path: str) -> Fault | None:
        failure = self._failure
        if call not in failure.calls or not path.endswith(failure.suffix) or path.startswith(_NOT_OURS):
            return None
        self._calls += 1
        if self._calls == failure.nth:
            self._name, self.struck_at = call, len(self.disk.journal) if self.disk else 0
        elif not (failure.sticky and call == self._name):
            return None
        return failure.fault


def failures(kind: str, first: int = 1) -> Iterator[Failure]:
    """The failures of a kind, without end; the caller stops when one did not come to pass."""
    faults = {
        "eio": Fault(errno.EIO, short=100),
        "enospc": Fault(errno.ENOSPC, short=100),
        "garbled": Fault(garbled=True),
        "interrupted": Fault(interrupted=True),
    }
    calls = CHANGES if kind in ("eio", "enospc") else frozenset(("append",))
    suffix = {"garbled": _READ_BACK, "interrupted": (".seg",)}.get(kind, ("",))
    for nth in range(first, 100_000):
        yield Failure(nth, faults[kind], calls, suffix=suffix)


class Seen(NamedTuple):
    """What came of one failure."""

    problem: str | None
    struck: bool
    states: int = 0


def live_with(
    name: str,
    workload: Callable[..., Bench],
    failure: Failure,
    *,
    keeps_cache: bool = False,
    budget: Budget,
) -> Seen:
    """Run a workload on a disk that fails so, open it in the same boot, then cut the power.

    ``keeps_cache``: the kernel does not follow the advice to drop what it cached.
    """
    faulty = Faulty(failure)
    try:
        bench = workload(faults=faulty, keeps_cache=keeps_cache)
    except GaveUp as error:
        return Seen(None if failure.sticky else f"{name}, {failure}: {error}", True)
    except Exception as error:
        no_nonsense(error)
        return Seen(f"{name}, {failure}: {type(error).__name__}: {error}", True)
    if faulty.struck_at is None:
        return Seen(None, False)
    disk = bench.disk
    bench.kill()
    disk.faults = None
    try:
        if not keeps_cache:  # else a reader cannot know: it writes nothing anew
            _read_in_same_boot(bench)
        bench.open()
        problem = _wrong_inside(bench)
    except TidalError as error:
        problem = f"in the same boot: {type(error).__name__}: {error}"
    bench.kill()
    if problem is not None:
        return Seen(f"{name}, {failure}: {problem}", True)
    result = Explorer(f"{name}, {failure}", bench, budget, begin=faulty.struck_at).run()
    return Seen(result.problems[0] if result.problems else None, True, result.unique)


def _read_in_same_boot(bench: Bench) -> None:
    db = open_on(bench.disk, schema=None, read_only=True)
    bench.disk.mark("durable", db.last_seq)  # what was shown must be shown again
    abandon(db, bench.disk)


def _wrong_inside(bench: Bench) -> str | None:
    """Look at an open store for what no call would have let through had it checked its own work."""
    db = bench.db
    if bench.damaged:
        return f"a checkpoint that was called good is not: {bench.damaged}"
    identity = db._disk.identity
    start = history_start(bench.disk, identity)
    position = start - 1
    events = read_history(
        bench.disk, PATHS, identity=identity, after_seq=position, until_seq=db.durable_seq or None
    )
    for first, batch in events if db.durable_seq > position else ():
        position = first + len(batch) - 1
    return None if position == db.durable_seq else f"the history ends at {position}"


def unreadable(name: str, image: Image, digest: Callable[[int], bytes], last: int) -> Iterator[Seen]:
    """Open a good store while its n-th read fails: it must refuse, or show everything; and again later."""

    def shown(disk: MemoryDisk) -> str | None:
        db = open_on(disk, schema=None)
        good = db.last_seq == last and db._ledger.state_digest() == digest(last)
        problem = None if good else f"shows {db.last_seq} events of {last}"
        abandon(db, disk)
        return problem

    for nth in range(1, 10_000):
        faulty = Faulty(Failure(nth, Fault(errno.EIO), READS))
        disk = MemoryDisk(image, faults=faulty)
        try:
            problem = shown(disk)
        except StorageError:
            problem = None
        except Exception as error:
            no_nonsense(error)
            problem = f"{type(error).__name__}: {error}"
        if faulty.struck_at is None:
            return
        disk.faults = None
        disk.begin_process()
        try:
            problem = problem or shown(disk)
        except TidalError as error:
            problem = f"and refused later: {type(error).__name__}: {error}"
        yield Seen(problem and f"{name}, read {nth} fails: {problem}", True, 1)

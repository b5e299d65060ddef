"""One allocation after the other fails, each in a process of its own: what is said, and what is left."""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tidal

SCHEMA: Final = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
SECONDS: Final = 20  # for a call that takes some milliseconds

_QUIET: Final = 12  # runs in a row that reach no failing allocation
_SUCCESS, _MEMORY, _TYPED, _BELOW, _WRONG = range(10, 15)
_NAMES: Final = {
    _SUCCESS: "succeeded",
    _MEMORY: "MemoryError",
    _TYPED: "an error of tidal's",
    _BELOW: "an error of CPython or NumPy that should be a MemoryError",
    _WRONG: "WRONG",
}


@dataclass
class Outcome:
    """What became of the allocations that were failed."""

    tried: int = 0
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    problems: list[str] = field(default_factory=list)


def make_store(path: Path) -> int:
    """Make a store with a checkpoint and a log that goes beyond it; return its last sequence."""
    with tidal.open(path, schema=SCHEMA, clock="event") as db:
        db.ingest(signal="view", entity_id=[f"item-{n}" for n in range(40)], timestamp=list(range(40)))
        db.checkpoint()
        for n in range(5):
            db.signal("view", f"item-{n}", timestamp=50 + n)
        return db.last_seq


def signal_one(db: Any) -> None:
    db.signal("view", "item-new", timestamp=100)


def ingest_some(db: Any) -> None:
    db.ingest(signal="view", entity_id=["item-1", "other-2", "item-3"], timestamp=[100, 101, 102])


def checkpoint(db: Any) -> None:
    db.checkpoint()


def read(db: Any) -> None:
    db.top("view", 10)
    db.score("view", "item-1")


CALLS: Final[dict[str, Callable[[Any], None] | None]] = {
    "open": None,
    "signal": signal_one,
    "ingest": ingest_some,
    "checkpoint": checkpoint,
    "read": read,
}


def sweep(name: str, folder: Path, step: int = 1, offset: int = 0) -> Outcome:
    """Fail every ``step``-th allocation of a call, one in each run, until it seems to have no more."""
    outcome, quiet, number = Outcome(), 0, offset
    while quiet < _QUIET:
        code = _in_child(name, folder, number)
        outcome.tried += 1
        outcome.outcomes[_NAMES.get(code, f"died with {code}")] += 1
        if code not in (_SUCCESS, _MEMORY, _TYPED, _BELOW):
            outcome.problems.append(
                f"{name}, allocation {number}: {_NAMES.get(code, f'the process died: {code}')}"
            )
        quiet = (
            quiet + 1 if code == _SUCCESS else 0
        )  # a thread may take the allocation that fails now and then
        number += step
    return outcome


def _in_child(name: str, folder: Path, number: int) -> int:
    """Return the exit code of a process in which this allocation fails; minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = _WRONG
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)  # ends the process if it hangs
            code = _run(name, folder / f"{os.getpid()}", folder / "whole", number)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    shutil.rmtree(folder / f"{child}", ignore_errors=True)
    return os.waitstatus_to_exitcode(status)


def _run(name: str, store: Path, whole: Path, number: int) -> int:
    import _testcapi  # of CPython's own tests: a build may lack it

    shutil.copytree(whole, store)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):  # "Exception ignored in" and the like
        db = None if name == "open" else tidal.open(store, clock="event")
        before = 45
        if db is not None and name == "checkpoint":  # what it was closed with is saved: here is more
            before = db.signal("view", "item-1", timestamp=60)
        call = CALLS[name]
        code = _SUCCESS
        _testcapi.set_nomemory(number, number + 1)
        try:
            if call is None or db is None:
                db = tidal.open(store, clock="event")
            else:
                call(db)
        except MemoryError:
            code = _MEMORY
        except tidal.TidalError:
            code = _TYPED
        except (SystemError, RuntimeError):  # "returned NULL without an exception set", "can't allocate lock"
            code = _BELOW
        except TypeError as error:  # how the path of a call is converted, where the look at its type fails
            if "os.PathLike, not PosixPath" not in str(error):
                raise
            code = _BELOW
        finally:
            _testcapi.remove_mem_hooks()
        with contextlib.suppress(tidal.TidalError, MemoryError):
            if db is not None:
                db.close()
    _verify(store, name, before, code)
    return code


def _verify(store: Path, name: str, before: int, code: int) -> None:
    """Open the store as if nothing had been: what was acknowledged is there, and no part of more."""
    added = {"signal": 1, "ingest": 3}.get(name, 0)
    with tidal.open(store, clock="event") as db:
        allowed = {before + added} if code == _SUCCESS else {before, before + added}
        if db.last_seq not in allowed:
            raise AssertionError(f"{db.last_seq} events, not one of {sorted(allowed)}")
        if db.count("view", "item-1", "all") < 2:
            raise AssertionError("the state is not that of the log")
        again = db.ingest(signal="view", entity_id=["item-1"], timestamp=[200])
        if again.last_seq != db.last_seq:
            raise AssertionError("it does not go on")

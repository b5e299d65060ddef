"""A file system that fails its n-th call, once or from then on.

After a sync that failed it forgets what it could not write, as a kernel does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

from faultkit.hooked import Call, HookedFs
from tidal.errors import NoSpace, StorageError
from tidal.testing import disk
from tidal.testing.disk import MemoryDisk

# What may be asked of a disk and refused by it. Closing and taking back a lock are not among them.
FALLIBLE: Final = frozenset(
    [
        "create",
        "open_append",
        "open_read",
        "append",
        "sync",
        "truncate",
        "size",
        "read_at",
        "drop_cache",
        "rename",
        "remove",
        "make_dir",
        "sync_dir",
        "list_dir",
        "exists",
        "free_bytes",
        "lock",
    ]
)
_PACKAGE: Final = f"{os.sep}tidal{os.sep}"


class Fault(NamedTuple):
    """``number``: of the call that fails, from 1. ``short``: an append writes a part before it fails."""

    number: int
    code: int
    sticky: bool = False  # every later call of the same kind fails, too
    short: bool = False

    def __str__(self) -> str:
        name = ("short write, " if self.short else "") + errno.errorcode[self.code]
        return f"{name} {'from call' if self.sticky else 'in call'} {self.number} on"

    def error(self, call: Call) -> StorageError:
        kind = NoSpace if self.code in (errno.ENOSPC, errno.EDQUOT) else StorageError
        return kind(self.code, f"{call.op}: {os.strerror(self.code)}", str(call.path))


class FaultyFs:
    """``fs`` is what a store is opened with. ``calls`` counts, ``hit`` is the call that failed first.

    A sync that fails marks the pages clean: they are read well from the cache until it is dropped, by
    ``drop_cache`` or by ``cut_power()``, and are zeros then. This is what ext4 and XFS do.
    """

    def __init__(
        self,
        fault: Fault | None = None,
        on_lost: Callable[[], None] = lambda: None,
        memory: MemoryDisk | None = None,
    ) -> None:
        self.fs = HookedFs(self._hook, memory)
        self._memory = memory
        self._well = False
        self.fault = fault
        self.calls = 0
        self.hit: Call | None = None
        self.sites: dict[str, int] = {}  # each place of the package that calls, and its first call's number
        self.hit_site = ""
        self.failed = 0
        self._on_lost = on_lost  # called when a sync of a segment has failed
        self._to_report: set[Path] = (
            set()
        )  # where a reader's sync failed: Linux tells the writer's next one, too
        self._synced: dict[Path, int] = {}
        self._clean_but_lost: dict[Path, list[tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def heal(self) -> None:
        """From now on every call succeeds, and is not counted."""
        self._well = True

    def cut_power(self) -> None:
        """Forget what the cache alone still had."""
        if self._memory is not None:
            for node in self._memory._names.values():
                node.drop_cache()
        for path in list(self._clean_but_lost):
            self._drop(path)

    def _hook(self, call: Call) -> Any:
        if self._well or call.op not in FALLIBLE:
            found = call.run()
            self._note(call)
            return found
        with self._lock:
            self.calls += 1
            first, fails = self.hit is None, self._fails(call)
            site = f"{call.op} by {_site()}" if self.fault is None or (fails and first) else ""
            if self.fault is None:
                self.sites.setdefault(site, self.calls)
            elif fails and first:
                self.hit_site = site
        if fails:
            self.failed += 1
            return self._fail(call)
        found = call.run()
        self._note(call)
        return found

    def _fails(self, call: Call) -> bool:
        if self.fault is None:
            return False
        if self.hit is not None:
            if call.op == "sync" and not call.reading and call.path in self._to_report:
                self._to_report.remove(call.path)
                return True
            return self.fault.sticky and call.op == self.hit.op
        if self.calls < self.fault.number or (self.fault.short and call.op != "append"):
            return False
        self.hit = call
        return True

    def _fail(self, call: Call) -> Any:
        fault = self.fault
        assert fault is not None
        if call.op == "sync" and call.reading:
            self._to_report.add(call.path)
        elif call.op == "sync" and call.path.suffix == ".seg":
            self._on_lost()
        if self._memory is not None:  # which knows by itself what a failed call leaves
            told = disk.Fault(fault.code, short=call.size // 2 if fault.short else 0)
            with mock.patch.object(self._memory, "faults", lambda call, path: told):
                return call.run()
        if fault.short and call.cut is not None:
            call.cut(call.size // 2)
        if call.op == "sync":
            start, end = self._synced.get(call.path, 0), os.path.getsize(call.path)
            if end > start:
                self._clean_but_lost.setdefault(call.path, []).append((start, end))
            self._synced[call.path] = end
        raise fault.error(call)

    def _note(self, call: Call) -> None:
        path = call.path
        if self._memory is not None:
            return
        if call.op == "sync":
            self._synced[path] = os.path.getsize(path)
        elif call.op == "drop_cache":
            self._drop(path)
        elif call.op == "rename" and call.target is not None:
            for known in (self._synced, self._clean_but_lost):
                known.pop(call.target, None)
                if path in known:
                    known[call.target] = known.pop(path)  # type: ignore[attr-defined]
        elif call.op == "remove":
            self._synced.pop(path, None)
            self._clean_but_lost.pop(path, None)

    def _drop(self, path: Path) -> None:
        for start, end in self._clean_but_lost.pop(path, ()):
            with contextlib.suppress(FileNotFoundError), open(path, "r+b") as file:
                end = min(end, os.path.getsize(path))
                file.seek(start)
                file.write(bytes(max(0, end - start)))


def _site() -> str:
    """Where in the package the call was made: the innermost two lines."""
    frame, names = sys._getframe(2), []
    while frame is not None and len(names) < 2:
        path = frame.f_code.co_filename
        if _PACKAGE in path and "faultkit" not in path:
            names.append(f"{path.rsplit(_PACKAGE, 1)[1]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(names)

"""How databases end with their process, and in the child of a fork."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Callable
from typing import Protocol


class Open(Protocol):
    """A database that is open."""

    def close(self) -> None: ...

    def _forget(self) -> None:
        """Let go of what belongs to the parent process."""


_open_databases: weakref.WeakSet[Open] = weakref.WeakSet()


def note_open(db: Open) -> None:
    """Have a database closed at the end of the process, and forgotten by a child of it."""
    _open_databases.add(db)


def note_closed(db: Open) -> None:
    """Have nothing done with it any more."""
    _open_databases.discard(db)


def to_its_end(close: Callable[[], None]) -> None:
    """Close what has threads, whatever Ctrl-C says: they must not write once the lock is free."""
    interruption: BaseException | None = None
    while True:
        try:
            close()
            break
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
    if interruption is not None:
        raise interruption


@atexit.register
def _close_at_exit() -> None:
    for db in list(_open_databases):
        with contextlib.suppress(Exception):  # each of the others, too; nobody is there to be told
            db.close()


def _forget_in_child() -> None:
    for db in list(_open_databases):
        db._forget()
        note_closed(db)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)

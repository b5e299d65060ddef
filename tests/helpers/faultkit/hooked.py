"""A file system whose every call passes a hook: to count it, fail it, make it slow, or die in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tidal.durable import OsFileSystem


class Call(NamedTuple):
    """One call on the way to the file system. ``run()`` makes it; ``cut(n)`` appends n bytes only."""

    op: str
    path: Path
    run: Callable[[], Any]
    cut: Callable[[int], None] | None = None  # of an append
    size: int = 0  # bytes of an append
    target: Path | None = None  # of a rename
    reading: bool = False  # on a file that was opened to be read


Hook = Callable[[Call], Any]  # returns what the call returns, or raises


class HookedFile:
    def __init__(self, file: Any, hook: Hook, reading: bool) -> None:
        self.path = file.path
        self._file, self._hook, self._reading = file, hook, reading

    def append(self, parts: Any) -> Any:
        data = b"".join(parts)

        def cut(size: int) -> None:
            self._file.append([data[:size]])

        return self._hook(Call("append", self.path, lambda: self._file.append(parts), cut, len(data)))

    def close(self) -> None:
        self._file.close()  # never fails on a local disk, and must not be left out

    def __getattr__(self, name: str) -> Any:
        return _hooked(self._file, name, self._hook, self.path, self._reading)


class HookedFs:
    """``inner`` (the machine's file system by default) behind a hook; knows no method by name, so it
    hooks those of tomorrow, too.
    """

    def __init__(self, hook: Hook, inner: Any = None) -> None:
        self._hook, self._inner = hook, inner or OsFileSystem()

    def __getattr__(self, name: str) -> Any:
        return _hooked(self._inner, name, self._hook, None)


def _hooked(owner: Any, name: str, hook: Hook, path: Path | None, reading: bool = False) -> Any:
    method = getattr(owner, name)
    if not callable(method):
        return method

    def call(*args: Any, **options: Any) -> Any:
        where = path if path is not None else args[0]
        target = args[1] if name == "rename" else None
        found = hook(Call(name, where, lambda: method(*args, **options), target=target, reading=reading))
        return HookedFile(found, hook, name == "open_read") if hasattr(found, "read_at") else found

    return call

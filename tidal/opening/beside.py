"""Reading a store while another process writes it: what changes during a look is looked at again."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, TypeVar

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, MissingSegment, StorageError
from tidal.format.manifest import MANIFEST_NAME
from tidal.store import StorePaths

_T = TypeVar("_T")

_ATTEMPTS: Final = 8  # a writer replaces its manifest once in many megabytes


def beside_writer(
    fs: FileSystem, paths: StorePaths, look: Callable[[], _T], good: Callable[[_T], bool] = lambda _: True
) -> _T:
    """Return what ``look`` finds in a store's log, as look_again does.

    A segment is sealed, archived and forgotten by way of the manifest. The schema has a type before the log
    has an event of it.
    """
    return look_again(fs, (paths.wal / MANIFEST_NAME, paths.schema), look, good)


def look_again(
    fs: FileSystem,
    documents: Collection[Path],
    look: Callable[[], _T],
    good: Callable[[_T], bool] = lambda _: True,
) -> _T:
    """Return what ``look`` returns, made again where a writer changed files meanwhile.

    A writer replaces one of ``documents`` before it removes a file, and before it adds what can be read with
    that one alone. So what seems damaged or lost, by an error or because what was found is not ``good``, is
    so only if they are the same before and after.
    """
    for _ in range(_ATTEMPTS - 1):
        before = _contents(fs, documents)
        try:
            found = look()
            if good(found) or _contents(fs, documents) == before:
                return found
        except (CorruptionError, MissingSegment):
            if _contents(fs, documents) == before:
                raise
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
    return look()


def _contents(fs: FileSystem, documents: Collection[Path]) -> list[bytes | None]:
    return [read_file(fs, path) if fs.exists(path) else None for path in documents]

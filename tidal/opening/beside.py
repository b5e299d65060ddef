"""Reading a store while another process writes it: what changes during a look is looked at again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptLog, MissingSegment, StorageError
from tidal.format.manifest import MANIFEST_NAME
from tidal.store import StorePaths

_T = TypeVar("_T")

_ATTEMPTS: Final = 8  # a writer replaces its manifest once in many megabytes


def beside_writer(
    fs: FileSystem, paths: StorePaths, look: Callable[[], _T], good: Callable[[_T], bool] = lambda _: True
) -> _T:
    """Return what ``look`` finds in a store's log, as look_again does.

    A segment is sealed, archived and forgotten by way of the manifest.
    """
    return look_again(fs, paths.wal / MANIFEST_NAME, look, good)


def look_again(
    fs: FileSystem, document: Path, look: Callable[[], _T], good: Callable[[_T], bool] = lambda _: True
) -> _T:
    """Return what ``look`` returns, made again where a writer removed or replaced files meanwhile.

    ``document`` is replaced before any such file goes. So what seems damaged or lost, by an error or because
    what was found is not ``good``, is so only if the document is the same before and after.
    """
    for _ in range(_ATTEMPTS - 1):
        before = _content(fs, document)
        try:
            found = look()
            if good(found) or _content(fs, document) == before:
                return found
        except (CorruptLog, MissingSegment):
            if _content(fs, document) == before:
                raise
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
    return look()


def _content(fs: FileSystem, path: Path) -> bytes | None:
    return read_file(fs, path) if fs.exists(path) else None

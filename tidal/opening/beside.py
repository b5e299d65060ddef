"""Reading a store while another process writes it: what changes during a look is looked at again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptLog, MissingSegment, StorageError
from tidal.format.manifest import MANIFEST_NAME
from tidal.store import StorePaths

_T = TypeVar("_T")

_ATTEMPTS: Final = 8  # a writer replaces its manifest once in many megabytes


def beside_writer(fs: FileSystem, paths: StorePaths, look: Callable[[], _T]) -> _T:
    """Return what ``look`` returns, made again where the writer removed or replaced files meanwhile.

    A segment is sealed, archived and forgotten by way of the manifest. So what seems damaged or lost is so
    only if the manifest is the same before and after.
    """
    path = paths.wal / MANIFEST_NAME
    for _ in range(_ATTEMPTS - 1):
        before = read_file(fs, path) if fs.exists(path) else None
        try:
            return look()
        except (CorruptLog, MissingSegment):
            if fs.exists(path) and read_file(fs, path) == before:
                raise
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
    return look()

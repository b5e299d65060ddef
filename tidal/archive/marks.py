"""Named marks that hold the log back: what somebody still needs, a follower say, is not removed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tidal.durable import FileSystem, read_file, replace_file, same_bytes
from tidal.errors import CorruptArchive, FormatError, FormatTooNew, InvalidMark
from tidal.format.document import bytes_of, decode_document, encode_document, integer_of
from tidal.format.frame import SEQ_MAX
from tidal.format.segment import STORE_ID_BYTES

MARKS_NAME: Final = "marks.json"
MARKS_FORMAT: Final = 1
MARKS_BYTES_MAX: Final = 1 << 20
MARK_PREFIX: Final = "follower."  # before the name of a follower that the log is shipped to
MARK_NAME_MAX: Final = 64
FOLLOWER_NAME_MAX: Final = MARK_NAME_MAX - len(MARK_PREFIX)

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MARK_NAME_MAX - 1}}}", re.ASCII)


class Marks:
    """The marks of a store, by name: each the last sequence that somebody has, durably noted.

    Segments of the log and files of the archive with a later event are kept. Methods may be called from any
    thread. They read the file anew, so that readers in other processes see what the writer wrote. ``check``
    raises if nothing may be written.
    """

    def __init__(
        self, fs: FileSystem, directory: Path, store_id: bytes, check: Callable[[], None] = lambda: None
    ) -> None:
        self._fs, self._path, self._store_id = fs, directory / MARKS_NAME, store_id
        self._check = check
        self._lock = threading.Lock()

    def all(self) -> dict[str, int]:
        """Return every mark: name -> sequence. CorruptArchive for a damaged file, FormatTooNew."""
        if not self._fs.exists(self._path):
            return {}
        try:
            body = decode_document(
                read_file(self._fs, self._path),
                version=MARKS_FORMAT,
                fields=("store_id", "marks"),
                bytes_max=MARKS_BYTES_MAX,
            )
            marks = _checked(body)
        except FormatTooNew as error:
            raise FormatTooNew(f"{self._path}: {error}") from None
        except (FormatError, InvalidMark) as error:
            raise CorruptArchive(
                self._path,
                0,
                f"not good marks: {error}; restore them, or remove the file and set them again",
            ) from error
        if (store_id := bytes_of(body, "store_id", STORE_ID_BYTES)) != self._store_id:
            raise CorruptArchive(self._path, 0, f"the marks are of store {store_id.hex()}")
        return marks

    def get(self, name: str) -> int | None:
        """Return the sequence of a mark, or None if there is no such mark."""
        check_mark(name, 0)
        return self.all().get(name)

    def set(self, name: str, seq: int) -> None:
        """Note durably that ``name`` has the events up to the sequence ``seq``, and needs what follows.

        InvalidMark for a name that is not a letter or digit and up to 63 of A-Z a-z 0-9 _ . - or a sequence
        that is no u64; ReadOnly, StoreClosed.
        """
        check_mark(name, seq)
        self._check()
        with self._lock:
            self._write({**self.all(), name: seq})

    def remove(self, name: str) -> None:
        """Forget a mark, durably; nothing happens if there is none of that name."""
        check_mark(name, 0)
        self._check()
        with self._lock:
            if name in (marks := self.all()):
                del marks[name]
                self._write(marks)

    def lowest(self) -> tuple[str, int] | None:
        """Return name and sequence of the mark that holds back most, or None without marks."""
        return min(self.all().items(), key=lambda mark: (mark[1], mark[0]), default=None)

    def _write(self, marks: Mapping[str, int]) -> None:
        body = {"format": MARKS_FORMAT, "store_id": self._store_id.hex(), "marks": dict(marks)}
        data = encode_document(body)
        if len(data) > MARKS_BYTES_MAX:
            raise InvalidMark(f"{len(marks)} marks are more than a file of {MARKS_BYTES_MAX} bytes holds")
        replace_file(self._fs, self._path, [data], same_bytes(self._fs, data, CorruptArchive))


def follower_mark(name: object) -> str:
    """Return the mark of a follower; InvalidMark for what is no name of one.

    >>> follower_mark("a")
    'follower.a'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > FOLLOWER_NAME_MAX:
        most = FOLLOWER_NAME_MAX - 1
        raise InvalidMark(
            f"follower {name!r}: a name is a letter or digit, then up to {most} of A-Z a-z 0-9 _ . -"
        )
    return MARK_PREFIX + name


def check_mark(name: object, seq: object) -> None:
    """Raise InvalidMark unless this is a mark's name and sequence."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidMark(
            f"mark {name!r}: a name is a letter or digit, then up to {MARK_NAME_MAX - 1} of A-Z a-z 0-9 _ . -"
        )
    if type(seq) is not int or not 0 <= seq <= SEQ_MAX:
        raise InvalidMark(f"mark {name!r} at {seq!r}: a sequence is an integer from 0 to {SEQ_MAX}")


def _checked(body: Mapping[str, Any]) -> dict[str, int]:
    marks = body["marks"]
    if not isinstance(marks, dict):
        raise FormatError("marks is no object")
    for name in marks:
        check_mark(name, integer_of(marks, name))
    return marks

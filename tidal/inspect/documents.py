"""The small files of a store: how each is read; its identity and its schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, SchemaError, StorageError
from tidal.inspect.findings import Notebook, Severity
from tidal.schema import Schema, schema_from_json, schema_to_json
from tidal.store import decode_place, encode_place

_T = TypeVar("_T")


def check_identity(fs: FileSystem, path: Path, book: Notebook) -> bytes | None:
    """Return the store's id, or None and a note of why it is not known."""
    log = _check(fs, path, decode_place, encode_place, book, "identity-damaged")
    return None if log is None else log.store_id


def check_schema(fs: FileSystem, path: Path, book: Notebook) -> Schema | None:
    """Return the store's schema, or None and a note of why it is not known."""
    return _check(fs, path, schema_from_json, schema_to_json, book, "schema-damaged")


def _check(
    fs: FileSystem,
    path: Path,
    decode: Callable[[bytes], _T],
    encode: Callable[[_T], bytes],
    book: Notebook,
    code: str,
) -> _T | None:
    def decode_canonical(data: bytes) -> _T:
        value = decode(data)
        if data != encode(value):
            book.add(Severity.NOTE, "not-canonical", path, "not the bytes that tidal writes")
        return value

    missing = (code, "missing")
    return read_document(fs, path, decode_canonical, book, part="identity", damaged=code, missing=missing)


def read_document(
    fs: FileSystem,
    path: Path,
    decode: Callable[[bytes], _T],
    book: Notebook,
    *,
    part: str,
    damaged: str,
    missing: tuple[str, str] | None = None,
) -> _T | None:
    """Return what a small file says, or None and a note of why it says nothing.

    ``damaged`` is the code of that note, ``missing`` the code and words where there is no file; None: it
    need not be there.
    """
    try:
        if not fs.exists(path):
            if missing is not None:
                book.damage(missing[0], path, missing[1])
            return None
        data = read_file(fs, path)
        book.looked(path, part, len(data))
        return decode(data)
    except (FormatError, SchemaError, FormatTooNew, CorruptionError, StorageError) as error:
        book.failed(path, error, damaged)
        return None

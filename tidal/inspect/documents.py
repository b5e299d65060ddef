"""The small files of a store: how each is read; its identity and its schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, SchemaError, StorageError
from tidal.inspect.findings import Notebook, Severity
from tidal.schema import Schema, schema_from_json, schema_to_json
from tidal.store import decode_identity, encode_identity

_T = TypeVar("_T")


def check_identity(fs: FileSystem, path: Path, book: Notebook) -> bytes | None:
    """Return the store's id, or None and a note of why it is not known."""

    def decode(data: bytes) -> bytes:
        store_id = decode_identity(data)
        if data != encode_identity(store_id):
            book.add(Severity.NOTE, "not-canonical", path, "not the bytes that tidal writes")
        return store_id

    return read_document(
        fs,
        path,
        decode,
        book,
        part="identity",
        damaged="identity-damaged",
        missing=("identity-damaged", "missing"),
    )


def check_schema(fs: FileSystem, path: Path, book: Notebook) -> Schema | None:
    """Return the store's schema, or None and a note of why it is not known."""

    def decode(data: bytes) -> Schema:
        schema = schema_from_json(data)
        if data != schema_to_json(schema):
            book.add(Severity.NOTE, "not-canonical", path, "not the bytes that tidal writes")
        return schema

    return read_document(
        fs,
        path,
        decode,
        book,
        part="identity",
        damaged="schema-damaged",
        missing=("schema-damaged", "missing"),
    )


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

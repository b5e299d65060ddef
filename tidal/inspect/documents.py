"""The small files of a store: its identity and its schema."""

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

    return _decoded(fs, path, decode, "identity-damaged", book)


def check_schema(fs: FileSystem, path: Path, book: Notebook) -> Schema | None:
    """Return the store's schema, or None and a note of why it is not known."""

    def decode(data: bytes) -> Schema:
        schema = schema_from_json(data)
        if data != schema_to_json(schema):
            book.add(Severity.NOTE, "not-canonical", path, "not the bytes that tidal writes")
        return schema

    return _decoded(fs, path, decode, "schema-damaged", book)


def _decoded(
    fs: FileSystem, path: Path, decode: Callable[[bytes], _T], code: str, book: Notebook
) -> _T | None:
    try:
        if not fs.exists(path):
            book.damage(code, path, "missing")
            return None
        data = read_file(fs, path)
        book.looked(path, "identity", len(data))
        return decode(data)
    except (FormatError, SchemaError, FormatTooNew, CorruptionError, StorageError) as error:
        book.failed(path, error, code)
        return None

"""What is in one file of a store, as fields and tables for a person; of a damaged file as far as it goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from tidal.archive.dictionaries import read_copies
from tidal.checkpoint.reader import verify_section
from tidal.durable import File, FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, SchemaError, StorageError
from tidal.format.archive import ArchiveHeader
from tidal.format.frame import Frame
from tidal.format.payload import TAG_ENTITY_ID, TAG_SESSION_ID, TAG_USER_ID, decode_summary
from tidal.format.snapshot import (
    HEADER_BYTES,
    DamagedSnapshot,
    SnapshotHeader,
    decode_directory,
    decode_header,
)
from tidal.inspect.archives import ArchiveContents, read_archive_head, read_blocks
from tidal.inspect.events import Time, schema_near, type_names
from tidal.inspect.files import check_file
from tidal.inspect.findings import Finding, Notebook
from tidal.inspect.kinds import Kind, file_kind
from tidal.inspect.place import file_system_for
from tidal.inspect.segments import Contents, read_contents
from tidal.records import record
from tidal.schema import Schema
from tidal.schema.durations import format_duration
from tidal.storage import KEYSPACES, SqliteEngine
from tidal.wal.sift import Bad, SealAt


class Table(NamedTuple):
    """Rows under a name; a value is an int, float, text, bytes (a hash), Time, list or None."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@record
class Dump:
    """What a file says of itself, and what is wrong with it."""

    file: str
    kind: str
    size: int
    fields: dict[str, Any]
    tables: tuple[Table, ...]
    problems: tuple[Finding, ...]


_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COLUMN_NAMES: Final = {TAG_ENTITY_ID: "entity_id", TAG_USER_ID: "user_id", TAG_SESSION_ID: "session_id"}
_Shown = tuple[dict[str, Any], tuple[Table, ...]]


def dump(path: Path | str, *, schema: Schema | None = None, file_system: FileSystem | None = None) -> Dump:
    """Return what is in a file of a store: segment, checkpoint, archive, manifest, or one of the small files.

    ``schema`` gives signal types their names; without it that of the store around the file does, if there is
    one. Damaged files are shown as far as they can be read; ``problems`` say where that ends. Raises
    StoreMissing, UsageError for what tidal never wrote and for folders, StorageError.
    """
    path = Path(path).resolve()
    fs = file_system or file_system_for(path)
    kind = file_kind(fs, path)
    book = Notebook(path.parent)
    check_file(fs, path, kind, book, lambda size: None)
    shown: _Shown = ({}, ())
    try:
        shown = _show(fs, path, kind, schema or schema_near(fs, path))
    except (FormatError, FormatTooNew, DamagedSnapshot, CorruptionError, SchemaError, StorageError) as error:
        if not book.findings:
            book.failed(path, error, "not-canonical")
    return Dump(str(path), kind.value, fs.size(path), *shown, tuple(book.findings))


def _show(fs: FileSystem, path: Path, kind: Kind, schema: Schema | None) -> _Shown:
    match kind:
        case Kind.SEGMENT:
            return _segment(read_contents(fs, path), schema)
        case Kind.ENTITIES:
            return _entities(fs, path)
        case Kind.CHECKPOINT | Kind.ARCHIVE:
            file = fs.open_read(path)
            try:
                return _archive(file, schema) if kind is Kind.ARCHIVE else _checkpoint(file)
            finally:
                file.close()
        case _:
            return _document(read_file(fs, path))


# ------------------------------------------------------------------------------------ segments


def _segment(found: Contents, schema: Schema | None) -> _Shown:
    fields: dict[str, Any] = {}
    if (header := found.header) is not None:
        fields = {
            "store_id": header.log.store_id,
            "epoch": header.log.epoch,
            "region": header.log.region,
            "shard": header.log.shard,
            "base_seq": header.base_seq,
            "created_at": Time(header.created_at),
            "previous": header.previous,
            "hash": found.link,
        }
    rows = [_unit_row(found, unit, schema) for unit in found.units if not isinstance(unit, SealAt)]
    columns = (
        "offset",
        "bytes",
        "first_seq",
        "events",
        "from",
        "until",
        "types",
        "durable_seq",
        "hash",
        "state",
    )
    tables = [Table("batches", columns, rows)]
    for unit in found.units:
        if isinstance(unit, SealAt):
            tables.append(_seal_table(unit, schema))
    return fields, tuple(tables)


def _unit_row(found: Contents, unit: Frame | Bad, schema: Schema | None) -> tuple[Any, ...]:
    size = unit.end - unit.offset
    if isinstance(unit, Bad):
        return unit.offset, size, *[None] * 7, unit.reason
    summary = decode_summary(found.data[unit.payload])
    times = Time(summary.min_time), Time(summary.max_time)
    types = type_names(summary.types, schema)
    return unit.offset, size, unit.first_seq, unit.events, *times, types, unit.durable_seq, unit.hash, "good"


def _seal_table(unit: SealAt, schema: Schema | None) -> Table:
    seal = unit.seal
    columns = ("offset", "last_seq", "events", "batches", "from", "until", "types", "final_hash")
    row = (
        unit.offset,
        seal.last_seq,
        seal.events,
        seal.batches,
        Time(seal.min_time),
        Time(seal.max_time),
        type_names(seal.types, schema),
        seal.final_hash,
    )
    return Table("seal", columns, [row])


# ------------------------------------------------------------------------------------ other files


def _archive(file: File, schema: Schema | None) -> _Shown:
    found = read_archive_head(file)
    named = found.schema or schema
    fields = _archive_fields(found.header, named)
    rows = [
        (
            entry.offset,
            entry.stored_bytes,
            entry.plain_bytes,
            entry.first_seq,
            entry.events,
            Time(entry.min_time),
            Time(entry.max_time),
            type_names(entry.types, named),
            entry.hash,
            state if isinstance(state, str) else "good",
        )
        for entry, _, state in read_blocks(file, found)
    ]
    columns = (
        "offset", "bytes", "plain_bytes", "first_seq", "events", "from", "until", "types", "hash", "state"
    )  # fmt: skip
    return fields, (Table("blocks", columns, rows), *_dictionary_tables(file, found), *_schema_tables(found))


def _dictionary_tables(file: File, found: ArchiveContents) -> tuple[Table, ...]:
    entries = {entry.tag: entry for entry, _ in found.dictionaries}
    rows = [
        (place, len(stored), _COLUMN_NAMES[tag], entries[tag].ids, ids if isinstance(ids, str) else "good")
        for number in (0, 1)
        for tag, place, stored, ids in read_copies(file, found.dictionaries, number)
    ]
    return (Table("dictionaries", ("offset", "bytes", "of", "ids", "state"), rows),) if rows else ()


def _archive_fields(header: ArchiveHeader, schema: Schema | None) -> dict[str, Any]:
    return {
        "store_id": header.log.store_id,
        "epoch": header.log.epoch,
        "region": header.log.region,
        "shard": header.log.shard,
        "base_seq": header.base_seq,
        "last_seq": header.last_seq,
        "events": header.events,
        "batches": header.batches,
        "created_at": Time(header.created_at),
        "from": Time(header.min_time),
        "until": Time(header.max_time),
        "types": type_names(header.types, schema),
        "segment_bytes": header.segment_bytes,
        "stored_bytes": header.stored_bytes,
        "previous": header.previous,
        "final_hash": header.final_hash,
        "plain_hash": header.plain_hash,
    }


def _schema_tables(found: ArchiveContents) -> tuple[Table, ...]:
    return (schema_table(found.schema),) if found.schema else ()


def schema_table(schema: Schema) -> Table:
    """Return the signal types of a schema as a table."""
    rows = [
        (
            signal.type_id,
            signal.name,
            signal.kind,
            [format_duration(ns) for ns in signal.half_lives],
            list(signal.windows),
            signal.velocity,
            signal.signed,
        )
        for signal in schema
    ]
    return Table("signals", ("id", "name", "kind", "half_lives", "windows", "velocity", "signed"), rows)


def _checkpoint(file: File) -> _Shown:
    header = decode_header(file.read_at(0, HEADER_BYTES), file.size())
    fields = _checkpoint_fields(header)
    data = file.read_at(HEADER_BYTES, header.sections_offset - HEADER_BYTES)
    entries, meta = decode_directory(header, data)
    rows = []
    for entry in entries:
        try:
            verify_section(file, entry)
            state = "good"
        except DamagedSnapshot as error:
            state = error.reason
        row = (entry.name, entry.dtype, list(entry.shape), entry.offset, entry.stored_bytes, entry.raw_bytes)
        rows.append((*row, entry.codec.name.lower(), entry.digest, state))
    columns = ("section", "dtype", "shape", "offset", "bytes", "plain_bytes", "codec", "digest", "state")
    return {**fields, "meta": meta}, (Table("sections", columns, rows),)


def _checkpoint_fields(header: SnapshotHeader) -> dict[str, Any]:
    return {
        "store_id": header.store_id,
        "epoch": header.epoch,
        "seq": header.seq,
        "log_hash": header.log_hash,
        "sections": header.section_count,
    }


def _document(data: bytes) -> _Shown:
    """A JSON file as it is: scalars as fields, lists of objects as tables."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise FormatError("not a JSON object")
    fields = {name: _meant(name, value) for name, value in body.items() if not _is_rows(value)}
    tables = tuple(_rows_table(name, rows) for name, rows in body.items() if _is_rows(rows))
    return fields, tables


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _rows_table(name: str, rows: list[dict[str, Any]]) -> Table:
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    return Table(name, columns, [tuple(_meant(c, row.get(c)) for c in columns) for row in rows])


def _meant(name: str, value: Any) -> Any:
    """A value of JSON as what it stands for: a hash, a time, or itself."""
    if isinstance(value, str) and _HASH.fullmatch(value):
        return bytes.fromhex(value)
    return Time(value) if name.endswith("_time") and type(value) is int else value


def _entities(fs: FileSystem, path: Path) -> _Shown:
    engine = SqliteEngine(path, read_only=True, fs=fs)
    try:
        rows = []
        for keyspace in KEYSPACES.values():
            found = list(engine.survey(keyspace))
            bad = sum(isinstance(row, CorruptionError) for row in found)
            rows.append((keyspace, len(found) - bad, bad))
    finally:
        engine.close()
    return {}, (Table("keyspaces", ("keyspace", "good_rows", "damaged_rows"), rows),)

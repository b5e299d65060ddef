"""The events of one file as rows for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tidal.durable import FileSystem, read_file
from tidal.errors import CorruptionError, FormatError, FormatTooNew, SchemaError, StorageError, UsageError
from tidal.format.payload import TypeSet, decode_payload
from tidal.inspect.archives import read_archive_head, read_blocks
from tidal.inspect.kinds import Kind, file_kind
from tidal.inspect.place import file_system_for
from tidal.inspect.segments import read_contents
from tidal.schema import EventBatch, Schema, schema_from_json
from tidal.schema.events import NOTE_TYPE_ID, IdColumn
from tidal.schema.spec import KINDS
from tidal.store import StorePaths

EVENT_COLUMNS: Final = (
    "seq", "time", "type", "entity_id", "key", "weight", "user_id", "session_id", "event_id", "note"
)  # fmt: skip
_OPERATION: Final = "session operation"  # what has a note instead of a signal type
EventRow = tuple[Any, ...]


class Time(int):
    """A time in ns, to be shown as one."""


def read_events(
    path: Path | str, *, schema: Schema | None = None, file_system: FileSystem | None = None
) -> Iterator[EventRow]:
    """Return the events of a segment or an archive file, rows of EVENT_COLUMNS, without the damaged batches.

    An event's key is known from where the file brings it, which it does if the log first uses it there.
    Raises UsageError for a file of another kind, else as dump().
    """
    path = Path(path).resolve()
    fs = file_system or file_system_for(path)
    kind = file_kind(fs, path)
    if kind is Kind.SEGMENT:
        return _rows(_of_segment(fs, path, schema or schema_near(fs, path)))
    if kind is Kind.ARCHIVE:
        return _rows(_of_archive(fs, path, schema or schema_near(fs, path)))
    raise UsageError(f"{path} is a {kind.value}: only segments and archive files hold events")


_Batches = Iterator[tuple[int, EventBatch, Schema | None]]


def _of_segment(fs: FileSystem, path: Path, schema: Schema | None) -> _Batches:
    found = read_contents(fs, path)
    for frame in found.frames:
        try:
            batch = decode_payload(found.data[frame.payload], frame.events)
        except FormatError:  # dump() tells of it
            continue
        yield frame.first_seq, batch, schema


def _of_archive(fs: FileSystem, path: Path, schema: Schema | None) -> _Batches:
    file = fs.open_read(path)
    try:
        head = read_archive_head(file)
        for entry, _, batch in read_blocks(file, head):
            if isinstance(batch, EventBatch):
                yield entry.first_seq, batch, head.schema or schema
    finally:
        file.close()


def schema_near(fs: FileSystem, path: Path) -> Schema | None:
    """Return the schema of the store that a file lies in, or None if there is none that can be read."""
    for folder in (path.parent, path.parent.parent):
        place = StorePaths(folder).schema
        try:
            if fs.exists(place):
                return schema_from_json(read_file(fs, place))
        except (SchemaError, FormatTooNew, CorruptionError, StorageError):
            return None
    return None


def type_names(types: TypeSet, schema: Schema | None) -> list[str]:
    """Return the names of the types in a set; a type without a name is its id."""
    names = {signal.type_id: signal.name for signal in schema or ()} | {NOTE_TYPE_ID: _OPERATION}
    bits = int.from_bytes(types, "little")
    return [names.get(type_id, str(type_id)) for type_id in range(256) if bits >> type_id & 1]


def _rows(batches: _Batches) -> Iterator[EventRow]:
    keys: dict[tuple[str, int], str] = {}
    for first_seq, batch, schema in batches:
        types, notes = {signal.type_id: signal for signal in schema or ()}, iter(batch.notes)
        keys.update({(key.kind, key.id): key.key for key in batch.new_keys})
        columns = (batch.type_id.tolist(), batch.entity_id.tolist(), batch.weight.tolist())
        optional = (_ids(column, len(batch)) for column in (batch.user_id, batch.session_id, batch.event_id))
        rows = zip(batch.timestamp.tolist(), *columns, *optional, strict=True)
        for seq, (time, type_id, entity, weight, *ids) in enumerate(rows, first_seq):
            signal = types.get(type_id)
            name, kind = (signal.name, signal.kind) if signal else (str(type_id), KINDS[0])
            note = None
            if type_id == NOTE_TYPE_ID:
                name, note = _OPERATION, next(notes, b"").decode(errors="replace")
            yield seq, Time(time), name, entity, keys.get((kind, entity)), weight, *ids, note


def _ids(column: IdColumn | None, count: int) -> list[int | None]:
    if column is None:
        return [None] * count
    values = column.values.tolist()
    if column.valid is None:
        return list(values)
    return [value if known else None for value, known in zip(values, column.valid.tolist(), strict=True)]

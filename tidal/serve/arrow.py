"""Arrow streams of strangers: looked at before anything is read, checked before anything is used.

Readers of Arrow trust what they read. So the frames of a stream are walked first, here: a compressed one
could be a thousand times what was sent, and is refused. Then only columns of plain types are taken, and
pyarrow checks every offset, index and text before the importer sees them.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from typing import Any, Final

from tidal.errors import MissingExtra
from tidal.serve.problems import Refused

ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
COLUMNS_MAX: Final = 64
FRAMES_MAX: Final = 10_000

ScopeIds = Callable[[list[Any]], list[int | None]]
"""From ids of events as they were sent to those that are recorded."""

_CONTINUATION: Final = 0xFFFFFFFF
_DICTIONARY, _RECORDS = 2, 3  # of the union MessageHeader in Arrow's Message.fbs


def read_table(data: bytes, rows_max: int, scope_ids: ScopeIds | None = None) -> Any:
    """Return the table of a stream, as pyarrow has it; ``scope_ids`` is applied to its column event_id.

    Raises Refused, MissingExtra where pyarrow is not installed.
    """
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "an Arrow stream as a body") from error
    ipc: Any = importlib.import_module("pyarrow.ipc")
    try:
        _check_frames(data)
        table = _read(pyarrow, ipc, data, rows_max)
    except (pyarrow.ArrowException, OSError, EOFError, ValueError, struct.error) as error:
        raise Refused(400, f"no Arrow stream: {error}", code="malformed_arrow") from None
    if scope_ids is None or "event_id" not in table.column_names:
        return table
    place = table.column_names.index("event_id")
    ids = scope_ids(table.column(place).to_pylist())
    return table.set_column(place, "event_id", pyarrow.array(ids, pyarrow.uint64()))


def _read(pyarrow: Any, ipc: Any, data: bytes, rows_max: int) -> Any:
    batches, rows = [], 0
    with ipc.open_stream(data) as reader:
        if len(reader.schema) > COLUMNS_MAX:
            raise Refused(422, f"a table has at most {COLUMNS_MAX} columns")
        for field in reader.schema:
            if not _is_plain(pyarrow.types, field.type):
                raise Refused(
                    422, f"column {field.name[:80]!r}: no numbers, texts or times in UTC, but {field.type}"
                )
        for batch in reader:
            rows += batch.num_rows
            if rows > rows_max:
                raise Refused(413, f"a request has at most {rows_max} events")
            batch.validate(full=True)
            batches.append(batch)
        return pyarrow.Table.from_batches(batches, reader.schema)


def _is_plain(types: Any, kind: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_text(types, kind.value_type)
    number = types.is_integer(kind) or types.is_floating(kind)
    return number or _is_text(types, kind) or types.is_timestamp(kind)


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


# ------------------------------------------------------------------------------------ frames


def _check_frames(data: bytes) -> None:
    """Walk the encapsulated messages of a stream. Raises ValueError, struct.error."""
    place = 0
    for _ in range(FRAMES_MAX):
        if place == len(data):
            return
        (length,) = struct.unpack_from("<I", data, place)
        place += 4
        if length == _CONTINUATION:  # since Arrow 0.15; before there was only the length
            (length,) = struct.unpack_from("<I", data, place)
            place += 4
        if length == 0:
            return
        if length > len(data) - place:
            raise ValueError("it ends within a message")
        message = _Flat(data[place : place + length])
        place += length + _check_message(message, len(data) - place - length)
    raise ValueError(f"it has more than {FRAMES_MAX} messages")


def _check_message(message: _Flat, left: int) -> int:
    """Return the length of a message's body."""
    root = message.root()
    (body,) = message.unpack("<q", at) if (at := message.field(root, 3)) else (0,)
    if not 0 <= body <= left:
        raise ValueError("it ends within a body")
    kind = message.unpack("<B", at)[0] if (at := message.field(root, 1)) else 0
    header = message.field(root, 2)
    if kind in (_DICTIONARY, _RECORDS) and header:
        records = message.table(header)
        if kind == _DICTIONARY and (inner := message.field(records, 1)):
            records = message.table(inner)
        if message.field(records, 3):
            raise ValueError("its buffers are compressed; send them as they are")
    return int(body)


class _Flat:
    """A flatbuffer: tables whose fields are found by way of a table of offsets."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def unpack(self, format: str, at: int) -> tuple[int, ...]:
        if at < 0:
            raise ValueError("an offset lies before its message")
        return struct.unpack_from(format, self._data, at)

    def root(self) -> int:
        return self.unpack("<I", 0)[0]

    def table(self, at: int) -> int:
        """Return where the table lies that is referred to here."""
        return at + self.unpack("<I", at)[0]

    def field(self, table: int, number: int) -> int:
        """Return where a field of a table lies, 0 if it is left out."""
        offsets = table - self.unpack("<i", table)[0]
        place = 4 + 2 * number
        if place + 2 > self.unpack("<H", offsets)[0]:
            return 0
        offset = self.unpack("<H", offsets + place)[0]
        return table + offset if offset else 0

"""Tables of any Arrow producer (polars, pandas, pyarrow, duckdb) -> checked batches, one a chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tidal._ext.arrow import Chunk, Stream
from tidal.errors import InvalidEvent, MissingExtra
from tidal.ingest.check import COLUMNS, REQUIRED, Prepared, Rules, prepare
from tidal.ingest.columns import Column, read_column
from tidal.ingest.keys import KeyResolver, ResolveKeys
from tidal.ingest.refused import OnError
from tidal.schema.spec import Schema

ENTITY_NAMES: Final[tuple[str, ...]] = (
    "entity_id",
    "entity",
    "key",
)  # what the entity's column may be called
_PANDAS_INDEX: Final = "__index_level_"  # how pandas hands over the row labels of a filtered frame


def prepare_frames(
    schema: Schema,
    source: Any,
    *,
    signal: Any = None,
    columns: Mapping[str, str] | None = None,
    now_ns: int,
    max_future_skew_ns: int | None,
    resolve_keys: ResolveKeys,
    on_error: OnError = "raise",
) -> Iterable[Prepared]:
    """Return the events of a table, checked, a batch for each of its chunks; rows count over all of it.

    ``source`` has ``__arrow_c_stream__`` or ``__arrow_c_array__``. Its columns are ``signal`` (or give
    ``signal=`` for all rows), ``entity_id`` (or ``entity``, ``key``), and where present ``weight``,
    ``timestamp``, ``user_id``, ``session_id``, ``event_id``. ``columns`` renames, event's name to
    table's: ``{"entity_id": "StockCode"}``; only with it, ``{}`` included, are other columns ignored.

    With on_error="raise" the whole table is checked before this returns a list; with "skip" the chunks
    come one by one, and what is wrong with a column as a whole may be raised at any of them. The
    stream is released as soon as its last chunk was read.
    """
    rules = Rules(schema, now_ns, max_future_skew_ns, on_error)
    fixed = {} if signal is None else {"signal": read_column("signal", signal)}
    if fixed and not fixed["signal"].is_scalar:
        raise InvalidEvent(
            "beside a table one signal type is given; make it a column of the table", column="signal"
        )
    stream = _open(source)
    try:
        places = _find(stream, columns, fixed)
    except BaseException:
        stream.close()
        raise
    batches = _batches(stream, places, fixed, rules, KeyResolver(resolve_keys))
    return list(batches) if on_error == "raise" else batches


def _open(source: Any) -> Stream:
    try:
        stream = Stream(source)
    except ImportError as error:  # pandas has the method but needs pyarrow for it
        raise MissingExtra("pyarrow", "parquet", f"reading a {type(source).__name__}") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidEvent(
            f"this {type(source).__name__} cannot be read as an Arrow table: {error}; "
            "make each column one type, or pass its columns by name"
        ) from error
    if not stream.is_table:
        stream.close()
        raise InvalidEvent(f"this {type(source).__name__} is one column; pass a table, or columns by name")
    return stream


def _find(stream: Stream, columns: Mapping[str, str] | None, fixed: Mapping[str, Column]) -> dict[str, int]:
    """Return the position in the table of each column of an event that it has."""
    there = [name for name in stream.names if not name.startswith(_PANDAS_INDEX)]
    if columns is not None and not isinstance(columns, Mapping):
        raise InvalidEvent(
            f'columns={columns!r} is not a mapping; write columns={{"entity_id": "name in the table"}}'
        )
    renamed = dict(columns or {})
    for name, given in renamed.items():
        if name not in COLUMNS:
            raise InvalidEvent(f"columns= names {name!r}, which is not one of {', '.join(COLUMNS)}")
        if given not in there:
            raise InvalidEvent(f"not in the table as {given!r}; it has {', '.join(there)}", column=name)
    names = {name: name for name in COLUMNS if name in there}
    if entity := [name for name in ENTITY_NAMES if name in there]:
        names["entity_id"] = entity[0]
    names.update(renamed)
    for name, given in names.items():
        if there.count(given) > 1:
            raise InvalidEvent(f"the table has {there.count(given)} columns {given!r}; keep one", column=name)
        if name in fixed:
            raise InvalidEvent(f"in the table and given as {name}= too; leave one of them out", column=name)
    for name in REQUIRED:
        if name not in names and name not in fixed:
            raise InvalidEvent(
                f"not in the table, which has {', '.join(there) or 'no columns'}; "
                f'say which it is with columns={{"{name}": ...}}'
                + (" or give signal=" if name == "signal" else ""),
                column=name,
            )
    others = [name for name in there if name not in names.values()]
    if others and columns is None:
        raise InvalidEvent(
            f"the table's {', '.join(map(repr, others))} is nothing that an event has; rename it with "
            "columns={...}, or give columns={} to ignore it"
        )
    return {name: stream.names.index(given) for name, given in names.items()}


def _batches(
    stream: Stream, places: Mapping[str, int], fixed: Mapping[str, Column], rules: Rules, keys: KeyResolver
) -> Iterator[Prepared]:
    first_row = 0
    with stream:
        while (chunk := _next(stream, first_row)) is not None:
            columns = {name: _column(chunk, name, place, first_row) for name, place in places.items()}
            yield prepare({**fixed, **columns}, rules, keys, first_row)
            first_row += len(chunk)


def _next(stream: Stream, first_row: int) -> Chunk | None:
    try:
        return next(stream, None)
    except (ValueError, RuntimeError) as error:
        raise InvalidEvent(f"the table cannot be read on from row {first_row}: {error}") from error


def _column(chunk: Chunk, name: str, place: int, first_row: int) -> Column:
    try:
        return Column(name, *chunk.column(place))
    except (ValueError, TypeError) as error:
        raise InvalidEvent(f"in the table's rows from {first_row} on: {error}", column=name) from error

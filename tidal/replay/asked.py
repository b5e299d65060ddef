"""The rows of a frame that features are asked for: which entity, as of when, perhaps which signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal._ext.arrow import Stream
from tidal.entities import entity_key_ids
from tidal.errors import InvalidEvent, MissingExtra
from tidal.ingest.columns import Column, join, read_column
from tidal.ingest.convert import ids, times, type_ids
from tidal.ingest.frames import ENTITY_NAMES
from tidal.ingest.keys import KeyResolver
from tidal.ingest.refused import Refusals
from tidal.ingest.scalars import TimeRange
from tidal.records import record
from tidal.schema import NewKey, Schema

TIME_NAMES: Final = ("time", "timestamp")
_SIGNAL: Final = "signal"


@record
class Asked:
    """Rows in the order of the frame. ``keys``: the column of keys, where entities were named so."""

    ids: NDArray[np.uint64]
    times: NDArray[np.int64]
    types: NDArray[np.uint8] | None  # of the schema
    keys: NDArray[np.object_] | None


def read_rows(frame: Any, schema: Schema) -> Asked:
    """Return the rows of a table of any Arrow producer, or of a mapping of columns.

    The columns are ``entity_id`` (or ``entity``, ``key``), ``time`` (or ``timestamp``) and perhaps
    ``signal``; others are ignored. Raises InvalidEvent, which names the first row that cannot be read.
    """
    columns = _columns(frame)
    entity = _one_of(columns, ENTITY_NAMES)
    time = _one_of(columns, TIME_NAMES)
    refusals = Refusals()
    named = ids(entity, refusals, required=True)
    at = times(time, refusals, TimeRange.until(0, None))
    signal = columns.get(_SIGNAL)
    types = None if signal is None else type_ids(signal, refusals, schema)
    refusals.raise_first()
    found = KeyResolver(ids_of_keys).resolve(None, named)
    keys = None if named.texts is None else np.array(named.texts, object)[named.values]
    return Asked(found, at, types, keys)


def ids_of_keys(kind: str | None, keys: Any, /) -> tuple[NDArray[np.uint64], tuple[NewKey, ...]]:
    """Return the ids of keys, of any kind; nothing is remembered."""
    return entity_key_ids(keys), ()


def _columns(frame: Any) -> dict[str, Column]:
    """Return the columns that are known by their names."""
    known = (*ENTITY_NAMES, *TIME_NAMES, _SIGNAL)
    if isinstance(frame, Mapping):
        columns = {name: read_column(name, frame[name]) for name in known if name in frame}
    else:
        try:
            stream = Stream(frame)
        except ImportError as error:  # pandas has the method but needs pyarrow for it
            raise MissingExtra("pyarrow", "parquet", f"reading a {type(frame).__name__}") from error
        except (ValueError, TypeError, RuntimeError) as error:
            raise InvalidEvent(
                f"this {type(frame).__name__} is no table: {error}; give a frame, or a dict of columns"
            ) from error
        with stream:
            places = {name: stream.names.index(name) for name in known if name in stream.names}
            chunks = [
                {name: Column(name, *chunk.column(place)) for name, place in places.items()}
                for chunk in stream
            ]
        columns = {name: join([chunk[name] for chunk in chunks], name) for name in places}
    if len({len(column) for column in columns.values()}) > 1:
        lengths = {name: len(column) for name, column in columns.items()}
        raise InvalidEvent(f"the columns have different lengths: {lengths}")
    return columns


def _one_of(columns: Mapping[str, Column], names: tuple[str, ...]) -> Column:
    for name in names:
        if name in columns:
            return columns[name]
    raise InvalidEvent(f"the frame has no column {' or '.join(map(repr, names))}", column=names[0])

"""Columns -> a checked EventBatch: the whole of it, or with on_error="skip" its good rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tidal.errors import InvalidEvent
from tidal.ingest.columns import Column, read_column
from tidal.ingest.convert import TYPE_COUNT_MAX, Ids, ids, times, type_ids, weights
from tidal.ingest.keys import KeyResolver, ResolveKeys
from tidal.ingest.refused import OnError, Refusals, RefusedRow
from tidal.ingest.scalars import TimeRange, not_signed
from tidal.records import record
from tidal.schema.events import U64, EventBatch, IdColumn
from tidal.schema.spec import KINDS, Schema

# In the order in which a row is judged: of two things wrong with a row, the earlier column's is reported.
REQUIRED: Final[tuple[str, ...]] = ("signal", "entity_id")
OPTIONAL_IDS: Final[tuple[str, ...]] = ("user_id", "session_id", "event_id")
COLUMNS: Final[tuple[str, ...]] = (*REQUIRED, "weight", "timestamp", *OPTIONAL_IDS)

# Names are kept for entities and users; sessions and event ids only need to be told apart.
_KEY_KINDS: Final[Mapping[str, str | None]] = {"user_id": "user", "session_id": None, "event_id": None}

_T = TypeVar("_T")


class Prepared(NamedTuple):
    """A batch that may be logged and applied as it is, and the rows that are not in it."""

    batch: EventBatch
    refused: tuple[RefusedRow, ...] = ()


@record
class Rules:
    """What holds for all rows of one ingest call."""

    schema: Schema
    now_ns: int
    max_future_skew_ns: int | None
    on_error: OnError

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise InvalidEvent(f'on_error={self.on_error!r} is not known; use "raise" or "skip"')


def prepare_columns(
    schema: Schema,
    *,
    signal: Any,
    entity_id: Any,
    weight: Any = None,
    timestamp: Any = None,
    user_id: Any = None,
    session_id: Any = None,
    event_id: Any = None,
    now_ns: int,
    max_future_skew_ns: int | None,
    resolve_keys: ResolveKeys,
    on_error: OnError = "raise",
) -> Prepared:
    """Return the events of columns, checked.

    A column is a list, a NumPy array, an Arrow or pandas or polars column, or one value for all rows.
    Plain arrays of the batch's own dtypes are not copied, so the batch is good for as long as nobody
    writes to them. Raises InvalidEvent or UnknownSignalType for the first bad row, or returns the bad
    rows with on_error="skip"; what is wrong with a column as a whole, or with one value for all rows,
    is always raised.
    """
    rules = Rules(schema, now_ns, max_future_skew_ns, on_error)
    sources = zip(COLUMNS, (signal, entity_id, weight, timestamp, user_id, session_id, event_id), strict=True)
    columns = {name: read_column(name, source) for name, source in sources if source is not None}
    return prepare(columns, rules, KeyResolver(resolve_keys))


def prepare(columns: Mapping[str, Column], rules: Rules, keys: KeyResolver, first_row: int = 0) -> Prepared:
    """Return the events of columns that were read; their first row has the number ``first_row``."""
    schema = rules.schema
    within = TimeRange.until(rules.now_ns, rules.max_future_skew_ns)
    refusals = Refusals(first_row)
    fields = _Fields(columns, refusals)

    type_id = fields.array("signal", lambda column, refusals: type_ids(column, refusals, schema))
    entity = fields.ids("entity_id", required=True)
    weight = fields.array("weight", weights, np.float32(1))
    _refuse_negative(type_id, weight, columns.get("weight"), schema, refusals)
    timestamp = fields.array(
        "timestamp", lambda column, refusals: times(column, refusals, within), np.int64(rules.now_ns)
    )
    optional = {name: fields.ids(name, required=False) for name in OPTIONAL_IDS if name in columns}

    refused: tuple[RefusedRow, ...] = ()
    if refusals:
        if rules.on_error == "raise":
            refusals.raise_first()
        refused = refusals.rows()
        good = refusals.good(fields.rows)
        type_id, weight, timestamp = type_id[good], weight[good], timestamp[good]
        entity = _select(entity, good)
        optional = {name: _select(column, good) for name, column in optional.items()}

    entity_id = _resolve_entities(entity, type_id, schema, keys)
    ids = {name: _resolve_optional(name, column, keys) for name, column in optional.items()}
    batch = EventBatch(
        entity_id,
        type_id,
        weight,
        timestamp,
        user_id=ids.get("user_id"),
        session_id=ids.get("session_id"),
        event_id=ids.get("event_id"),
        new_keys=keys.take_new_keys(),
    )
    return Prepared(batch, refused)


class _Fields:
    """The columns of a batch as typed arrays of its length, what is one value for all rows spread out."""

    def __init__(self, columns: Mapping[str, Column], refusals: Refusals) -> None:
        for name in REQUIRED:
            if name not in columns:
                raise InvalidEvent("not given; every event needs one", column=name)
        self.rows = _common_length(columns)
        # NumPy makes an empty list float64, so the dtype of a column without rows says nothing.
        nothing = np.zeros(0, np.int64)
        self._columns = {
            name: column if len(column) else Column(name, nothing) for name, column in columns.items()
        }
        self._refusals = refusals

    def array(
        self,
        name: str,
        convert: Callable[[Column, Refusals], NDArray[Any]],
        default: np.generic | None = None,
    ) -> NDArray[Any]:
        column = self._columns.get(name)
        if column is None:
            return np.full(self.rows, default)
        if column.is_scalar:
            return np.full(self.rows, _alone(column, convert)[0])
        return convert(column, self._refusals)

    def ids(self, name: str, *, required: bool) -> Ids:
        column = self._columns[name]
        if not column.is_scalar:
            return ids(column, self._refusals, required=required)
        one = _alone(column, lambda column, refusals: ids(column, refusals, required=required))
        return Ids(np.full(self.rows, one.values[0]), None, one.texts)


def _common_length(columns: Mapping[str, Column]) -> int:
    lengths = {name: len(column) for name, column in columns.items() if not column.is_scalar}
    if not lengths:
        return 1
    (first, rows), *others = lengths.items()
    for name, length in others:
        if length != rows:
            raise InvalidEvent(
                f"column {first!r} has {rows} rows and column {name!r} has {length}; "
                "give columns of one length, or one value for all rows"
            )
    return rows


def _alone(column: Column, convert: Callable[[Column, Refusals], _T]) -> _T:
    """Return a converted column of one value, which is right or raised."""
    refusals = Refusals()
    result = convert(column, refusals)
    refusals.raise_first()
    return result


def _select(column: Ids, rows: NDArray[np.bool_]) -> Ids:
    valid = None if column.valid is None else column.valid[rows]
    return Ids(column.values[rows], valid, column.texts)


def _refuse_negative(
    type_id: NDArray[np.uint8],
    weight: NDArray[np.float32],
    column: Column | None,
    schema: Schema,
    refusals: Refusals,
) -> None:
    if column is None or not len(weight) or not weight.min() < 0:
        return
    signed = np.zeros(TYPE_COUNT_MAX, np.bool_)
    for signal in schema:
        signed[signal.type_id] = signal.signed

    def value_at(row: int) -> object:
        return column.value_at(0 if column.is_scalar else row)

    def reason(row: int) -> str:
        return not_signed(schema.by_id(int(type_id[row])).name)

    refusals.add((weight < 0) & ~signed[type_id], "weight", value_at, reason)


def _resolve_entities(entity: Ids, type_id: NDArray[np.uint8], schema: Schema, keys: KeyResolver) -> U64:
    if entity.texts is None:
        return keys.resolve(None, entity)
    kind_of = np.zeros(TYPE_COUNT_MAX, np.uint8)
    for signal in schema:
        kind_of[signal.type_id] = KINDS.index(signal.kind)
    kinds = kind_of[type_id]
    present = np.flatnonzero(np.bincount(kinds, minlength=len(KINDS)))
    if len(present) == 1:
        return keys.resolve(KINDS[present[0]], entity)
    result = np.zeros(len(type_id), np.uint64)
    for kind in present:
        rows = kinds == kind
        result[rows] = keys.resolve(KINDS[kind], entity, rows)[rows]
    return result


def _resolve_optional(name: str, column: Ids, keys: KeyResolver) -> IdColumn | None:
    valid = column.valid
    if valid is not None:
        if not valid.any():
            return None
        if valid.all():
            column, valid = column._replace(valid=None), None
    return IdColumn(keys.resolve(_KEY_KINDS[name], column), valid)

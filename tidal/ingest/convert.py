"""Column -> a typed array of one field; bad rows go to a Refusals, a wrong dtype is raised at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from tidal.errors import TidalError, UnknownSignalType
from tidal.ingest.columns import Column
from tidal.ingest.refused import Refusals, RefusedRow
from tidal.ingest.scalars import (
    ID_FLOAT,
    ID_MIXED,
    ID_RANGE,
    ID_TYPE,
    MISSING,
    TIME_MISSING,
    TIME_TYPE,
    WEIGHT_BOOL,
    WEIGHT_RANGE,
    WEIGHT_TYPE,
    TimeRange,
    Unfit,
    id_of,
    key_of,
    time_of,
    unit_in_ns,
    weight_of,
)
from tidal.schema.events import KEY_BYTES_MAX, TIME_MIN_NS
from tidal.schema.spec import Schema

TYPE_COUNT_MAX: Final = 256  # a type id is a byte
SIGNAL_TYPE: Final = "not a signal type; pass names, or the type ids of the schema as integers"

_NAT: Final = np.iinfo(np.int64).min  # how datetime64 stores it
_F32_INFINITY_BITS: Final = 0x7F800000
_YEARS_IN_RANGE: Final = {"Y": 10_000, "M": 120_000}


class Ids(NamedTuple):
    """Ids, or with ``texts`` the int32 codes of keys that are not resolved yet."""

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    texts: list[str] | None = None


def ids(column: Column, refusals: Refusals, *, required: bool) -> Ids:
    """Return a column of ids or keys; null rows are refused if required, else kept apart."""
    if required:
        _refuse_nulls(column, refusals)
    if column.values.dtype.kind == "O" and isinstance(_first(column), str):
        column = _texts_of_objects(column, refusals, ID_MIXED)
    values, valid = column.values, column.valid
    if column.texts is not None:
        return Ids(values, valid, _keys(column, refusals))
    if valid is not None and not valid.any():
        return Ids(np.zeros(len(values), np.uint64), valid)
    match values.dtype.kind:
        case "u":
            return Ids(values.astype(np.uint64, copy=False), valid)
        case "i":
            if len(values) and values.min() < 0:
                refusals.add(_where(values < 0, valid), column.name, column.value_at, ID_RANGE)
            wide = values.astype(np.int64, copy=False)
            return Ids(wide.view(np.uint64), valid)
        case "O":
            return Ids(_each(column, refusals, id_of, np.uint64), valid)
        case "f":
            raise refusals.column_error(column.name, column.value_at, ID_FLOAT)
    raise refusals.column_error(column.name, column.value_at, f"{ID_TYPE} (dtype {values.dtype})")


def weights(column: Column, refusals: Refusals) -> NDArray[np.float32]:
    """Return weights as float32, finite and without -0.0."""
    _refuse_nulls(column, refusals)
    values = column.values
    kind = "text" if column.texts is not None else values.dtype.kind
    if kind == "O":
        return _each(column, refusals, weight_of, np.float32)
    if kind not in ("i", "u", "f"):
        reason = WEIGHT_BOOL if kind == "b" else f"{WEIGHT_TYPE} (dtype {_dtype_name(column)})"
        raise refusals.column_error(column.name, column.value_at, reason)
    if values.dtype != np.float32:
        # by way of float64, as a Python float would go
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float64, copy=False).astype(np.float32)
    # Read as int32, the floats from 0.0 to the largest finite one are exactly 0 to _F32_INFINITY_BITS - 1;
    # so two passes without a temporary settle the usual column.
    bits = values.view(np.int32)
    if len(bits) and (bits.min() < 0 or bits.max() >= _F32_INFINITY_BITS):
        finite = np.isfinite(values)
        refusals.add(~finite, column.name, column.value_at, WEIGHT_RANGE)
        values = np.where(finite, values, np.float32(0)) + np.float32(0)  # -0.0 + 0.0 is 0.0
    return values


def times(column: Column, refusals: Refusals, within: TimeRange) -> NDArray[np.int64]:
    """Return times in ns since the epoch, all of them ``within``."""
    _refuse_nulls(column, refusals)
    values, name = column.values, column.name
    kind = "text" if column.texts is not None else values.dtype.kind
    if kind == "O":
        return _each(column, refusals, lambda value: time_of(value, within), np.int64)
    if kind not in ("i", "u", "M"):
        raise refusals.column_error(name, column.value_at, f"{TIME_TYPE} (dtype {_dtype_name(column)})")
    multiple, divisor = 1, 1
    if kind == "M":
        multiple, divisor = unit_in_ns(values.dtype)
        if divisor == 0:
            values = _days_of_calendar(values)
            multiple, divisor = unit_in_ns(values.dtype)
    raw = values.view(np.int64) if kind == "M" else values

    def reason(row: int) -> str:
        if kind == "M" and raw[row] == _NAT:
            return TIME_MISSING
        return within.reason(int(raw[row]) * multiple // divisor)

    first = max(-(-TIME_MIN_NS * divisor // multiple), _NAT + 1)  # rounded up
    last = (within.last_ns * divisor + divisor - 1) // multiple
    ns = raw.astype(np.int64, copy=False)
    if len(raw) and (raw.min() < first or raw.max() > last):
        bad = (raw < first) | (raw > last)
        refusals.add(bad, name, column.value_at, reason)
        ns = np.where(bad, 0, ns)
    if multiple != 1:
        ns = ns * multiple
    return ns if divisor == 1 else ns // divisor


def type_ids(column: Column, refusals: Refusals, schema: Schema) -> NDArray[np.uint8]:
    """Return the type id of each row's signal type, given by name or by type id."""
    _refuse_nulls(column, refusals)
    if column.values.dtype.kind == "O":
        column = _texts_of_objects(column, refusals, SIGNAL_TYPE)
    codes = column.values

    def unknown(refused: RefusedRow) -> TidalError:
        return UnknownSignalType(refused.value, schema.names, row=refused.row)

    if column.texts is not None:
        known: dict[str | bytes, int] = {signal.name: signal.type_id for signal in schema}
        # one entry more, so that null rows, whose code means nothing, have one to read
        found = np.array([known.get(text, -1) for text in (*column.texts, "")], np.int16)
    elif codes.dtype.kind in "iu":
        found = np.full(TYPE_COUNT_MAX + 1, -1, np.int16)
        for signal in schema:
            found[signal.type_id] = signal.type_id
        if len(codes) and not 0 <= codes.min() <= codes.max() < TYPE_COUNT_MAX:
            codes = np.where((codes >= 0) & (codes < TYPE_COUNT_MAX), codes, TYPE_COUNT_MAX)
    else:
        raise refusals.column_error(column.name, column.value_at, f"{SIGNAL_TYPE} (dtype {codes.dtype})")
    result: NDArray[np.int16] = found[codes]
    if len(result) and result.min() < 0:
        reason = f"unknown signal type; declared: {', '.join(schema.names)}"
        refusals.add(_where(result < 0, column.valid), column.name, column.value_at, reason, unknown)
    return result.astype(np.uint8)


# ------------------------------------------------------------------------------------ helpers


def _refuse_nulls(column: Column, refusals: Refusals) -> None:
    if column.valid is not None:
        refusals.add(~column.valid, column.name, column.value_at, MISSING)


def _where(bad: NDArray[np.bool_], valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return bad if valid is None else bad & valid


def _dtype_name(column: Column) -> str:
    return "string" if column.texts is not None else str(column.values.dtype)


def _first(column: Column) -> object:
    """Return the first value that is there, which says what an object column is meant to hold."""
    rows = np.flatnonzero(column.valid) if column.valid is not None else np.arange(min(1, len(column)))
    return column.values[rows[0]] if len(rows) else None


def _each(
    column: Column, refusals: Refusals, convert: Callable[[Any], Any], dtype: type[np.generic]
) -> NDArray[Any]:
    """Return convert(value) of each valid row of a column of objects; Unfit refuses the row."""
    result = np.zeros(len(column), dtype)
    reasons: dict[int, str] = {}
    rows = range(len(column)) if column.valid is None else np.flatnonzero(column.valid).tolist()
    for row in rows:
        try:
            result[row] = convert(column.values[row])
        except Unfit as unfit:
            reasons[row] = str(unfit)
    bad = np.zeros(len(column), np.bool_)
    bad[list(reasons)] = True
    refusals.add(bad, column.name, column.value_at, reasons.__getitem__)
    return result


def _texts_of_objects(column: Column, refusals: Refusals, otherwise: str) -> Column:
    """Return a column of objects as one of texts, refusing what is no text for the reason ``otherwise``."""
    distinct: dict[str, int] = {}

    def code_of(value: Any) -> int:
        if not isinstance(value, str):
            raise Unfit(otherwise)
        return distinct.setdefault(str.__str__(value), len(distinct))

    codes = _each(column, refusals, code_of, np.int32)
    return Column(column.name, codes, column.valid, list(distinct))


def _keys(column: Column, refusals: Refusals) -> list[str]:
    """Return the texts of a column, refusing the rows of those that are no keys."""
    texts = column.texts or []
    if _are_keys(texts):
        return texts
    reasons: dict[int, str] = {}
    for code, text in enumerate(texts):
        try:
            key_of(text)
        except Unfit as unfit:
            reasons[code] = str(unfit)
    bad = np.isin(column.values, list(reasons))
    refusals.add(
        _where(bad, column.valid), column.name, column.value_at, lambda row: reasons[int(column.values[row])]
    )
    return [str(text) for text in texts]


def _are_keys(texts: list[str | bytes]) -> TypeGuard[list[str]]:
    """Return True where it is quick to see that key_of takes every text."""
    try:
        "".join(texts).encode()  # type: ignore[arg-type]  # bytes are a TypeError
    except (TypeError, UnicodeEncodeError):
        return False
    return 4 * max(map(len, texts), default=0) <= KEY_BYTES_MAX


def _days_of_calendar(values: NDArray[Any]) -> NDArray[Any]:
    """Return years or months as days, those far outside of any event's time cut to some that are outside."""
    unit, _ = np.datetime_data(values.dtype)
    limit = _YEARS_IN_RANGE[unit]
    raw = values.view(np.int64)
    cut = np.where(raw == _NAT, raw, np.clip(raw, -limit, limit))
    return cut.view(values.dtype).astype("M8[D]")

"""The columns of a table that leaves the store: their types, and the one form that all writers read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tidal.errors import InvalidOption

FieldType = Literal[
    "uint64", "int64", "float32", "float64", "bool", "string", "json", "timestamp", "messages"
]
FIELD_TYPES: Final = get_args(FieldType)

NUMBERS: Final[Mapping[str, np.dtype[Any]]] = {
    "uint64": np.dtype(np.uint64), "int64": np.dtype(np.int64), "timestamp": np.dtype(np.int64),
    "float32": np.dtype(np.float32), "float64": np.dtype(np.float64), "bool": np.dtype(np.bool_),
}  # fmt: skip
MESSAGE_FIELDS: Final = ("role", "content")

Valid = NDArray[np.bool_] | None  # None: every row has a value
Message = tuple[str, str]  # role, content


@dataclass(frozen=True, slots=True)
class Field:
    """A column's name, type, and whether a row may lack it.

    ``type`` is "uint64", "int64", "float32", "float64", "bool", "string", "json" (a text that is JSON),
    "timestamp" (int64 ns since the epoch, UTC) or "messages" (a list of role and content). A number that is
    not finite counts as lacking.
    """

    name: str
    type: FieldType
    nullable: bool = False

    def __post_init__(self) -> None:
        if self.type not in FIELD_TYPES:
            raise InvalidOption(
                f"column {self.name!r}: type {self.type!r} is none of {', '.join(FIELD_TYPES)}"
            )
        if not isinstance(self.name, str) or not self.name or "\0" in self.name:
            raise InvalidOption(
                f"{self.name!r} is no name of a column: a text, not empty, without a zero byte"
            )

    @property
    def is_id(self) -> bool:
        """Whether the values are ids, by the name: "id" or "..._id" of type uint64."""
        return self.type == "uint64" and (self.name == "id" or self.name.endswith("_id"))

    def to_dict(self) -> dict[str, Any]:
        """Return the column as manifests have it."""
        return {"name": self.name, "type": self.type, "nullable": self.nullable}


class Numbers(NamedTuple):
    """A column of numbers; ``values[i]`` means something only where ``valid[i]``."""

    values: NDArray[Any]
    valid: Valid = None


class Codes(NamedTuple):
    """A column of few different texts: row i has ``names[codes[i]]``."""

    codes: NDArray[np.uint8]
    names: tuple[str, ...]


Texts = list[str | None]
Column = Numbers | Codes | Texts | list[list[Message] | None]
"""A checked column. One of json holds canonical JSON in one line."""


class Rows(NamedTuple):
    """Some rows of a table: checked columns of one length, in the order of the fields."""

    columns: tuple[Column, ...]
    row_count: int


def checked_rows(fields: Sequence[Field], batch: Mapping[str, Any]) -> Rows:
    """Return a batch in the form that writers read. ValueError or TypeError says what does not fit where."""
    if batch.keys() != {field.name for field in fields}:
        due = [field.name for field in fields]
        raise ValueError(f"a batch has the columns {list(batch)}, its table {due}")
    columns = tuple(_checked(field, batch[field.name]) for field in fields)
    lengths = [_length(column) for column in columns]
    if len(set(lengths)) > 1:
        names = [field.name for field in fields]
        raise ValueError(f"columns of different lengths: {dict(zip(names, lengths, strict=True))}")
    return Rows(columns, lengths[0] if lengths else 0)


def _length(column: Column) -> int:
    return len(column[0] if isinstance(column, Numbers | Codes) else column)


def _checked(field: Field, column: Any) -> Column:
    if field.type in NUMBERS:
        return _numbers(field, column)
    if isinstance(column, Codes):
        if field.type != "string":
            raise TypeError(f"column {field.name!r}: codes are for string, not {field.type}")
        if len(column.codes) and int(column.codes.max()) >= len(column.names):
            raise ValueError(f"column {field.name!r}: a code of none of its {len(column.names)} names")
        return Codes(np.ascontiguousarray(column.codes, np.uint8), column.names)
    rows = list(column)
    if not field.nullable and None in rows:
        raise ValueError(f"column {field.name!r}, row {rows.index(None)}: null, and it is not nullable")
    if field.type == "messages":
        return [None if row is None else _messages(field, row) for row in rows]
    for row, text in enumerate(rows):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"column {field.name!r}, row {row}: {text!r} is neither str nor None")
    return [None if text is None else canonical_json(text) for text in rows] if field.type == "json" else rows


def _messages(field: Field, row: Sequence[Sequence[str]]) -> list[Message]:
    messages = [(role, content) for role, content in row]
    if wrong := [part for message in messages for part in message if not isinstance(part, str)]:
        raise TypeError(f"column {field.name!r}: {wrong[0]!r} is no text; a message is a role and a content")
    return messages


def _numbers(field: Field, column: Any) -> Numbers:
    dtype = NUMBERS[field.type]
    values, valid = column if isinstance(column, tuple) else (column, None)
    if not isinstance(values, np.ndarray):
        values, valid = _of_list(values, dtype)
    if not np.can_cast(values.dtype, dtype, "safe"):
        raise TypeError(f"column {field.name!r}: {values.dtype} is no {field.type}")
    values = np.ascontiguousarray(values, dtype)
    if dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        valid = finite if valid is None else finite & valid
    if valid is not None and bool(np.all(valid)):
        valid = None
    if valid is not None and not field.nullable:
        row = int(np.argmin(valid))
        raise ValueError(f"column {field.name!r}, row {row}: null or not finite, and it is not nullable")
    return Numbers(values, None if valid is None else np.ascontiguousarray(valid, np.bool_))


def _of_list(values: Sequence[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], Valid]:
    valid = np.array([value is not None for value in values], np.bool_)
    return np.array([0 if value is None else value for value in values], dtype), valid


def canonical_json(text: str) -> str:
    """Return JSON text in one line without spaces. ValueError for what is none, NaN and Infinity included."""
    value = json.loads(text, parse_constant=_refuse_constant)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

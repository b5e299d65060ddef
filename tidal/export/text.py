"""Rows as JSON Lines and CSV: what stands around the values; the rows are made by the compiled core."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, get_args

from tidal._ext.text import TextColumn, csv_text, json_text, text_rows
from tidal.errors import InvalidOption
from tidal.export.columns import MESSAGE_FIELDS, Codes, Column, Field, Message, Numbers, Rows

IdsAs = Literal["number", "text"]
LINE_END: Final = b"\n"

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class TextOptions(NamedTuple):
    """How JSON Lines and CSV are written."""

    ids_as: IdsAs = "number"
    neutralise: bool = True

    @classmethod
    def checked(cls, ids_as: IdsAs, neutralise: bool) -> TextOptions:
        if ids_as not in get_args(IdsAs):
            raise InvalidOption(f'ids_as is {ids_as!r}; it is "number" or "text"')
        return cls(ids_as, bool(neutralise))


class Around(NamedTuple):
    """What stands in each row around a column's value, and what instead of it where there is none."""

    before: bytes
    after: bytes
    missing: bytes


def json_chunks(
    fields: Sequence[Field], batches: Iterator[Rows], options: TextOptions
) -> Iterator[tuple[bytes, int]]:
    """Yield each batch as JSON objects, one a line: bytes, and how many rows they are."""
    arounds = []
    for place, field in enumerate(fields):
        before = (b"," if place else b"{") + json_text(field.name) + b":"
        quote = b'"' if field.is_id and options.ids_as == "text" else b""
        arounds.append(Around(before + quote, quote, before + b"null"))
    for rows in batches:
        columns = map(partial(_text_column, kind="json", quoted=json_text), fields, rows.columns, arounds)
        yield from text_rows(columns, b"}" + LINE_END)


def csv_chunks(
    fields: Sequence[Field], batches: Iterator[Rows], options: TextOptions
) -> Iterator[tuple[bytes, int]]:
    """Yield a header, then each batch as lines of CSV: bytes, and how many rows they are.

    Where a value is missing there is nothing, and in a table of one column an empty text: readers pass over
    empty lines.
    """
    cell = partial(csv_text, is_safe=options.neutralise)
    yield b",".join([cell(field.name) for field in fields]) + LINE_END, 0
    arounds = [Around(b"," if place else b"", b"", b"," if place else b"") for place in range(len(fields))]
    if len(fields) == 1:
        arounds = [Around(b"", b"", b'""')]
    kind = "csv-safe" if options.neutralise else "csv"
    for rows in batches:
        columns = map(partial(_text_column, kind=kind, quoted=cell), fields, rows.columns, arounds)
        yield from text_rows(columns, LINE_END)


def _text_column(
    field: Field, column: Column, around: Around, *, kind: str, quoted: Callable[[str], bytes]
) -> TextColumn:
    """Return a column as the core takes it; ``kind`` and ``quoted`` are how texts are written."""
    if isinstance(column, Numbers):
        number = "int64" if field.type == "timestamp" else field.type
        return TextColumn(number, column.values, column.valid, *around)
    if isinstance(column, Codes):
        return TextColumn("code", column.codes, None, *around, [quoted(name) for name in column.names])
    texts: list[Any] = column
    if field.type == "messages":
        texts = [None if row is None else messages_text(row) for row in texts]
    is_json = field.type in ("json", "messages")
    try:
        return TextColumn("raw" if kind == "json" and is_json else kind, texts, None, *around)
    except ValueError as error:
        raise ValueError(f"column {field.name!r}, {error}") from None


def messages_text(messages: Sequence[Message]) -> str:
    """Return messages as JSON: a list of objects with role and content."""
    return _JSON.encode([dict(zip(MESSAGE_FIELDS, message, strict=True)) for message in messages])

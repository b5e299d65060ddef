"""Tables of a user's own datasets: anything that hands over an Arrow stream, read by pyarrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

from tidal.errors import InvalidOption, MissingExtra
from tidal.export import Field, FieldType, Table
from tidal.jobs.source import Batch, Context, Source, source_of


def source_of_result(result: Any, context: Context, limit: int | None) -> Source:
    """Return the rows of what a dataset's function returned: a Table, or anything with
    ``__arrow_c_stream__``.

    Integers, floats, booleans, times, texts and messages (lists of role and content) keep their kind; lists
    and structs become JSON. Raises InvalidOption for other types, MissingExtra without pyarrow.
    """
    if isinstance(result, Table):
        names = [field.name for field in result.fields]
        batches = (dict(zip(names, rows.columns, strict=True)) for rows in result.batches())
        return source_of(result.fields, batches, context, limit)
    if not hasattr(result, "__arrow_c_stream__"):
        raise InvalidOption(
            f"the dataset's function returned a {type(result).__name__}; return a tidal Table, or a table "
            "that has __arrow_c_stream__, as those of polars, pandas, pyarrow and DuckDB do"
        )
    reader = _pyarrow().RecordBatchReader.from_stream(result)
    fields = tuple(Field(field.name, _type_of(field), nullable=True) for field in reader.schema)
    return source_of(fields, _batches(reader, fields), context, limit)


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", "a dataset that is an Arrow stream") from None


def _type_of(field: Any) -> FieldType:
    types = importlib.import_module("pyarrow.types")
    of = field.type.value_type if types.is_dictionary(field.type) else field.type
    kinds: list[tuple[bool, FieldType]] = [
        (types.is_unsigned_integer(of), "uint64"),
        (types.is_signed_integer(of), "int64"),
        (types.is_float16(of) or types.is_float32(of), "float32"),
        (types.is_float64(of), "float64"),
        (types.is_boolean(of), "bool"),
        (types.is_timestamp(of) or types.is_date(of), "timestamp"),
        (types.is_string(of) or types.is_large_string(of) or types.is_string_view(of), "string"),
        (_are_messages(types, of), "messages"),
        (types.is_nested(of), "json"),
    ]
    for fits, name in kinds:
        if fits:
            return name
    raise InvalidOption(f"column {field.name!r} is {field.type}, which no file has; cast it, to a text say")


def _are_messages(types: Any, of: Any) -> bool:
    if not (types.is_list(of) or types.is_large_list(of)) or not types.is_struct(of.value_type):
        return False
    return {of.value_type.field(i).name for i in range(of.value_type.num_fields)} == {"role", "content"}


def _batches(reader: Any, fields: tuple[Field, ...]) -> Iterator[Batch]:
    with reader:
        for batch in reader:
            yield {
                field.name: _column(field, column)
                for field, column in zip(fields, batch.columns, strict=True)
            }


def _column(field: Field, column: Any) -> Any:
    pyarrow = _pyarrow()
    if isinstance(column, pyarrow.DictionaryArray):
        column = column.dictionary_decode()
    if field.type == "string":
        return column.to_pylist()
    if field.type == "json":
        return [None if row is None else json.dumps(row, allow_nan=False) for row in column.to_pylist()]
    if field.type == "messages":
        return [
            None if row is None else [(message["role"], message["content"]) for message in row]
            for row in column.to_pylist()
        ]
    if field.type == "timestamp":
        column = column.cast(pyarrow.timestamp("ns")).cast(pyarrow.int64())
    elif field.type == "bool":
        column = column.cast(pyarrow.uint8())
    else:
        column = column.cast(getattr(pyarrow, field.type)())
    valid = None if column.null_count == 0 else column.is_valid().to_numpy(zero_copy_only=False)
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    return values.astype(bool) if field.type == "bool" else values, valid

"""What a store keeps: signal types, how they are declared and saved, and the columns of their events."""

from __future__ import annotations

from tidal.schema.builder import SchemaBuilder
from tidal.schema.durations import Duration, format_duration, parse_duration
from tidal.schema.events import EventBatch, IdColumn, NewKey
from tidal.schema.evolution import merge_schemas, schema_from_json, schema_to_json
from tidal.schema.spec import Schema, SignalType

__all__ = [
    "Duration",
    "EventBatch",
    "IdColumn",
    "NewKey",
    "Schema",
    "SchemaBuilder",
    "SignalType",
    "format_duration",
    "merge_schemas",
    "parse_duration",
    "schema_from_json",
    "schema_to_json",
]

"""The saved form of a schema, and what may change between the saved one and the one given to open().

{
  "blake3": "<64 hex digits over the rest, keys sorted, no spaces>",
  "format": 1,
  "signals": [{"name": ..., "type_id": ..., "kind": ..., "half_lives_ns": [...],
               "windows": [...], "velocity": ..., "signed": ...}, ...]
}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from blake3 import blake3

from tidal.errors import FormatTooNew, SchemaError, SchemaMismatch, TooManySignals
from tidal.schema.builder import check_signal
from tidal.schema.durations import format_duration
from tidal.schema.events import NOTE_TYPE_ID
from tidal.schema.spec import Schema, SignalType

SCHEMA_FORMAT: Final = 1
SCHEMA_BYTES_MAX: Final = 1 << 20  # the largest schema (3 kinds of 64 types) takes about 70 KB
TYPE_ID_MAX: Final = 255  # the log holds a type in one byte
NEW_TYPE_ID_MAX: Final = NOTE_TYPE_ID - 1  # what is no signal has an id, too

_FIELDS: Final[dict[str, type]] = {
    "name": str,
    "type_id": int,
    "kind": str,
    "half_lives_ns": list,
    "windows": list,
    "velocity": bool,
    "signed": bool,
}


def schema_to_json(schema: Schema) -> bytes:
    """Return the saved form, UTF-8; equal schemas give equal bytes."""
    body = {"format": SCHEMA_FORMAT, **schema.to_dict()}
    return json.dumps({**body, "blake3": _digest(body)}, indent=2, sort_keys=True).encode() + b"\n"


def schema_from_json(data: bytes) -> Schema:
    """Return the schema that ``schema_to_json`` saved.

    Raises FormatTooNew for a later format number, else SchemaError (or the child that the builder
    would raise) for bytes that are not a saved schema.
    """
    if len(data) > SCHEMA_BYTES_MAX:
        raise SchemaError(f"saved schema: {len(data)} bytes, at most {SCHEMA_BYTES_MAX} are read")
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            raise SchemaError("saved schema: not a JSON object")
        # The hash keeps its place in every later format, so a damaged number is never taken for a newer one.
        saved = document.pop("blake3", None)
        if saved != (computed := _digest(document)):
            raise SchemaError(f"saved schema: blake3 is {saved!r}, the content gives {computed!r}")
    except SchemaError:
        raise
    except (ValueError, RecursionError) as error:  # what can just be read may be too deep to be written
        raise SchemaError(f"saved schema: not JSON: {error}") from None
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise SchemaError(f"saved schema: format is {version!r}, expected {SCHEMA_FORMAT}")
    if version > SCHEMA_FORMAT:
        raise FormatTooNew(
            f"saved schema: format {version}, this tidal reads up to {SCHEMA_FORMAT}; install a newer tidal"
        )
    if document.keys() != {"format", "signals"} or not isinstance(document["signals"], list):
        raise SchemaError(f"saved schema: fields {sorted(document)}, expected format and a list of signals")
    signals: list[SignalType] = []
    for row in document["signals"]:
        signal = _signal_from_dict(row)
        check_signal(signal, signals)
        if any(other.type_id == signal.type_id for other in signals):
            raise SchemaError(f"saved schema: type id {signal.type_id} is used twice")
        signals.append(signal)
    if not signals:
        raise SchemaError("saved schema: no signal types")
    return Schema(tuple(signals))


def merge_schemas(stored: Schema, given: Schema) -> Schema:
    """Return the schema to go on with: stored types with their ids, then the given one's new types.

    The order of declaration does not matter: types are matched by name. New types get the ids after the
    largest stored one. Raises SchemaMismatch, every difference in words, when a stored type is missing
    from ``given`` or declared otherwise: its events would change their meaning.
    """
    differences: list[str] = []
    for old in stored:
        if old.name in given.names:
            differences.extend(_differences(old, given.signal(old.name)))
        else:
            differences.append(f"{old.name}: saved with the store, not in the given schema")
    if differences:
        raise SchemaMismatch(differences)
    added = [signal for signal in given if signal.name not in stored.names]
    first_id = max(signal.type_id for signal in stored) + 1
    if first_id + len(added) - 1 > NEW_TYPE_ID_MAX:
        raise TooManySignals(
            f"{len(added)} new signal types need ids up to {first_id + len(added) - 1}, the log holds "
            f"{NEW_TYPE_ID_MAX}; add fewer types"
        )
    renumbered = (replace(signal, type_id=first_id + position) for position, signal in enumerate(added))
    return Schema((*stored, *renumbered))


def _digest(body: dict[str, Any]) -> str:
    return blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _signal_from_dict(row: object) -> SignalType:
    if not isinstance(row, dict) or row.keys() != _FIELDS.keys():
        raise SchemaError(
            f"saved schema: signal {row!r} does not have exactly the fields {', '.join(_FIELDS)}"
        )
    for field, expected in _FIELDS.items():
        if type(row[field]) is not expected:
            raise SchemaError(
                f"saved schema: {row['name']!r}: {field} is {row[field]!r}, not {expected.__name__}"
            )
    if not 0 <= row["type_id"] <= TYPE_ID_MAX:
        raise SchemaError(
            f"saved schema: {row['name']!r}: type_id {row['type_id']} is not in 0..{TYPE_ID_MAX}"
        )
    for field, expected in (("half_lives_ns", int), ("windows", str)):
        if any(type(element) is not expected for element in row[field]):
            raise SchemaError(
                f"saved schema: {row['name']!r}: {field} {row[field]!r} is not all {expected.__name__}"
            )
    return SignalType(
        name=row["name"],
        type_id=row["type_id"],
        kind=row["kind"],
        half_lives=tuple(row["half_lives_ns"]),
        windows=tuple(row["windows"]),
        velocity=row["velocity"],
        signed=row["signed"],
    )


def _differences(old: SignalType, new: SignalType) -> Iterator[str]:
    before, after = _in_words(old), _in_words(new)
    for what in before:
        if before[what] != after[what]:
            yield f"{old.name}: {what} {before[what]} -> {after[what]}"


def _in_words(signal: SignalType) -> dict[str, str]:
    return {
        "kind": signal.kind,
        "half_life": ", ".join(map(format_duration, signal.half_lives)) or "none",
        "windows": ", ".join(signal.windows) or "none",
        "velocity": str(signal.velocity),
        "signed": str(signal.signed),
    }

"""Schemas on a command line: `--declare 'view half_life=7d windows=1h,24h velocity'` or a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidal.errors import SchemaError, UsageError
from tidal.schema import Schema, SchemaBuilder, SignalType, format_duration, schema_from_json

_LISTS: Final = ("half_life", "windows")
_FLAGS: Final = ("velocity", "signed")
_YES_NO: Final = ("yes", "no")
_OPTIONS: Final = (*_LISTS, *_FLAGS, "kind")
EXAMPLE: Final = "purchase half_life=7d windows=1h,24h,7d velocity"


def schema_from_declarations(declarations: Sequence[str]) -> Schema:
    """Return the schema of some declarations, each a name and then options.

    >>> schema_from_declarations(["like half_life=1d,30d windows=24h", "hide kind=user"]).names
    ('like', 'hide')
    """
    builder = SchemaBuilder()
    for text in declarations:
        _declare(builder, text)
    return builder.build()


def schema_from_file(path: Path) -> Schema:
    """Return the schema of a JSON file: a store's own schema.json, or what SchemaBuilder.signal takes.

    The second form is ``{"signals": [{"name": "view", "half_life": "7d", "windows": ["1h"]}, ...]}``.
    """
    data = path.read_bytes()
    try:
        document = json.loads(data)
        signals = document["signals"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f'--schema {path}: not a JSON object with a list "signals"') from None
    if "format" in document:
        return schema_from_json(data)
    builder = SchemaBuilder()
    for signal in signals:
        if not isinstance(signal, dict) or not isinstance(signal.get("name"), str):
            raise UsageError(f'--schema {path}: {signal!r} is not an object with a "name"')
        _add(builder, signal, f"--schema {path}")
    return builder.build()


def changed_schema(
    schema: Schema,
    changes: Mapping[str, Sequence[str]],
    *,
    drop: Sequence[str] = (),
    declare: Sequence[str] = (),
) -> Schema:
    """Return a schema with other options for some types, without those to drop, and with new ones.

    ``changes`` has the values of the command line by option, each ``TYPE=VALUE``; "none" is an empty list.

    >>> schema = schema_from_declarations(["view half_life=7d", "like"])
    >>> changed_schema(schema, {"half_life": ["view=1d,3d"]}, drop=["like"]).signal("view").half_lives
    (86400000000000, 259200000000000)
    """
    given = {signal.name: _options_of(signal) for signal in schema}
    for name in drop:
        schema.signal(name)
        del given[name]
    for option, values in changes.items():
        for text in values:
            name, separator, value = text.partition("=")
            flag = f"--{option.replace('_', '-')}"
            if not separator or not value or (option in _FLAGS and value not in _YES_NO):
                what = "yes or no" if option in _FLAGS else "a list, or none"
                raise UsageError(f"{flag} {text!r} is not TYPE=VALUE with {what}")
            if name not in given:
                schema.signal(name)
                raise UsageError(f"{flag} {text!r}: the type is to be dropped")
            given[name][option] = _value(option, value)
    builder = SchemaBuilder()
    for name, options in given.items():
        _add(builder, {"name": name, **options}, "the changed schema")
    for text in declare:
        _declare(builder, text)
    return builder.build()


def _declare(builder: SchemaBuilder, text: str) -> None:
    name, *options = text.split() or [""]
    _add(builder, {"name": name, **dict(_option(text, option) for option in options)}, "--declare")


def _options_of(signal: SignalType) -> dict[str, Any]:
    return {
        "kind": signal.kind,
        "half_life": tuple(map(format_duration, signal.half_lives)),
        "windows": signal.windows,
        "velocity": signal.velocity,
        "signed": signal.signed,
    }


def _value(option: str, text: str) -> Any:
    if option in _FLAGS:
        return text == _YES_NO[0]
    return () if text == "none" else tuple(text.split(","))


def _option(text: str, option: str) -> tuple[str, Any]:
    key, separator, value = option.partition("=")
    if key in _FLAGS and not separator:
        return key, True
    if key in _OPTIONS and key not in _FLAGS and value:
        return key, tuple(value.split(",")) if key in _LISTS else value
    raise UsageError(f"--declare {text!r}: {option!r} is not an option; write for example {EXAMPLE!r}")


def _add(builder: SchemaBuilder, signal: dict[str, Any], where: str) -> None:
    options = {key: value for key, value in signal.items() if key != "name"}
    if unknown := options.keys() - set(_OPTIONS):
        raise UsageError(
            f"{where}: {', '.join(map(repr, sorted(unknown)))} is not one of {', '.join(_OPTIONS)}"
        )
    try:
        builder.signal(signal["name"], **options)
    except SchemaError as error:
        raise UsageError(f"{where}: {error}") from error

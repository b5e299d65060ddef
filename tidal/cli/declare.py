"""Schemas on a command line: `--declare 'view half_life=7d windows=1h,24h velocity'` or a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tidal.errors import SchemaError, UsageError
from tidal.schema import Schema, SchemaBuilder, schema_from_json

_LISTS: Final = ("half_life", "windows")
_FLAGS: Final = ("velocity", "signed")
_OPTIONS: Final = (*_LISTS, *_FLAGS, "kind")
EXAMPLE: Final = "purchase half_life=7d windows=1h,24h,7d velocity"


def schema_from_declarations(declarations: Sequence[str]) -> Schema:
    """Return the schema of some declarations, each a name and then options.

    >>> schema_from_declarations(["like half_life=1d,30d windows=24h", "hide kind=user"]).names
    ('like', 'hide')
    """
    builder = SchemaBuilder()
    for text in declarations:
        name, *options = text.split() or [""]
        _add(builder, {"name": name, **dict(_option(text, option) for option in options)}, "--declare")
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

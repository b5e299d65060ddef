"""Options that change single types of a schema, or replace all of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from tidal.cli.declare import EXAMPLE, changed_schema, schema_from_file
from tidal.errors import UsageError
from tidal.schema import Schema

_OF_A_TYPE: Final = (
    ("half_life", "TYPE=LIST", "such as view=3d,30d, or view=none"),
    ("windows", "TYPE=LIST", "such as view=1h,24h, or view=none"),
    ("velocity", "TYPE=yes|no", "such as view=yes"),
)


def add_change_options(parser: argparse.ArgumentParser, *, types: bool) -> None:
    """Add the options; with ``types`` also those that leave out a type, and add one."""
    group = parser.add_argument_group("the new schema: the old one, but for")
    for name, form, what in _OF_A_TYPE:
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, action="append", default=[], metavar=form, help=f"{what}; repeatable")
    if types:
        group.add_argument(
            "--drop", action="append", default=[], metavar="TYPE",
            help="leave out a type and its events; repeatable",
        )  # fmt: skip
        group.add_argument(
            "--declare", action="append", default=[], metavar="TEXT",
            help=f"a new type: '{EXAMPLE}'; repeatable",
        )  # fmt: skip
    group.add_argument(
        "--schema", type=Path, metavar="FILE", help="all of it, as JSON, in place of the options above"
    )


def changes_schema(args: argparse.Namespace) -> bool:
    """Return whether any of the options was given."""
    return bool(args.schema or getattr(args, "declare", []) or getattr(args, "drop", []) or _changes(args))


def schema_of(args: argparse.Namespace, old: Schema) -> Schema:
    """Return the schema that the options make of another one. Raises UsageError, SchemaError."""
    changes, declared = _changes(args), getattr(args, "declare", [])
    if args.schema:
        if declared or changes:
            raise UsageError("--schema is the whole schema; leave the options out that change single types")
        return schema_from_file(args.schema)
    return changed_schema(old, changes, drop=getattr(args, "drop", []), declare=declared)


def _changes(args: argparse.Namespace) -> dict[str, list[str]]:
    return {name: given for name, _, _ in _OF_A_TYPE if (given := getattr(args, name))}

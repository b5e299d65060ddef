"""How `tidalctl` answers: one JSON document, or text that fits a terminal."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

from tidal.cli.output import add_format_option
from tidal.cli.tables import WIDTH, Column, format_cell, printable, render_table
from tidal.cli.times import format_time, iso_time
from tidal.inspect import Finding, Time

_INDENT: Final = "  "


def add_output_options(parser: argparse.ArgumentParser) -> None:
    add_format_option(parser, default="json")
    parser.add_argument("--pretty", action="store_true", help="JSON in lines, for reading")


def jsonable(value: Any) -> Any:
    """Return a value as JSON has it: records and mappings as objects, times as ISO 8601, bytes as hex."""
    match value:
        case Time():
            return iso_time(value)
        case bytes():
            return value.hex()
        case Mapping():
            return {name: jsonable(part) for name, part in value.items()}
        case list() | tuple():
            return [jsonable(part) for part in value]
        case _ if is_dataclass(value):
            return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def in_fields(value: Any, *, indent: str = "") -> str:
    """Return an object as lines of name and value."""
    pairs = [(name.replace("_", " "), _shown(name, part)) for name, part in _items(value)]
    width = max((len(name) for name, _ in pairs), default=0)
    lines = (_field(f"{indent}{name:<{width}}  ", part) for name, part in pairs)
    return "".join(line + "\n" for line in lines)


def _field(name: str, value: str) -> str:
    """One line, or several where the value is a list that is too long; a path or a hash stays whole."""
    return textwrap.fill(
        value, WIDTH, initial_indent=name, subsequent_indent=" " * len(name), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def rows_as_text(rows: Sequence[Any]) -> str:
    """Return objects with the same fields as a table."""
    names = [name for name, _ in _items(rows[0])]
    cells = [[_cell(name, part) for name, part in _items(row)] for row in rows]
    columns = [
        Column(name.replace("_", " "), text=any(isinstance(row[position], str) for row in cells))
        for position, name in enumerate(names)
    ]
    return render_table(columns, cells)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return [(field.name, getattr(value, field.name)) for field in fields(value)]


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Mapping) or is_dataclass(value):
        parts = (f"{part} {_shown(part, inner)}" for part, inner in _items(value))
        return ", ".join(parts) or format_cell(None)
    if isinstance(value, list | tuple):
        return ", ".join(_shown(name, part) for part in value) or format_cell(None)
    return format_cell(_cell(name, value))


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, Time):
        return format_time(value)
    if name.endswith("pid"):  # a name that happens to be a number
        return value if value is None else str(value)
    return value.hex() if isinstance(value, bytes) else value


def in_words(
    findings: Iterable[Finding],
    *,
    advice: bool = True,
    means: Callable[[Finding], str] | None = None,
) -> str:
    """Return findings as paragraphs; what to do is said once for findings that follow each other."""
    parts = []
    said = ""
    for finding in findings:
        place = "the folder itself" if finding.file == "." else printable(finding.file)
        if finding.offset is not None:
            place += f" at byte {finding.offset:,}"
        if finding.first_seq is not None:
            place += f", events {finding.first_seq:,} to {finding.last_seq:,}"
        if said and said != finding.advice:
            parts.append(_paragraph(f"-> {said}"))
        parts += ["", f"{finding.severity.value.upper()}  {place}", _paragraph(printable(finding.what))]
        if means is not None:
            parts.append(_paragraph(means(finding)))
        said = finding.advice if advice else ""
    if said:
        parts.append(_paragraph(f"-> {said}"))
    return "\n".join(parts[1:]) + "\n" if parts else ""


def _paragraph(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )

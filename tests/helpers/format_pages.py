"""The tables of the pages in docs/format, for the tests that hold the code to them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "format"


def tables(page: str) -> dict[str, list[list[str]]]:
    """The first table under each heading or introducing line, by the table's first column and that line."""
    found: dict[str, list[list[str]]] = {}
    title, rows = "", []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
        elif line.strip():
            title = line.lstrip("# ").rstrip(":")
        if not line.startswith("|") and rows:
            found.setdefault(rows[0][0] + ":" + title, rows[2:])
            rows = []
    return found


def sizes(layout: struct.Struct) -> list[int]:
    """Bytes of each field of a packed struct."""
    return [struct.calcsize("<" + item) for item in re.findall(r"\d*s|[a-zA-Z]", layout.format)]


def places(layout: struct.Struct) -> list[tuple[int, int]]:
    """Offset and bytes of each field of a packed struct."""
    found, offset = [], 0
    for size in sizes(layout):
        found.append((offset, size))
        offset += size
    return found

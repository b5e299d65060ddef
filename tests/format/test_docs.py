"""docs/format/wal.md is compared with the code, both ways: no field, tag or number is in one of them only."""

from __future__ import annotations

import re
import struct

import pytest
from format_pages import FOLDER, sizes, tables

from tidal.format import columns, frame, payload, segment
from tidal.schema.spec import KINDS

PAGE = (FOLDER / "wal.md").read_text()


TABLES = tables(PAGE)


def table(start: str) -> list[list[str]]:
    return next(rows for title, rows in TABLES.items() if title.startswith(start))


@pytest.mark.parametrize(
    ("title", "layout", "more"),
    [
        ("offset:Segment header", segment.SEGMENT_HEADER, []),
        ("offset:A header, a link", frame.FRAME_HEADER, [frame.HASH_BYTES]),
        ("offset:Summary", payload.SUMMARY, []),
        ("offset:Directory entry", payload.DIRECTORY, []),
        ("offset:Seal", segment.SEAL, []),
    ],
)
def test_fields(title: str, layout: struct.Struct, more: list[int]) -> None:
    rows = [row for row in table(title) if row[1]]
    documented = [(int(row[0]), int(row[1])) for row in rows]
    offset, expected = 0, []
    for size in [*sizes(layout), *more]:
        expected.append((offset, size))
        offset += size
    assert documented == expected


def documented_names(title: str) -> dict[str, int]:
    return {row[1].replace(" ", "_").upper(): int(row[0]) for row in table(title)}


def constants(module: object, prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): value for name, value in vars(module).items() if name.startswith(prefix)
    }


def test_tags() -> None:
    assert documented_names("tag:Columns") == constants(payload, "TAG_")


def test_codecs() -> None:
    assert documented_names("codec:Codecs") == constants(columns, "CODEC_")


def test_compressions() -> None:
    assert documented_names("compression:") == {"PLAIN": columns.PLAIN, "ZSTD": columns.ZSTD}


def test_item_bytes() -> None:
    documented = {int(row[0]): int(row[2]) for row in table("tag:Columns") if row[2]}
    assert documented == {tag: payload.item_bytes(tag) for tag in documented}
    assert len(documented) == len(constants(payload, "TAG_")) - 2  # new keys and notes have no items


def test_versions_and_magics() -> None:
    for title, version, magic in (
        ("offset:Segment header", segment.SEGMENT_VERSION, segment.SEGMENT_MAGIC),
        ("offset:A header, a link", frame.FRAME_VERSION, frame.FRAME_MAGIC),
        ("offset:Seal", segment.SEAL_VERSION, segment.SEAL_MAGIC),
    ):
        meanings = {row[2]: row[3] for row in table(title)}
        assert meanings["version"] == str(version)
        assert meanings["magic"] == f"`{magic.decode()}`"


def test_limits_and_kinds() -> None:
    meanings = {row[2]: row[3] for row in table("offset:A header, a link")}
    assert meanings["count"].endswith(f"1 to {payload.EVENTS_PER_BATCH_MAX}")
    assert meanings["payload length"].endswith(str(payload.PAYLOAD_BYTES_MAX))
    kinds = ", ".join(f"{code} {kind}" for code, kind in enumerate(KINDS))
    assert kinds in next(row[3] for row in table("tag:Columns") if row[1] == "new keys")
    forms = next(row[3] for row in table("offset:Directory entry") if row[2] == "form")
    assert forms.startswith(f"{payload.FORM_BITS}: ") and f"; {payload.FORM_WHOLE}, weights only" in forms


def test_domains() -> None:
    assert set(re.findall(r"`(tidal log [a-z]+ 1)\\0`", PAGE)) == {
        domain.decode().rstrip("\0")
        for domain in (segment._HEADER_DOMAIN, segment._SEAL_DOMAIN, frame._DOMAIN)
    }

"""Schemas on a command line and in files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidal.cli.declare import EXAMPLE, schema_from_declarations, schema_from_file
from tidal.errors import UsageError
from tidal.schema import SchemaBuilder, schema_to_json

EXPECTED = (
    SchemaBuilder()
    .signal("purchase", half_life="7d", windows=("1h", "24h", "7d"), velocity=True)
    .signal("reward", kind="user", half_life=("1d", "30d"), signed=True)
    .build()
)


def test_declarations() -> None:
    assert schema_from_declarations([EXAMPLE, "reward kind=user half_life=1d,30d signed"]) == EXPECTED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("view half_life", "'half_life' is not an option"),
        ("view velocity=yes", "'velocity=yes' is not an option"),
        ("view colour=red", "'colour=red' is not an option"),
        ("view half_life=", "is not an option"),
        ("view half_life=soon", "'soon' is not a duration"),
        ("View", "not a name"),
        ("", "not a name"),
        ("view velocity", "add windows"),
    ],
)
def test_declarations_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        schema_from_declarations([text])


def test_files_of_either_form(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(schema_to_json(EXPECTED))
    assert schema_from_file(path) == EXPECTED
    signals = [
        {"name": "purchase", "half_life": "7d", "windows": ["1h", "24h", "7d"], "velocity": True},
        {"name": "reward", "kind": "user", "half_life": ["1d", "30d"], "signed": True},
    ]
    path.write_text(json.dumps({"signals": signals}))
    assert schema_from_file(path) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"signals": [1]}',
        '{"signals": [{"half_life": "7d"}]}',
        '{"signals": [{"name": "a", "x": 1}]}',
    ],
)
def test_files_that_are_no_schema(tmp_path: Path, content: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"schema\.json"):
        schema_from_file(path)

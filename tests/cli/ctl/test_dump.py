"""`tidalctl dump`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.mark.parametrize(
    "pattern",
    ["wal/*.seg", "wal/*.json", "checkpoints/*", "archive/*.arc", "archive/manifest.json",
     "archive/marks.json", "store.json", "schema.json", "entities.sqlite"],
)  # fmt: skip
def test_every_kind_of_file_as_text_and_as_json(store: Path, tidalctl: Command, pattern: str) -> None:
    path = sorted(store.glob(pattern))[0]
    answer = tidalctl("dump", path)
    assert (answer.code, answer.err) == (0, "")
    assert (answer.json["file"], answer.json["problems"]) == (str(path), [])
    assert answer.json["bytes"] == path.stat().st_size
    text = tidalctl("dump", path, "--format", "text")
    assert text.code == 0 and str(path) in text.out.splitlines()[0]
    tables = [line for line in text.out.splitlines()[1:] if "─" in line or "  good" in line]
    assert max(map(len, tables), default=0) <= 80


def test_events(store: Path, tidalctl: Command) -> None:
    path = sorted(store.glob("archive/*.arc"))[0]
    answer = tidalctl("dump", path, "--events", "--limit", 3)
    assert [event["seq"] for event in answer.json["events"]] == [1, 2, 3]
    assert answer.json["events"][1]["key"] == "item1"
    assert answer.json["events"][0]["time"].endswith("Z")
    pretty = tidalctl("dump", path, "--events", "--pretty").json
    assert len(pretty["events"]) == 60
    text = tidalctl("dump", path, "--events", "--limit", 2, "--format", "text")
    assert text.out.rstrip().splitlines()[-1].split()[0] == "2"
    assert tidalctl("dump", path, "--events", "--limit", 0).json["events"] == []


def test_a_damaged_file(store: Path, tidalctl: Command) -> None:
    path = sorted(store.glob("wal/*.seg"))[0]
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    answer = tidalctl("dump", path, "--events")
    assert answer.code == 1
    assert [event["seq"] for event in answer.json["events"]] == list(range(251, 301))
    text = tidalctl("dump", path, "--format", "text")
    assert text.code == 1 and "DAMAGE  " in text.out and "does not match" in text.out


def test_usage(store: Path, tidalctl: Command) -> None:
    assert tidalctl("dump", store).code == 2
    assert tidalctl("dump", store / "store.json", "--limit", 3).code == 2
    answer = tidalctl("dump", store / "store.json", "--events")
    assert (answer.code, answer.out) == (2, "")
    assert tidalctl("dump", store / "nothing").code == 3

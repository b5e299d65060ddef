"""`tidalctl diagnostics`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worn import START

Command = Callable[..., Any]
AT = "2023-11-14 22:20:00"  # 400 s after START


def shape(value: Any) -> Any:
    """The names and types of a document, without its values."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value[:1]]
    return type(value).__name__


def test_the_shape(store: Path, tidalctl: Command) -> None:
    (store / "archive" / "archive-00000000000000000061.arc").unlink()
    answer = tidalctl("diagnostics", store)
    assert (answer.code, answer.err) == (1, "")
    document = answer.json
    document["place"] = sorted(document["place"])  # a machine may not tell all of it
    assert shape(document) == {
        "version": "str", "build_hash": "str", "path": "str", "at": "str", "status": "str",
        "store_id": "str", "writer_pid": "NoneType",
        "events": {"first_seq": "int", "last_seq": "int", "newest_time": "str"},
        "signals": [{"name": "str", "id": "int", "kind": "str", "entities": "int", "checkpoint_bytes": "int",
                     "newest_time": "str"}],
        "disk": {"log": "int", "archive": "int", "checkpoints": "int", "exports": "int", "quarantine": "int",
                 "entities": "int", "total": "int"},
        "log": {"segments": "int", "bytes": "int", "first_seq": "int", "last_segment_seq": "int",
                "last_seq": "int", "start_seq": "int", "epoch": "int", "clean": "bool",
                "batches_to_replay": "int", "newest_time": "str", "created_at": "str",
                "unsynced_singles": "int"},
        "archive": {"files": "int", "bytes": "int", "first_seq": "int", "last_seq": "int",
                    "oldest_time": "str", "newest_time": "str"},
        "checkpoints": [{"file": "str", "seq": "int", "bytes": "int", "written_at": "str",
                         "age_seconds": "float"}],
        "reopening": {"checkpoint_seq": "int", "checkpoint_bytes": "int", "replay_events": "int",
                      "replay_batches": "int", "estimated_seconds": "float"},
        "marks": [{"name": "str", "seq": "int", "behind": "int"}],
        "sessions": {"as_of_seq": "int", "open": "int", "closed": "int"},
        "jobs": {"by_status": {}, "bytes": "int"},
        "quarantine": [],
        "place": ["str"],
        "findings": [{"severity": "str", "code": "str", "file": "str", "offset": "NoneType",
                      "first_seq": "int", "last_seq": "int", "what": "str", "advice": "str"}],
    }  # fmt: skip
    assert document["place"] == ["free_bytes", "free_files", "memory_bytes", "mount", "total_bytes"]


def test_the_figures(store: Path, tidalctl: Command) -> None:
    newest = store / "checkpoints" / "checkpoint-00000000000000000360.ckpt"
    os.utime(newest, ns=(START, START + 100 * 10**9))
    found = tidalctl("diagnostics", store, "--at", AT).json
    assert found["at"] == "2023-11-14T22:20:00.000000000Z"
    assert (found["checkpoints"][0]["age_seconds"], found["checkpoints"][0]["seq"]) == (300.0, 360)
    assert found["marks"] == [{"name": "follower", "seq": 1, "behind": 359}]
    assert [(row["name"], row["kind"], row["entities"]) for row in found["signals"]] == [
        ("view", "item", 25), ("like", "item", 25), ("follow", "creator", 25)
    ]  # fmt: skip
    assert found["disk"]["total"] == sum(bytes for part, bytes in found["disk"].items() if part != "total")


def test_text_fits_a_terminal(store: Path, tidalctl: Command) -> None:
    answer = tidalctl("diagnostics", store, "--format", "text", "--at", AT)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert max(len(line) for line in lines if str(store) not in line) <= 80
    assert {"signals", "disk", "log", "archive", "checkpoints", "reopening", "marks"} <= set(lines)
    assert "{" not in answer.out and "None" not in answer.out


def test_a_store_without_checkpoints_or_schema(store: Path, tidalctl: Command) -> None:
    for path in (*(store / "checkpoints").iterdir(), store / "schema.json"):
        path.unlink()
    answer = tidalctl("diagnostics", store)
    assert answer.code == 1
    found = answer.json
    assert (found["signals"], found["checkpoints"], found["sessions"]) == ([], [], None)
    assert found["reopening"]["replay_events"] == 360
    assert tidalctl("diagnostics", store, "--format", "text").code == 1


def test_what_is_no_store(tmp_path: Path, tidalctl: Command) -> None:
    assert tidalctl("diagnostics", tmp_path).error["type"] == "UsageError"
    assert tidalctl("diagnostics", tmp_path / "none").code == 3
    assert tidalctl("diagnostics", tmp_path, "--at", "tomorrow").code == 2

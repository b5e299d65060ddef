"""dump() and read_events(): what is in each kind of file, and of a damaged one what can be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from worn import EVENTS, START, files_of

import tidal
from tidal.errors import StoreMissing, UsageError
from tidal.inspect import EVENT_COLUMNS, Dump, Severity, Time, dump, read_events, verify
from tidal.schema import SchemaBuilder


def table(found: Dump, name: str) -> list[dict[str, object]]:
    (wanted,) = (table for table in found.tables if table.name == name)
    return [dict(zip(wanted.columns, row, strict=True)) for row in wanted.rows]


def first(store: Path, pattern: str) -> Path:
    return sorted(store.glob(pattern))[0]


def test_a_segment(store: Path) -> None:
    found = dump(first(store, "wal/*.seg"))
    assert (found.kind, found.problems) == ("segment", ())
    assert found.fields["base_seq"] == 241
    batches = table(found, "batches")
    assert [row["first_seq"] for row in batches] == list(range(241, 301, 10))
    assert batches[0]["types"] == ["view"] and batches[1]["types"] == ["like"]
    assert batches[0]["from"] == Time(START + 240 * 10**9)
    assert [row["durable_seq"] for row in batches] == list(range(240, 300, 10))
    (seal,) = table(found, "seal")
    assert (seal["last_seq"], seal["events"], seal["final_hash"]) == (300, EVENTS, batches[-1]["hash"])


def test_a_damaged_segment_says_where_it_stops_and_goes_on(store: Path) -> None:
    path = first(store, "wal/*.seg")
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    found = dump(path)
    states = [row["state"] for row in table(found, "batches")]
    assert states == ["the batch's hash does not match its bytes", *["good"] * 5]
    (problem,) = found.problems
    assert (problem.severity, problem.first_seq, problem.last_seq) == (Severity.DAMAGE, 241, 250)
    assert [row[0] for row in read_events(path)] == list(range(251, 301))


def test_a_checkpoint(store: Path) -> None:
    path = first(store, "checkpoints/*")
    found = dump(path)
    assert (found.fields["seq"], found.problems) == (300, ())
    assert "ledger" in found.fields["meta"]
    sections = table(found, "sections")
    assert len(sections) == found.fields["sections"]
    middle = next(row for row in sections if row["bytes"] and str(row["section"]).endswith("entity_id"))
    data = bytearray(path.read_bytes())
    data[int(str(middle["offset"]))] ^= 1
    path.write_bytes(data)
    bad = [row["section"] for row in table(dump(path), "sections") if row["state"] != "good"]
    assert bad == [middle["section"]]


def test_an_archive_needs_nothing_else(store: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(first(store, "archive/*.arc"), tmp_path))
    found = dump(path)
    assert (found.fields["base_seq"], found.fields["last_seq"], found.problems) == (1, 60, ())
    assert found.fields["types"] == ["view", "like", "follow"]
    assert [row["name"] for row in table(found, "signals")] == ["view", "like", "follow"]
    assert sum(int(str(row["events"])) for row in table(found, "blocks")) == EVENTS
    rows = [dict(zip(EVENT_COLUMNS, row, strict=True)) for row in read_events(path)]
    assert [row["seq"] for row in rows] == list(range(1, 61))
    assert (rows[0]["type"], rows[1]["key"], rows[0]["time"]) == ("view", "item1", START)
    assert rows[26]["key"] == "item1"  # brought by an earlier batch of the file


def test_operations_of_sessions_are_shown(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    with (
        tidal.open(tmp_path / "s", schema=schema) as db,
        db.session(user_id=7, agent="a", session_id=3) as session,
    ):
        session.signal("view", 5)
        session.annotate(5, "fine")
    path = first(tmp_path / "s", "wal/*.seg")
    rows = [dict(zip(EVENT_COLUMNS, row, strict=True)) for row in read_events(path)]
    assert [(row["type"], row["entity_id"], row["user_id"], row["session_id"]) for row in rows] == [
        ("session operation", 0, 7, 3), ("view", 5, 7, 3), ("session operation", 5, 7, 3),
        ("session operation", 0, 7, 3),
    ]  # fmt: skip
    assert [row["note"] for row in rows[1:3]] == [
        None, '{"entity_id":5,"kind":"item","note":"fine","op":"annotation"}'
    ]  # fmt: skip
    assert table(dump(path), "batches")[0]["types"] == ["session operation"]
    assert verify(tmp_path / "s").findings == ()


def test_the_small_files(store: Path) -> None:
    assert dump(store / "wal" / "manifest.json").fields["start_seq"] == 241
    assert len(table(dump(store / "wal" / "manifest.json"), "segments")) == 2
    archived = table(dump(store / "archive" / "manifest.json"), "files")
    assert [row["base_seq"] for row in archived] == [1, 61, 121, 181]
    assert dump(store / "archive" / "marks.json").fields["marks"] == {"follower": 1}
    signals = table(dump(store / "schema.json"), "signals")
    assert [row["name"] for row in signals] == ["view", "like", "follow"]
    assert "store_id" in dump(store / "store.json").fields
    rows = table(dump(store / "entities.sqlite"), "keyspaces")
    assert {row["keyspace"]: row["good_rows"] for row in rows} == {"items": 31, "users": 7, "creators": 25}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_file_is_shown_as_far_as_it_goes(store: Path, share: float) -> None:
    for name in files_of(store):
        if name == "LOCK":
            continue
        path = store / name
        os.truncate(path, int(path.stat().st_size * share))
        found = dump(path)
        assert any(problem.severity is not Severity.NOTE for problem in found.problems), name


def test_types_are_named_by_the_schema_that_is_given(store: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(first(store, "wal/*.seg"), tmp_path))
    assert table(dump(path), "batches")[0]["types"] == ["0"]
    other = SchemaBuilder().signal("watch").build()
    assert table(dump(path, schema=other), "batches")[0]["types"] == ["watch"]
    assert next(read_events(path, schema=other))[2] == "watch"


def test_what_cannot_be_shown(store: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        dump(store)
    with pytest.raises(StoreMissing):
        dump(store / "nothing")
    with pytest.raises(UsageError, match="only segments and archive files"):
        next(read_events(store / "store.json"))

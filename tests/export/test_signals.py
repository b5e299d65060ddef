"""Signals out of the log and the archive. The acceptance criteria of the seed come first."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import polars
import pytest
from export_rows import START

import tidal
from tidal import ExportedSignal, ExportFormat, ExportRequest
from tidal.opening import Wiring
from tidal.opening import arguments as opening_arguments

EVERYTHING = ExportRequest(all=True)


def test_a_json_line() -> None:
    line = ExportedSignal(42, "view", 1.0, START).to_json_line()
    assert json.loads(line) == {
        "entity_id": 42, "signal_type": "view", "weight": 1, "timestamp_ns": START,
        "user_id": None, "session_id": None,
    }  # fmt: skip
    assert line.startswith('{"entity_id":42,"signal_type":"view","weight":1')


def test_a_json_line_escapes_and_rounds_as_files_do() -> None:
    line = ExportedSignal(1, 'a"\\\n', float(np.float32(0.1)), 0, 2**64 - 1, 0, "é").to_json_line()
    assert line == (
        '{"entity_id":1,"signal_type":"a\\"\\\\\\n","weight":0.1,"timestamp_ns":0,'
        '"user_id":18446744073709551615,"session_id":0,"entity_key":"é","user_key":null}'
    )


def test_the_constructors_of_requests() -> None:
    request = ExportRequest.time_range(100, 200)
    assert (request.since, request.until, request.signal_types) == (100, 200, ())
    assert (request.user_id, request.limit, request.format) == (None, None, ExportFormat.JsonLines)
    request = ExportRequest.signals_in_range(["view", "like"], 100, 200)
    assert (list(request.signal_types), request.since, request.until) == (["view", "like"], 100, 200)


def test_what_was_written_is_exported(filled: tidal.TidalDb) -> None:
    found = filled.export_signals(ExportRequest.time_range(START, START + 100)).to_list()
    assert [signal.timestamp_ns - START for signal in found] == list(range(100))
    assert found[6] == ExportedSignal(6, "view", 0.75, START + 6, 1, 0)
    assert found[9] == ExportedSignal(9, "like", 1.125, START + 9, None, 0)
    assert len(filled.export_signals(ExportRequest.signals_in_range(["view"], 0, 2**64 - 1)).to_list()) == 50


def test_since_is_inclusive_and_until_exclusive(filled: tidal.TidalDb) -> None:
    found = filled.export_signals(ExportRequest.time_range(START + 10, START + 12)).to_list()
    assert [signal.timestamp_ns - START for signal in found] == [10, 11]
    second = datetime.datetime.fromtimestamp(START / 1e9, datetime.UTC)
    assert len(filled.export_signals(ExportRequest(since=second)).to_list()) == 100
    assert len(filled.export_signals(ExportRequest(until=np.datetime64(START + 5, "ns"))).to_list()) == 5


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (ExportRequest(user_id=1, all=True), lambda i: i % 5 == 1),
        (ExportRequest(user_id=0, all=True), lambda i: i % 5 == 0),
        (ExportRequest(session_id=2, all=True), lambda i: i % 3 == 2),
        (ExportRequest(entity_id=3, all=True), lambda i: i % 10 == 3),
        (ExportRequest(signal_types=["like"], entity_id=4, all=True), lambda i: False),
        (
            ExportRequest(signal_types=["like"], user_id=1, since=START + 50),
            lambda i: i % 10 == 1 and i >= 50,
        ),
        (ExportRequest(after_seq=90), lambda i: i >= 90),
        (ExportRequest(after_seq=90, until_seq=95), lambda i: 90 <= i < 95),
        (ExportRequest(after_seq=1000), lambda i: False),
        (ExportRequest(user_id="nobody", all=True), lambda i: False),
    ],
)
def test_filters(filled: tidal.TidalDb, request_: ExportRequest, chosen: object) -> None:
    found = [signal.timestamp_ns - START for signal in filled.export_signals(request_)]
    assert found == [i for i in range(100) if chosen(i)]  # type: ignore[operator]


@pytest.mark.parametrize("limit", [0, 1, 7, 99, 100, 101])
def test_the_limit_is_counted_after_the_filters(filled: tidal.TidalDb, limit: int) -> None:
    request = ExportRequest(signal_types=["like"], all=True, limit=limit)
    found = [signal.timestamp_ns - START for signal in filled.export_signals(request)]
    assert found == list(range(1, 100, 2))[:limit]


def test_who_wants_nothing_skips_nothing(filled: tidal.TidalDb) -> None:
    export = filled.export_signals(ExportRequest(after_seq=10, limit=0, all=True))
    assert export.to_list() == [] and export.last_seq == 10


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (ExportRequest(), tidal.InvalidOption, "all=True"),
        (ExportRequest.signals_in_range(["veiw"], 0, 1), tidal.UnknownSignalType, "'view'"),
        (ExportRequest(signal_types="view", all=True), tidal.InvalidOption, "list of names"),
        (ExportRequest(all=True, limit=-1), tidal.InvalidOption, "limit is -1"),
        (ExportRequest(all=True, limit=True), tidal.InvalidOption, "limit is True"),
        (ExportRequest(after_seq=-1), tidal.InvalidOption, "after_seq"),
        (ExportRequest(user_id=2**64, all=True), tidal.InvalidEntity, "2\\*\\*64"),
        (ExportRequest(since="yesterday"), tidal.InvalidOption, "since is 'yesterday'"),
        (ExportRequest(all=True, format="xml"), tidal.InvalidOption, "'jsonl', 'csv'"),
    ],
)
def test_bad_requests(db: tidal.TidalDb, request_: ExportRequest, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        db.export_signals(request_)


def test_an_empty_log_is_empty(db: tidal.TidalDb) -> None:
    export = db.export_signals(ExportRequest.time_range(0, 2**63))
    assert (export.to_list(), export.last_seq, export.share) == ([], 0, 1.0)
    assert db.export_signals(EVERYTHING).to_arrow().num_rows == 0


def test_a_database_in_memory_has_nothing_to_export(schema: tidal.Schema) -> None:
    with tidal.open(None, schema=schema) as db, pytest.raises(tidal.StoreMissing, match="in memory"):
        db.export_signals(EVERYTHING)


# ------------------------------------------------------------------------------------ what is durable


def test_only_what_is_durable_is_exported(tmp_path: Path, schema: tidal.Schema) -> None:
    with tidal.open(tmp_path / "s", schema=schema, sync="os") as db:
        db.signal("view", 1)
        db.flush()
        db.signal("view", 2)
        assert db.durable_seq == 1
        assert [signal.entity_id for signal in db.export_signals(EVERYTHING)] == [1]
        before = db.export_signals(EVERYTHING)
        db.flush()
        assert [signal.entity_id for signal in before] == [1], "what is durable is asked when it is made"
        assert [signal.entity_id for signal in db.export_signals(EVERYTHING)] == [1, 2]


def test_an_export_goes_on_beside_writes_and_archiving(
    tmp_path: Path, schema: tidal.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is a segment, and segments go to the archive while the export reads."""
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(segment_bytes=1))
    with tidal.open(tmp_path / "s", schema=schema) as db:
        for part in range(8):
            db.ingest(signal="view", entity_id=np.arange(10) + 10 * part)
            db.checkpoint()
        export = db.export_signals(EVERYTHING)
        found = [next(export).entity_id for _ in range(5)]
        report = db.archive()
        assert report.archived
        db.ingest(signal="view", entity_id=[1000])
        found += [signal.entity_id for signal in export]
        assert found == list(range(80))
        assert [signal.entity_id for signal in db.export_signals(EVERYTHING)] == [*range(80), 1000]
    with tidal.open(tmp_path / "s", read_only=True) as reader:
        assert len(reader.export_signals(EVERYTHING).to_list()) == 81


def test_what_retention_removed_is_passed_over_but_not_skipped_in_silence(
    tmp_path: Path, schema: tidal.Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_arguments, "Wiring", lambda *_: Wiring(segment_bytes=1))
    with tidal.open(tmp_path / "s", schema=schema, retain="1B") as db:
        for part in range(8):
            db.ingest(signal="view", entity_id=[part])
            db.checkpoint()
        assert db.archive().retired
        export = db.export_signals(EVERYTHING)
        found = [signal.entity_id for signal in export]
        assert found == list(range(8 - len(found), 8)) and 0 < len(found) < 8
        assert export.table().info["first_seq"] == 9 - len(found)
        with pytest.raises(tidal.MissingSegment):
            db.export_signals(ExportRequest(after_seq=0)).to_list()


# ------------------------------------------------------------------------------------ going on


def test_a_pipeline_goes_on_where_it_was(filled: tidal.TidalDb) -> None:
    seen: list[int] = []
    after = 0
    for _ in range(100):
        export = filled.export_signals(ExportRequest(signal_types=["like"], after_seq=after, limit=3))
        part = [signal.timestamp_ns - START for signal in export]
        seen, after = seen + part, export.last_seq
        if not part:
            break
    assert seen == list(range(1, 100, 2))
    assert after == filled.durable_seq == 100


def test_the_last_sequence_is_that_of_the_last_event_taken(filled: tidal.TidalDb) -> None:
    export = filled.export_signals(ExportRequest(signal_types=["like"], all=True))
    assert export.last_seq == 0
    for i in range(1, 20, 2):
        assert next(export).timestamp_ns == START + i
        assert export.last_seq == i + 1
    rest = filled.export_signals(ExportRequest(signal_types=["like"], after_seq=export.last_seq))
    assert next(rest).timestamp_ns == START + 21


def test_many_small_batches_are_joined(db: tidal.TidalDb) -> None:
    for i in range(30):
        db.signal("view", i, user_id=i if i % 2 else None)
    db.flush()
    arrow = db.export_signals(EVERYTHING).to_arrow()
    assert arrow.column("entity_id").num_chunks == 1
    assert arrow.column("user_id").to_pylist() == [i if i % 2 else None for i in range(30)]


# ------------------------------------------------------------------------------------ forms


def test_arrow(filled: tidal.TidalDb) -> None:
    frame = polars.DataFrame(filled.export_signals(EVERYTHING))
    assert frame.schema == {
        "entity_id": polars.UInt64, "signal_type": polars.String, "weight": polars.Float32,
        "timestamp_ns": polars.Datetime("ns", "UTC"), "user_id": polars.UInt64, "session_id": polars.UInt64,
    }  # fmt: skip
    signals = filled.export_signals(EVERYTHING).to_list()
    assert frame["weight"].to_list() == [signal.weight for signal in signals]
    assert frame["user_id"].to_list() == [signal.user_id for signal in signals]
    assert frame["signal_type"].to_list() == [signal.signal_type for signal in signals]


def test_json_lines_files_hold_the_lines_of_the_signals(filled: tidal.TidalDb, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    export = filled.export_signals(ExportRequest(signal_types=["like"], since=START + 5))
    written = export.write(path)
    signals = filled.export_signals(ExportRequest(signal_types=["like"], since=START + 5))
    assert path.read_text().splitlines() == [signal.to_json_line() for signal in signals]
    manifest = json.loads(written.manifest.read_text())
    assert manifest["request"] == {"signal_types": ["like"], "since": START + 5, "format": "jsonl"}
    assert (manifest["rows"], manifest["first_seq"], manifest["last_seq"]) == (48, 6, 100)
    assert export.last_seq == 100


def test_the_request_says_the_format_of_a_path_that_does_not(filled: tidal.TidalDb, tmp_path: Path) -> None:
    request = ExportRequest(all=True, format=ExportFormat.Csv, limit=1)
    filled.export_signals(request).write(tmp_path / "out")
    assert (tmp_path / "out").read_text() == (
        f"entity_id,signal_type,weight,timestamp_ns,user_id,session_id\n0,view,0.0,{START},0,0\n"
    )


def test_ids_as_text(filled: tidal.TidalDb, tmp_path: Path) -> None:
    filled.signal("view", 2**64 - 1, timestamp=START)
    filled.flush()
    path = tmp_path / "out.jsonl"
    filled.export_signals(ExportRequest(after_seq=100)).write(path, ids_as="text")
    line = json.loads(path.read_text())
    assert (line["entity_id"], line["user_id"], line["timestamp_ns"]) == (str(2**64 - 1), None, START)
    with pytest.raises(tidal.InvalidOption, match="ids_as"):
        filled.export_signals(EVERYTHING).write(path, ids_as="str")  # type: ignore[arg-type]


def test_keys(db: tidal.TidalDb) -> None:
    db.signal("view", "sku:1", user_id="ann")
    db.signal("view", 7, user_id=8)
    db.signal("view", "sku:2")
    db.flush()
    found = db.export_signals(ExportRequest(all=True, keys=True)).to_list()
    assert [(it.entity_key, it.user_key) for it in found] == [("sku:1", "ann"), (None, None), ("sku:2", None)]
    arrow = db.export_signals(ExportRequest(all=True, keys=True)).to_arrow()
    assert arrow.column_names[-2:] == ["entity_key", "user_key"]
    assert [it.entity_id for it in db.export_signals(ExportRequest(entity_id="sku:2", all=True))] == [
        found[2].entity_id
    ]


def test_operations_of_sessions_are_no_signals(db: tidal.TidalDb) -> None:
    with db.session(user_id="ann", agent="bot") as session:
        session.signal("view", 1)
        session.annotate(1, "good")
    db.flush()
    assert db.durable_seq > 1
    found = db.export_signals(EVERYTHING).to_list()
    assert [(it.entity_id, it.session_id) for it in found] == [(1, session.id)]
    assert len(db.export_signals(ExportRequest(session_id=session.id, all=True)).to_list()) == 1

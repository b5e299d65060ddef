"""`tidal load`, from files to a store and a side file."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orders import COLUMNS

import tidal
from tidal.cli.readers import chunk as chunk_module
from tidal.db import TidalDb
from tidal.errors import NoSpace, StorageError

Command = Callable[..., Any]

DECLARE = ["--declare", "purchase half_life=7d windows=24h", "--declare", "cancel half_life=7d"]
PURCHASE = ["--signal", "purchase"]


def test_a_load_says_what_it_did(tmp_path: Path, orders: Path, tidal_command: Command) -> None:
    answer = tidal_command("load", orders, "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS)
    assert answer.code == 0
    assert "4 events, sequences 1 to 4, durable" in answer.out
    assert "entity keys, user ids, session keys" in answer.out
    assert not list(tmp_path.glob("*.refused.jsonl"))
    with tidal.open(tmp_path / "s", read_only=True, clock="event") as db:
        assert db.count("purchase", "lamp", "all") == 3
        assert db.count("purchase", "lamp", "24h") == 2
        assert db.last_seq == 4


def test_the_json_summary(tmp_path: Path, orders: Path, tidal_command: Command) -> None:
    answer = tidal_command(
        "load", orders, "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS, "--format", "json"
    )
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["events"] == answer.json["rows"] == answer.json["durable_seq"] == 4
    assert answer.json["named_as"] == {"entity_id": "key", "user_id": "id", "session_id": "key"}


def test_a_second_load_of_the_same_rows_adds_nothing(
    tmp_path: Path, orders: Path, tidal_command: Command
) -> None:
    load = ["load", orders, "--db", tmp_path / "s", *PURCHASE, *COLUMNS, "--dedup", "content"]
    assert "4 events" in tidal_command(*load, *DECLARE).out
    answer = tidal_command(*load)
    assert "no events" in answer.out and "4 duplicates dropped" in answer.out


def test_rows_with_an_event_id_that_was_there_are_dropped(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku,line\nlamp,17-1\nlamp,17-2\nlamp,17-1\nmug,\nmug,\n")
    load = ["load", path, "--db", tmp_path / "s", *DECLARE, *PURCHASE, "--entity", "sku", "--format", "json"]
    answer = tidal_command(*load, "--event-id", "line", "--dedup", "event_id")
    assert (answer.json["events"], answer.json["duplicates"]) == (4, 1)
    assert answer.json["named_as"] == {"entity_id": "key", "event_id": "key"}
    assert "--dedup event_id needs --event-id" in tidal_command(*load, "--dedup", "event_id").err


def test_bad_rows_go_to_the_side_file_in_order(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "sku,pieces,time\nlamp,1,2011-12-01\n,1,2011-12-01\nlamp,many,2011-12-01\nlamp,1\n"
        "lamp,-1,2011-12-01\nlamp,1,soon\nlamp,nan,2011-12-01\nlamp,2,2011-12-02\n"
    )
    answer = tidal_command("load", path, "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS[:6])
    assert answer.code == 4
    assert "6 rows refused: " in answer.out
    rows = [json.loads(line) for line in (tmp_path / "a.csv.refused.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == [2, 3, 4, 5, 6, 7]
    assert [row["column"] for row in rows] == ["sku", "pieces", None, "pieces", "time", "pieces"]
    assert rows[1]["value"] == "many" and rows[1]["record"]["sku"] == "lamp"
    assert rows[2]["reason"] == "2 fields where the header has 3"
    assert all(row["reason"] for row in rows)
    with tidal.open(tmp_path / "s", read_only=True, clock="event") as db:
        assert db.count("purchase", "lamp", "all") == 2

    path.write_text("sku,pieces,time\nlamp,1,2011-12-01\n")
    assert tidal_command("load", path, "--db", tmp_path / "s", *PURCHASE, *COLUMNS[:6]).code == 0
    assert not (tmp_path / "a.csv.refused.jsonl").exists()


def test_a_signal_column_with_other_names(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.jsonl.gz"
    rows = [{"id": 7, "what": "buy"}, {"id": 7, "what": "cancel"}, {"id": 8, "what": "steal"}, {"id": 9}]
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    answer = tidal_command(
        *("load", path, "--db", tmp_path / "s", *DECLARE, "--entity", "id"),
        *("--signal-column", "what", "--signal-map", "buy=purchase"),
    )
    assert answer.code == 4
    refused = [json.loads(line) for line in (tmp_path / "a.jsonl.gz.refused.jsonl").read_text().splitlines()]
    assert [(row["row"], row["column"], row["value"]) for row in refused] == [
        (3, "what", "steal"),
        (4, "what", None),
    ]
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert (db.count("purchase", 7, "all"), db.count("cancel", 7, "all")) == (1, 1)


def test_a_late_name_makes_the_whole_column_keys(
    tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_module, "CHUNK_ROWS", 2)
    path = tmp_path / "a.csv"
    path.write_text("sku\n71053\n71053\n71053\n85123A\n")
    tidal_command("load", path, "--db", tmp_path / "s", *DECLARE, *PURCHASE, "--entity", "sku")
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert db.count("purchase", "71053", "all") == 3
        assert db.count("purchase", 71053, "all") == 0


def test_ids_if_there_is_nothing_else_and_keys_on_demand(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku\n1\n18446744073709551615\n")
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku")
    tidal_command(*load, *DECLARE)
    tidal_command(*load, "--entity-as", "key")
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert db.count("purchase", 2**64 - 1, "all") == 1
        assert db.count("purchase", "1", "all") == 1


def test_parquet_loads_the_same(tmp_path: Path, orders: Path, tidal_command: Command) -> None:
    csv = pytest.importorskip("pyarrow.csv", reason="loading Parquet is untested without pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "orders.parquet"
    parquet.write_table(csv.read_csv(orders), path)
    for source in (orders, path):
        store = tmp_path / source.suffix
        assert tidal_command("load", source, "--db", store, *DECLARE, *PURCHASE, *COLUMNS).code == 0
    with (
        tidal.open(tmp_path / ".csv", read_only=True, clock="event") as one,
        tidal.open(tmp_path / ".parquet", read_only=True, clock="event") as other,
    ):
        assert list(one.top("purchase", 9)) == list(other.top("purchase", 9))
        assert one.now() == other.now()


def test_after_a_failure_the_load_goes_on_where_it_stopped(
    tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_module, "CHUNK_ROWS", 10)
    path = tmp_path / "a.csv"
    path.write_text("sku\n" + "".join(f"s{n}\n" for n in range(35)))
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku")
    ingest, calls = TidalDb.ingest, iter(range(99))

    def fail_third(self: TidalDb, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 2:
            raise StorageError(5, "the cable was pulled", "wal")
        return ingest(self, *args, **kwargs)

    monkeypatch.setattr(TidalDb, "ingest", fail_third)
    answer = tidal_command(*load, *DECLARE)
    assert answer.code == 1
    assert "the cable was pulled" in answer.err
    assert answer.err.endswith("rows up to 20 are done, go on with --skip-rows 20\n")
    answer = tidal_command(*load, "--skip-rows", 20, "--format", "json")
    assert (answer.code, answer.json["rows"], answer.json["last_seq"]) == (0, 15, 35)


def test_a_damaged_file_is_loaded_up_to_the_damage(
    tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_module, "CHUNK_ROWS", 1000)
    path = tmp_path / "a.csv.gz"
    packed = gzip.compress(b"sku\n" + b"".join(b"s%d\n" % (n * n) for n in range(50_000)))
    path.write_bytes(packed[: len(packed) // 2])
    load = (
        "load",
        path,
        "--db",
        tmp_path / "s",
        *DECLARE,
        *PURCHASE,
        "--entity",
        "sku",
        "--entity-as",
        "key",
    )
    answer = tidal_command(*load)
    assert answer.code == 1
    assert "damaged or cut off" in answer.err
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert 0 < db.last_seq < 50_000 and db.last_seq % 1000 == 0
        assert f"--skip-rows {db.last_seq}" in answer.err


def test_going_on_in_the_middle_of_a_chunk(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku,pieces\na,1\nb,x\nc,x\nd,1\n")
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku", "--weight", "pieces")
    answer = tidal_command(*load, *DECLARE, "--skip-rows", 2, "--format", "json")
    assert answer.code == 4
    assert (answer.json["rows"], answer.json["events"], answer.json["refused"]) == (2, 1, 1)


def test_interrupting_says_where_to_go_on(
    tmp_path: Path, orders: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(TidalDb, "ingest", interrupted)
    answer = tidal_command("load", orders, "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS)
    assert answer.code == 130
    assert "go on with --skip-rows 0" in answer.err


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own answer to Ctrl-C, which it leaves out where a shell started it in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_chunk_is_whole_with_its_refused_rows(
    tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(db: TidalDb, *args: Any, **kwargs: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return ingest(db, *args, **kwargs)

    ingest = TidalDb.ingest
    monkeypatch.setattr(TidalDb, "ingest", interrupted)
    path = tmp_path / "a.csv"
    path.write_text("sku,pieces\na,1\nb,x\nc,-1\n")
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku", "--weight", "pieces")
    answer = tidal_command(*load, *DECLARE)
    assert answer.code == 130
    assert "go on with --skip-rows 3" in answer.err
    told = (tmp_path / "a.csv.refused.jsonl").read_text().splitlines()
    rows = [json.loads(line)["row"] for line in told]
    assert rows == [2, 3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_refused_rows_that_cannot_be_told_are_counted(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku,pieces\na,1\nb,x\nc,-1\n")
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku", "--weight", "pieces")
    answer = tidal_command(*load, *DECLARE, "--refused", tmp_path / "no" / "side.jsonl")
    assert answer.code != 0
    assert "why 2 rows from row 2 to 3 were refused could not be written" in answer.err
    assert "go on with --skip-rows 3" in answer.err


def test_a_failure_to_close_does_not_ask_for_a_second_load(
    orders: Path, tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(db: TidalDb) -> int:
        raise NoSpace(28, "No space left on device")

    monkeypatch.setattr(TidalDb, "checkpoint", full)
    answer = tidal_command("load", orders, "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS)
    assert answer.code == 1
    assert "do not load the file again" in answer.err
    with tidal.open(tmp_path / "s", read_only=True) as db:
        assert db.last_seq == 4


def test_what_json_cannot_hold_is_text_in_the_side_file(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"sku": NaN}\n{"sku": "a", "pieces": -Infinity}\n')
    load = ("load", path, "--db", tmp_path / "s", *PURCHASE, "--entity", "sku", "--weight", "pieces")
    assert tidal_command(*load, *DECLARE).code == 4
    text = (tmp_path / "a.jsonl.refused.jsonl").read_text()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    assert [row["value"] for row in rows] == ["nan", "-inf"]


def test_a_stream_is_refused_before_it_is_read(tmp_path: Path, tidal_command: Command) -> None:
    path = tmp_path / "a.csv"
    os.mkfifo(path)
    answer = tidal_command("load", path, "--db", tmp_path / "s", *DECLARE, *PURCHASE, "--entity", "sku")
    assert answer.code == 2
    assert "is a stream, and a load reads its file twice" in answer.err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([*PURCHASE, "--entity", "colour"], "no column 'colour' (for entity_id); there are 'order', 'sku'"),
        ([*PURCHASE, "--entity", "sku", "--delimiter", "ab"], "--delimiter"),
        ([*PURCHASE, "--entity", "sku", "--skip-rows", "-1"], "--skip-rows"),
        ([*PURCHASE, "--entity", "sku", "--signal-map", "a=b"], "--signal-column"),
        (["--signal-column", "order", "--signal-map", "ab", "--entity", "sku"], "OLD=NEW"),
        ([*PURCHASE, "--signal-column", "order", "--entity", "sku"], "not allowed with"),
        (["--entity", "sku"], "--signal"),
    ],
)
def test_a_wrong_command_line_touches_nothing(
    tmp_path: Path, orders: Path, tidal_command: Command, options: list[str], said: str
) -> None:
    answer = tidal_command("load", orders, "--db", tmp_path / "s", *DECLARE, *options)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "s").exists()


def test_a_new_store_needs_signal_types(tmp_path: Path, orders: Path, tidal_command: Command) -> None:
    answer = tidal_command("load", orders, "--db", tmp_path / "s", *PURCHASE, *COLUMNS)
    assert answer.code == 2
    assert "--declare" in answer.err


def test_an_unknown_signal_type_is_named(shop: Path, orders: Path, tidal_command: Command) -> None:
    answer = tidal_command("load", orders, "--db", shop, "--signal", "purchse", *COLUMNS)
    assert answer.code == 3
    assert "did you mean 'purchase'?" in answer.err
    new = shop.with_name("new")
    assert tidal_command("load", orders, "--db", new, *DECLARE, "--signal", "purchse", *COLUMNS).code == 3
    assert not new.exists()


def test_a_missing_file(tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command(
        "load", tmp_path / "no.csv", "--db", tmp_path / "s", *DECLARE, *PURCHASE, *COLUMNS, "--format", "json"
    )
    assert answer.code == 3
    assert answer.error["type"] == "FileNotFoundError"

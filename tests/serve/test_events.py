"""Events over HTTP are the events that ingest() would record; bad ones change nothing."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc
import pytest
from servicekit import ALL_SCOPES, BEGAN, MINUTE, NOW, SCHEMA, SECRETS, TOKENS, caller, service
from starlette.testclient import TestClient

import tidal
from tidal.entities import entity_key_id
from tidal.schema.events import ID_MAX
from tidal.serve import Scope, Tokens, create_app
from tidal.serve.arrow import ARROW_TYPE

ARROW = {"Content-Type": ARROW_TYPE}


def stream(table: pyarrow.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def exported(db: tidal.TidalDb) -> list[tidal.ExportedSignal]:
    db.flush()
    return db.export_signals(tidal.ExportRequest(all=True)).to_list()


def send(client: TestClient, *events: dict[str, Any], **query: str) -> Any:
    answer = client.post("/v1/signals", json={"events": list(events)}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_one_event_with_all_it_can_have(db: tidal.TidalDb, client: TestClient) -> None:
    done = send(
        client,
        {"signal": "like", "entity_id": str(ID_MAX), "weight": -2.5, "timestamp": "2023-11-14T22:13:20Z",
         "user_id": 2**53 + 1, "session_key": "s", "event_id": "9"},
    )  # fmt: skip
    assert done == {
        "first_seq": 1, "last_seq": 1, "count": 1, "duplicates": 0, "refused_count": 0, "refused": [],
    }  # fmt: skip
    [event] = exported(db)
    assert event.entity_id == ID_MAX and event.weight == -2.5 and event.timestamp_ns == BEGAN
    assert event.user_id == 2**53 + 1 and event.session_id == entity_key_id("s")


def test_what_is_left_out_has_its_default(db: tidal.TidalDb, client: TestClient) -> None:
    send(client, {"signal": "view", "entity_key": "sku"}, {"signal": "view", "entity_key": "other"})
    first, second = exported(db)
    assert (first.weight, first.timestamp_ns, first.user_id, first.session_id) == (1.0, NOW, None, None)
    assert db.key_of(first.entity_id) == "sku" and db.key_of(second.entity_id) == "other"


def test_some_users_may_be_unknown(db: tidal.TidalDb, client: TestClient) -> None:
    send(client, {"signal": "view", "entity_id": 1, "user_key": "ada"}, {"signal": "view", "entity_id": 1})
    assert [event.user_id for event in exported(db)] == [entity_key_id("ada"), None]


def test_no_events_are_no_error(db: tidal.TidalDb, client: TestClient) -> None:
    assert send(client)["count"] == 0 and db.last_seq == 0


BAD = {
    "unknown type": [{"signal": "viiew", "entity_id": 1}],
    "no entity": [{"signal": "view"}],
    "two names": [{"signal": "view", "entity_id": 1, "entity_key": "a"}],
    "null": [{"signal": "view", "entity_id": 1, "user_id": None}],
    "an id too large": [{"signal": "view", "entity_id": ID_MAX + 1}],
    "a negative id": [{"signal": "view", "entity_id": -1}],
    "a float beyond 2**53": [{"signal": "view", "entity_id": 1e17}],
    "a weight beyond f32": [{"signal": "view", "entity_id": 1, "weight": 1e39}],
    "a negative weight": [{"signal": "view", "entity_id": 1, "weight": -1}],
    "a weight as text": [{"signal": "view", "entity_id": 1, "weight": "1"}],
    "a bool": [{"signal": "view", "entity_id": 1, "weight": True}],
    "far in the future": [{"signal": "view", "entity_id": 1, "timestamp": NOW + 20 * MINUTE}],
    "no time": [{"signal": "view", "entity_id": 1, "timestamp": "yesterday"}],
    "another field": [{"signal": "view", "entity_id": 1, "user": 5}],
    "a key too long": [{"signal": "view", "entity_key": "x" * 1025}],
    "ids and keys": [{"signal": "view", "entity_id": 2}, {"signal": "view", "entity_key": "a"}],
    "some times": [{"signal": "view", "entity_id": 2, "timestamp": NOW}, {"signal": "view", "entity_id": 2}],
}


@pytest.mark.parametrize("events", BAD.values(), ids=BAD)
def test_one_bad_event_and_nothing_of_the_request_is_recorded(
    db: tidal.TidalDb, client: TestClient, events: list[dict[str, Any]]
) -> None:
    refused = client.post("/v1/signals", json={"events": [*events, {"signal": "view", "entity_id": 1}]})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"]
    assert db.last_seq == 0


MALFORMED = [
    b'{"events": [{"signal": "view", "entity_id": 1, "entity_id": 2}]}',
    b'{"events": [{"signal": "view", "entity_id": 1, "weight": NaN}]}',
    b'{"events": [{"signal": "view", "entity_id": 1, "weight": 1e999}]}',
    b'{"events": [{"signal": "view", "entity_id": ' + b"9" * 5000 + b"}]}",
    b"[" * 100_000,
    b'{"events": [',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_good_json_is_400(db: tidal.TidalDb, client: TestClient, body: bytes) -> None:
    refused = client.post("/v1/signals", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_json")
    assert db.last_seq == 0


def test_bad_events_can_be_skipped_and_are_named(db: tidal.TidalDb, client: TestClient) -> None:
    events = [{"signal": "view", "entity_id": 1, "weight": weight} for weight in (1, -1, 2, *[-1] * 200)]
    done = send(client, *events, on_error="skip")
    assert (done["count"], done["refused_count"], len(done["refused"])) == (2, 201, 100)
    assert done["refused"][0]["row"] == 1 and done["refused"][0]["column"] == "weight"
    assert db.last_seq == 2


def test_a_database_that_only_reads_takes_none(tmp_path: Path) -> None:
    tidal.open(tmp_path / "store", schema=SCHEMA).close()
    with tidal.open(tmp_path / "store", read_only=True) as db, service(db) as client:
        refused = client.post("/v1/signals", json={"events": [{"signal": "view", "entity_id": 1}]})
        assert (refused.status_code, refused.json()["code"]) == (409, "read_only")
        assert client.get("/v1/health").json()["read_only"]


# ------------------------------------------------------------------------------------ real data, both ways


def test_json_and_arrow_record_what_ingest_records(tmp_path: Path, data_folder: Path) -> None:
    with gzip.open(data_folder / "online-retail-2010-12.csv.gz", "rt", encoding="utf-8-sig") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(5_000), strict=False)]
    columns = {
        "signal": ["like"] * len(rows),
        "entity_id": [row["StockCode"] for row in rows],
        "weight": [float(row["Quantity"]) for row in rows],
        "timestamp": [BEGAN + place for place in range(len(rows))],
        "user_id": [int(float(row["CustomerID"])) if row["CustomerID"] else None for row in rows],
    }
    events = [
        {"signal": "like", "entity_key": key, "weight": weight, "timestamp": str(time)}
        | ({} if user is None else {"user_id": user})
        for key, weight, time, user in zip(*list(columns.values())[1:], strict=True)
    ]
    table = pyarrow.table({**columns, "user_id": pyarrow.array(columns["user_id"], pyarrow.uint64())})
    found = []
    for name in ("ingest", "json", "arrow"):
        with tidal.open(tmp_path / name, schema=SCHEMA, sync="os") as db, service(db) as client:
            if name == "ingest":
                db.ingest(**columns)
            elif name == "json":
                assert send(client, *events)["count"] == len(rows)
            else:
                answer = client.post("/v1/signals", content=stream(table), headers=ARROW)
                assert answer.json()["count"] == len(rows)
            found.append(exported(db))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 5_000 and any(event.user_id is None for event in found[0])


def test_arrow_of_several_batches_is_recorded_whole_or_not_at_all(
    db: tidal.TidalDb, client: TestClient
) -> None:
    good = pyarrow.table(
        {"signal": ["view", "view"], "entity_id": pyarrow.array([1, ID_MAX], pyarrow.uint64())}
    )
    bad = pyarrow.table({"signal": ["view"], "entity_id": pyarrow.array([None], pyarrow.uint64())})
    both = pyarrow.concat_tables([good, bad])
    assert both.column(0).num_chunks == 2
    refused = client.post("/v1/signals", content=stream(both), headers=ARROW)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_event")
    assert "row 2" in refused.json()["detail"] and db.last_seq == 0
    skipped = client.post("/v1/signals?on_error=skip", content=stream(both), headers=ARROW)
    assert skipped.json()["count"] == 2 and skipped.json()["refused"][0]["row"] == 2


# ------------------------------------------------------------------------------------ whose event ids


def test_nobody_can_use_up_the_event_ids_of_another(tmp_path: Path) -> None:
    """A hostile client sends a victim's event id first; the victim's event must still count."""
    other = Tokens([("shop", [Scope.WRITE], ALL_SCOPES), ("shop", [Scope.WRITE], "new" + ALL_SCOPES),
                    ("hostile", [Scope.WRITE], SECRETS[Scope.WRITE])])  # fmt: skip
    event = {"signal": "view", "entity_id": 1}
    table = pyarrow.table({"signal": ["view"], "entity_id": pyarrow.array([1], pyarrow.uint64()),
                           "event_id": pyarrow.array([8], pyarrow.uint64())})  # fmt: skip
    with tidal.open(tmp_path / "store", schema=SCHEMA, dedup="event_id") as db:
        app = create_app(db, tokens=other)
        hostile, shop = caller(app, secret=SECRETS[Scope.WRITE]), caller(app)
        successor = caller(app, secret="new" + ALL_SCOPES)
        for name, value in (("event_id", 7), ("event_id", "8"), ("event_key", "order-1")):
            named = {**event, name: value}
            assert send(hostile, named)["count"] == 1
            assert send(shop, named)["count"] == 1, "used up by another"
            assert send(shop, named)["duplicates"] == 1, "its own is a duplicate, and also"
            assert send(successor, named)["duplicates"] == 1, "where it has a new token"
        again = shop.post("/v1/signals", content=stream(table), headers=ARROW).json()
        assert again["duplicates"] == 1, "Arrow is the same event"
        assert hostile.post("/v1/signals", content=stream(table), headers=ARROW).json()["duplicates"] == 1
        for bad in (pyarrow.array([-1]), pyarrow.array([1.5])):
            named = table.set_column(2, "event_id", bad)
            refused = shop.post("/v1/signals?on_error=skip", content=stream(named), headers=ARROW)
            assert refused.status_code == 422


def test_without_tokens_event_ids_are_as_they_were_sent(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, dedup="event_id") as db:
        db.signal("view", 1, event_id=7)
        client = caller(create_app(db), secret=None)
        assert send(client, {"signal": "view", "entity_id": 1, "event_id": "7"})["duplicates"] == 1


def test_limits_of_the_database_are_429(tmp_path: Path) -> None:
    limits = tidal.Limits(entities=1)
    with tidal.open(tmp_path / "store", schema=SCHEMA, limits=limits) as db:
        client = caller(create_app(db, tokens=TOKENS))
        send(client, {"signal": "view", "entity_id": 1})
        refused = client.post("/v1/signals", json={"events": [{"signal": "view", "entity_id": 2}]})
        assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
        assert refused.headers["retry-after"] == "1" and db.last_seq == 1

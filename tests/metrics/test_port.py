"""The metrics port of a database: bound before open() returns, gone when it is closed, whatever happens."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scraping import ask, ask_json, parsed, scrape

import tidal
from tidal.build import __version__, build_hash

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d").build()
HERE = "127.0.0.1:0"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread for thread in threading.enumerate() if thread.name == "tidal-metrics"} - before
    assert not left


def test_health_is_served_as_json(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, metrics=HERE) as db:
        status, found = ask_json(db.metrics_address, "/healthz")
        assert status == 200
        assert found.pop("uptime_seconds") > 0
        about = {"version": __version__, "build_hash": build_hash()}
        assert found == {"status": "ok", "ready": True, **about, "reasons": []}


def test_a_database_that_is_unwell_answers_503_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, metrics=HERE) as db:
        monkeypatch.setattr(db._upkeep, "archive_error", tidal.NoSpace("no space"))
        status, found = ask_json(db.metrics_address, "/healthz")
        assert (status, found["status"]) == (503, "unhealthy")
        message = "the log could not be archived: NoSpace: no space"
        assert found["reasons"] == [{"code": "archive_failed", "message": message}]
        samples = scrape(db)
        assert samples["tidaldb_health_ok"] == 0
        assert samples['tidaldb_health_reason{reason="archive_failed"}'] == 1
        assert samples['tidaldb_health_reason{reason="poisoned"}'] == 0


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    with tidal.open(schema=SCHEMA, metrics=HERE) as db:
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        _, headers, body = ask(db.metrics_address, "/metrics", Accept=accept)
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        _, headers, body = ask(db.metrics_address, "/metrics")
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        assert parsed(body.decode())["tidaldb_health_ok"] == 1


def test_uptime_grows_from_look_to_look() -> None:
    with tidal.open(schema=SCHEMA, metrics=HERE) as db:
        looks = [scrape(db)["tidaldb_uptime_seconds"] for _ in range(3)]
        assert looks == sorted(set(looks))


@pytest.mark.parametrize("in_memory", [True, False])
def test_close_ends_it(tmp_path: Path, in_memory: bool) -> None:
    db = tidal.open(None if in_memory else tmp_path / "store", schema=SCHEMA, metrics=HERE)
    address = db.metrics_address
    db.close()
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/healthz")
    assert db.metrics_address is None
    db.close()


def test_the_address_is_free_again_at_once(tmp_path: Path) -> None:
    with tidal.open(schema=SCHEMA, metrics=HERE) as db:
        address = db.metrics_address
        ask(address, "/healthz")
    for _ in range(3):
        with tidal.open(schema=SCHEMA, metrics=address) as db:
            assert db.metrics_address == address
            assert ask(address, "/healthz")[0] == 200


def test_several_databases_have_ports_of_their_own() -> None:
    with tidal.open(schema=SCHEMA, metrics=HERE) as one, tidal.open(schema=SCHEMA, metrics=HERE) as other:
        one.signal("view", 1)
        assert scrape(one)["tidaldb_log_sequence"] == 1
        assert scrape(other)["tidaldb_log_sequence"] == 0


def test_a_database_without_metrics_has_no_address_and_no_thread() -> None:
    before = threading.active_count()
    with tidal.open(schema=SCHEMA) as db:
        assert db.metrics_address is None
        assert threading.active_count() == before


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_store_that_does_not_open_leaves_no_port(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(tidal.StoreMissing):
        tidal.open(tmp_path / "nothing", metrics=address)
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/healthz")


def test_a_port_in_use_opens_no_store(tmp_path: Path) -> None:
    with tidal.open(schema=SCHEMA, metrics=HERE) as db:
        with pytest.raises(tidal.InvalidOption, match="nothing can be served there"):
            tidal.open(tmp_path / "store", schema=SCHEMA, metrics=db.metrics_address)
        assert not (tmp_path / "store").exists()
        assert ask(db.metrics_address, "/healthz")[0] == 200


def test_a_thread_that_cannot_start_closes_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "tidal-metrics":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(RuntimeError):
        tidal.open(tmp_path / "store", schema=SCHEMA, metrics=address)
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/healthz")
    tidal.open(tmp_path / "store").close()  # it is not locked


def test_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(tidal.MissingExtra, match=r"pip install 'tidaldb\[metrics\]'"):
        tidal.open(tmp_path / "store", schema=SCHEMA, metrics=HERE)
    assert not (tmp_path / "store").exists()
    tidal.open(tmp_path / "store", schema=SCHEMA).close()


@pytest.mark.parametrize("wrong", ["0.0.0.0:0", "nonsense", 9464])
def test_a_wrong_address_opens_no_store(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(tidal.InvalidOption):
        tidal.open(tmp_path / "store", schema=SCHEMA, metrics=wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


def test_beyond_this_machine_any_name_is_answered_once_it_was_asked_for() -> None:
    with tidal.open(schema=SCHEMA, metrics=tidal.Metrics("0.0.0.0:0", remote=True)) as db:
        port = (db.metrics_address or "").rpartition(":")[2]
        assert ask(f"127.0.0.1:{port}", "/healthz", Host="metrics.internal")[0] == 200


def test_the_child_of_a_fork_does_not_keep_the_port(tmp_path: Path) -> None:
    db = tidal.open(tmp_path / "store", schema=SCHEMA, metrics=HERE)
    address = db.metrics_address
    read, write = os.pipe()
    begun, begins = os.pipe()
    if (child := os.fork()) == 0:
        os.close(write)
        os.write(begins, b"x")  # what it does at the fork is done
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        assert os.read(begun, 1) == b"x"
        assert ask(address, "/healthz")[0] == 200
        db.close()
        with pytest.raises(ConnectionRefusedError):
            ask(address, "/healthz")
    finally:
        for end in (write, begun, begins):
            os.close(end)
        os.waitpid(child, 0)


def test_metrics_are_answered_while_events_pour_in(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "store", schema=SCHEMA, sync="os", metrics=HERE) as db:
        ended = threading.Event()

        def pour() -> None:
            while not ended.is_set():
                db.ingest(signal="view", entity_id=list(range(1000)))

        thread = threading.Thread(target=pour)
        thread.start()
        try:
            looks = [scrape(db) for _ in range(10)]
        finally:
            ended.set()
            thread.join()
        for name in (
            "tidaldb_log_sequence",
            'tidaldb_events_total{signal="view"}',
            "tidaldb_ingest_seconds_count",
        ):
            values = [look[name] for look in looks]
            assert values == sorted(values)

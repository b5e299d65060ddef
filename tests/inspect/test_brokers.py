"""What is unwise about a NATS server."""

from __future__ import annotations

from typing import Any

import pytest

from tidal.inspect.brokers import examine_broker

URL = "http://127.0.0.1:8222"


def answers(**config: Any) -> dict[str, Any]:
    streams = [{"name": f"events_{shard}", "config": {"num_replicas": 3}} for shard in range(2)]
    return {"config": config, "account_details": [{"stream_detail": streams}]}


def test_a_server_that_is_well_has_nothing_to_say() -> None:
    good = answers(sync_interval=0, sync_always=True, store_dir="/x")
    assert examine_broker({"version": "2.15.1"}, good, URL) == ()
    assert examine_broker({"version": "v3.0.0-beta"}, good, URL) == ()


@pytest.mark.parametrize(
    ("version", "streams", "codes"),
    [
        ("2.9.10", answers(store_dir="/x"), ["broker-old", "broker-sync"]),
        ("2.11.0", answers(sync_interval=10**10), ["broker-sync"]),
        ("2.12.0", {"disabled": True}, ["broker-streams"]),
        ("", {}, ["broker-old", "broker-streams"]),
        ("2.12", {"config": [], "account_details": {"a": 1}}, ["broker-streams"]),
    ],
)
def test_what_is_unwise(version: str, streams: dict[str, Any], codes: list[str]) -> None:
    assert [it.code for it in examine_broker({"version": version}, streams, URL)] == codes


def test_streams_that_one_server_has_are_named() -> None:
    found = answers(sync_always=True)
    found["account_details"][0]["stream_detail"][1]["config"]["num_replicas"] = 1
    [finding] = examine_broker({"version": "2.12.0"}, found, URL)
    assert (finding.code, finding.what) == ("broker-replicas", "on fewer than 3 servers: events_1")

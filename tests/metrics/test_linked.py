"""What leaders, followers, regions and ingesting stores say of each other; each reason made to happen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from linked import SCHEMA, STREAM, Pair, linked_pair, linked_regions
from scraping import ask_json, scrape
from waiting import PATIENCE_SECONDS, until

import tidal
from tidal.errors import FormatError
from tidal.links import FOLLOWER_STATES, FollowerSeen, LeadingSeen
from tidal.transports import InProcessTransport

NS = 10**9


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with linked_pair(tmp_path) as pair:
        yield pair


def codes(db: tidal.TidalDb) -> list[str]:
    return [reason.code for reason in db.health().reasons]


def of(found: dict[str, float], prefix: str) -> dict[str, float]:
    return {name: value for name, value in found.items() if name.startswith(prefix)}


# ------------------------------------------------------------------------------------ metrics


def test_a_follower_tells_how_far_behind_it_is(pair: Pair) -> None:
    pair.transport.send(pair.follower.receiver.channels.log, b"no message")
    until(lambda: pair.follower.receiver.refused)
    found = of(scrape(pair.follower), "tidaldb_replication_")
    assert 0 <= found.pop("tidaldb_replication_lag_seconds") < 60
    assert found.pop("tidaldb_replication_duplicate_messages_total") == pair.follower.receiver.duplicates
    assert found == {
        "tidaldb_replication_following": 1,
        "tidaldb_replication_epoch": 1,
        "tidaldb_replication_lag_events": 0,
        "tidaldb_replication_refused_messages_total": 1,
    }
    assert codes(pair.follower) == codes(pair.leader) == []


def test_a_leader_tells_of_each_follower(pair: Pair) -> None:
    until(lambda: [it.lag for it in pair.leader.followers()] == [0])
    found = scrape(pair.leader)
    shipped = of(found, "tidaldb_shipping_")
    assert 0 <= shipped.pop('tidaldb_shipping_heard_seconds{follower="copy"}') < 60
    assert shipped.pop("tidaldb_shipping_sent_bytes_total") > 0
    states = {it.replace(" ", "_"): int(it == "live") for it in FOLLOWER_STATES}
    assert shipped == {
        "tidaldb_shipping_leading": 1,
        'tidaldb_shipping_lag_events{follower="copy"}': 0,
        'tidaldb_shipping_held_bytes{follower="copy"}': pair.leader.followers()[0].held_bytes,
        'tidaldb_shipping_refused_messages_total{follower="copy"}': 0,
        **{
            f'tidaldb_shipping_follower_state{{follower="copy",state="{state}"}}': value
            for state, value in states.items()
        },
    }
    assert of(found, "tidaldb_replication_") == {"tidaldb_replication_epoch": 1}


def test_a_look_waits_for_no_shipping(pair: Pair) -> None:
    with ThreadPoolExecutor() as pool, pair.shipping._running.lock:  # as long as a step works
        assert [it.name for it in pool.submit(pair.leader.followers).result(PATIENCE_SECONDS)] == ["copy"]
        assert codes(pair.leader) == []
        assert scrape(pair.leader)["tidaldb_shipping_leading"] == 1


def test_a_follower_that_was_never_heard_of_has_no_time(pair: Pair) -> None:
    pair.leader._links.attach(
        "shipping", lambda: LeadingSeen(1, followers=(FollowerSeen("copy", 0, 5, 9, "silent"),))
    )
    found = of(scrape(pair.leader), "tidaldb_shipping_")
    assert 'tidaldb_shipping_heard_seconds{follower="copy"}' not in found
    assert found['tidaldb_shipping_lag_events{follower="copy"}'] == 5
    assert found['tidaldb_shipping_follower_state{follower="copy",state="silent"}'] == 1


def test_a_region_tells_of_itself_and_of_the_others(tmp_path: Path) -> None:
    with linked_regions(tmp_path) as two:
        until(two.agree)
        two.transport.send(two.regions[0].channel, b"no message")
        until(lambda: two.regions[0].refused)
        found = of(scrape(two.dbs[0]), "tidaldb_region_")
        assert 0 <= found.pop('tidaldb_region_heard_seconds{region="2"}') < 60
        assert 0 < found.pop("tidaldb_region_state_seconds") < 60
        assert found.pop("tidaldb_region_sent_bytes_total") > found.pop("tidaldb_region_state_bytes") > 0
        assert found == {
            "tidaldb_region_exchanging": 1,
            'tidaldb_region_sequence{region="2"}': 1,
            'tidaldb_region_lag_events{region="2"}': 0,
            "tidaldb_region_refused_messages_total": 1,
        }
        assert codes(two.dbs[0]) == codes(two.dbs[1]) == []
        two.links[0].close()
        assert of(scrape(two.dbs[0]), "tidaldb_region_") == {}


def test_an_ingesting_store_tells_of_its_stream() -> None:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        assert of(scrape(db), "tidaldb_broker_") == {}
        db._links.attach("orders", lambda: STREAM)
        assert of(scrape(db), "tidaldb_broker_") == {
            'tidaldb_broker_ingesting{stream="orders"}': 1,
            'tidaldb_broker_position{stream="orders"}': 40,
            'tidaldb_broker_pending_messages{stream="orders"}': 2,
            'tidaldb_broker_events_total{stream="orders"}': 900,
            'tidaldb_broker_duplicate_messages_total{stream="orders"}': 3,
            'tidaldb_broker_dead_letters_total{stream="orders"}': 1,
            'tidaldb_broker_missing_messages_total{stream="orders"}': 0,
        }
        db._links.detach("orders")
        assert of(scrape(db), "tidaldb_broker_") == {}


def test_a_database_that_is_linked_to_nobody_has_none_of_it() -> None:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        found = scrape(db)
        for what in ("replication", "shipping", "region", "broker"):
            assert not of(found, f"tidaldb_{what}_")


# ------------------------------------------------------------------------------------ reasons


def test_a_follower_that_hears_nothing_falls_behind_and_is_not_ready(pair: Pair) -> None:
    pair.shipping.close()
    pair.late = 61 * NS
    assert codes(pair.follower) == ["replication_lag"]
    assert "nothing was heard of a leader for 6" in str(pair.follower.health().reasons[0])
    status, found = ask_json(pair.follower.metrics_address, "/readyz")
    assert (status, found["ready"], found["reasons"][0]["code"]) == (503, False, "replication_lag")
    assert scrape(pair.follower)["tidaldb_replication_lag_seconds"] >= 61


def test_what_is_wrong_and_does_not_keep_from_answering_leaves_a_database_ready(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair.leader._upkeep, "archive_error", tidal.NoSpace("no space"))
    assert ask_json(pair.leader.metrics_address, "/healthz")[0] == 503
    assert ask_json(pair.leader.metrics_address, "/readyz")[0] == 200


def test_a_follower_whose_transport_ends_follows_no_more(pair: Pair) -> None:
    pair.transport.close()
    until(lambda: pair.follower.trouble)
    assert codes(pair.follower) == ["not_following"]
    assert scrape(pair.follower)["tidaldb_replication_following"] == 0
    until(lambda: pair.shipping.closed)
    assert codes(pair.leader) == ["shipping_ended"]
    assert scrape(pair.leader)["tidaldb_shipping_leading"] == 0
    pair.shipping.close()
    assert codes(pair.leader) == []  # who said so knows
    assert "tidaldb_shipping_leading" not in scrape(pair.leader)


def test_messages_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with linked_pair(tmp_path, refused=2) as pair:
        for _ in range(3):
            pair.transport.send(pair.follower.receiver.channels.log, b"no message")
        until(lambda: pair.follower.receiver.refused == 3)
        assert codes(pair.follower) == ["messages_refused"]
        assert str(pair.follower.receiver.refusals[-1].reason) in str(pair.follower.health().reasons[0])


def test_a_follower_that_needs_too_much_of_the_log_is_lost(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open(tmp_path / "leader", schema=SCHEMA, metrics="127.0.0.1:0") as db:
        db.signal("view", 1)
        with db.ship(transport, followers=["gone"], hold_bytes=1):
            until(lambda: [it.state for it in db.followers()] == ["dropped"])
            assert codes(db) == ["follower_lost"]
            assert "'gone' was dropped" in str(db.health().reasons[0])
            assert db.health().ready
            state = 'tidaldb_shipping_follower_state{follower="gone",state="dropped"}'
            assert scrape(db)[state] == 1


def test_a_leader_that_another_one_followed_is_deposed(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    new = pair.follower.promote(metrics="127.0.0.1:0")
    with (
        new,
        new.ship(pair.transport, name="copy"),
        tidal.open_follower(
            tmp_path / "third", pair.transport, name="third"
        ),  # of which the old leader hears
    ):
        until(lambda: not pair.leader.health().ok)
        assert codes(pair.leader) == ["deposed"]
        assert "leads in epoch 2" in str(pair.leader.health().reasons[0])
        found = scrape(pair.leader)
        assert (found["tidaldb_shipping_leading"], found["tidaldb_replication_epoch"]) == (0, 1)
        assert found['tidaldb_health_reason{reason="deposed"}'] == 1
        found = scrape(new)
        assert (found["tidaldb_shipping_leading"], found["tidaldb_replication_epoch"]) == (1, 2)
        assert codes(new) == []


def test_a_database_ships_again_and_is_counted_once(pair: Pair) -> None:
    pair.shipping.close()
    assert of(scrape(pair.leader), "tidaldb_shipping_") == {}
    pair.leader.ship(pair.transport, name="a")
    assert scrape(pair.leader)["tidaldb_shipping_leading"] == 1


def test_a_follower_that_cannot_begin_leaves_no_port(tmp_path: Path) -> None:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as other:
        address = other.metrics_address or ""
    with pytest.raises(tidal.TransportError, match="no leader"):
        tidal.open_follower(tmp_path / "f", InProcessTransport(), name="f", timeout="1ms", metrics=address)
    with tidal.open(schema=SCHEMA, metrics=address) as other:
        assert other.metrics_address == address


def test_a_region_whose_transport_ends_exchanges_no_more(tmp_path: Path) -> None:
    with linked_regions(tmp_path) as two:
        two.transport.close()
        until(lambda: two.links[0].failure)
        assert codes(two.dbs[0]) == ["region_ended"]
        assert "the transport was closed" in str(two.dbs[0].health().reasons[0])
        assert two.dbs[0].health().ready  # it records, and answers
        assert scrape(two.dbs[0])["tidaldb_region_exchanging"] == 0
        two.links[0].close()
        assert codes(two.dbs[0]) == []  # who said so knows


def test_a_region_that_is_gone_falls_silent(tmp_path: Path) -> None:
    with linked_regions(tmp_path, region="50ms") as two:
        until(two.agree)
        two.links[1].close()
        until(lambda: codes(two.dbs[0]) == ["region_silent"])
        assert "nothing was heard of region 2 for" in str(two.dbs[0].health().reasons[0])
        assert two.dbs[0].health().ready
        two.links[1] = tidal.RegionLink(two.regions[1], two.transport)
        until(lambda: codes(two.dbs[0]) == [])


def test_a_region_whose_state_does_not_come_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second store is another one than the first region knew: what it has is refused."""
    with linked_regions(tmp_path, region="50ms", refused=10**6) as two:
        monkeypatch.setattr(two.regions[0]._exchange._engine, "apply", refuse)
        two.dbs[1].signal("view", 1)
        until(lambda: "region_stalled" in codes(two.dbs[0]))
        assert scrape(two.dbs[0])['tidaldb_region_lag_events{region="2"}'] >= 1
        until(lambda: two.regions[0].refusal == "another store than before")
        monkeypatch.undo()
        until(lambda: codes(two.dbs[0]) == [])


def refuse(data: bytes) -> None:
    raise FormatError("another store than before")


def test_messages_of_regions_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with linked_regions(tmp_path, refused=2) as two:
        for _ in range(3):
            two.transport.send(two.regions[0].channel, b"no message")
        until(lambda: min(it.refused for it in two.regions) == 3)
        assert codes(two.dbs[0]) == codes(two.dbs[1]) == ["messages_refused"]
        assert str(two.regions[0].refusal) in str(two.dbs[0].health().reasons[0])


def test_a_region_that_is_linked_again_is_counted_once(tmp_path: Path) -> None:
    with linked_regions(tmp_path) as two:
        two.links[0].close()
        two.links[0] = tidal.RegionLink(two.regions[0], two.transport)
        assert scrape(two.dbs[0])["tidaldb_region_exchanging"] == 1

"""Several stores as one: as one store answers, so do they."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from prometheus_client.parser import text_string_to_metric_families
from replicakit import NS, SCHEMA, same_state
from scraping import ask, ask_json
from waiting import until

import tidal
from tidal.sharding import ShardRouter
from tidal.transports import InProcessTransport

ROUTERS = [ShardRouter.single(), ShardRouter.hashed(3), ShardRouter.ranges([0, 20, 40])]
T0 = 10**18


def columns(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "signal": rng.choice(["view", "like"], count).tolist(),
        "entity_id": rng.integers(0, 60, count).astype(np.uint64),
        "weight": rng.normal(1.0, 0.2, count).clip(0.1).astype(np.float32),
        "timestamp": T0 + np.arange(count) * NS // 100,
    }


@pytest.mark.parametrize("router", ROUTERS, ids=str)
def test_reads_are_those_of_one_store(router: ShardRouter) -> None:
    ids = np.arange(70, dtype=np.uint64)
    with (
        tidal.open(schema=SCHEMA, clock="event", max_future_skew=None) as one,
        tidal.open_sharded(schema=SCHEMA, router=router, clock="event", max_future_skew=None) as many,
    ):
        for seed in range(3):
            done = many.ingest(**columns(2_000, seed))
            assert (done.count, one.ingest(**columns(2_000, seed)).count) == (2_000, 2_000)
        assert many.now() == one.now()
        assert sum(many.last_seqs) == one.last_seq
        for signal in ("view", "like"):
            assert np.array_equal(many.scores(signal, ids), one.scores(signal, ids))
            for k in (1, 10, 100):
                top, wanted = many.top(signal, k), one.top(signal, k)
                assert top.ids.tolist() == wanted.ids.tolist()
                assert top.values.tolist() == wanted.values.tolist()
        assert np.array_equal(many.counts("view", ids, "1h"), one.counts("view", ids, "1h"))
        assert np.array_equal(many.velocities("view", ids, "24h"), one.velocities("view", ids, "24h"))
        assert (
            many.top("view", 5, by="count.1h").ids.tolist() == one.top("view", 5, by="count.1h").ids.tolist()
        )
        for id in (0, 19, 20, 59):
            assert many.score("view", id) == one.score("view", id)
            assert many.count("view", id, "24h") == one.count("view", id, "24h")
            assert many.velocity("view", id, "1h") == one.velocity("view", id, "1h")


def test_keys_are_known_in_the_shards_that_use_them(tmp_path: Path) -> None:
    names = [f"sku:{number}" for number in range(40)]
    users = [f"user:{number % 5}" for number in range(40)]
    with tidal.open_sharded(
        tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(4), clock="event", max_future_skew=None
    ) as db:
        chunks = polars.concat(
            [
                polars.DataFrame({"entity_id": names[i : i + 10], "user_id": users[i : i + 10]})
                for i in (0, 10, 20, 30)
            ],
            rechunk=False,
        )
        db.ingest(chunks.with_columns(timestamp=T0), signal="view")
        assert {db.key_of(tidal.entities.entity_key_id(name)) for name in names} == set(names)
        assert db.score("view", "sku:3") == 1.0
        assert db.scores("view", names).sum() == 40.0
        assert set(db.top("view", 100).keys) == set(names)
        for shard in db.shards:
            assert 0 < shard.last_seq < 40
            rows = list(shard.export_signals(tidal.ExportRequest(all=True)))
            known = {shard.key_of(row.user_id, kind="user") for row in rows if row.user_id is not None}
            assert known <= set(users)
            assert None not in known
    with tidal.open_sharded(tmp_path / "s", clock="event") as db:
        assert set(db.top("view", 100).keys) == set(names)


def test_nothing_is_recorded_where_a_row_is_refused() -> None:
    with tidal.open_sharded(schema=SCHEMA, router=ShardRouter.hashed(3), clock="event") as db:
        with pytest.raises(tidal.InvalidEvent, match="row 2"):
            db.ingest(signal="view", entity_id=[1, 2, -1], timestamp=T0)
        assert db.last_seqs == (0, 0, 0)
        done = db.ingest(signal="view", entity_id=[1, 2, -1], timestamp=T0, on_error="skip")
        assert (done.count, len(done.refused)) == (2, 1)
        assert db.signal("view", 5, timestamp=T0) == db.shard_of(5).last_seq


def test_shards_are_stores_of_their_own(tmp_path: Path) -> None:
    with tidal.open_sharded(
        tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(3), region=7, clock="event"
    ) as db:
        db.ingest(**columns(3_000))
        db.checkpoint()
        seqs, top = db.flush(), list(db.top("view", 20))
        assert seqs == db.last_seqs
    for shard in range(3):
        with tidal.open(tmp_path / "s" / f"shard-{shard:05}", read_only=True) as store:
            assert store.last_seq == seqs[shard]
            (segment,) = (tmp_path / "s" / f"shard-{shard:05}" / "wal").glob("*.seg")
            assert segment.name.startswith(f"wal-r00007-s{shard:05}-")
    with tidal.open_sharded(tmp_path / "s", clock="event") as db:
        assert (db.last_seqs, list(db.top("view", 20))) == (seqs, top)
    for wrong in ({"router": ShardRouter.hashed(4)}, {"region": 6}):
        with pytest.raises(tidal.InvalidOption, match="was made with the router hashed:3 for region 7"):
            tidal.open_sharded(tmp_path / "s", **wrong)  # type: ignore[arg-type]


def test_what_a_crash_left_out_is_made_the_next_time(tmp_path: Path) -> None:
    tidal.open_sharded(tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(2)).close()
    for path in sorted((tmp_path / "s" / "shard-00001").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(tidal.StoreMissing):
        tidal.open_sharded(tmp_path / "s")
    with tidal.open_sharded(tmp_path / "s", schema=SCHEMA) as db:
        assert len(db.shards) == 2


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(tidal.InvalidOption, match="not empty"):
        tidal.open_sharded(tmp_path, schema=SCHEMA, router=ShardRouter.single())
    with pytest.raises(tidal.StoreMissing, match="need router= and schema="):
        tidal.open_sharded(tmp_path / "new")
    (tmp_path / "sharding.json").write_text("{}")
    with pytest.raises(tidal.CorruptStore, match=r"sharding\.json"):
        tidal.open_sharded(tmp_path)


@pytest.mark.parametrize("region", [-1, 1 << 16, "eu", True])
def test_a_region_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, region: Any) -> None:
    with pytest.raises(tidal.InvalidOption, match="region="):
        tidal.open_sharded(tmp_path / "s", schema=SCHEMA, router=ShardRouter.single(), region=region)
    assert not (tmp_path / "s").exists()


def test_a_shard_without_events_does_not_tell_the_time() -> None:
    with tidal.open_sharded(schema=SCHEMA, router=ShardRouter.ranges([0, 100]), clock="event") as db:
        db.ingest(signal="view", entity_id=[1, 1, 2], timestamp=T0)
        assert db.now() == T0
        assert list(db.top("view", 2)) == [(1, 2.0), (2, 1.0)]


def test_an_error_of_one_shard_says_which() -> None:
    with tidal.open_sharded(
        schema=SCHEMA, router=ShardRouter.ranges([0, 100]), clock="event", limits=tidal.Limits(entities=5)
    ) as db:
        with pytest.raises(tidal.LimitExceeded) as raised:
            db.ingest(signal="view", entity_id=[1, *range(100, 120)], timestamp=T0)
        assert "this is of shard 1; the shards [0] did" in raised.value.__notes__[-1]
        assert db.count("view", 1, "all") == 1
        assert [shard._meters.refused_calls["limit"] for shard in db.shards] == [0, 1]


def test_every_shard_counts_the_calls_that_it_had_events_of() -> None:
    with tidal.open_sharded(schema=SCHEMA, router=ShardRouter.ranges([0, 10, 20]), clock="event") as db:
        db.ingest(signal="view", entity_id=[1, 2, 25], timestamp=T0)
        db.ingest(signal="view", entity_id=[3], timestamp=T0)
        assert [shard._meters.batch_events.count for shard in db.shards] == [2, 0, 1]
        assert [shard._meters.seconds["ingest"].count for shard in db.shards] == [2, 0, 1]


def test_every_shard_has_followers_of_its_own(tmp_path: Path) -> None:
    transport = InProcessTransport()
    with tidal.open_sharded(
        tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(2), clock="event", max_future_skew=None
    ) as db:
        for shard in db.shards:
            shard.ship(transport)
        db.ingest(**columns(1_000))
        for number, shard in enumerate(db.shards):
            folder = tmp_path / f"f{number}"
            with tidal.open_follower(folder, transport, name="f", shard=number, clock="event") as follower:
                until(lambda it=follower, of=shard: it.last_seq == of.last_seq)
                assert same_state(follower, shard)
                assert follower.receiver.refused == 0


@pytest.mark.parametrize("in_memory", [True, False])
def test_one_port_serves_the_metrics_of_all_shards(tmp_path: Path, in_memory: bool) -> None:
    db = tidal.open_sharded(
        None if in_memory else tmp_path / "s",
        schema=SCHEMA, router=ShardRouter.ranges([0, 10, 20]), clock="event", metrics="127.0.0.1:0",
    )  # fmt: skip
    with db:
        address = db.metrics_address
        assert {shard.metrics_address for shard in db.shards} == {address}
        db.ingest(signal="view", entity_id=[1, 2, 25], timestamp=T0)
        text = ask(address, "/metrics")[2].decode()
        found = {family.name: family for family in text_string_to_metric_families(text)}
        assert text.count("# TYPE tidaldb_log_sequence ") == 1
        seqs = {it.labels["partition_id"]: it.value for it in found["tidaldb_log_sequence"].samples}
        assert seqs == {"0": 2, "1": 0, "2": 1}
        counts = {it.labels["partition_id"]: it.value for it in found["tidaldb_ingest_seconds"].samples
                  if it.name.endswith("_count")}  # fmt: skip
        assert counts == {"0": 1, "1": 0, "2": 1}
        status, health = ask_json(address, "/readyz")
        assert (status, health["status"], health["reasons"]) == (200, "ok", [])
        assert health["uptime_seconds"] > 0
        assert ask(address, "/")[0] == 404  # the page is of one store
    assert db.metrics_address is None
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/metrics")


def test_the_page_of_a_single_shard_is_that_of_the_store() -> None:
    with tidal.open_sharded(schema=SCHEMA, router=ShardRouter.single(), metrics="127.0.0.1:0") as db:
        assert ask(db.metrics_address, "/live.json")[0] == 200


def test_health_says_which_shard_is_unwell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tidal.open_sharded(
        tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(2), metrics="127.0.0.1:0"
    ) as db:
        assert db.health() == tidal.Health(True)
        monkeypatch.setattr(db.shards[1]._upkeep, "archive_error", tidal.NoSpace("no space"))
        (why,) = db.health().reasons
        message = "shard 1: the log could not be archived: NoSpace: no space"
        assert (why.code, why.message) == ("archive_failed", message)
        assert ask_json(db.metrics_address, "/healthz")[1]["reasons"] == [
            {"code": "archive_failed", "message": message}
        ]
        assert ask(db.metrics_address, "/readyz")[0] == 200 and db.health().ready
        monkeypatch.setattr(db.shards[0]._meters, "no_space", "no space")
        assert [why.message.partition(":")[0] for why in db.health().reasons] == ["shard 0", "shard 1"]
        assert ask(db.metrics_address, "/readyz")[0] == 503 and not db.health().ready


def test_a_shard_by_itself_and_its_follower_say_which_it_is(tmp_path: Path) -> None:
    tidal.open_sharded(tmp_path / "s", schema=SCHEMA, router=ShardRouter.hashed(2)).close()
    transport = InProcessTransport()
    with tidal.open(tmp_path / "s" / "shard-00001", metrics="127.0.0.1:0") as db, db.ship(transport):
        follower = tidal.open_follower(
            tmp_path / "f", transport, name="f", shard=1, metrics="127.0.0.1:0", clock="event"
        )
        with follower:
            for of in (db, follower):
                assert (
                    'tidaldb_log_sequence{partition_id="1"} 0.0'
                    in ask(of.metrics_address, "/metrics")[2].decode()
                )


def test_shards_that_do_not_open_leave_no_port_and_a_port_in_use_opens_none(tmp_path: Path) -> None:
    given: dict[str, Any] = {"schema": SCHEMA, "router": ShardRouter.hashed(2)}
    with tidal.open_sharded(**given, metrics="127.0.0.1:0") as other:
        address = other.metrics_address
        with pytest.raises(tidal.InvalidOption, match="nothing can be served there"):
            tidal.open_sharded(tmp_path / "s", **given, metrics=address)
        assert not (tmp_path / "s").exists()
    with pytest.raises(tidal.StoreMissing):
        tidal.open_sharded(tmp_path / "s", metrics=address)
    with pytest.raises(ConnectionRefusedError):
        ask(address, "/metrics")

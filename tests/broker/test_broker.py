"""Workers publish through a NATS server, and shards ingest: each event once, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import numpy as np
import polars
import pytest
from natskit import NatsServer, nats_servers, needs_nats
from waiting import until

import tidal
from tidal.broker import BatchPublisher, Ingestor, Positions, with_positions
from tidal.broker.streams import Streams

pytestmark = needs_nats

NS = 1_000_000_000
T = 10**18
SCHEMA = with_positions(tidal.SchemaBuilder().signal("view", half_life="7d").signal("like")).build()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_servers(tmp_path_factory.mktemp("nats")) as servers:
        yield servers[0]


@pytest.fixture
def streams(request: pytest.FixtureRequest) -> Streams:
    return Streams(f"s{abs(hash(request.node.name))}", queue_bytes=32 << 20, dead_bytes=1 << 20)


def codes(db: tidal.TidalDb) -> list[str]:
    return [reason.code for reason in db.health().reasons]


def opened(folder: Path | None = None, **options: Any) -> tuple[tidal.TidalDb, Positions]:
    positions = Positions(SCHEMA)
    db = tidal.open(
        folder,
        schema=SCHEMA,
        clock="event",
        max_future_skew=None,
        materializers={"positions": positions},
        **options,
    )
    return db, positions


def columns(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "signal": "view",
        "entity_id": rng.integers(0, 1000, count).astype(np.uint64),
        "weight": rng.integers(1, 5, count).astype(np.float32),
        "timestamp": T + np.arange(count) * 1000,
    }


def test_events_go_to_the_shards_that_their_entities_belong_to(server: NatsServer, streams: Streams) -> None:
    router, given = tidal.ShardRouter.hashed(3), columns(40_000)
    with BatchPublisher(server.url, SCHEMA, router, streams=streams, max_future_skew=None) as publisher:
        done = publisher.publish(**given)
        assert (done.count, done.refused) == (40_000, ())
        publisher.publish(signal="like", entity_id=["a", "b", "a"], timestamp=T)
    alone = tidal.open(schema=SCHEMA, clock="event", max_future_skew=None)
    alone.ingest(**given)
    found = 0
    for shard in range(3):
        db, positions = opened()
        with Ingestor(server.url, db, positions, router, shard=shard, streams=streams) as ingestor:
            until(lambda it=ingestor: it.status.position and not it.status.pending)  # type: ignore[misc]
            mine = [id for id in range(1000) if router.shard_of(id) == shard]
            assert np.array_equal(db.counts("view", mine, "all"), alone.counts("view", mine, "all"))
            assert db.scores("view", mine, at=T) == pytest.approx(alone.scores("view", mine, at=T))
            found += sum(db.count("like", name, "all") for name in "ab")
            assert ingestor.error is None
        db.close()
    assert found == 3


def test_a_call_is_given_as_to_a_database(server: NatsServer, streams: Streams) -> None:
    table = polars.DataFrame({"entity_id": [1, 2], "timestamp": [T, T + 1]})
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        assert publisher.publish(table, signal="view").count == 2
        with pytest.raises(tidal.InvalidEvent, match="beside a table only"):
            publisher.publish(table, signal="view", weight=[1.0, 2.0])
        with pytest.raises(tidal.InvalidEvent, match="no table is given"):
            publisher.publish(columns={"entity_id": "sku"}, signal="view", entity_id=[1])


def test_a_call_made_again_counts_once(server: NatsServer, streams: Streams) -> None:
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        first = publisher.publish(**columns(20_000), batch_id="upload-1")
        purge(server, streams.stream(0), keep=1)  # so the server's own window knows some of them no more
        assert publisher.publish(**columns(20_000), batch_id="upload-1") == first
        publisher.publish(**columns(100), batch_id="upload-2")
    db, positions = opened()
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.position and not ingestor.status.pending)
    assert db.last_seq - 2 * first.messages >= 100
    db.close()


def purge(server: NatsServer, stream: str, keep: int) -> None:
    async def ask() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().purge_stream(stream, keep=keep)
        await client.close()

    asyncio.run(ask())


def publish_raw(server: NatsServer, subject: str, payload: bytes) -> None:
    async def ask() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().publish(subject, payload)
        await client.close()

    asyncio.run(ask())


def dead_letters(server: NatsServer, streams: Streams) -> list[tuple[bytes, dict[str, str]]]:
    async def ask() -> list[tuple[bytes, dict[str, str]]]:
        client = await nats.connect(server.url)
        stream, found = client.jetstream(), []
        state = (await stream.stream_info(f"{streams.name}_dead")).state
        for seq in range(state.first_seq, state.last_seq + 1):
            message = await stream.get_msg(f"{streams.name}_dead", seq)
            found.append((message.data or b"", dict(message.headers or {})))
        await client.close()
        return found

    return asyncio.run(ask())


def test_a_bad_payload_is_put_aside_and_counted(server: NatsServer, streams: Streams, tmp_path: Path) -> None:
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        publisher.publish(**columns(100))
        publish_raw(server, streams.subject(0), b"no batch at all")
        publisher.publish(**columns(100, seed=1))
    db, positions = opened(tmp_path / "store")
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.position == 3)
        status = ingestor.status
        assert codes(db) == ["ingest_dead_letters"]
    assert (status.events, status.dead_letters, status.missing) == (200, 1, 0)
    assert db.health().ok  # who does not ingest has nothing to tell of it
    [(payload, headers)] = dead_letters(server, streams)
    assert payload == b"no batch at all"
    assert (headers["Tidal-Seq"], headers["Tidal-Reason"]) == ("2", "a message of 15 bytes")
    db.close()
    db, positions = opened(tmp_path / "store")
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        assert ingestor.status.position == 3
    db.close()


def test_messages_that_are_gone_before_they_are_ingested_are_told(
    server: NatsServer, streams: Streams, tmp_path: Path
) -> None:
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        publisher.publish(**columns(10))
        db, positions = opened(tmp_path / "store")
        with Ingestor(server.url, db, positions, streams=streams) as ingestor:
            until(lambda: ingestor.status.position == 1)
            assert codes(db) == []
        for number in range(3):
            publisher.publish(**columns(10, seed=number))
    purge(server, streams.stream(0), keep=1)
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.position == 4)
        assert ingestor.status.missing == 2
        assert codes(db) == ["ingest_missing"]
    db.close()


def test_what_is_durable_leaves_the_stream_but_for_the_last(server: NatsServer, streams: Streams) -> None:
    clock = iter(range(0, 10**6, 2))
    db, positions = opened()
    with (
        BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher,
        Ingestor(
            server.url, db, positions, streams=streams, monotonic=lambda: float(next(clock))
        ) as ingestor,
    ):
        for number in range(5):
            publisher.publish(**columns(10, seed=number))
            until(lambda wanted=number + 1: ingestor.status.position == wanted)  # type: ignore[misc]
        until(lambda: stream_bounds(server, streams.stream(0)) == (5, 5))
        assert stream_bounds(server, streams.stream(0)) == (5, 5)  # only the last message is kept
    db.close()


def stream_bounds(server: NatsServer, stream: str) -> tuple[int, int]:
    async def ask() -> tuple[int, int]:
        client = await nats.connect(server.url)
        state = (await client.jetstream().stream_info(stream)).state
        await client.close()
        return state.first_seq, state.last_seq

    return asyncio.run(ask())


def test_a_full_queue_refuses_and_drops_nothing(server: NatsServer, streams: Streams) -> None:
    small = Streams(streams.name, queue_bytes=100_000, dead_bytes=1 << 20)
    with BatchPublisher(
        server.url, SCHEMA, streams=small, max_future_skew=None, retry_seconds=0.3
    ) as publisher:
        published = 0
        with pytest.raises(tidal.TransportError, match=r"maximum bytes exceeded.*batch_id="):
            for number in range(100):
                published += publisher.publish(**columns(1000, seed=number)).count
    assert published > 1000
    db, positions = opened()
    with Ingestor(server.url, db, positions, streams=small) as ingestor:
        until(lambda: ingestor.status.position and not ingestor.status.pending)
        assert ingestor.status.events == published
    db.close()


def test_a_store_of_another_stream_is_refused(server: NatsServer, streams: Streams, tmp_path: Path) -> None:
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        publisher.publish(**columns(10))
    db, positions = opened(tmp_path / "store")
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.position == 1)
    other = Streams(streams.name + "x", queue_bytes=32 << 20, dead_bytes=1 << 20)
    with pytest.raises(tidal.ReplicationError, match="message 1 of"):
        Ingestor(server.url, db, positions, streams=other, source=streams.stream(0))
    db.close()


_WORKER = """
import sys, tidal
from tidal.broker import Ingestor, Positions, with_positions
from tidal.broker.streams import Streams

folder, url, name = sys.argv[1:]
schema = with_positions(tidal.SchemaBuilder().signal("view", half_life="7d").signal("like")).build()
positions = Positions(schema)
db = tidal.open(
    folder, schema=schema, clock="event", max_future_skew=None, sync="os", checkpoint_bytes=100_000,
    materializers={"positions": positions},
)
streams = Streams(name, queue_bytes=32 << 20, dead_bytes=1 << 20)
with Ingestor(url, db, positions, streams=streams) as ingestor:
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_an_ingesting_process_that_is_killed_goes_on_where_it_was(
    server: NatsServer, streams: Streams, tmp_path: Path
) -> None:
    given, folder = [columns(500, seed=number) for number in range(60)], tmp_path / "store"
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(folder), server.url, streams.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with (
        worker,
        BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher,
    ):
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
        for number, each in enumerate(given):
            publisher.publish(**each)
            if number == 40:
                os.kill(worker.pid, signal.SIGKILL)
    db, positions = opened(folder)
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.position == 60)
        assert (ingestor.status.missing, ingestor.status.duplicates) == (0, 0)
    assert db.last_seq == 60 * (500 + 2)
    alone = tidal.open(schema=SCHEMA, clock="event", max_future_skew=None)
    for each in given:
        alone.ingest(**each)
    ids = list(range(1000))
    assert np.array_equal(db.counts("view", ids, "all"), alone.counts("view", ids, "all"))
    assert np.array_equal(db.scores("view", ids, at=T), alone.scores("view", ids, at=T))
    db.close()


def test_a_stream_that_loses_its_end_ends_the_ingestor(
    server: NatsServer, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    db, positions = opened()
    with (
        BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher,
        Ingestor(server.url, db, positions, streams=streams) as ingestor,
    ):
        publisher.publish(**columns(10))
        until(lambda: ingestor.status.position == 1)
        remake(server, streams)
        until(lambda: not ingestor.alive)
        assert "ends with message 0" in str(ingestor.error)
        assert codes(db) == ["ingest_ended"] and not db.health().ready
    db.close()


def remake(server: NatsServer, streams: Streams) -> None:
    """Delete the stream of shard 0, and make it again."""

    async def ask() -> None:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        await stream.delete_stream(streams.stream(0))
        await stream.add_stream(streams.of_shard(0))
        await client.close()

    asyncio.run(ask())


def test_a_limit_is_waited_for(server: NatsServer, streams: Streams) -> None:
    """Nothing is lost of what the store does not take at once, and close() does not wait for it."""
    limits, health = tidal.Limits(entities=50), tidal.HealthLimits(ingest="1ms")
    db, positions = opened(limits=limits, health=health)
    with BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher:
        publisher.publish(signal="view", entity_id=list(range(20)), timestamp=T)
        publisher.publish(signal="view", entity_id=list(range(100)), timestamp=T)
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.events == 20)
        until(lambda: codes(db) == ["ingest_stalled"])
    assert (ingestor.status.position, ingestor.status.pending, ingestor.error) == (1, 1, None)
    assert db.durable_seq == 22
    db.close()
    db, positions = opened()
    with Ingestor(server.url, db, positions, streams=streams) as ingestor:
        until(lambda: ingestor.status.events == 120)
    assert ingestor.status.position == 2
    db.close()


def test_a_reader_that_the_server_forgets_begins_again(server: NatsServer, streams: Streams) -> None:
    """What was read by then is more than the stream had when reading began: that is no lost end."""
    db, positions = opened()
    with (
        BatchPublisher(server.url, SCHEMA, streams=streams, max_future_skew=None) as publisher,
        Ingestor(server.url, db, positions, streams=streams) as ingestor,
    ):
        for number in range(3):
            publisher.publish(**columns(10, seed=number))
        until(lambda: ingestor.status.position == 3)
        assert forget_readers(server, streams.stream(0)) == 1
        publisher.publish(**columns(10, seed=3))
        until(lambda: ingestor.status.position == 4 or not ingestor.alive)
        assert (ingestor.error, ingestor.status.events, ingestor.status.missing) == (None, 40, 0)
    db.close()


def forget_readers(server: NatsServer, stream: str) -> int:
    """Have the server forget who reads a stream, as when it begins again; return how many there were."""

    async def ask() -> int:
        client = await nats.connect(server.url)
        readers = await client.jetstream().consumers_info(stream)
        for reader in readers:
            await client.jetstream().delete_consumer(stream, reader.name)
        await client.close()
        return len(readers)

    return asyncio.run(ask())

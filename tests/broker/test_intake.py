"""Messages become events exactly once, whatever is interrupted where."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidal
from tidal.broker import Intake, Positions, with_positions
from tidal.broker.intake import Taken, Took
from tidal.broker.message import Message, decode_message, encode_message
from tidal.entities import KeyNames
from tidal.ingest import prepare_columns
from tidal.storage import MemoryEngine

NS = 1_000_000_000
T = 10**18
SCHEMA = with_positions(
    tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like", signed=True)
).build()


def message(number: int, **given: Any) -> bytes:
    """A message of three events of which one is about item 100 + ``number``."""
    return encode_message(SCHEMA, Message(number, batch(number, **given)), T)


def batch(number: int, **given: Any) -> tidal.EventBatch:
    columns = {
        "signal": "view",
        "entity_id": [100 + number, 1, 2],
        "weight": 1.0,
        "timestamp": T + number * NS,
        **given,
    }
    return prepare_columns(
        SCHEMA, **columns, now_ns=T, max_future_skew_ns=None, resolve_keys=KeyNames(MemoryEngine()).ids
    ).batch


class Shard:
    """A store that ingests a list of messages, as often as it takes."""

    def __init__(self, folder: Path | None, **options: Any) -> None:
        self.positions = Positions(SCHEMA)
        self.db = tidal.open(
            folder,
            sync="os",
            schema=SCHEMA,
            clock="event",
            materializers={"positions": self.positions},
            **{"max_future_skew": None, **options},
        )
        self.intake = Intake(self.db, self.positions, "events_0", tidal.ShardRouter.single(), 0)

    def take(self, seq: int, payload: bytes) -> Taken:
        return self.intake.take(seq, payload)

    def count(self, entity: int = 1) -> float:
        return self.db.count("view", entity, "all")


@pytest.fixture
def shard() -> Any:
    made = Shard(None)
    yield made
    made.db.close()


def test_a_message_is_ingested_with_its_position(shard: Shard) -> None:
    assert shard.intake.position == 0
    assert shard.take(1, message(7)) == Taken(Took.INGESTED, 3)
    assert shard.take(2, message(8)) == Taken(Took.INGESTED, 3)
    assert shard.intake.position == 2
    assert (shard.count(), shard.count(107), shard.count(108)) == (2, 1, 1)


def test_a_message_that_comes_again_counts_once(shard: Shard) -> None:
    for seq in (1, 1, 2, 1):
        shard.take(seq, message(seq))
    assert shard.count() == 2
    assert shard.take(2, message(2)) == Taken(Took.BEFORE)


def test_a_batch_that_was_published_twice_counts_once(shard: Shard) -> None:
    shard.take(1, message(7))
    assert shard.take(2, message(7)) == Taken(Took.DUPLICATE, 3)
    assert shard.take(3, message(8)) == Taken(Took.INGESTED, 3)
    assert (shard.count(), shard.intake.position) == (2, 3)


def test_missing_messages_are_told(shard: Shard) -> None:
    shard.take(5, message(5))  # where a new store begins is where the stream does
    assert shard.take(9, message(9)) == Taken(Took.INGESTED, 3, missing=3)


def test_ids_of_batches_are_forgotten_in_the_order_in_which_they_came() -> None:
    positions = Positions(SCHEMA, batches=2)
    with tidal.open(schema=SCHEMA, clock="event", max_future_skew=None, materializers={"p": positions}) as db:
        intake = Intake(db, positions, "s", tidal.ShardRouter.single(), 0)
        for number in (1, 2, 3):
            intake.take(number, message(number))
        assert [positions.has(number) for number in (1, 2, 3)] == [False, True, True]
        again = Positions(SCHEMA, batches=2)
        again.restore(positions.checkpoint())
        assert again.checkpoint() == positions.checkpoint()
        assert again.of("s") == positions.of("s")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "a message of 0 bytes"),
        (b"x" * 200, "not a batch of events"),
        (message(1)[:-1], "its hash differs"),
        (message(1)[:-40] + bytes(40), "its hash differs"),
        (message(1).replace(b"\x01\0\0\0", b"\x02\0\0\0", 1), "a message of version 2"),
        (message(1, weight=np.float32(-1.0), signal="like", entity_id=[1]), None),
    ],
    ids=["empty", "foreign", "cut", "damaged", "newer", "good"],
)
def test_what_is_no_batch_is_refused_and_changes_nothing(
    shard: Shard, payload: bytes, reason: str | None
) -> None:
    taken = shard.take(1, payload)
    if reason is None:
        assert taken.took is Took.INGESTED
        return
    assert taken.took is Took.REFUSED
    assert reason in taken.reason
    assert (shard.db.last_seq, shard.intake.position) == (0, 0)
    shard.intake.skip(1)
    assert shard.intake.position == 1
    assert shard.take(2, message(2)).took is Took.INGESTED


def test_events_that_break_the_rules_of_the_store_are_refused() -> None:
    router = tidal.ShardRouter.hashed(2)
    positions = Positions(SCHEMA)
    now = T + 1000 * NS
    with tidal.open(schema=SCHEMA, clock=lambda: now, materializers={"p": positions}) as db:
        intake = Intake(db, positions, "s", router, 0)

        def reason(payload: bytes) -> str:
            return intake.take(1, payload).reason

        mine, other = (next(id for id in range(99) if router.shard_of(id) == shard) for shard in (0, 1))
        good = batch(1, entity_id=[mine])

        def changed(**columns: Any) -> bytes:
            return encode_message(SCHEMA, Message(1, replace(good, **columns)), T)

        assert "do not belong to shard 0" in reason(message(1, entity_id=[mine, other]))
        assert "ahead of now" in reason(changed(timestamp=np.array([now + 601 * NS])))
        assert "negative" in reason(changed(weight=np.array([-1], np.float32)))
        assert "positions" in reason(changed(type_id=np.array([positions.type_id], np.uint8)))
        key = tidal.schema.events.NewKey("item", mine, "another")
        assert "another id" in reason(changed(new_keys=(key,)))
        assert db.last_seq == 0
        assert reason(changed()) == ""


def test_types_mean_the_same_in_both_schemas_or_are_refused(shard: Shard) -> None:
    other = with_positions(tidal.SchemaBuilder().signal("view").signal("buy", signed=True)).build()
    of_both = encode_message(other, Message(1, batch(1)), T)
    assert decode_message(SCHEMA, of_both).batch_id == 1  # only types that are used must be the same
    of_one = encode_message(other, Message(2, batch(2, signal="like")), T)
    assert "signal types" in shard.take(1, of_one).reason


def test_names_come_along() -> None:
    shard = Shard(None)
    payload = message(1, entity_id=["sku:1", "sku:2", "sku:1"])
    shard.take(1, payload)
    shard.take(2, message(2, entity_id=["sku:1"]))
    assert shard.db.count("view", "sku:1", "all") == 3
    assert [name for name, _ in shard.db.top("view", 2)] == ["sku:1", "sku:2"]
    shard.db.close()


def test_a_limit_is_counted_and_the_message_may_be_taken_again() -> None:
    shard = Shard(None, limits=tidal.Limits(entities=4))
    with pytest.raises(tidal.LimitExceeded):
        shard.take(1, message(1))  # with its two marks of the position, five
    assert shard.db._meters.refused_calls["limit"] == 1
    assert (shard.intake.position, shard.db.last_seq) == (0, 0)
    shard.db.close()


def test_it_needs_positions_and_no_dedup() -> None:
    positions = Positions(SCHEMA)
    with pytest.raises(tidal.SchemaError, match="with_positions"):
        Positions(tidal.SchemaBuilder().signal("view").build())
    router = tidal.ShardRouter.single()
    with tidal.open(schema=SCHEMA) as db, pytest.raises(tidal.InvalidOption, match="materializers="):
        Intake(db, positions, "s", router, 0)
    with (
        tidal.open(schema=SCHEMA, dedup="event_id", materializers={"p": positions}) as db,
        pytest.raises(tidal.InvalidOption, match="without dedup"),
    ):
        Intake(db, positions, "s", router, 0)


def test_a_stream_that_was_made_anew_is_noticed(shard: Shard) -> None:
    shard.intake.check_last(None)  # nothing was ingested yet
    shard.take(1, message(7))
    shard.intake.check_last(message(7))
    for other in (message(8), b"rubbish", None):
        with pytest.raises(tidal.ReplicationError, match="message 1 of events_0 is not what"):
            shard.intake.check_last(other)


# ------------------------------------------------------------------------------------ interrupted


class Killed(BaseException):
    """What a test raises in the place of a SIGKILL."""


STEPS = ["before", "append", "apply", "after", "flushed", "never"]


@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_is_killed_anywhere_has_each_event_once(tmp_path: Path, seed: int) -> None:
    stream = [message(number) for number in (1, 2, 3, 3, 4, 5, 1, 6, 7, 8)]  # two were published again
    rng = random.Random(seed)
    runs = [(rng.randint(1, 3), step, rng.random() < 0.5) for step in rng.sample(STEPS, len(STEPS))]
    for count, step, checkpoint in runs:
        work(tmp_path, stream, count, step, checkpoint)
    work(tmp_path, stream, len(stream), "never", False)
    shard = Shard(tmp_path)
    assert shard.intake.position == len(stream)
    counts = [shard.count(entity) for entity in (1, 2, *range(101, 109))]
    assert counts == [8, 8] + [1] * 8
    shard.db.close()


def work(folder: Path, stream: list[bytes], count: int, step: str, checkpoint: bool) -> None:
    """Ingest some messages from where the store is, and be killed at a step of the last one."""
    shard = Shard(folder)
    begin = shard.intake.position
    todo = list(enumerate(stream, 1))[begin : begin + count]
    try:
        for seq, payload in todo:
            if seq == todo[-1][0]:
                arm(shard, step)
            shard.take(seq, payload)
            if checkpoint:
                shard.db.checkpoint()
        if step in ("after", "flushed"):
            if step == "flushed":
                shard.db.flush()
            raise Killed
        shard.db.close()
    except Killed:
        abandon(shard.db)


def arm(shard: Shard, step: str) -> None:
    """Have the next event of this step be the last thing that the process does."""

    def die(*given: Any) -> Any:
        raise Killed

    recorder = shard.db._recorder
    if step == "before":
        recorder.batch = die  # type: ignore[method-assign]
    elif step == "append":
        recorder._log.append = die  # type: ignore[method-assign]
    elif step == "apply":
        recorder._apply = die  # type: ignore[method-assign]


def abandon(db: tidal.TidalDb) -> None:
    """Leave a database as a kill does: nothing more is written, and its lock is free."""
    assert db._disk is not None and db._disk.lock is not None
    db._closed = True
    db._disk.lock.release()

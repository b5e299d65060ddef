"""What else comes from outside, or lies in a store: batches out of a broker, operations of sessions, states
in checkpoints, partial replays, jobs, the folder of shards, requests.
"""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Final

from bytekit.bulk_documents import plain_document, with_hash
from bytekit.bulk_payloads import same_events
from bytekit.decoders import Decoder, same
from bytekit.scanning import disk_of
from bytekit.segments import START
from bytekit.snapshots import rewritten
from bytekit.targets import FOLDER, SCHEMA, rich_batch
from tidal.broker import Positions, with_positions
from tidal.broker import message as broker
from tidal.broker.positions import Position
from tidal.errors import CorruptStore, FormatError, FormatTooNew
from tidal.format.document import encode_document
from tidal.format.segment import LogIdentity
from tidal.jobs.job import Job, JobStatus, decode_job, encode_job
from tidal.jobs.request import JobRequest
from tidal.ledger import SignalLedger
from tidal.metrics.http import parse_head
from tidal.replay.partial import Account, Covered, Partial, decode_partial, encode_partial
from tidal.replay.source import LeftOut
from tidal.schema import SchemaBuilder
from tidal.serve.strict_json import BadJson, parse_json
from tidal.sessions import operations
from tidal.sessions.state import SessionState
from tidal.sharding import ShardRouter
from tidal.sharding.opening import SHARDING_FORMAT
from tidal.sharding.opening import _read as read_sharding
from tidal.store import decode_place, encode_place

_ERRORS: Final = (FormatError, FormatTooNew)
_STORE_ID: Final = bytes(range(16))
_HASH_BYTES: Final = 32
_ONE_SCHEMA: Final = SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
_POSITIONS_SCHEMA: Final = with_positions(SchemaBuilder().signal("view", half_life="7d")).build()


# ------------------------------------------------------------------------------------ broker


@functools.lru_cache(maxsize=128)
def _batch(seed: int) -> bytes:
    rng = random.Random(seed)
    while True:
        batch = rich_batch(rng, rng.choice((1, 2, 3, 9)))
        if not batch.notes:  # of a type that no schema has
            return broker.encode_message(SCHEMA, broker.Message(seed, batch), START)[:-_HASH_BYTES]


def _batch_check(data: bytes, found: broker.Message) -> bool:
    again = broker.decode_message(SCHEMA, broker.encode_message(SCHEMA, found, 0))
    return again.batch_id == found.batch_id and same_events(again.batch, found.batch)


def _positions(rng: random.Random) -> bytes:
    made = Positions(_POSITIONS_SCHEMA)
    for seq in range(1, rng.randrange(2, 5)):
        source = f"events_{rng.randrange(3)}"
        batch_id = rng.getrandbits(64) if rng.random() < 0.7 else None
        made.on_events(made.marks(source, Position(seq, batch_id), seq))
    return made.checkpoint()


def _restored_positions(data: bytes) -> Positions:
    (made := Positions(_POSITIONS_SCHEMA)).restore(data)
    return made


# ------------------------------------------------------------------------------------ sessions


def _operation(rng: random.Random) -> bytes:
    return operations.encode(
        rng.choice(
            (
                operations.Opened("ranker-3", rng.choice((None, "p"))),
                operations.Closed(rng.choice(operations.REASONS)),
                operations.Hint(rng.getrandbits(60), 7, "why", 0.5, "creator"),
                operations.Annotation(rng.getrandbits(60), {"a": [1, {"b": None}], "é": "x"}),
            )
        )
    )


def _sessions(rng: random.Random) -> bytes:
    """What a state saves: an open session, and a closed one."""
    begin = START + rng.randrange(99)
    counted = [[[0, 2]], [[0, 1.5]]]
    opened = [rng.getrandbits(64), 9, "agent", None, begin, begin + 6, 3, 1, 0, None, None, *counted]
    closed = [8, 9, "agent", "policy", begin, begin + 7, 2, 0, 1, begin + 7, "expired", *counted]
    body = {"version": 1, "clock": begin + 9, "open": [opened], "closed": [closed]}
    return json.dumps(body, separators=(",", ":")).encode()


def _restored_sessions(data: bytes) -> SessionState:
    (made := SessionState(100, None)).restore(data)
    return made


# ------------------------------------------------------------------------------------ partial replays


@functools.lru_cache(maxsize=16)
def _partial(seed: int) -> bytes:
    ledger, rng = SignalLedger(_ONE_SCHEMA, shards=2), random.Random(seed)
    for number in range(rng.randrange(6)):
        ledger.add("view", rng.randrange(3), 1.0, START + number)
    account = Account((Covered("ab" * 16, 5, 9),), 3, 77, (LeftOut("a.arc", 6, 7, "damaged"),))
    names = {("item", 7): "ключ", ("user", 2**64 - 1): ""}
    return b"".join(encode_partial(Partial(_ONE_SCHEMA, "job", account, *ledger.save(), names)))


def _loaded_partial(data: bytes) -> Partial:
    partial = decode_partial(data, Path("x.partial"))
    partial.load_into(SignalLedger(partial.schema))
    return partial


# ------------------------------------------------------------------------------------ documents


_REQUEST: Final = JobRequest("signals", until=5, limit=9, signal_types=("view",)).checked(SCHEMA)


def _job(rng: random.Random) -> bytes:
    job = Job(
        "ab" * 16, rng.randrange(1, 99), _REQUEST, rng.choice(tuple(JobStatus)), START, None, START, 1, 7,
        False, 12, rng.choice((None, "cd" * 32)), "why",
    )  # fmt: skip
    return plain_document(encode_job(job, _STORE_ID))


def _sharding(rng: random.Random) -> bytes:
    good = (ShardRouter.single(), ShardRouter.hashed(4), ShardRouter.ranges([0, 1000, 1 << 63]))
    router = rng.choice((*map(str, good), *map(str, good), "ranges:0," + "9" * 20, "hashed:" + "9" * 5000))
    body = {"format": SHARDING_FORMAT, "router": router, "region": rng.randrange(9)}
    return plain_document(encode_document(body))


def _read_sharding(data: bytes) -> object:
    return read_sharding(disk_of({"sharding.json": data}, FOLDER), FOLDER / "sharding.json")


def _sharding_again(found: tuple[ShardRouter, int]) -> bytes:
    return encode_document({"format": SHARDING_FORMAT, "router": str(found[0]), "region": found[1]})


def _place(rng: random.Random) -> bytes:
    log = LogIdentity(rng.randbytes(16), 0, rng.randrange(9), rng.randrange(9))
    return plain_document(encode_place(log))


def _place_check(data: bytes, found: LogIdentity) -> bool:
    """It may be written with other white space, digits in capital letters, and more fields."""
    told = json.loads(data)
    says = (told["format"], bytes.fromhex(told["store_id"]), told.get("region", 0), told.get("shard", 0))
    return says == (1, found.store_id, found.region, found.shard)


# ------------------------------------------------------------------------------------ requests


def _head(rng: random.Random) -> bytes:
    hosts = ("localhost", "127.0.0.1:8000", "[::1]")
    return (
        f"GET /metrics?a={rng.randrange(99)} HTTP/1.1\r\nHost: {rng.choice(hosts)}\r\nA: b\r\n\r\n".encode()
    )


def _body(rng: random.Random) -> bytes:
    events = [{"signal": "view", "item": rng.getrandbits(64), "weight": 0.5, "at": None} for _ in range(2)]
    return json.dumps({"events": events, "batch": "é"}).encode()


def _anything(_: bytes, __: object) -> bool:
    return True


OUTSIDE: Final[dict[str, Decoder]] = {
    "broker message": Decoder(
        lambda rng: _batch(rng.randrange(128)), functools.partial(broker.decode_message, SCHEMA),
        _batch_check, lambda body: body + broker._hash(body), _ERRORS, share=25_000,
    ),
    "broker positions": Decoder(
        _positions, _restored_positions, lambda data, found: len(found.checkpoint()) <= len(data),
        errors=(ValueError,), share=200_000,
    ),
    "operation of a session": Decoder(
        _operation, operations.decode, same(operations.encode), json=True, share=25_000
    ),
    "state of sessions": Decoder(
        _sessions, _restored_sessions, _anything, errors=(ValueError, KeyError, TypeError), json=True,
    ),
    "partial replay": Decoder(
        lambda rng: rewritten(rng, _partial(rng.randrange(16))), _loaded_partial, _anything,
        errors=(CorruptStore, FormatTooNew), changed=0.1,
    ),
    "job": Decoder(
        _job, lambda data: decode_job(data, _STORE_ID), same(lambda found: encode_job(found, _STORE_ID)),
        with_hash, _ERRORS, json=True,
    ),
    "sharding.json": Decoder(
        _sharding, _read_sharding, same(_sharding_again), with_hash, (CorruptStore, FormatTooNew), json=True,
    ),
    "place of a store": Decoder(
        _place, decode_place, _place_check, with_hash, _ERRORS, json=True, share=100_000,
    ),
    "head of a request": Decoder(_head, parse_head, _anything, errors=(ValueError,), share=500_000),
    "body of a request": Decoder(_body, parse_json, _anything, errors=(BadJson,), json=True, share=25_000),
}  # fmt: skip

"""What regions send to each other and keep: messages, pieces, summaries, changes, states."""

from __future__ import annotations

import functools
import random
from typing import Any, Final

from regionkit import SCHEMA as REGION_SCHEMA
from regionkit import node_state

from bytekit.decoders import Decoder, same
from bytekit.snapshots import rewritten
from bytekit.targets import FOLDER
from tidal.errors import ClockSkew, CorruptStore, FormatError, FormatTooNew, InvalidKey
from tidal.regions import (
    CrdtSignalState,
    HardNegatives,
    HybridClock,
    LWWRegister,
    NamedValues,
    NegativesPart,
    PNCounter,
    ReconciliationEngine,
    SignalsPart,
    Stamp,
    ValuesPart,
    messages,
    parts,
    reconcile,
)
from tidal.regions.bridge import _MARK_ROW, SessionBridge, SessionOp
from tidal.regions.coding import blob, rows
from tidal.regions.exchange import Exchange
from tidal.regions.idempotency import IdempotencyStore
from tidal.regions.kept import KeptState
from tidal.regions.negatives import SORTS, Entry, NegativeKey, decode_delta, encode_delta
from tidal.regions.values import Value, ValueKey, encode_values
from tidal.storage import KEYSPACES, MemoryEngine
from tidal.storage.keys import Tag, encode_key

_GROUP: Final = bytes(range(16))
_MEMBERS: Final = frozenset(range(4))
_HEAD_BYTES: Final = 24  # of a message, before its hash
_ERRORS: Final = (FormatError, FormatTooNew)


# ------------------------------------------------------------------------------------ values, made at random


def _stamp(rng: random.Random) -> Stamp:
    return Stamp(rng.randrange(1, 1 << 60), rng.randrange(3), rng.randrange(4))


def _value(rng: random.Random, form: int) -> Value:
    if form == 2:
        return LWWRegister(rng.randbytes(rng.randrange(9)), _stamp(rng))
    nodes = sorted(rng.sample(range(9), rng.randrange(4)))
    return PNCounter({node: (rng.randrange(1 << 40), rng.randrange(1 << 40)) for node in nodes})


def _values(rng: random.Random) -> dict[ValueKey, Value]:
    keys = {ValueKey(rng.randrange(1, 3), rng.choice((b"a", b"clicks", b"\xc3\xa9")))}
    keys |= {ValueKey(rng.randrange(1, 3), bytes([97 + rng.randrange(26)])) for _ in range(rng.randrange(3))}
    return {key: _value(rng, key.form) for key in keys}


def _negatives(rng: random.Random) -> HardNegatives:
    made = HardNegatives()
    for _ in range(rng.randrange(1, 6)):
        sort, _ = SORTS[rng.choice(tuple(SORTS))]
        key = NegativeKey(rng.randrange(4), sort, rng.randrange(1 << 40))
        on, off = rng.choice(((1, 0), (0, 1), (1, 1)))
        made.restore({key: Entry(_stamp(rng) if on else None, _stamp(rng) if off else None)})
    return made


def _delta(rng: random.Random) -> bytes:
    base = {} if rng.random() < 0.5 else _negatives(rng).vector()
    return encode_delta(_negatives(rng).delta(base))


@functools.cache
def _states() -> tuple[bytes, ...]:
    return tuple(node_state(node, seq).encode() for node, seq in ((0, 0), (1, 2), (2, 5), (3, 9)))


def _versions(rng: random.Random) -> bytes:
    nodes = sorted(rng.sample(range(9), rng.randrange(4)))
    found = [(node, 1, rng.randrange(99), rng.randbytes(32), rng.randbytes(32)) for node in nodes]
    return rows(parts._VERSION_ROW, found)


def _session_operation(rng: random.Random) -> bytes:
    return SessionOp(rng.getrandbits(64), rng.randrange(1, 9), rng.randbytes(rng.randrange(20))).encode()


# ------------------------------------------------------------------------------------ what regions have


def _engine(*, signals: bool = True) -> ReconciliationEngine:
    clock = HybridClock(1, lambda: 1 << 60)
    values, state = NamedValues(), CrdtSignalState(REGION_SCHEMA)
    values.update("clicks", lambda: PNCounter().add(1, 5))
    if signals:
        state.offer(_node_state())
    return ReconciliationEngine(
        {
            "negatives": NegativesPart(_negatives(random.Random(3)), clock),
            "signals": SignalsPart(state),
            "values": ValuesPart(values, clock),
        }
    )


@functools.cache
def _node_state() -> Any:
    return node_state(1, 3)


@functools.cache
def _shared_engine() -> ReconciliationEngine:
    return _engine(signals=False)  # for what reads it only


def _summary(rng: random.Random) -> bytes:
    summary = _shared_engine().summary()
    summary["signals"] = _versions(rng)
    summary["negatives"] = NegativesPart(_negatives(rng), HybridClock(1, int)).summary()
    return reconcile.encode_summary({name: summary[name] for name in sorted(summary) if rng.random() < 0.8})


def _planned(data: bytes) -> dict[str, bytes]:
    summary = reconcile.decode_summary(data)
    _shared_engine().plan(summary)
    return summary


def _change(rng: random.Random) -> bytes:
    name, body = rng.choice(
        (("values", encode_values(_values(rng))), ("negatives", _delta(rng)), ("signals", _states()[3]))
    )
    return blob(name.encode()) + body


def _apply(data: bytes) -> tuple[bool, bool]:
    """Applied twice, it changes nothing more."""
    engine = _engine(signals=False)
    return engine.apply(data), engine.apply(data)


# ------------------------------------------------------------------------------------ messages


def _message(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.randrange(40))
    sealed = messages.encode_message(rng.choice(tuple(messages.Kind)), rng.randrange(4), _GROUP, body)
    return sealed[:_HEAD_BYTES] + body


def _sealed(body: bytes) -> bytes:
    head, rest = body[:_HEAD_BYTES], body[_HEAD_BYTES:]
    return head + messages._hash(head, rest) + rest


def _message_again(found: messages.Message) -> bytes:
    return messages.encode_message(found.kind, found.sender, _GROUP, found.body)


def _piece(rng: random.Random) -> bytes:
    return rng.choice(list(messages.pieces_of(rng.randbytes(rng.randrange(1, 90)), 30)))


def _piece_again(it: messages.Piece) -> bytes:
    return messages._PIECE.pack(it.whole, it.number, it.of, it.total) + it.data


def _exchanged(rng: random.Random) -> bytes:
    """A message with a summary or a change of which everything around is right."""
    kind, body = rng.choice(((messages.Kind.SUMMARY, _summary(rng)), (messages.Kind.PIECE, _change(rng))))
    if body and rng.random() < 0.7:
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(1) + body[at + 1 :]
    (piece,) = messages.pieces_of(body, 1 << 20)
    head = messages.encode_message(kind, 2, _GROUP, b"")[:_HEAD_BYTES]
    return head + piece


def _received(data: bytes) -> bool:
    """An exchange never raises: it counts what it refuses."""
    exchange = Exchange(_engine(), node=1, members=_MEMBERS, group=_GROUP, interval_ns=1, max_payload=1 << 16)
    exchange.on_message(data, 0)
    if exchange.refused:
        raise FormatError(exchange.refusal or "")
    return True


# ------------------------------------------------------------------------------------ what is kept


_KEY_BYTES: Final = 20  # of a negative's record: id, separator, tag, "n", sort, target


def _kept(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        key = ValueKey(rng.randrange(1, 3), b"name567")
        suffix = b"region" + bytes([key.form]) + key.name
        return b"i" + encode_key(0, Tag.MV, suffix)[:_KEY_BYTES] + _value(rng, key.form).encode()
    engine = MemoryEngine()
    KeptState(engine, FOLDER).keep_entries({NegativeKey(7, 1, 9): Entry(_stamp(rng), _stamp(rng))})
    ((key, value),) = engine.scan(KEYSPACES["user"])
    return b"u" + key + value


def _opened(data: bytes) -> object:
    engine = MemoryEngine()
    with engine.batch() as batch:
        keyspace = KEYSPACES["user" if data[:1] == b"u" else "item"]
        batch.put(keyspace, data[1 : 1 + _KEY_BYTES], data[1 + _KEY_BYTES :])
    kept = KeptState(engine, FOLDER)
    return kept.negatives(), kept.values()


def _anything(_: bytes, __: object) -> bool:
    return True


REGIONS: Final[dict[str, Decoder]] = {
    "region message": Decoder(
        _message, lambda data: messages.decode_message(data, _GROUP), same(_message_again), _sealed, _ERRORS,
        share=850_000,
    ),
    "region piece": Decoder(_piece, messages.decode_piece, same(_piece_again), share=600_000),
    "region summary": Decoder(_summary, _planned, same(reconcile.encode_summary), share=25_000),
    "region values": Decoder(
        lambda rng: encode_values(_values(rng)),
        ValuesPart(NamedValues(), HybridClock(1, lambda: 1 << 61)).decode, same(encode_values),
        errors=(FormatError, ClockSkew), share=150_000,
    ),
    "region negatives": Decoder(_delta, decode_delta, same(encode_delta), share=25_000),
    "hard negatives": Decoder(
        lambda rng: _negatives(rng).encode(), HardNegatives.decode, same(HardNegatives.encode)
    ),
    "region signals": Decoder(
        lambda rng: rewritten(rng, rng.choice(_states())), SignalsPart(CrdtSignalState(REGION_SCHEMA)).decode,
        lambda data, found: found.encode() == data, errors=_ERRORS, changed=0.1,
    ),
    "region change": Decoder(
        _change, _apply, lambda _, changed: not changed[1], errors=(*_ERRORS, ClockSkew)
    ),
    "region exchange": Decoder(_exchanged, _received, _anything, _sealed, changed=0.2),
    "region records": Decoder(_kept, _opened, _anything, errors=(CorruptStore, InvalidKey)),
    "session operation": Decoder(
        _session_operation, SessionOp.decode, same(SessionOp.encode), share=500_000
    ),
    "session marks": Decoder(
        lambda rng: rows(_MARK_ROW, [(n, rng.randrange(1, 99)) for n in range(rng.randrange(1, 5))]),
        SessionBridge.decode, same(SessionBridge.encode), share=250_000,
    ),
    "idempotency keys": Decoder(
        lambda rng: rng.randbytes(16) + rng.randbytes(16 * rng.randrange(3)),
        IdempotencyStore.decode, same(IdempotencyStore.encode),
    ),
}  # fmt: skip

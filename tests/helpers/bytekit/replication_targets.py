"""What comes over a transport: messages, runs of frames in them, offers; and the file of a follower."""

from __future__ import annotations

import random
from typing import Final

import numpy as np

from bytekit import mutate
from bytekit.segments import make_segment, random_batch
from bytekit.targets import SCHEMA, Input, Target, _document, _file_cap
from tidal.errors import ForeignHistory, FormatError, FormatTooNew
from tidal.format import segment
from tidal.format.following import Following, decode_following, encode_following
from tidal.replication import messages
from tidal.replication.frames import CheckedRun, Run, check_run
from tidal.replication.offer import Beginning, decode_offer
from tidal.schema import schema_to_json
from tidal.wal.segments import Link

_ENVELOPE: Final = messages.Envelope(bytes(range(16)), 1, 2, 3, 4)
_MESSAGES: Final[list[messages.Message]] = [
    messages.Batch(bytes(128), 128, 1, 9, 9, 500, 100, bytes(400)),
    messages.Heartbeat(1, 9, bytes(32), 10, 3, 5, bytes(32), bytes(32)),
    messages.Mark("f", 9, 0, bytes(32)),
    messages.Request("f", messages.Want.LOG, 9, bytes(32), 3, b""),
    messages.Request("follower-2", messages.Want.RECORDS, 0, bytes(32), 0, b"\0key"),
    messages.Offer(b"{}"),
    messages.Piece(9, 100, 5000, bytes(100)),
    messages.Piece(9, 0, 0, b""),
    messages.Records(b"\0key", False, ((0, b"k", b"v" * 50), (2, b"", b""))),
    messages.Records(b"", True, ()),
]


def _message_input(rng: random.Random) -> Input:
    whole = messages.encode_message(_ENVELOPE, rng.choice(_MESSAGES))
    if rng.random() < 0.1:
        return Input(mutate.some_bytes(rng, whole))
    body = whole[:-32]
    for _ in range(rng.choice((0, 1, 1, 2))):
        place = rng.randrange(6, len(body)) if rng.random() < 0.9 else rng.randrange(len(body))
        if rng.random() < 0.2:
            body = body[:place] if rng.random() < 0.5 else body[:place] + rng.randbytes(4) + body[place:]
        else:
            body = body[:place] + rng.choice((b"\0", b"\1", b"\xff", rng.randbytes(1))) + body[place + 1 :]
        body = body or b"\0"
    return Input(body + messages._hash(body))


def _message_check(given: Input, found: tuple[messages.Envelope, messages.Message]) -> bool:
    return messages.encode_message(*found) == given.data


def _run_input(rng: random.Random) -> Input:
    """A good segment, of which a piece is changed, its header perhaps with the right hash again."""
    counts = [rng.randrange(1, 9) for _ in range(rng.randrange(1, 4))]
    made = make_segment(
        [random_batch(np.random.default_rng(seed), n) for seed, n in enumerate(counts)], sealed=False
    )
    data = bytes(made.data)
    if rng.random() < 0.6:
        place = rng.randrange(len(data))
        data = data[:place] + rng.randbytes(1) + data[place + 1 :]
        if rng.random() < 0.7 and place < 96:
            head = data[:96]
            data = head + segment._header_hash(head) + data[128:]
    if rng.random() < 0.1:
        data = data[: rng.randrange(129, len(data) + 1)]
    return Input(data)


def _check_run(given: Input) -> CheckedRun:
    log = segment.decode_segment_header(memoryview(given.data))[0].log
    after = Link(0, segment.NO_HASH, 0, "start")
    return check_run(Run(given.data[:128], 128, given.data[128:]), log, after)


def _run_check(given: Input, found: CheckedRun) -> bool:
    return bool(found.frames) and b"".join(it.data for it in found.frames) == given.data[128:]


def _offer(rng: random.Random) -> bytes:
    seq = rng.choice((0, 5, 900))
    return Beginning(bytes(16), 1, 2, 3, schema_to_json(SCHEMA), seq or 1, bytes(32), seq, 4096).encode()


REPLICATION: Final[dict[str, Target]] = {
    "message": Target(
        _message_input, lambda given: messages.decode_message(given.data), (FormatError, FormatTooNew),
        lambda given: 40 * len(given.data), _message_check,
    ),
    "run of frames": Target(
        _run_input, _check_run, (FormatError, FormatTooNew, ForeignHistory),
        lambda given: (1 << 20) + 40 * len(given.data), _run_check,
    ),
    "offer": Target(
        lambda rng: Input(_document(rng, _offer(rng))), lambda given: decode_offer(given.data),
        (FormatError, FormatTooNew), _file_cap, lambda given, found: found.encode() == given.data,
    ),
    "following.json": Target(
        lambda rng: Input(_document(rng, encode_following(Following(bytes(16), 7, "node/1")))),
        lambda given: decode_following(given.data), (FormatError, FormatTooNew), _file_cap,
        lambda given, found: encode_following(found) == given.data,
    ),
}  # fmt: skip

"""BatchPublisher: a worker's events, checked and dealt out to the streams of their shards."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import blake3

from tidal.broker.message import Message, encode_message
from tidal.broker.streams import Streams
from tidal.entities import KeyNames
from tidal.errors import InvalidOption, TransportError
from tidal.ingest import OnError, RefusedRow, prepare_call
from tidal.records import record
from tidal.schema import Duration, EventBatch, Schema, parse_duration
from tidal.sharding import ShardRouter
from tidal.sharding.dealing import Dealer
from tidal.storage import MemoryEngine
from tidal.transports.jetstream import RETRY_SECONDS, JetStream

BATCH_EVENTS: Final = 1 << 14  # of one message at most

MESSAGE_BYTES: Final = 960 << 10  # of a message at most: a server takes 1 MiB, unless it is told otherwise

_EVENT_BYTES = 46  # that an event takes at most
_KEY_BYTES = 11  # that a name takes beside its text
_UNDER_WAY = 16  # messages that the broker has not stored yet


@record
class Published:
    """What was published: events, messages, the id that tells this call from others, and refused rows."""

    count: int
    messages: int
    batch_id: str
    refused: tuple[RefusedRow, ...] = ()


class BatchPublisher:
    """Publishes events for shards to ingest. Safe to share by threads; use it in a ``with`` block.

    ``schema`` and ``router``: those of the stores. ``clock`` returns the wall time in ns, for events without
    a timestamp. TransportError if no server answers.
    """

    def __init__(
        self,
        servers: str | Sequence[str],
        schema: Schema,
        router: ShardRouter | None = None,
        *,
        streams: Streams | None = None,
        clock: Callable[[], int] = time.time_ns,
        max_future_skew: Duration | None = "10m",
        retry_seconds: float = RETRY_SECONDS,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._schema, self._router = schema, router or ShardRouter.single()
        self._streams, self._clock = streams or Streams(), clock
        self._skew = None if max_future_skew is None else parse_duration(max_future_skew)
        self._no_names = [KeyNames(MemoryEngine())] * self._router.shards
        self._server = JetStream(servers, retry_seconds=retry_seconds, options=options)
        try:
            if self._server.max_payload < MESSAGE_BYTES:
                raise InvalidOption(
                    f"the server takes {self._server.max_payload} bytes; set its max_payload to 1MB"
                )
            for shard in range(self._router.shards):
                self._server.run(self._server.make_stream(self._streams.of_shard(shard)))
        except BaseException:
            self._server.close()
            raise

    def publish(
        self,
        frame: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        on_error: OnError = "raise",
        batch_id: str | None = None,
        **given: Any,
    ) -> Published:
        """Publish events, given as to TidalDb.ingest(), and return once the broker has stored them.

        A call that raised TransportError may have been stored in part. Made again with the same events and
        the same ``batch_id``, of 1 to 200 characters, it counts once; without one, each call is new.
        """
        batch_id = os.urandom(16).hex() if batch_id is None else batch_id
        if not isinstance(batch_id, str) or not 1 <= len(batch_id) <= 200:
            raise InvalidOption(f"batch_id={batch_id!r}: text of 1 to 200 characters")
        dealer = Dealer(self._schema, self._router, self._no_names)
        now = self._clock()
        call = prepare_call(
            self._schema,
            frame,
            given,
            columns=columns,
            now_ns=now,
            max_future_skew_ns=self._skew,
            resolve_keys=dealer.resolve,
            on_error=on_error,
        )
        prepared = list(call)  # all is checked first
        parts = [part for batch, _ in prepared for part in _dealt(dealer, batch)]
        messages = [
            (shard, *_encoded(self._schema, f"{batch_id}\0{number}\0{shard}", part, now))
            for number, (shard, part) in enumerate(parts)
        ]
        self._server.run(self._send(messages, batch_id))
        count = sum(len(batch) for batch, _ in prepared)
        return Published(count, len(messages), batch_id, tuple(row for _, rows in prepared for row in rows))

    def close(self) -> None:
        """Disconnect. A second close does nothing."""
        self._server.close()

    async def _send(self, messages: Sequence[tuple[int, int, bytes]], batch_id: str) -> None:
        """Have all messages stored; TransportError, once none is under way, if one was not."""
        room = asyncio.Semaphore(_UNDER_WAY)

        async def send(shard: int, message_id: int, data: bytes) -> None:
            async with room:
                await self._server.publish(self._streams.subject(shard), data, f"{message_id:016x}")

        done = await asyncio.gather(*(send(*message) for message in messages), return_exceptions=True)
        errors = [each for each in done if each is not None]
        if errors:
            raise TransportError(
                f"the broker has not stored {len(errors)} of {len(messages)} messages ({errors[0]}); "
                f"publish the same events again with batch_id={batch_id!r}"
            ) from errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _dealt(dealer: Dealer, batch: EventBatch) -> Iterator[tuple[int, EventBatch]]:
    """Yield (shard, events) that one message holds. A second call with the same events yields the same."""
    for start in range(0, len(batch), BATCH_EVENTS):
        for shard, part in dealer.deal(batch.rows(start, start + BATCH_EVENTS)):
            keys_bytes = sum(len(key.key.encode()) + _KEY_BYTES for key in part.new_keys)
            if len(part) > 1 and len(part) * _EVENT_BYTES + keys_bytes > MESSAGE_BYTES:
                middle = len(part) // 2
                yield from _dealt(dealer, part.rows(0, middle))
                yield from _dealt(dealer, part.rows(middle, len(part)))
            else:
                yield shard, part


def _encoded(schema: Schema, name: str, batch: EventBatch, now: int) -> tuple[int, bytes]:
    """Return the id of a batch and its message."""
    batch_id = int.from_bytes(blake3.blake3(name.encode()).digest(8), "little")
    return batch_id, encode_message(schema, Message(batch_id, batch), now)

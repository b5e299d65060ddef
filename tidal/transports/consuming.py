"""Messages of a JetStream stream, in order: one consumer, as long as nothing goes wrong with it.

nats-py's own ``fetch`` of many messages waits for all of them. Here messages are asked for by the dozen,
handed on as they come, and numbered by the server, so that a missing one is noticed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from tidal.records import record
from tidal.schema.durations import NS_PER_SECOND

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext

ANSWER_SECONDS: Final = 2.0  # for what a server that is well answers in a millisecond

_PULL_SECONDS = 2.0  # after which the server says that a request for messages has ended
_PULL_MESSAGES = 32
_CONSUMER_SECONDS = 60.0  # after which the server forgets a reader that is gone


@record
class Stored:
    """A message of a stream: its sequence there, its bytes, and how many follow by now."""

    seq: int
    payload: bytes
    pending: int


async def consume(
    client: Client, js: JetStreamContext, stream: str, subject: str, first_seq: int
) -> AsyncGenerator[Stored, None]:
    """Yield the messages of a subject from a sequence on, in order, as they come.

    Ends where one is missing or the server has nothing more to say: go on from the next with another call.
    Errors are those of nats-py.
    """
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first_seq,
        ack_policy=AckPolicy.NONE,
        filter_subject=subject,
        inactive_threshold=_CONSUMER_SECONDS,
        num_replicas=1,
        mem_storage=True,
    )
    consumer = (await js.add_consumer(stream, config, timeout=ANSWER_SECONDS)).name
    inbox = client.new_inbox()
    messages = await client.subscribe(inbox)
    request = {"batch": _PULL_MESSAGES, "expires": int(_PULL_SECONDS * NS_PER_SECOND)}
    wanted, number = 0, 0
    try:
        while True:
            if not wanted:
                subject_of_next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
                await client.publish(subject_of_next, json.dumps(request).encode(), inbox)
                wanted = _PULL_MESSAGES
            message = await messages.next_msg(_PULL_SECONDS + ANSWER_SECONDS)
            if message.headers and "Status" in message.headers:
                if message.headers["Status"] not in ("404", "408"):  # none came in time
                    return
                wanted = 0
                continue
            sequence = message.metadata.sequence
            wanted, number = wanted - 1, number + 1
            if sequence.consumer != number:
                return
            yield Stored(sequence.stream, message.data, message.metadata.num_pending or 0)
    finally:
        await _leave(client, messages, stream, consumer)


async def _leave(client: Client, messages: Subscription, stream: str, consumer: str) -> None:
    with contextlib.suppress(Exception):  # the server forgets them by itself, a little later
        await messages.unsubscribe()
        await client.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{consumer}", b"")

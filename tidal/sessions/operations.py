"""Operations of a session that are no signals, as values and as the bytes that the log has of them.

Each travels with an event of the type NOTE_TYPE_ID, which has the time, the session, its user and, in
``entity_id``, the entity that it is about (0 where it is about none). The bytes are one JSON object in
canonical form: keys sorted, no white space, UTF-8. So equal operations have equal bytes, on every machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final, Literal, TypeAlias

from tidal.errors import FormatError
from tidal.records import record
from tidal.schema.events import ID_MAX, NOTE_BYTES_MAX, EventBatch
from tidal.schema.spec import KINDS

Reason = Literal["closed", "expired"]
DEPTH_MAX: Final = 32  # of mappings and lists in a note: whoever opens the store must be able to parse it
REASONS: Final[tuple[Reason, ...]] = ("closed", "expired")


@record
class Opened:
    """A session begins. ``policy``: what the agent acted by, if it said so."""

    agent: str
    policy: str | None = None


@record
class Closed:
    """A session ends: ``closed`` by its caller, or ``expired`` because nothing happened in it."""

    reason: Reason = "closed"


@record
class Hint:
    """One entity was preferred to another, ids of the same kind; ``prompt``: what both were an answer to."""

    chosen: int
    rejected: int
    prompt: str | None = None
    strength: float = 1.0
    kind: str = "item"


@record
class Annotation:
    """A remark on an entity: text, or a mapping that JSON can hold."""

    entity_id: int
    note: str | Mapping[str, Any]
    kind: str = "item"


Operation: TypeAlias = Opened | Closed | Hint | Annotation

_NAMES: Final[Mapping[str, type[Operation]]] = {
    "open": Opened, "close": Closed, "hint": Hint, "annotation": Annotation
}  # fmt: skip
_NAME_OF: Final = {kind: name for name, kind in _NAMES.items()}


def encode(operation: Operation) -> bytes:
    """Return the bytes of an operation; ValueError for one that JSON or the log cannot hold.

    >>> encode(Opened("ranker-3"))
    b'{"agent":"ranker-3","op":"open","policy":null}'
    """
    _check(operation)
    body = {field.name: getattr(operation, field.name) for field in fields(operation)}
    body["op"] = _NAME_OF[type(operation)]
    try:
        data = _canonical(body)
        if isinstance(operation, Annotation) and _canonical(json.loads(data)) != data:
            raise ValueError("the keys of a mapping are text")
    except (TypeError, RecursionError) as error:
        raise ValueError(f"JSON cannot hold it: {error}") from error
    if len(data) > NOTE_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes as JSON; the most is {NOTE_BYTES_MAX}")
    return data


def decode(data: bytes) -> Operation:
    """Return the operation that encode wrote, or raise FormatError."""
    try:
        body = json.loads(data)
        operation = _NAMES[body.pop("op")](**body)
        same = encode(operation) == data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FormatError(f"not an operation of a session: {error}") from error
    if not same:
        raise FormatError("an operation of a session is not how it is written")
    return operation


def operations_of(batch: EventBatch) -> Iterator[tuple[int, Operation]]:
    """Yield (row, operation) of the events of a batch that are no signals; FormatError for what is none."""
    if batch.notes:
        for row, note in zip(batch.note_rows().tolist(), batch.notes, strict=True):
            yield row, decode(note)


def _canonical(body: object) -> bytes:
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _check(operation: Operation) -> None:
    """Raise ValueError for a field of another type or range than it has."""
    match operation:
        case Opened(agent, policy):
            if not isinstance(agent, str) or not isinstance(policy, str | None):
                raise ValueError("agent and policy are text")
        case Closed(reason):
            if reason not in REASONS:
                raise ValueError(f"closed because of {reason!r}")
        case Hint(chosen, rejected, prompt, strength, kind):
            _check_entity(chosen, kind)
            _check_entity(rejected, kind)
            if not isinstance(prompt, str | None):
                raise ValueError("the prompt is text")
            if type(strength) is not float or not math.isfinite(strength):
                raise ValueError("the strength is a finite float")
        case Annotation(entity_id, note, kind):
            _check_entity(entity_id, kind)
            if not isinstance(note, str) and type(note) is not dict:
                raise ValueError("a note is text or a mapping")
            if _depth_exceeds(note, DEPTH_MAX):
                raise ValueError(f"a note of more than {DEPTH_MAX} levels")


def _depth_exceeds(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return False
    return levels == 0 or any(_depth_exceeds(each, levels - 1) for each in value)


def _check_entity(entity_id: object, kind: object) -> None:
    if type(entity_id) is not int or not 0 <= entity_id <= ID_MAX:
        raise ValueError("an entity is an id of 64 bits")
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of entity; there are {', '.join(KINDS)}")

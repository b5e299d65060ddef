"""The endpoint that takes events: as JSON, or as an Arrow stream."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from blake3 import blake3
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidal.answers import Ingested
from tidal.db import TidalDb
from tidal.schema.events import ID_MAX
from tidal.serve.arrow import ARROW_TYPE, ScopeIds, read_table
from tidal.serve.endpoints import JSON_TYPE, Endpoints, answer, media_type, parsed
from tidal.serve.limits import ServiceLimits
from tidal.serve.problems import Refused, shortened
from tidal.serve.tokens import Holder, Scope
from tidal.serve.values import OptionalId, OptionalKey, OptionalTime, SignalName, Strict

REFUSED_MAX: Final = 100  # rows that an answer names
PARTIES: Final = ("entity", "user", "session", "event")


def _at_most_one(party: str) -> dict[str, Any]:
    return {"not": {"required": [f"{party}_id", f"{party}_key"]}}


class Event(Strict):
    """One event. Each of entity, user, session and event itself is named by an id or a key, not by both."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["entity_id"]}, {"required": ["entity_key"]}],
            "allOf": [_at_most_one(party) for party in PARTIES[1:]],
        }
    )
    signal: SignalName
    entity_id: OptionalId = None
    entity_key: OptionalKey = None
    weight: Annotated[float, Field(ge=-3.4e38, le=3.4e38)] = 1.0
    timestamp: OptionalTime = None
    user_id: OptionalId = None
    user_key: OptionalKey = None
    session_id: OptionalId = None
    session_key: OptionalKey = None
    event_id: OptionalId = None
    event_key: OptionalKey = None

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        for party in PARTIES:
            if None not in (getattr(self, f"{party}_id"), getattr(self, f"{party}_key")):
                raise ValueError(f"give either {party}_id or {party}_key")
        if self.entity_id is None and self.entity_key is None:
            raise ValueError("give entity_id or entity_key")
        return self


class EventsRequest(Strict):
    """Events in order. Those of one request name their entities alike, all by id or all by key, and so for
    users, sessions and events; a time that is left out is now.
    """

    events: list[Event]


class EventsQuery(Strict):
    """What becomes of a request with a bad event: nothing is recorded, or all but that."""

    on_error: Literal["raise", "skip"] = "raise"


class RefusedRowAnswer(BaseModel):
    """An event that was not recorded."""

    row: int
    column: str
    reason: str


class EventsAnswer(BaseModel):
    """What was recorded; sequences are 0 where nothing was. Of refused rows the first 100 are named."""

    first_seq: int
    last_seq: int
    count: int
    duplicates: int
    refused_count: int
    refused: list[RefusedRowAnswer]


async def _body(request: Request) -> tuple[str, bytes, Holder]:
    kind = media_type(request)
    if kind not in (JSON_TYPE, ARROW_TYPE):
        raise Refused(415, f"send Content-Type: {JSON_TYPE} or {ARROW_TYPE}")
    return kind, await request.body(), request.state.holder


def add_events(endpoints: Endpoints, db: TidalDb, limits: ServiceLimits) -> None:
    """Add the endpoint that takes events."""

    def signals(
        body: Annotated[tuple[str, bytes, Holder], Depends(_body)], query: Annotated[EventsQuery, Query()]
    ) -> Response:
        """Record events, and answer once they are as durable as the store's sync policy says."""
        kind, data, holder = body
        if kind == ARROW_TYPE:
            table = read_table(data, limits.rows, _scope_of(holder))
            return _recorded(db.ingest(table, on_error=query.on_error))
        events = parsed(data, EventsRequest).events
        if len(events) > limits.rows:
            raise Refused(413, f"a request has at most {limits.rows} events")
        if not events:
            return _recorded(Ingested(0, 0, 0))
        return _recorded(db.ingest(**_columns(events, holder), on_error=query.on_error))

    endpoints.add(
        "POST", "/v1/signals", signals, Scope.WRITE,
        takes={JSON_TYPE: EventsRequest, ARROW_TYPE: None}, answers=EventsAnswer,
        problems=(400, 408, 409, 422, 429, 501, 507),
    )  # fmt: skip


def _columns(events: list[Event], holder: Holder) -> dict[str, Any]:
    columns: dict[str, Any] = {f"{party}_id": _names(events, party) for party in PARTIES}
    if columns["event_id"] is not None and (scope := _scope_of(holder)) is not None:
        columns["event_id"] = scope(columns["event_id"])
    return {
        "signal": [event.signal for event in events],
        "weight": [event.weight for event in events],
        "timestamp": _times(events),
        **columns,
    }


def _times(events: list[Event]) -> list[int] | None:
    times = [event.timestamp for event in events]
    known = [time for time in times if time is not None]
    if known and len(known) < len(times):
        raise Refused(422, "give each event of a request a timestamp, or none of them")
    return known or None


def _names(events: list[Event], party: str) -> list[Any] | None:
    """Return the ids or the keys of all events, None where there are none."""
    ids = [getattr(event, f"{party}_id") for event in events]
    keys = [getattr(event, f"{party}_key") for event in events]
    if all(key is None for key in keys):
        return None if all(each is None for each in ids) else ids
    if any(each is not None for each in ids):
        raise Refused(422, f"a request names each {party} by {party}_id, or each by {party}_key")
    return keys


def _scope_of(holder: Holder) -> ScopeIds | None:
    """Return what makes ids of events such that no other holder can use them up: a hash under the holder's
    name. Where there are no tokens there is one holder: None.
    """
    if not holder.name:
        return None
    named = blake3(holder.name.encode(), derive_key_context="tidal 2026 event ids of one holder")

    def scoped(event_id: object) -> int | None:
        own = named.copy()
        match event_id:
            case None:
                return None
            case str():
                own.update(b"k" + event_id.encode())
            case int() if 0 <= event_id <= ID_MAX:
                own.update(b"i%d" % event_id)
            case _:
                raise Refused(422, f"event_id: {str(event_id)[:40]} is no id; give a key or 0 to 2**64 - 1")
        return int.from_bytes(own.digest(8), "little")

    return lambda event_ids: list(map(scoped, event_ids))


def _recorded(done: Ingested) -> Response:
    refused = [
        {"row": row.row, "column": row.column, "reason": shortened(row.reason)}
        for row in done.refused[:REFUSED_MAX]
    ]
    return answer(
        {
            "first_seq": done.first_seq,
            "last_seq": done.last_seq,
            "count": done.count,
            "duplicates": done.duplicates,
            "refused_count": len(done.refused),
            "refused": refused,
        }
    )

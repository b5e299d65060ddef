"""The endpoint that hands out all events of one entity, as they are read."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query, Response
from pydantic import Field
from starlette.convertors import Convertor, register_url_convertor

from tidal.db import TidalDb
from tidal.export import ExportRequest
from tidal.serve.endpoints import Endpoints
from tidal.serve.sending import streamed
from tidal.serve.tokens import Scope
from tidal.serve.values import Id, IdsAs, OptionalCount, OptionalTime, SignalName, Strict

JSON_LINES: Final = "application/jsonl"


class _IdConvertor(Convertor[str]):
    """Digits: whatever else stands there is another path."""

    regex = "[0-9]{1,20}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class EntityQuery(Strict):
    """Which events of the entity; all, unless something is said."""

    signal_type: list[SignalName] = Field(default_factory=list)
    since: OptionalTime = None
    until: OptionalTime = None
    after_seq: OptionalCount = None
    limit: OptionalCount = None
    ids: IdsAs = "text"


def add_entity(endpoints: Endpoints, db: TidalDb) -> None:
    """Add the endpoint."""

    def entity_events(entity_id: Id, query: Annotated[EntityQuery, Query()]) -> Response:
        """Return every event of an entity that is durable, one JSON object a line, in the log's order."""
        request = ExportRequest(
            entity_id=entity_id,
            signal_types=tuple(query.signal_type),
            since=query.since,
            until=query.until,
            after_seq=query.after_seq,
            limit=query.limit,
            all=True,
        )
        chunks = db.export_signals(request).table().chunks(ids_as=query.ids)
        return streamed(chunks, JSON_LINES, {})

    register_url_convertor("id", _IdConvertor())
    endpoints.add(
        "GET", "/v1/export/{entity_id:id}", entity_events, Scope.EXPORT,
        content={JSON_LINES: {"schema": {"type": "string"}}}, problems=(404, 409, 410, 422),
    )  # fmt: skip

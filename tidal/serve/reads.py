"""Endpoints that change nothing: scores, counts, velocities, rankings, the schema, the health."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Self

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.config import JsonDict

from tidal.answers import Top
from tidal.db import TidalDb
from tidal.page import health_shown
from tidal.schema.measures import measures_of
from tidal.serve.endpoints import JSON_TYPE, Endpoints, JsonBody, answer, parsed
from tidal.serve.limits import ServiceLimits
from tidal.serve.problems import Refused
from tidal.serve.tokens import Scope
from tidal.serve.values import (
    IdAnswer,
    IdsAs,
    MeasureName,
    OptionalHalfLife,
    OptionalIds,
    OptionalKeys,
    OptionalRows,
    OptionalTime,
    SignalName,
    Strict,
    VelocityWindow,
    Weights,
    WindowName,
    ids_out,
)

EITHER_IDS_OR_KEYS: Final[JsonDict] = {"oneOf": [{"required": ["ids"]}, {"required": ["keys"]}]}


class Entities(Strict):
    """The entities of a read: ``ids``, or ``keys``."""

    model_config = ConfigDict(json_schema_extra=EITHER_IDS_OR_KEYS)
    ids: OptionalIds = None
    keys: OptionalKeys = None
    at: OptionalTime = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.keys is None):
            raise ValueError("give either ids or keys")
        return self

    def chosen(self, limits: ServiceLimits) -> list[int] | list[str]:
        """Return the ids or the keys, within the limit."""
        entities = self.keys if self.ids is None else self.ids
        assert entities is not None
        if len(entities) > limits.rows:
            raise Refused(413, f"a request has at most {limits.rows} entities")
        return entities


class ScoresRequest(Entities):
    """Decayed scores; ``half_life`` where the signal type has several."""

    signal: SignalName
    half_life: OptionalHalfLife = None


class CountsRequest(Entities):
    """Counts of events in a window."""

    signal: SignalName
    window: WindowName


class VelocitiesRequest(Entities):
    """Events a second over a window."""

    signal: SignalName
    window: VelocityWindow


class RankRequest(Entities):
    """A ranking of candidates by a weighted sum of measures."""

    weights: Weights
    k: OptionalRows = None


class Paging(Strict):
    """How ids are answered."""

    ids: IdsAs = "text"


class TopQuery(Paging):
    """The k best entities of a signal type."""

    k: OptionalRows = None
    by: MeasureName = "score"
    at: OptionalTime = None


class Values(BaseModel):
    """A number for each entity, in the order of the request; null where it is beyond every float64."""

    at: str
    values: list[float | None]


class Counts(BaseModel):
    """A count for each entity, in the order of the request."""

    at: str
    values: list[int]


class RankedEntity(BaseModel):
    """An entity and what it was ranked by."""

    id: IdAnswer
    key: str | None
    value: float | None


class Ranking(BaseModel):
    """Entities, best first."""

    at: str
    entities: list[RankedEntity]


class SignalTypeAnswer(BaseModel):
    """A signal type and what can be asked of it."""

    name: str
    kind: str
    signed: bool
    measures: list[str]


class SchemaAnswer(BaseModel):
    """The signal types of the store."""

    signals: list[SignalTypeAnswer]


class HealthReason(BaseModel):
    """Why the database is not well."""

    code: str
    message: str


class Health(BaseModel):
    """How far the database is, and whether it is well."""

    status: str
    ready: bool
    reasons: list[HealthReason]
    read_only: bool
    last_seq: int
    durable_seq: int
    entities: dict[str, int]


def add_reads(endpoints: Endpoints, db: TidalDb, limits: ServiceLimits) -> None:
    """Add the endpoints that read."""
    reads = _Reads(db, limits)
    takes = ((reads.scores, ScoresRequest, Values), (reads.velocities, VelocitiesRequest, Values),
             (reads.counts, CountsRequest, Counts), (reads.rank, RankRequest, Ranking))  # fmt: skip
    for endpoint, model, answers in takes:
        endpoints.add(
            "POST", f"/v1/{endpoint.__name__}", endpoint, Scope.READ,
            takes={JSON_TYPE: model}, answers=answers, problems=(400, 408, 409, 422),
        )  # fmt: skip
    endpoints.add("GET", "/v1/top/{signal}", reads.top, Scope.READ, answers=Ranking, problems=(404, 422))
    endpoints.add("GET", "/v1/schema", reads.schema, Scope.READ, answers=SchemaAnswer)
    endpoints.add("GET", "/v1/health", reads.health, Scope.READ, answers=Health)


class _Reads:
    def __init__(self, db: TidalDb, limits: ServiceLimits) -> None:
        self._db, self._limits = db, limits

    def scores(self, body: JsonBody) -> Response:
        """Return the decayed score of each entity."""
        asked = parsed(body, ScoresRequest)
        at, ids = self._at(asked), asked.chosen(self._limits)
        values = self._db.scores(asked.signal, ids, half_life=asked.half_life, at=at)
        return answer({"at": str(at), "values": list(map(_finite, values.tolist()))})

    def counts(self, body: JsonBody) -> Response:
        """Return the events of each entity in a window."""
        asked = parsed(body, CountsRequest)
        at, ids = self._at(asked), asked.chosen(self._limits)
        values = self._db.counts(asked.signal, ids, asked.window, at=asked.at)
        return answer({"at": str(at), "values": values.tolist()})

    def velocities(self, body: JsonBody) -> Response:
        """Return the events a second of each entity over a window."""
        asked = parsed(body, VelocitiesRequest)
        at, ids = self._at(asked), asked.chosen(self._limits)
        values = self._db.velocities(asked.signal, ids, asked.window, at=asked.at)
        return answer({"at": str(at), "values": values.tolist()})

    def rank(self, body: JsonBody, query: Annotated[Paging, Query()]) -> Response:
        """Return candidates by a weighted sum of measures, best first."""
        asked = parsed(body, RankRequest)
        at, ids = self._at(asked), asked.chosen(self._limits)
        k = None if asked.k is None else self._within(asked.k)
        return _ranking(self._db.rank(ids, asked.weights, k=k, at=asked.at), at, query.ids)

    def top(self, signal: SignalName, query: Annotated[TopQuery, Query()]) -> Response:
        """Return the best entities of a signal type, 10 unless told: O(entities)."""
        if signal not in self._db.schema.names:
            raise Refused(404, "there is no such signal type", code="unknown_signal_type")
        at, k = self._at(query), 10 if query.k is None else self._within(query.k)
        return _ranking(self._db.top(signal, k, by=query.by, at=query.at), at, query.ids)

    def schema(self) -> Response:
        """Return the signal types, and what can be asked of each."""
        signals = [
            {"name": it.name, "kind": it.kind, "signed": it.signed, "measures": list(measures_of(it))}
            for it in self._db.schema
        ]
        return answer({"signals": signals})

    def health(self) -> Response:
        """Return how far the database is, and whether it is well."""
        stats, health = self._db.stats(), health_shown(self._db.health())
        entities = {name: it["entities"] for name, it in stats["signals"].items()}
        seqs = {name: stats[name] for name in ("last_seq", "durable_seq")}
        status = "ok" if health.pop("ok") else "unhealthy"
        about = {"status": status, **health, "read_only": self._db.read_only}
        return answer({**about, **seqs, "entities": entities})

    def _within(self, k: int) -> int:
        if k > self._limits.rows:
            raise Refused(422, f"k: a ranking has at most {self._limits.rows} entities")
        return k

    def _at(self, asked: Entities | TopQuery) -> int:
        return self._db.now() if asked.at is None else asked.at


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ranking(top: Top, at: int, ids_as: IdsAs) -> Response:
    rows = zip(ids_out(top.ids, ids_as), top.keys, top.values.tolist(), strict=True)
    entities: list[dict[str, Any]] = [
        {"id": entity_id, "key": key, "value": _finite(value)} for entity_id, key, value in rows
    ]
    return answer({"at": str(at), "entities": entities})

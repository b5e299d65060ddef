"""The service held to its own OpenAPI document, by requests that Schemathesis makes of it.

No request, good or bad, may be answered by a status, a body or a header that the document does not have;
good ones are not refused, bad ones are, and none is answered by 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from servicekit import BEGAN, NOW, TOKENS, bearer
from starlette.types import ASGIApp, Receive, Scope, Send

import tidal
from tidal.serve import create_app
from tidal.serve.arrow import ARROW_TYPE

# Both signal types have all there is, so that every combination of the document's names exists.
SCHEMA = tidal.SchemaBuilder()
for name in ("view", "like"):
    SCHEMA = SCHEMA.signal(name, half_life=("7d", "30d"), windows=("1h", "24h"), velocity=True, signed=True)


class Forward:
    """The service: its document is read when tests are collected, its store is there when they run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


HEADERS = {**bearer(), "Host": "localhost"}
FORWARD = Forward(create_app(tidal.open(schema=SCHEMA.build()), tokens=TOKENS))
DOCUMENT = schemathesis.openapi.from_asgi("/v1/openapi.json", FORWARD, headers=HEADERS)


@pytest.fixture(scope="module", autouse=True)
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("contract") / "store"
    with tidal.open(path, schema=SCHEMA.build(), sync="os", max_future_skew=None, clock=lambda: NOW) as db:
        db.ingest(signal="view", entity_id=list(range(50)), timestamp=BEGAN)
        FORWARD.app = create_app(db, tokens=TOKENS)
        yield


@schemathesis.serializer(ARROW_TYPE)
def noise(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """What a body of Arrow is made of here; test_arrow.py has the good ones."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


# What JSON Schema cannot say: events of one request name their entities alike; each dataset has its filters.
RULES_ACROSS_FIELDS = ("POST /v1/signals", "POST /v1/export/dataset")


@DOCUMENT.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_service_is_what_its_document_says(case: schemathesis.Case) -> None:
    across = case.operation.label in RULES_ACROSS_FIELDS
    answer = case.call_and_validate(
        headers=HEADERS, excluded_checks=[positive_data_acceptance] if across else []
    )
    assert 200 <= answer.status_code < 500 and answer.headers["x-request-id"]

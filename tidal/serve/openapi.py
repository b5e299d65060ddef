"""The OpenAPI document: what FastAPI makes of the endpoints, with the bodies and names of this database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from tidal.schema import Schema, format_duration
from tidal.schema.measures import VELOCITY, measures_of
from tidal.schema.spec import ALL
from tidal.serve.endpoints import BEARER
from tidal.serve.limits import ServiceLimits
from tidal.serve.problems import Problem
from tidal.serve.values import NAMED, Strict

OPENAPI_VERSION: Final = "3.1.0"

_ABOUT: Final = """Scores, counts and rankings of a tidal store, events in, exports out.

Ids and times are 64-bit integers, which many readers of JSON round above 2**53. So they are answered as
decimal text (`ids=number` asks for ids as numbers), and taken as text or as numbers.
"""


def openapi_document(
    app: FastAPI, schema: Schema, bodies: Sequence[type[Strict]], limits: ServiceLimits, *, secured: bool
) -> dict[str, Any]:
    """Return the document. Names of signal types, windows and measures are those of the database."""
    document = get_openapi(
        title="tidal",
        version=app.version,
        openapi_version=OPENAPI_VERSION,
        description=_ABOUT,
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    template = "#/components/schemas/{model}"
    models = [(model, "validation") for model in (*dict.fromkeys(bodies), Problem)]
    _, own = models_json_schema(models, ref_template=template)  # type: ignore[arg-type]
    schemas.update(own["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    known = {name: _one_of(names) for name, names in _names(schema).items()}
    known["rows"] = {"type": "integer", "minimum": 0, "maximum": limits.rows}
    if secured:
        document["components"]["securitySchemes"] = {BEARER: {"type": "http", "scheme": "bearer"}}
    else:
        for operation in _operations(document):
            operation.pop("security", None)
    filled: dict[str, Any] = _filled(document, known)
    return filled


def _one_of(names: list[str]) -> dict[str, Any]:
    return {"type": "string", "enum": names} if names else {"not": {}}


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _names(schema: Schema) -> dict[str, list[str]]:
    """Return what may stand for each of the names that values.py marks."""
    measures = dict.fromkeys(name for signal in schema for name in measures_of(signal))
    moving = [name.removeprefix(f"{VELOCITY}.") for name in measures if name.startswith(f"{VELOCITY}.")]
    return {
        "signal": list(schema.names),
        "window": [*dict.fromkeys(window for signal in schema for window in signal.windows), ALL],
        "velocity_window": moving,
        "half_life": list(dict.fromkeys(format_duration(h) for signal in schema for h in signal.half_lives)),
        "measure": list(measures),
        "qualified_measure": [f"{signal.name}.{name}" for signal in schema for name in measures_of(signal)],
    }


def _filled(node: Any, known: dict[str, dict[str, Any]]) -> Any:
    """Return the document with what is known in the places that are marked for it."""
    if isinstance(node, list):
        return [_filled(each, known) for each in node]
    if not isinstance(node, dict):
        return node
    rest = {name: _filled(each, known) for name, each in node.items() if name != NAMED}
    return rest | known[node[NAMED]] if NAMED in node else rest

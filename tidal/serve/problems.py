"""Errors as RFC 9457 problem documents: a fixed code and a text for the caller, nothing of the machine."""

from __future__ import annotations

import http
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from tidal import errors
from tidal.meters import said
from tidal.serve.strict_json import BadJson

PROBLEM_TYPE: Final = "application/problem+json"
DETAIL_MAX: Final = 500  # characters
ERRORS_MAX: Final = 10

_logger = logging.getLogger("tidal.serve")

_BY_STATUS: Final = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    421: "unknown_host",
    422: "invalid",
    429: "limit_reached",
    500: "internal",
    503: "unavailable",
    507: "no_space",
}

# The first that fits counts. A text stands in for what the error says, which may name files: that is logged.
_OF_ERRORS: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (BadJson, 400, "malformed_json", ""),
    (errors.UnknownSignalType, 422, "unknown_signal_type", ""),
    (errors.UnknownMeasure, 422, "unknown_measure", ""),
    (errors.InvalidDuration, 422, "invalid_duration", ""),
    (errors.InvalidWindow, 422, "unknown_measure", ""),
    (errors.SchemaError, 422, "invalid", ""),
    (errors.InvalidEvent, 422, "invalid_event", ""),
    (errors.InvalidEntity, 422, "invalid_entity", ""),
    (errors.InvalidOption, 422, "invalid", ""),
    (errors.UnknownJob, 404, "unknown_job", ""),
    (errors.UnknownDataset, 422, "unknown_dataset", ""),
    (errors.JobNotDone, 409, "job_not_done", ""),
    (errors.KeyCollision, 409, "key_collision", ""),
    (errors.LimitExceeded, 429, "limit_reached", ""),
    (errors.ReadOnly, 409, "read_only", "this service only reads"),
    (errors.MissingExtra, 501, "not_installed", ""),
    (errors.StoreMissing, 409, "in_memory", "a database in memory has neither a log nor jobs"),
    (errors.StoreClosed, 503, "closed", "the database is closed"),
    (errors.NoSpace, 507, "no_space", "the disk is full; nothing of this request was acknowledged"),
    (errors.StorageError, 503, "storage", "the disk refused; nothing of this request was acknowledged"),
    (errors.CorruptionError, 500, "damaged", "the store is damaged; the log of the service says where"),
    (errors.MissingSegment, 410, "gone", "events that were asked for are no longer in the store"),
)


class ProblemError(BaseModel):
    """What is wrong with one value of a request."""

    model_config = ConfigDict(extra="forbid")
    at: str
    reason: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it. ``code`` is for programs, ``detail`` for people."""

    model_config = ConfigDict(extra="forbid")
    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[ProblemError] | None = None


class Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self, status: int, detail: str, *, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.detail = status, detail
        self.code, self.headers = code or _BY_STATUS[status], dict(headers or {})
        super().__init__(detail)


def problem_bytes(
    status: int, code: str, detail: str, request_id: str, found: Sequence[Mapping[str, str]] | None = None
) -> bytes:
    """Return the document of a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": shortened(detail),
        "request_id": request_id,
    }
    if found is not None:
        body["errors"] = list(found)
    return json.dumps(body).encode()  # escapes all but ASCII: nothing of it can disturb a terminal


def shortened(text: str) -> str:
    return text if len(text) <= DETAIL_MAX else text[: DETAIL_MAX - 3] + "..."


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id that the guard gave to a request."""
    return str(scope.get("state", {}).get("request_id", ""))


def add_handlers(app: FastAPI) -> None:
    """Have every error of an endpoint answered with a problem; the guard answers what nobody expected."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(BadJson, _of_ours)
    app.add_exception_handler(errors.TidalError, _of_ours)


def _answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    found: Sequence[Mapping[str, str]] | None = None,
) -> Response:
    body = problem_bytes(status, code, detail, request_id_of(request.scope), found)
    return Response(body, status, dict(headers or {}), PROBLEM_TYPE)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer(request, error.status, error.code, error.detail, error.headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, "invalid")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    detail = {404: "there is nothing under this path", 405: "the path has no such method"}
    return _answer(request, error.status_code, code, detail.get(error.status_code, code), headers)


def _methods(request: Request) -> list[str]:
    """Return the methods of a path: several routes may have it, and the first would name its own only."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    fits = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in fits for method in route.methods or ()})


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    found = [
        {"at": shortened(".".join(map(str, each["loc"]))), "reason": shortened(str(each["msg"]))}
        for each in error.errors()[:ERRORS_MAX]
    ]
    text = "; ".join(f"{each['at']}: {each['reason']}" if each["at"] else each["reason"] for each in found)
    return _answer(request, 422, "invalid", text, found=found)


async def _of_ours(request: Request, error: Exception) -> Response:
    found = next((row for row in _OF_ERRORS if isinstance(error, row[0])), None)
    if found is None:
        raise error
    _, status, code, text = found
    if text:
        request_id, kind = request_id_of(request.scope), type(error).__name__
        about = said("request_refused", request_id=request_id, error_type=kind)
        _logger.warning("request %s: %s", request_id, kind, exc_info=error, extra=about)
    else:
        text = "; ".join((str(error), *getattr(error, "__notes__", ())))
    return _answer(request, status, code, text, _waits(error, status))


def _waits(error: Exception, status: int) -> dict[str, str]:
    after = getattr(error, "retry_after", None)
    if isinstance(after, int | float):
        return {"Retry-After": str(max(1, math.ceil(after)))}
    return {"Retry-After": "1"} if status in (429, 503) else {}

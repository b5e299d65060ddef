"""How an endpoint is made: who may call it, what it takes and answers, said once for code and OpenAPI."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from tidal.serve.problems import PROBLEM_TYPE, Problem, Refused
from tidal.serve.strict_json import parse_json
from tidal.serve.tokens import EVERYONE, Holder, Scope, Tokens
from tidal.serve.values import Strict

JSON_TYPE: Final = "application/json"
BEARER: Final = "bearer"

Asked = TypeVar("Asked", bound=Strict)

_WHEN: Final = {
    400: "no JSON, or not as JSON has to be",
    401: "no token, or one that is not known",
    403: "the token has not the scope for this",
    404: "there is no such thing",
    408: "the request came too slowly",
    409: "not in this state",
    410: "no longer there",
    413: "more than one request may have",
    415: "a body of another type",
    416: "no such part of the file",
    421: "the service does not go by this name",
    422: "something in the request cannot be; nothing was changed",
    429: "a limit of the database is reached",
    501: "what the service needs for this is not installed",
    503: "not now",
    507: "the disk is full",
}
_ALWAYS: Final = (401, 403, 413, 415, 421, 503)


class Endpoints:
    """Adds endpoints to a router; all of them ask for a token, where there are tokens."""

    def __init__(self, router: APIRouter, tokens: Tokens | None) -> None:
        self._router, self._tokens = router, tokens
        self.bodies: list[type[Strict]] = []

    def add(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Response],
        scope: Scope,
        *,
        answers: type[BaseModel] | None = None,
        content: Mapping[str, Any] | None = None,
        takes: Mapping[str, type[Strict] | None] | None = None,
        status: int = 200,
        problems: tuple[int, ...] = (),
    ) -> None:
        """Add an endpoint.

        ``answers`` is the model of its JSON, or ``content`` its media types; ``takes`` the media types of
        its body, each with its model; ``problems`` the statuses that it has beside those of all.
        """
        good: dict[str, Any] = {"description": "done"}
        good |= {"model": answers} if answers else {"content": dict(content or {})}
        extra: dict[str, Any] = {"security": [{BEARER: [scope.value]}]}
        if takes:
            extra["requestBody"] = {
                "required": True,
                "content": {kind: _schema(it) for kind, it in takes.items()},
            }
            self.bodies += [model for model in takes.values() if model]
        self._router.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            response_model=None,
            dependencies=[Depends(self._allow(scope))],
            operation_id=endpoint.__name__,
            responses={status: good, **{code: _problem(code) for code in sorted({*_ALWAYS, *problems})}},
            openapi_extra=extra,
        )

    def _allow(self, scope: Scope) -> Callable[[Request], Coroutine[Any, Any, None]]:
        async def allow(request: Request) -> None:
            holder = self._holder(request)
            request.state.holder = holder
            if scope not in holder.scopes:
                challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
                raise Refused(
                    403,
                    f"the token has not the scope {scope.value!r}",
                    headers={"WWW-Authenticate": challenge},
                )

        return allow

    def _holder(self, request: Request) -> Holder:
        if self._tokens is None:
            return EVERYONE
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        holder = self._tokens.holder(token.strip(" ")) if scheme.lower() == "bearer" else None
        if holder is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="tidal"'}
            raise Refused(401, "send Authorization: Bearer and a token of this service", headers=challenge)
        return holder


def _schema(model: type[Strict] | None) -> dict[str, Any]:
    if model is None:
        return {"schema": {"type": "string", "format": "binary"}}
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}


def _problem(status: int) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {"description": _WHEN[status], "content": content}


# ------------------------------------------------------------------------------------ bodies and answers


def media_type(request: Request) -> str:
    """Return the type of a request's body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json_body(request: Request) -> bytes:
    if media_type(request) != JSON_TYPE:  # what a page of another site cannot send unasked
        raise Refused(415, f"send Content-Type: {JSON_TYPE}")
    return await request.body()


JsonBody = Annotated[bytes, Depends(_json_body)]
"""The bytes of a JSON body: they are parsed in the endpoint's thread, not where all requests wait."""


def parsed(body: bytes, model: type[Asked]) -> Asked:
    """Return what a body asks. Raises BadJson, pydantic's ValidationError."""
    return model.model_validate(parse_json(body))


def answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as JSON; ValueError for NaN and infinity, which JSON has not."""
    text = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), JSON_TYPE)

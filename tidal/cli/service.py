"""A service that is asked over HTTP: the client of `tidal watch`."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from tidal.cli.tables import printable
from tidal.errors import UnreachableService, UsageError
from tidal.loopback import is_loopback
from tidal.page import LIVE_NAME, SNAPSHOT_FORMAT
from tidal.private import read_private

TIMEOUT_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 16 << 20
_TOKEN_BYTES_MAX: Final = 4_096
_DETAIL_MAX: Final = 300
_REFUSED: Final = {
    401: "the service asks for a token: give it by --token FILE or in {variable}",
    403: "the service refuses: the token may not read, or this machine may not ask",
    404: "there is no live view under this URL; give that of `tidal serve` or of a metrics port",
    421: "the service does not go by the name in this URL",
}


def token(file: Path | None, environment: Mapping[str, str], variable: str) -> str | None:
    """Return the token in a file of one's own, else in the environment, else None. Raises InvalidOption."""
    given = environment.get(variable, "")
    text = (given if file is None else read_private(file, "token", bytes_max=_TOKEN_BYTES_MAX)).strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            "a token is one word of ASCII; the file has the token alone, without name and scopes"
        )
    return text or None


class Service:
    """The live view of a service. A redirect is not followed: it could take the token elsewhere."""

    def __init__(
        self, url: str, token: str | None, signal: str | None, by: Sequence[str], variable: str
    ) -> None:
        parts = urlsplit(url)
        try:
            self._port = parts.port
        except ValueError:
            raise UsageError(f"{url}: a port is a number from 0 to 65535") from None
        if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
            raise UsageError(
                f"{url}: write it as http://HOST:PORT, without more; a token never goes into a URL"
            )
        self._host, self._secure, self._variable = parts.hostname, parts.scheme == "https", variable
        if token and not self._secure and not _is_this_machine(self._host):
            raise UsageError(f"{url}: the token would travel unencrypted to another machine; use https")
        asked = [*([("signal", signal)] if signal is not None else []), *(("by", name) for name in by)]
        self._path = f"{parts.path.rstrip('/')}/{LIVE_NAME}" + (f"?{urlencode(asked)}" if asked else "")
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def take(self) -> dict[str, Any]:
        """Return what the service shows now. Raises UnreachableService, UsageError where it refuses."""
        status, body = self._ask()
        if 400 <= status < 500:
            raise UsageError(_REFUSED.get(status, _detail(body, status)).format(variable=self._variable))
        if status != 200:
            raise UnreachableService(_detail(body, status))
        try:
            found = json.loads(body)
            if not isinstance(found, dict) or found.get("format") != SNAPSHOT_FORMAT:
                raise ValueError
        except ValueError:
            raise UnreachableService(
                f"{self._host} did not answer as this tidal does; is it another version?"
            ) from None
        return found

    def _ask(self) -> tuple[int, bytes]:
        return fetch(self._host, self._port, self._secure, self._path, self._headers)


def fetch(
    host: str, port: int | None, secure: bool, path: str, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    """Return the status and body of an answer; UnreachableService for none, and for one without an end."""
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableService(f"{host} does not answer: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if len(body) > ANSWER_BYTES_MAX:
        raise UnreachableService(f"{host} answered with more than {ANSWER_BYTES_MAX:,} bytes")
    return answer.status, body


def _detail(body: bytes, status: int) -> str:
    """Return what a problem document says."""
    try:
        return printable(str(json.loads(body)["detail"]))[:_DETAIL_MAX]
    except (ValueError, KeyError, TypeError):
        return f"the service answered with status {status}"


def _is_this_machine(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:
        return host == "localhost"

"""The page as one file: its style and script within, and named by their hashes in its policy."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files
from typing import Final

LIVE_NAME: Final = "live.json"  # beside the page; the script asks for it under this name

_SCRIPTS: Final = ("format.js", "charts.js", "parts.js", "live.js")


@functools.cache
def html() -> bytes:
    """Return the page, UTF-8. It holds nothing of any store: that is asked for with a token, if there are
    tokens.
    """
    page = _asset("page.html").replace("/*style*/", _style()).replace("/*script*/", _script())
    return page.encode()


@functools.cache
def policy() -> str:
    """Return the Content-Security-Policy that the page is to be sent with: its own style and script and no
    other, requests to where it came from and nowhere else.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{_hash(_style())}'",
            f"script-src 'sha256-{_hash(_script())}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _style() -> str:
    return _asset("page.css")


def _script() -> str:
    parts = "".join(map(_asset, _SCRIPTS))
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _asset(name: str) -> str:
    return (files("tidal.page") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

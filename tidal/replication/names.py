"""Names of channels, claims and followers: the same rules for every transport."""

from __future__ import annotations

import re

from tidal.errors import InvalidOption, PayloadTooLarge

_NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII)


def check_name(what: str, name: object) -> str:
    """Return the name of a channel or claim, or raise InvalidOption."""
    parts = name.split("/") if isinstance(name, str) else []
    if not isinstance(name, str) or not _NAME.fullmatch(name) or {".", ".."} & {*parts}:
        raise InvalidOption(f"{what} {name!r}: write 1 to 200 of A-Z a-z 0-9 _ . - with / between parts")
    return name


def check_payload(payload: bytes, most: int) -> None:
    """Raise PayloadTooLarge for more bytes than a transport takes."""
    if len(payload) > most:
        raise PayloadTooLarge(f"a message of {len(payload)} bytes; this transport takes {most} at most")

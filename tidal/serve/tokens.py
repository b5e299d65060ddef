"""Bearer tokens and what each may do. Only hashes of them are kept, and nothing ever shows one."""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tidal.errors import InvalidOption
from tidal.private import read_private

TOKEN_LENGTH_MIN: Final = 24  # 18 random bytes in base64
TOKEN_LENGTH_MAX: Final = 512
TOKENS_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 1 << 20

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750, b68token
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_LINE: Final = "NAME SCOPES TOKEN, such as: dashboard read 3yPpVQ1cJ0kq5wZt8uXf2gHn"


class Scope(enum.StrEnum):
    """What a token may do: see scores and rankings; write events; take events out, also by jobs."""

    READ = "read"
    WRITE = "write"
    EXPORT = "export"


class Holder(NamedTuple):
    """Who has a token, and what it is good for."""

    name: str
    scopes: frozenset[Scope]


EVERYONE: Final = Holder("", frozenset(Scope))  # where there are no tokens


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    holder: Holder


class Tokens:
    """The tokens that a service takes, one or more.

    Each has a name, which is logged in its place, and scopes. Several tokens may share a name: an old one
    and its successor, say.

    >>> tokens = Tokens.parse("dashboard read 3yPpVQ1cJ0kq5wZt8uXf2gHn")
    >>> tokens.holder("3yPpVQ1cJ0kq5wZt8uXf2gHn").name
    'dashboard'
    >>> tokens.holder("another") is None
    True
    """

    def __init__(self, tokens: Iterable[tuple[str, Iterable[Scope | str], str]]) -> None:
        """Take tokens as (name, scopes, token). Raises InvalidOption, which never repeats a token."""
        self._known = [_known(number, *entry) for number, entry in enumerate(tokens, 1)]
        if not 1 <= len(self._known) <= TOKENS_MAX:
            raise InvalidOption(f"there are {len(self._known):,} tokens; a service takes 1 to {TOKENS_MAX:,}")
        if len({known.digest for known in self._known}) != len(self._known):
            raise InvalidOption("one token is given twice; give each holder one of its own")

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Return the tokens of a text, each a line NAME SCOPES TOKEN; scopes are joined by commas.

        Empty lines and those that begin with # mean nothing. InvalidOption names the line that is wrong.
        """
        lines = ((number, line.split()) for number, line in enumerate(text.splitlines(), 1))
        entries = []
        for number, words in lines:
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 3:
                raise InvalidOption(f"tokens, line {number}: write {_LINE}")
            entries.append((words[0], words[1].split(","), words[2]))
        return cls(entries)

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """Return the tokens of a file, which must be this user's own and closed to all others (0600).

        Raises InvalidOption, OSError.
        """
        text = read_private(path, "tokens", bytes_max=FILE_BYTES_MAX)
        try:
            return cls.parse(text)
        except InvalidOption as error:
            raise InvalidOption(f"{path}: {error}") from None

    def holder(self, token: str) -> Holder | None:
        """Return who has this token, or None. How long that takes says nothing of any token."""
        digest = _digest(token)
        found = None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known.holder
        return found

    def __repr__(self) -> str:
        return f"<Tokens of {', '.join(sorted({known.holder.name for known in self._known}))}>"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _known(number: int, name: str, scopes: Iterable[Scope | str], token: str) -> _Known:
    where = f"token {number}"
    if not _NAME.fullmatch(name):
        raise InvalidOption(f"{where}: a name is 1 to 64 of A-Z a-z 0-9 _ . -")
    try:
        granted = frozenset(map(Scope, scopes))
    except ValueError:
        raise InvalidOption(f"{where}: scopes are {', '.join(Scope)}, joined by commas") from None
    if not granted:
        raise InvalidOption(f"{where} has no scope; give it one of {', '.join(Scope)}")
    if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX or not _TOKEN.fullmatch(token):
        raise InvalidOption(
            f"{where}: a token is {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} of A-Z a-z 0-9 . _ ~ + / -; make "
            "one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return _Known(_digest(token), Holder(name, granted))

"""JSON as requests may have it: every name once, every number finite, nothing deep, nothing huge.

The parser of the standard library takes NaN, lets the last of two equal names win, makes 1e999 infinite and
recurses as deep as the text is; each of those is refused here, with a reason.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final, NoReturn

from tidal.serve.limits import INTEGER_DIGITS_MAX, JSON_DEPTH_MAX

_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|$)', re.S)
_SCALARS: Final = re.compile(rb"[^\[\]{}]++")


class BadJson(ValueError):
    """The text is no JSON that is taken; the message is the reason."""


def parse_json(text: bytes) -> Any:
    """Return what a body says. Raises BadJson, whose message names the place where there is one."""
    _check_depth(text)
    try:
        return _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def _check_depth(text: bytes) -> None:
    """Before anything recurses. Brackets within strings are no depth."""
    depth = 0
    for bracket in _SCALARS.sub(b"", _STRINGS.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        if depth > JSON_DEPTH_MAX:
            raise BadJson(f"nested deeper than {JSON_DEPTH_MAX}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise BadJson(f"the name {twice[:40]!r} stands twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise BadJson(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > INTEGER_DIGITS_MAX:
        raise BadJson(f"an integer of more than {INTEGER_DIGITS_MAX} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJson(f"{text[:40]} is beyond every float64")
    return value


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
)

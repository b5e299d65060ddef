"""The values that requests are made of: ids, times, names; how each is read, and what OpenAPI says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from tidal.format.frame import SEQ_MAX
from tidal.ingest.scalars import TimeRange, key_of, time_of
from tidal.schema.events import ID_MAX, KEY_BYTES_MAX, TIME_MAX_NS, TIME_MIN_NS

NAMED: Final = "x-tidal-names"

IdsAs = Literal["text", "number"]

_EXACT_MAX: Final = 2**53
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,19})", re.ASCII)
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_MOMENT: Final = (  # RFC 3339 in the years that every event may have
    "(?:19[0-9]{2}|20[0-9]{2}|21(?:0[0-9]|1[0-5]))-"
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|[12][0-9]))"
    f"T{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
)


class Strict(BaseModel):
    """What is asked: nothing is converted silently, and nothing is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def up_to(largest: int) -> str:
    """Return a pattern of the decimal numbers from 0 to ``largest``, without zeros in front.

    >>> up_to(130)
    '0|[1-9][0-9]{0,1}|1[0-2][0-9]{1}|130'
    """
    digits = str(largest)
    shorter = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"] if len(digits) > 1 else []
    equal = []
    for place, digit in enumerate(digits):
        lowest, below = (1 if place == 0 else 0), int(digit) - 1
        if below >= lowest and (rest := len(digits) - place - 1):
            equal.append(f"{digits[:place]}{_one_of(lowest, below)}[0-9]{{{rest}}}")
        elif below >= lowest:
            equal.append(f"{digits[:place]}{_one_of(lowest, below)}")
    return "|".join(["0", *shorter, *equal, digits])


def _one_of(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"[{lowest}-{highest}]"


def decimal(value: object) -> object:
    """Return the integer that a decimal text is, or a number as 7.0, and anything else as it is.

    JSON has one kind of number, and some writers give every one a point. Above 2**53 such a writer has lost
    the integer already, so there it is none.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_MAX:
        return int(value)
    return int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else value


def _id(value: object) -> int:
    number = decimal(value)
    if type(number) is not int or not 0 <= number <= ID_MAX:
        raise ValueError("no id: give an integer from 0 to 2**64 - 1, as a number or as decimal text")
    return number


def _time(value: object) -> int:
    number = decimal(value)
    if isinstance(number, str):
        number = _moment(number)
    if type(number) is not int:
        raise ValueError("no time: give ns since the epoch, or a text as 2026-11-21T12:00:00Z")
    return time_of(number, TimeRange.until(0, None))


def _moment(text: str) -> object:
    if not re.fullmatch(_MOMENT, text, re.ASCII):
        return text
    moment: Any = datetime.fromisoformat(text)  # ValueError names the part that cannot be
    return time_of(moment, TimeRange.until(0, None))


def _key(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no key: give a text")
    return key_of(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("give a text")
    return value


def _count(value: object) -> int:
    number = decimal(value)
    if type(number) is not int or not 0 <= number <= SEQ_MAX:
        raise ValueError("give an integer from 0 on, or leave it out")
    return number


def _list_of(read: Callable[[object], Any]) -> Callable[[object], list[Any]]:
    def read_all(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("give a list")
        return list(map(read, value))

    return read_all


_ID_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": ID_MAX},
        {"type": "string", "pattern": f"^({up_to(ID_MAX)})$"},
    ],
    "description": "a number, or its decimal digits as text: readers of JSON lose integers above 2**53",
}
_TIME_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": TIME_MIN_NS, "maximum": TIME_MAX_NS},
        {"type": "string", "pattern": f"^({up_to(TIME_MAX_NS)})$"},
        {"type": "string", "pattern": f"^{_MOMENT}$"},
    ],
    "description": "ns since the epoch, as a number or as decimal text; or RFC 3339",
}


_KEY_SCHEMA: Final = {"type": "string", "maxLength": KEY_BYTES_MAX, "description": "a string key"}
_COUNT_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": SEQ_MAX}


def _named(name: str) -> WithJsonSchema:
    """What depends on the database or on the limits of the service: openapi.py fills it in."""
    return WithJsonSchema({NAMED: name})


Id = Annotated[int, PlainValidator(_id), WithJsonSchema(_ID_SCHEMA)]
Key = Annotated[str, PlainValidator(_key), WithJsonSchema(_KEY_SCHEMA)]
Time = Annotated[int, PlainValidator(_time), WithJsonSchema(_TIME_SCHEMA)]

# May be left out, but not null: null is no id, and a program that sends one has a fault.
OptionalId = Annotated[int | None, PlainValidator(_id), WithJsonSchema(_ID_SCHEMA)]
OptionalKey = Annotated[str | None, PlainValidator(_key), WithJsonSchema(_KEY_SCHEMA)]
OptionalTime = Annotated[int | None, PlainValidator(_time), WithJsonSchema(_TIME_SCHEMA)]
OptionalIds = Annotated[
    list[int] | None, PlainValidator(_list_of(_id)), WithJsonSchema({"type": "array", "items": _ID_SCHEMA})
]
OptionalKeys = Annotated[
    list[str] | None, PlainValidator(_list_of(_key)), WithJsonSchema({"type": "array", "items": _KEY_SCHEMA})
]
OptionalRows = Annotated[int | None, PlainValidator(_count), _named("rows")]
OptionalCount = Annotated[int | None, PlainValidator(_count), WithJsonSchema(_COUNT_SCHEMA)]

SignalName = Annotated[str, _named("signal")]
WindowName = Annotated[str, _named("window")]
VelocityWindow = Annotated[str, _named("velocity_window")]
MeasureName = Annotated[str, _named("measure")]
Weights = Annotated[
    dict[str, float],
    Field(min_length=1),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {NAMED: "qualified_measure"},
            "additionalProperties": {"type": "number"},
        }
    ),
]
OptionalHalfLife = Annotated[str | None, PlainValidator(_text), _named("half_life")]

IdAnswer = Annotated[str | int, WithJsonSchema(_ID_SCHEMA)]
"""An id as it is answered: text, or with ids=number a number."""


def ids_out(ids: NDArray[np.uint64], ids_as: IdsAs) -> list[Any]:
    """Return ids as they are answered."""
    return ids.tolist() if ids_as == "number" else list(map(str, ids.tolist()))

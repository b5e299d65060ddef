"""What one call to ingest is given: a table, or columns by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tidal.errors import InvalidEvent
from tidal.ingest.check import REQUIRED, Prepared, prepare_columns
from tidal.ingest.frames import prepare_frames
from tidal.ingest.keys import ResolveKeys
from tidal.ingest.refused import OnError
from tidal.schema.spec import Schema

_NOT_GIVEN: Final = dict.fromkeys(REQUIRED)


def prepare_call(
    schema: Schema,
    frame: Any,
    given: Mapping[str, Any],
    *,
    columns: Mapping[str, str] | None,
    now_ns: int,
    max_future_skew_ns: int | None,
    resolve_keys: ResolveKeys,
    on_error: OnError,
) -> Iterable[Prepared]:
    """Return the checked events of a table, or where ``frame`` is None of the columns that are ``given``.

    Beside a table only a signal may be given, for all of its rows. As prepare_columns and prepare_frames.
    """
    context: dict[str, Any] = {
        "now_ns": now_ns,
        "max_future_skew_ns": max_future_skew_ns,
        "resolve_keys": resolve_keys,
        "on_error": on_error,
    }
    if frame is None:
        if columns is not None:
            raise InvalidEvent("columns= renames the columns of a table, and no table is given")
        return [prepare_columns(schema, **{**_NOT_GIVEN, **given}, **context)]
    if any(value is not None for name, value in given.items() if name != "signal"):
        raise InvalidEvent("beside a table only signal= and columns= are taken; name its columns by columns=")
    return prepare_frames(schema, frame, signal=given.get("signal"), columns=columns, **context)

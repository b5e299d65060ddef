"""The dataset of sessions: a row for each that the store still remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Final

from tidal.export import Field
from tidal.jobs.request import JobRequest
from tidal.jobs.source import Batch, Context, Source, source_of
from tidal.sessions import SessionSummary

ROWS: Final = 4_096  # of a batch

FIELDS: Final = (
    Field("session_id", "uint64"),
    Field("user_id", "uint64"),
    Field("agent", "string"),
    Field("policy", "string", nullable=True),
    Field("opened_at_ns", "timestamp"),
    Field("last_at_ns", "timestamp"),
    Field("closed_at_ns", "timestamp", nullable=True),
    Field("reason", "string", nullable=True),
    Field("seq", "uint64"),
    Field("signals", "json"),
    Field("weights", "json"),
    Field("hints", "uint64"),
    Field("annotations", "uint64"),
)


def sessions(context: Context, request: JobRequest) -> Source:
    """A row for each session that is open or remembered, those opened first come first.

    ``since`` and ``until``: something happened in it at or after the one, and it was opened before the other.
    """
    user = None if request.user_id is None else int(request.user_id)
    found = [
        session
        for session in context.db.sessions.summaries(user_id=user, since=request.since)
        if request.session_id in (None, session.id)
        and (request.until is None or session.opened_at < request.until)
    ]
    return source_of(FIELDS, _batches(found), context, request.limit, len(found))


def _batches(found: list[SessionSummary]) -> Iterator[Batch]:
    rest = iter(found)
    while part := list(islice(rest, ROWS)):
        yield {
            "session_id": [session.id for session in part],
            "user_id": [session.user_id for session in part],
            "agent": [session.agent for session in part],
            "policy": [session.policy for session in part],
            "opened_at_ns": [session.opened_at for session in part],
            "last_at_ns": [session.last_at for session in part],
            "closed_at_ns": [session.closed_at for session in part],
            "reason": [session.reason for session in part],
            "seq": [session.seq for session in part],
            "signals": [json.dumps(dict(session.signals)) for session in part],
            "weights": [json.dumps(dict(session.weights)) for session in part],
            "hints": [session.hints for session in part],
            "annotations": [session.annotations for session in part],
        }

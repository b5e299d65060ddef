"""The datasets that every store has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tidal.export import Field, SignalSource, export_signals
from tidal.jobs.datasets import Dataset
from tidal.jobs.entity_rows import entities
from tidal.jobs.measures import scores, windows
from tidal.jobs.request import JobRequest
from tidal.jobs.session_rows import sessions
from tidal.jobs.source import Context, Source, source_of
from tidal.schema import EventBatch, Schema

_OF_MEASURES: Final = frozenset(("entity_id", "signal_types", "since", "until", "at", "keys"))
_OF_SIGNALS: Final = frozenset(
    ("entity_id", "user_id", "session_id", "signal_types", "since", "until", "after_seq", "until_seq", "keys")
)
HARD_NEGATIVE_FIELDS: Final = (
    Field("user_id", "uint64"),
    Field("entity_id", "uint64"),
    Field("reason", "string"),
    Field("timestamp_ns", "timestamp"),
)


def signals(context: Context, request: JobRequest) -> Source:
    """The recorded events, in the order of the log."""
    source = _Checked(context, context.signals())
    export = export_signals(source, request.signals())

    def capped() -> bool:
        if request.limit is None or (request.limit and export.share >= 1.0):
            return False
        after = export.last_seq if request.limit else request.after_seq
        rest = replace(request.signals(), after_seq=after, limit=1, keys=False)
        return any(True for _ in export_signals(source, rest))

    return Source(export.table(), lambda rows: export.share, capped)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A source of signals that looks, before each batch of the log, whether the job is to go on."""

    context: Context
    inner: SignalSource

    @property
    def schema(self) -> Schema:
        return self.inner.schema

    @property
    def durable_seq(self) -> int:
        return self.inner.durable_seq

    def names(self, kind: str, ids: Iterable[int]) -> list[str | None]:
        return self.inner.names(kind, ids)

    def read(
        self,
        after_seq: int | None,
        until_seq: int,
        since: int | None,
        until: int | None,
        types: Collection[int] | None,
    ) -> Iterator[tuple[int, EventBatch]]:
        for found in self.inner.read(after_seq, until_seq, since, until, types):
            self.context.check()
            yield found


def hard_negatives(context: Context, request: JobRequest) -> Source:
    """What users refused: nothing is recorded of it yet, so the table has its columns and no rows."""
    return source_of(HARD_NEGATIVE_FIELDS, (), context, request.limit)


BUILT_IN: Final = (
    Dataset("entities", frozenset(("entity_id",)), entities),
    Dataset("hard_negatives", frozenset(("entity_id", "user_id", "since", "until")), hard_negatives),
    Dataset("scores", _OF_MEASURES, scores),
    Dataset("sessions", frozenset(("user_id", "session_id", "since", "until")), sessions),
    Dataset("signals", _OF_SIGNALS, signals),
    Dataset("windows", _OF_MEASURES, windows),
)

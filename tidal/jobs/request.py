"""What a job is asked for: a dataset, filters, a format; and the same as a JSON value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self, get_args

from tidal.errors import FormatError, InvalidOption
from tidal.export.formats import COMPRESSION_SUFFIXES, SUFFIXES, Compression, ExportFormat, encoding_of
from tidal.export.request import Entity, ExportRequest, Time
from tidal.export.text import IdsAs
from tidal.ingest.scalars import TimeRange, Unfit, time_of
from tidal.schema import Schema

IDS_AS: Final = get_args(IdsAs)
FILTERS: Final = (
    "entity_id", "user_id", "session_id", "signal_types",
    "since", "until", "at", "after_seq", "until_seq", "keys",
)  # fmt: skip
"""What a dataset may take or not; ``dataset``, ``format``, ``compression`` and ``limit`` are of every job."""

_OF_EXPORTS: Final = (*(name for name in FILTERS if name != "at"), "limit")
_NUMBERS: Final = tuple(name for name in (*FILTERS, "limit") if name not in ("signal_types", "keys"))


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is to write: a dataset, filtered, in a format.

    - ``format``, ``compression``: as of any export; "none", "gzip" or "zstd".
    - ``entity_id``, ``user_id``, ``session_id``: only of these; ids or string keys.
    - ``signal_types``: only of these; none means all.
    - ``since`` (inclusive), ``until`` (exclusive): int ns, datetime or numpy.datetime64.
    - ``at``: the time that scores and windows are read at; left out: when the job was made.
    - ``after_seq``, ``until_seq``: events after the one sequence, up to the other; left out: all that were
      durable when the job was made, so that each run of it writes the same.
    - ``keys``: string keys beside the ids.
    - ``limit``: the most rows. A job that it cut off says so: ``Job.capped``.
    - ``ids_as``: "text" writes ids in JSON as texts, for readers that lose integers beyond 2**53.

    Which of the filters a dataset takes, ``db.jobs.datasets()`` says; others are refused, not ignored.
    """

    dataset: str
    format: ExportFormat = ExportFormat.JsonLines
    compression: Compression | None = None
    entity_id: Entity | None = None
    user_id: Entity | None = None
    session_id: Entity | None = None
    signal_types: Sequence[str] = ()
    since: Time | None = None
    until: Time | None = None
    at: Time | None = None
    after_seq: int | None = None
    until_seq: int | None = None
    keys: bool = False
    limit: int | None = None
    ids_as: IdsAs = "number"

    def checked(self, schema: Schema) -> Self:
        """Return the request with ids and ns for all that names them otherwise.

        Raises InvalidOption, InvalidEntity, UnknownSignalType.
        """
        encoding = encoding_of(None, self.format, self.compression)
        if self.ids_as not in IDS_AS:
            raise InvalidOption(f'ids_as is {self.ids_as!r}; it is "number" or "text"')
        asked = self.signals().checked(schema)
        return replace(
            self,
            format=encoding.format,
            compression=encoding.compression,
            at=_ns(self.at),
            **{name: getattr(asked, name) for name in _OF_EXPORTS},
        )

    def signals(self) -> ExportRequest:
        """Return the request for the signals that these filters let through."""
        return ExportRequest(all=True, **{name: getattr(self, name) for name in _OF_EXPORTS})

    def filters(self) -> tuple[str, ...]:
        """Return the names of the filters that are set."""
        return tuple(name for name in FILTERS if getattr(self, name) not in (None, (), False))

    @property
    def suffix(self) -> str:
        """How the name of a file in this format ends."""
        suffix = next(text for text, format in SUFFIXES.items() if format is self.format)
        if self.format.is_text:
            suffix += next((text for text, it in COMPRESSION_SUFFIXES.items() if it == self.compression), "")
        return suffix

    def to_json(self) -> dict[str, Any]:
        """Return a checked request as a JSON value."""
        body = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**body, "format": self.format.value, "signal_types": list(self.signal_types)}

    @classmethod
    def from_json(cls, body: object) -> Self:
        """Return the request that to_json() was made of; FormatError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(body, Mapping) or body.keys() != names:
            raise FormatError(f"a request has the fields {', '.join(sorted(names))}")
        types = body["signal_types"]
        if not isinstance(types, list) or not all(isinstance(it, str) for it in (body["dataset"], *types)):
            raise FormatError("dataset and signal_types of a request are texts")
        if body["ids_as"] not in IDS_AS:
            raise FormatError(f"ids_as of a request is {body['ids_as']!r}")
        if wrong := [name for name in _NUMBERS if type(body[name]) not in (int, type(None))]:
            raise FormatError(f"{wrong[0]} of a request is no integer")
        try:
            encoding = encoding_of(None, body["format"], body["compression"])
        except InvalidOption as error:
            raise FormatError(str(error)) from None
        if encoding.compression != body["compression"] or type(body["keys"]) is not bool:
            raise FormatError("compression and keys of a request are not as they are written")
        chosen = {"format": encoding.format, "compression": encoding.compression}
        return cls(**{**body, **chosen, "signal_types": tuple(types)})


def _ns(at: Time | None) -> int | None:
    try:
        return None if at is None else time_of(at, TimeRange.until(0, None))
    except Unfit as unfit:
        raise InvalidOption(f"at is {at!r}: {unfit}") from None

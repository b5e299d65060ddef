"""What the page asks of a database: nothing that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tidal.answers import Top
from tidal.archive.marks import Marks
from tidal.entities import EntityStore
from tidal.health import Health
from tidal.links import Links
from tidal.schema import Schema


class JobSeen(Protocol):
    """An export job, as far as the page shows it: a tidal.jobs.Job."""

    @property
    def id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def request(self) -> Any: ...
    @property
    def status(self) -> Any: ...
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def share(self) -> float | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def path(self) -> Path | None: ...


class Watch(Protocol):
    """What a database knows of itself."""

    @property
    def uptime(self) -> float: ...
    @property
    def checkpoint_seconds(self) -> tuple[float | None, float | None]: ...

    def disk(self) -> Mapping[str, int | None]: ...


class Watched(Protocol):
    """A database, as the page sees it."""

    schema: Schema
    items: EntityStore
    users: EntityStore
    creators: EntityStore

    @property
    def _watch(self) -> Watch: ...

    @property
    def _links(self) -> Links: ...

    @property
    def path(self) -> Path | None: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def last_seq(self) -> int: ...

    @property
    def marks(self) -> Marks: ...

    def now(self) -> int: ...

    def stats(self) -> dict[str, Any]: ...

    def health(self) -> Health: ...

    def disk_usage(self) -> Mapping[str, int]: ...

    def top(self, signal: str, k: int = 10, *, by: str = "score", at: Any = None) -> Top: ...

    def counts(self, signal: str, ids: Any, window: str, *, at: Any = None) -> NDArray[np.uint64]: ...

    def _known_jobs(self) -> Sequence[JobSeen]: ...

"""What the page and ``tidal watch`` show of a database, as JSON."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tidal.build import __version__, build_hash
from tidal.errors import CorruptionError, FormatTooNew, StorageError, StoreClosed
from tidal.health import Health
from tidal.links import FollowerSeen, FollowingSeen, IngestSeen, LeadingSeen, RegionSeen
from tidal.page.kept import Kept
from tidal.page.linked import followers_shown, following_shown, regions_shown, streams_shown
from tidal.page.rankings import Ranking, measures_shown, ranking_of
from tidal.page.rates import Rates, Sample
from tidal.page.watched import JobSeen, Watched
from tidal.schema import SignalType
from tidal.schema.measures import measures_of, parse_measure

SNAPSHOT_FORMAT: Final = 1
RANKINGS_MAX: Final = 4  # in one snapshot
JOBS_SHOWN: Final = 20

_LOOK_SECONDS: Final = 0.5  # two people who look within it see the same
_DISK_SECONDS: Final = 5.0
_UNREADABLE: Final = (StorageError, CorruptionError, FormatTooNew)  # that part is not known; the rest is
_PATH: Final = re.compile(r"(?:/[^\s/'\":,;]+){2,}/?")


class Snapshots:
    """Looks at a database, as often as somebody asks and not more often than it is worth.

    ``download`` is the path of a job's file with ``{id}`` in it, where files can be had. ``clock`` gives
    seconds that never go back, ``wall_clock`` ns. Methods may be called from any thread.
    """

    def __init__(
        self,
        db: Watched,
        *,
        download: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._db, self._download = db, download
        self._clock, self._wall_clock = clock, wall_clock
        self._lock = threading.Lock()
        self._rates = Rates()
        self._rankings: dict[tuple[str, str], Kept[Ranking]] = {}
        self._disk = self._kept(self._disk_now, _DISK_SECONDS)
        self._followers = self._kept(self._followers_now, _LOOK_SECONDS)
        self._jobs = self._kept(self._jobs_now, _LOOK_SECONDS)

    def sample(self) -> None:
        """Note how many events there are; called every second or two, the page has a past to show when it is
        opened. Takes microseconds, and does nothing once the database is closed.
        """
        with self._lock, contextlib.suppress(StoreClosed):
            self._sample(self._db.stats())

    def take(self, signal: str | None = None, by: Sequence[str] = (), *, jobs: bool = True) -> dict[str, Any]:
        """Return what there is to see now, a JSON object (docs/guide/watch.md lists its fields).

        ``signal`` and ``by`` say which rankings: of the first signal type by default, by score and by
        velocity. Without ``jobs`` none are told. Raises UnknownSignalType, UnknownMeasure, StoreClosed.
        """
        with self._lock:
            stats = self._db.stats()
            self._sample(stats)
            return {
                "format": SNAPSHOT_FORMAT,
                "version": __version__,
                "build": build_hash(),
                "store": None if self._db.path is None else self._db.path.name,
                "read_only": self._db.read_only,
                "at_ms": self._wall_clock() // 1_000_000,
                "uptime_seconds": round(self._db._watch.uptime, 1),
                "health": health_shown(self._db.health()),
                "rate": {"now": self._rates.now(), "points": self._rates.points(self._clock())},
                "signals": self._signals(stats),
                "tops": self._tops(signal, by),
                **self._files(stats),
                "followers": self._followers.get(),
                "following": self._following(),
                "regions": self._regions(),
                "streams": self._streams(),
                "jobs": self._jobs.get() if jobs else None,
            }

    # ------------------------------------------------------------------------------ parts

    def _kept(self, make: Callable[[], Any], seconds: float) -> Kept[Any]:
        return Kept(make, seconds, clock=self._clock)

    def _sample(self, stats: dict[str, Any]) -> None:
        counted = {name: it["events"] for name, it in stats["signals"].items()}
        self._rates.add(Sample(self._clock(), stats["last_seq"], counted))

    def _signals(self, stats: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "name": signal.name,
                "kind": signal.kind,
                **{name: stats["signals"][signal.name][name] for name in ("entities", "events", "late")},
                "rate": self._rates.of(signal.name),
                "measures": measures_of(signal),
            }
            for signal in self._db.schema
        ]

    def _tops(self, signal: str | None, by: Sequence[str]) -> list[dict[str, Any]]:
        schema = self._db.schema
        chosen = schema.signal(schema.names[0] if signal is None else signal)
        wanted = dict.fromkeys(by or measures_shown(chosen))
        return [self._top(chosen, name)._asdict() for name in list(wanted)[:RANKINGS_MAX]]

    def _top(self, signal: SignalType, by: str) -> Ranking:
        measure = parse_measure(signal, by)
        # One name for each: "score.7d" and "score.168h" are one ranking, and nobody can have many remembered.
        name = next(name for name in measures_of(signal) if parse_measure(signal, name) == measure)
        key = signal.name, name
        if key not in self._rankings:
            self._rankings[key] = self._kept(lambda: ranking_of(self._db, signal, name), _LOOK_SECONDS)
        return self._rankings[key].get()

    def _files(self, stats: dict[str, Any]) -> dict[str, Any]:
        age, took = self._db._watch.checkpoint_seconds
        return {
            "log": {name: stats[name] for name in ("last_seq", "durable_seq", "unsynced_bytes")},
            "checkpoint": {
                "seq": stats["checkpoint_seq"],
                "behind": stats["last_seq"] - stats["checkpoint_seq"],
                "age_seconds": age,
                "took_seconds": took,
                "error": _without_paths(stats["checkpoint_error"]),
            },
            "archive": {"error": _without_paths(stats["archive_error"])},
            "disk": self._disk.get(),
        }

    def _disk_now(self) -> dict[str, int | None] | None:
        if self._db.path is None:
            return None
        try:
            return {**self._db.disk_usage(), **self._db._watch.disk()}
        except _UNREADABLE:
            return None

    def _followers_now(self) -> list[dict[str, Any]] | None:
        if self._db.path is None:
            return []
        try:
            marks = self._db.marks.all()
        except _UNREADABLE:
            return None
        shipped: list[FollowerSeen] = []
        for leading in self._db._links.of(LeadingSeen):
            shipped += leading.followers
        return followers_shown(shipped, marks, self._db.last_seq)

    def _following(self) -> dict[str, Any] | None:
        return _trouble_told(following_shown(self._db._links.of(FollowingSeen)))

    def _regions(self) -> dict[str, Any] | None:
        return _trouble_told(regions_shown(self._db._links.of(RegionSeen)))

    def _streams(self) -> list[dict[str, Any]]:
        shown = streams_shown(self._db._links.of(IngestSeen))
        return [{**it, "trouble": _without_paths(it["trouble"])} for it in shown]

    def _jobs_now(self) -> list[dict[str, Any]] | None:
        try:
            return [self._job(job) for job in self._db._known_jobs()[:JOBS_SHOWN]]
        except _UNREADABLE:
            return None

    def _job(self, job: JobSeen) -> dict[str, Any]:
        to_be_had = self._download is not None and job.path is not None
        return {
            "id": job.id,
            "number": job.number,
            "dataset": job.request.dataset,
            "format": job.request.format.value,
            "status": job.status.value,
            "share": job.share,
            "rows": job.rows,
            "bytes": job.bytes,
            "reason": _without_paths(job.reason),
            "download": self._download.format(id=job.id) if to_be_had and self._download else None,
        }


def health_shown(health: Health) -> dict[str, Any]:
    """Return what is wrong with a database as JSON, without the names of this machine's files."""
    reasons = [{"code": why.code, "message": _without_paths(why.message)} for why in health.reasons]
    return {"ok": health.ok, "ready": health.ready, "reasons": reasons}


def _trouble_told(shown: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if shown is None else {**shown, "trouble": _without_paths(shown["trouble"])}


def _without_paths(text: str | None) -> str | None:
    """Return what went wrong without the names of this machine's files."""
    return None if text is None else _PATH.sub("(a file)", text)

"""Why a database may be unwell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tidal.records import record

REASONS: Final[Mapping[str, str]] = {
    "deposed": "another node leads: nothing more is recorded here",
    "poisoned": "a write or sync of the log failed: nothing more is recorded until the store is opened anew",
    "disk_full": "there is no space for the log, or too little for the next checkpoint",
    "checkpoint_failed": "the last checkpoint failed; the log grows until one succeeds",
    "checkpoint_stale": "no checkpoint is written though it is long due; a crash now takes long to open from",
    "archive_failed": "the log could not be archived; it grows until that succeeds",
    "follower_stalled": "a mark stands still and holds the log back, so the disk fills up",
    "follower_lost": "a follower cannot go on: it was dropped, or is of another history",
    "shipping_ended": "the log is not sent to followers any more",
    "refresh_failed": "this reader could not take in what was written since, and answers as of before",
    "not_following": "this follower takes in nothing more of its leader's log",
    "replication_lag": "this follower is too far behind its leader, or hears nothing of it",
    "region_ended": "nothing is exchanged with other regions any more",
    "region_silent": "another region was not heard of for long: what it recorded since does not count here",
    "region_stalled": "another region says what it has, and none of it comes: it does not count here",
    "messages_refused": "messages of a leader or of other regions came that could not be used",
    "ingest_ended": "nothing more is ingested from the broker",
    "ingest_stalled": "messages wait at the broker, and none of them is ingested",
    "ingest_dead_letters": "messages came from the broker that are no batches for this store",
    "ingest_missing": "messages were gone from the broker before they were ingested",
    "clock_jumped": "the clock of this machine jumped: scores and windows of now are of another time",
    "clock_behind": "the newest event is ahead of this machine's clock by more than events may be",
}

# With these, what is asked of a database is refused, or answered from another time: others should be asked.
NOT_READY: Final = frozenset(
    {
        "deposed",
        "poisoned",
        "disk_full",
        "refresh_failed",
        "not_following",
        "replication_lag",
        "ingest_ended",
    }
)


@record
class HealthReason:
    """Why a database is unwell: ``code`` is one of a few words for programs, ``message`` is for people."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message


@record
class Health:
    """Whether a database is well, and if not, why."""

    ok: bool
    reasons: tuple[HealthReason, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it takes events, if it ever does, and answers of now: an archive that fails, say, is for
        somebody to see to, but no reason to ask another database.
        """
        return all(reason.code not in NOT_READY for reason in self.reasons)


def of_shards(found: Iterable[Health]) -> Health:
    """Return the health of a database in several stores: the reasons of each, with its number from 0."""
    reasons = tuple(
        HealthReason(why.code, f"shard {shard}: {why.message}")
        for shard, health in enumerate(found)
        for why in health.reasons
    )
    return Health(not reasons, reasons)

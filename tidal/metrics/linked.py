"""Metrics of what a database is linked to: its leader, its followers, other regions, a broker's stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidal.db import TidalDb
from tidal.links import FOLLOWER_STATES, FollowingSeen, IngestSeen, LeadingSeen, RegionSeen
from tidal.metrics.family import Family, Values

_EPOCH: Final = "Epoch of the leader: each promotion takes the next one."


def following(db: TidalDb) -> Iterator[Family]:
    """Yield what a follower says of itself; nothing for other databases."""
    for it in db._links.of(FollowingSeen):
        yield Family.gauge("replication_following", "Whether this store follows its leader: 1 or 0.",
                           value=int(it.trouble is None))  # fmt: skip
        yield Family.gauge("replication_epoch", _EPOCH, value=it.epoch)
        yield Family.gauge("replication_lag_events", "Durable events of the leader that are not here.",
                           value=it.lag_events)  # fmt: skip
        known: Values = {} if it.lag_seconds is None else {(): it.lag_seconds}
        yield Family.gauge("replication_lag_seconds", "Age of what reads answer from, by both clocks.",
                           values=known)  # fmt: skip
        yield Family.counter("replication_refused_messages_total", "Messages that could not be used.",
                             value=it.refused)  # fmt: skip
        yield Family.counter("replication_duplicate_messages_total",
                             "Messages whose events were here already.", value=it.duplicates)  # fmt: skip


def shipping(db: TidalDb) -> Iterator[Family]:
    """Yield what a leader says of its followers; nothing where the log is not shipped."""
    for leading in db._links.of(LeadingSeen):
        all_of = leading.followers
        yield Family.gauge("shipping_leading", "Whether this node leads, and ships its log: 1 or 0.",
                           value=int(leading.leads and leading.trouble is None))  # fmt: skip
        yield Family.gauge("replication_epoch", _EPOCH, value=leading.epoch)
        yield Family.counter("shipping_sent_bytes_total", "Bytes of the log that were sent.",
                             value=leading.sent_bytes)  # fmt: skip
        yield Family.gauge("shipping_lag_events", "Durable events that a follower has not.", ("follower",),
                           {(it.name,): it.lag_events for it in all_of})  # fmt: skip
        yield Family.gauge("shipping_held_bytes", "Bytes of the log that wait for a follower.",
                           ("follower",), {(it.name,): it.held_bytes for it in all_of})  # fmt: skip
        yield Family.gauge("shipping_heard_seconds", "Seconds since a follower was heard of.", ("follower",),
                           {(it.name,): it.heard_seconds for it in all_of
                            if it.heard_seconds is not None})  # fmt: skip
        yield Family.gauge("shipping_follower_state", "1 for the state that a follower is in, 0 for others.",
                           ("follower", "state"),
                           {(it.name, state.replace(" ", "_")): int(it.state == state)
                            for it in all_of for state in FOLLOWER_STATES})  # fmt: skip
        yield Family.counter("shipping_refused_messages_total", "Messages that a follower could not use.",
                             ("follower",), {(it.name,): it.refused for it in all_of})  # fmt: skip


def exchanging(db: TidalDb) -> Iterator[Family]:
    """Yield what a region says of itself and of the others; nothing where there are none."""
    for it in db._links.of(RegionSeen):
        yield Family.gauge("region_exchanging", "Whether this store exchanges with other regions: 1 or 0.",
                           value=int(it.trouble is None))  # fmt: skip
        yield Family.gauge("region_sequence", "Newest event of another region that counts here.",
                           ("region",), {(str(other.region),): other.seq for other in it.members
                                         if other.seq is not None})  # fmt: skip
        yield Family.gauge("region_lag_events", "Events that another region had and that do not count here.",
                           ("region",), {(str(other.region),): other.lag_events
                                         for other in it.members})  # fmt: skip
        yield Family.gauge("region_heard_seconds", "Seconds since another region was heard of.", ("region",),
                           {(str(other.region),): other.heard_seconds for other in it.members
                            if other.heard_seconds is not None})  # fmt: skip
        yield Family.counter("region_refused_messages_total", "Messages that could not be used.",
                             value=it.refused)  # fmt: skip
        yield Family.counter("region_sent_bytes_total", "Bytes sent to other regions, once for all.",
                             value=it.sent_bytes)  # fmt: skip
        yield Family.gauge("region_state_bytes", "Bytes of the state last copied for other regions.",
                           value=it.state_bytes)  # fmt: skip
        yield Family.gauge("region_state_seconds", "Time that this copy took.", value=it.state_seconds)


def ingesting(db: TidalDb) -> Iterator[Family]:
    """Yield how ingesting from a broker goes, by stream; nothing where nothing is."""
    streams = db._links.of(IngestSeen)
    if not streams:
        return
    by_stream = ("stream",)
    yield Family.gauge("broker_ingesting", "Whether a stream is ingested from: 1 or 0.", by_stream,
                       {(it.stream,): int(it.trouble is None) for it in streams})  # fmt: skip
    yield Family.gauge("broker_position", "Last message of a stream that is durable here.", by_stream,
                       {(it.stream,): it.position for it in streams})  # fmt: skip
    yield Family.gauge("broker_pending_messages", "Messages of a stream that follow it.", by_stream,
                       {(it.stream,): it.pending for it in streams})  # fmt: skip
    yield Family.counter("broker_events_total", "Events ingested from a stream.", by_stream,
                         {(it.stream,): it.events for it in streams})  # fmt: skip
    yield Family.counter("broker_duplicate_messages_total", "Messages that were ingested before.", by_stream,
                         {(it.stream,): it.duplicates for it in streams})  # fmt: skip
    yield Family.counter("broker_dead_letters_total", "Messages that were put aside, as no batches.",
                         by_stream, {(it.stream,): it.dead_letters for it in streams})  # fmt: skip
    yield Family.counter("broker_missing_messages_total", "Messages that a stream had no longer.", by_stream,
                         {(it.stream,): it.missing for it in streams})  # fmt: skip

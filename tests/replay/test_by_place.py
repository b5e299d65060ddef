"""Replays of archives by places in their dictionaries: the same state as by ids, whatever is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidal
import tidal.ledger.gathering
from tidal.archive import archive_segments
from tidal.durable import OsFileSystem
from tidal.format.segment import NO_HASH, LogIdentity
from tidal.ledger.gathering import LedgerGathering
from tidal.schema import EventBatch
from tidal.wal import LogWriter, parse_sync

FS = OsFileSystem()
SCHEMA = (
    tidal.SchemaBuilder()
    .signal("view", half_life="7d", windows=("1h", "24h"))
    .signal("like", half_life="1d")
    .build()
)
EVENTS, ENTITIES = 300_000, 20_000
SECOND = 10**9
START = 1_700_000_000 * SECOND


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file of one segment, too short for a dictionary, and one of two that has one. 1 in 100 is a like."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 2**64, ENTITIES, np.uint64)[rng.integers(0, ENTITIES, EVENTS)]
    types = (rng.random(EVENTS) < 0.01).astype(np.uint8)
    times = START + np.arange(EVENTS) * SECOND // 10
    times[rng.random(EVENTS) < 0.05] -= 1800 * SECOND
    events = EventBatch(ids, types, rng.integers(1, 5, EVENTS).astype(np.float32), times)
    identity = LogIdentity(bytes(range(16)), epoch=1)
    log = LogWriter(
        FS, folder, identity=identity, next_seq=1, previous_hash=NO_HASH, sync=parse_sync("os"),
        wall_clock=lambda: 5, monotonic=lambda: 0.0, segment_bytes=1 << 20,
    )  # fmt: skip
    for start in range(0, EVENTS, 50_000):
        log.append(events.rows(start, start + 50_000))
    log.close()
    segments = sorted(folder.glob("*.seg"))
    assert len(segments) == 3
    for part in (segments[:1], segments[1:]):
        archive_segments(FS, folder, part, identity=identity, schema=SCHEMA)
    return sorted(folder.glob("*.arc"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"until": START + 23_456 * SECOND},
        {"signals": ["like"]},
        {"part": (2, 3)},
        {"executor": 1},
    ],
    ids=str,
)
def test_the_state_is_that_of_a_replay_by_ids(
    archive: list[Path], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_places = tidal.ledger.gathering._Gathered.add_places
    seen: list[int] = []

    def noted(self: Any, places: Any, *rest: Any) -> None:
        seen.append(len(places))
        add_places(self, places, *rest)

    by_id = tidal.replay(archive, **options)
    monkeypatch.setattr(tidal.ledger.gathering, "ENTITIES_MIN", 1_000)
    monkeypatch.setattr(tidal.ledger.gathering._Gathered, "add_places", noted)
    by_place = tidal.replay(archive, **options)
    assert by_place.ledger.state_digest() == by_id.ledger.state_digest()
    stats = [replayed.ledger.stats() for replayed in (by_id, by_place)]
    for name in stats[0]:
        assert {it[name]["late"] for it in stats} == {stats[0][name]["late"]}
        assert {it[name]["entities"] for it in stats} == {stats[0][name]["entities"]}
    if not {"executor", "signals"} & options.keys():  # processes of their own; few, joined with those by id
        assert 0 < sum(seen) <= sum(it["events"] for it in stats[1].values())


def test_an_archive_file_stands_for_its_segments(archive: list[Path]) -> None:
    segments = sorted(archive[0].parent.glob("*.seg"))
    together = tidal.replay([*archive, *segments])
    assert together.ledger.state_digest() == tidal.replay(archive).ledger.state_digest()


def test_events_of_both_forms_keep_their_order(archive: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A block without places between two that have them: what waits of the other form is applied first."""
    from tidal.archive import read_archive
    from tidal.ledger import SignalLedger

    batches = [batch for _, batch in read_archive(FS, archive)]
    monkeypatch.setattr(tidal.ledger.gathering, "ENTITIES_MIN", 1_000)
    mixed, plain = SignalLedger(SCHEMA), SignalLedger(SCHEMA)
    with mixed.gathering() as gathering:
        for number, batch in enumerate(batches):
            columns = batch.type_id, batch.weight, batch.timestamp
            gathering.add(EventBatch(batch.entity_id, *columns) if number % 2 else batch)
    for batch in batches:
        plain.apply(batch)
    assert isinstance(gathering, LedgerGathering)
    assert mixed.state_digest() == plain.state_digest()

"""Sifting: every batch that was not touched is found, nothing else is, and there is no end to no search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytekit.segments import make_segment, random_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from tidal.format.frame import FRAME_MAGIC, Frame
from tidal.format.segment import SEGMENT_HEADER, LogIdentity, decode_segment_header
from tidal.wal.sift import Hole, SealAt, TooNew, Unit, guess_header, sift


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import tidal
    from tidal.schema import SchemaBuilder

    path: Path = tmp_path_factory.mktemp("sift") / "store"
    with tidal.open(path, schema=SchemaBuilder().signal("view").build(), clock="event") as db:
        for number in range(12):
            db.ingest(signal="view", entity_id=range(number, number + 5), timestamp=[10**18 + number] * 5)
    (found,) = (path / "wal").glob("*.seg")
    return found.read_bytes()


def units_of(data: bytes, identity: bytes) -> list[Unit]:
    return list(sift(memoryview(data), SEGMENT_HEADER.size, identity))


def identity_of(data: bytes) -> bytes:
    return decode_segment_header(memoryview(data))[0].identity


def test_a_good_segment_is_its_frames_and_its_seal(segment: bytes) -> None:
    units = units_of(segment, identity_of(segment))
    assert [type(unit) for unit in units] == [Frame] * 12 + [SealAt]
    assert units[0].offset == SEGMENT_HEADER.size and units[-1].end == len(segment)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_was_not_touched_is_found_and_the_rest_is_holes(segment: bytes, data: st.DataObject) -> None:
    """The twin: a unit is good if none of its bytes changed."""
    whole = units_of(segment, identity_of(segment))
    changed = bytearray(segment)
    spots = data.draw(st.lists(st.integers(SEGMENT_HEADER.size, len(segment) - 1), max_size=8))
    for spot in spots:
        changed[spot] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(SEGMENT_HEADER.size, len(segment)))
    left = bytes(changed[:cut])
    expected = [unit for unit in whole if left[unit.offset : unit.end] == segment[unit.offset : unit.end]]
    found = units_of(left, identity_of(segment))
    assert [unit for unit in found if not isinstance(unit, Hole)] == [
        unit for unit in expected if unit.end <= len(left)
    ]
    position = SEGMENT_HEADER.size
    for unit in found:
        assert unit.offset == position
        position = unit.end
    assert not any(left[position:])


def test_zeros_at_the_end_are_the_end(segment: bytes) -> None:
    identity = identity_of(segment)
    assert units_of(segment[:-1000] + bytes(5000), identity)[-1] != units_of(segment, identity)[-1]
    assert units_of(segment + bytes(4096), identity) == units_of(segment, identity)


def test_a_search_ends_where_it_would_cost_too_much(segment: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Magic everywhere, with a length that reaches to the end: each try would hash the rest."""
    calls: list[int] = []
    import tidal.wal.sift as module

    decode: Any = module.decode_frame
    monkeypatch.setattr(module, "decode_frame", lambda *given: calls.append(1) or decode(*given))
    length = 400_000
    fake = FRAME_MAGIC + bytes(16) + (length // 2).to_bytes(4, "little") + bytes(8)
    data = segment[: SEGMENT_HEADER.size] + fake * (length // len(fake))
    units = units_of(data, identity_of(segment))
    (hole,) = units
    assert isinstance(hole, Hole) and not hole.searched and hole.end == len(data)
    assert len(calls) <= 2 * module.SEARCH_EFFORT + 2


def test_a_lost_header_is_guessed_from_a_frame(segment: bytes) -> None:
    header, _ = decode_segment_header(memoryview(segment))
    lost = memoryview(bytes(SEGMENT_HEADER.size) + segment[SEGMENT_HEADER.size :])
    guesses = [LogIdentity(header.log.store_id, epoch) for epoch in range(9, -1, -1)]
    guessed = guess_header(lost, header.base_seq, guesses, header.previous)
    assert guessed is not None and guessed.identity == header.identity
    assert guess_header(lost, header.base_seq + 1, guesses, header.previous) is None
    assert guess_header(lost, header.base_seq, [LogIdentity(bytes(16), 1)], header.previous) is None


def test_a_frame_of_a_newer_tidal_is_told_from_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    monkeypatch.setattr("tidal.format.frame.FRAME_VERSION", 2)
    newer = make_segment([random_batch(rng, 3) for _ in range(3)])
    monkeypatch.undo()
    data = bytearray(newer.data)
    data[newer.frames[1].offset + 40] ^= 1
    units = units_of(bytes(data), newer.info.header.identity)
    assert [type(unit) for unit in units] == [TooNew, Hole, TooNew, SealAt]
    assert [unit.offset for unit in units[:3]] == [frame.offset for frame in newer.frames]

"""Regions, shards and segments among those of all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.errors import InvalidOption
from tidal.format.segment import parse_segment_name
from tidal.replication import RegionId, SegmentId, ShardId

u16 = st.integers(0, 65_535)


@pytest.mark.parametrize("kind", [RegionId, ShardId])
@pytest.mark.parametrize("number", [-1, 65_536, 1.0, "1", True, None])
def test_what_is_no_number_of_16_bits_is_refused(kind: Any, number: Any) -> None:
    with pytest.raises(InvalidOption, match=kind.__name__):
        kind(number)


@given(u16, u16, st.integers(1, (1 << 64) - 1))
def test_a_segment_is_read_as_it_was_written(region: int, shard: int, seqno: int) -> None:
    segment = SegmentId(RegionId(region), ShardId(shard), seqno)
    assert SegmentId.parse(str(segment)) == segment
    assert str(segment) == f"{region}:{shard}:{seqno}"
    assert parse_segment_name(segment.file_name) == (region, shard, seqno)


@pytest.mark.parametrize("text", ["", "1:2", "1:2:0", "1:2:x", "65536:0:1", "1:2:3:4", f"0:0:{1 << 64}"])
def test_what_is_no_segment_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        SegmentId.parse(text)

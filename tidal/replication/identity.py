"""Where a part of a log belongs: region, shard, and the sequence that it begins at."""

from __future__ import annotations

import re
from typing import Self

from tidal.errors import InvalidOption
from tidal.format.frame import SEQ_MAX
from tidal.format.segment import LogIdentity, checked_place_number, segment_name
from tidal.records import record

_TEXT = re.compile(r"(\d{1,5}):(\d{1,5}):(\d{1,20})", re.ASCII)


class _Number(int):
    """An integer of 16 bits with a meaning of its own."""

    def __new__(cls, number: int) -> Self:
        return super().__new__(cls, checked_place_number(f"{cls.__name__}({number!r})", number))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"


class RegionId(_Number):
    """A region, 0 to 65,535. A store by itself is region 0.

    >>> RegionId(3)
    RegionId(3)
    """


class ShardId(_Number):
    """A shard of a region, 0 to 65,535. A store by itself is shard 0.

    >>> ShardId(70_000)
    Traceback (most recent call last):
    tidal.errors.InvalidOption: ShardId(70000): choose an integer from 0 to 65535
    """


@record
class SegmentId:
    """A segment of a log among those of all regions and shards; ``seqno`` is the sequence of its first event.

    >>> str(SegmentId(RegionId(1), ShardId(2), 42))
    '1:2:42'
    >>> SegmentId.parse("1:2:42").file_name
    'wal-r00001-s00002-00000000000000000042.seg'
    """

    region: RegionId
    shard: ShardId
    seqno: int

    def __post_init__(self) -> None:
        if type(self.seqno) is not int or not 1 <= self.seqno <= SEQ_MAX:
            raise InvalidOption(f"segment number {self.seqno!r}: give an integer from 1 to {SEQ_MAX}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the identity written as region:shard:seqno; InvalidOption for any other text."""
        if (match := _TEXT.fullmatch(text)) is None:
            raise InvalidOption(f"{text!r} is no segment: write region:shard:seqno")
        region, shard, seqno = map(int, match.groups())
        return cls(RegionId(region), ShardId(shard), seqno)

    @property
    def file_name(self) -> str:
        """What the segment's file is called in the log's folder."""
        return segment_name(LogIdentity(bytes(16), 0, self.region, self.shard), self.seqno)

    def __str__(self) -> str:
        return f"{int(self.region)}:{int(self.shard)}:{self.seqno}"

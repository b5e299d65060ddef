"""Which shard an entity belongs to: the same everywhere and for ever."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from tidal.entities import Entity, checked_id, entity_key_id
from tidal.errors import InvalidOption
from tidal.records import record
from tidal.replication.identity import ShardId

SHARDS_MAX: Final = 1 << 16
U64 = NDArray[np.uint64]

# The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): these numbers are on disk, since stores
# were filled by them, and do not change.
_ADD, _FIRST, _SECOND = (np.uint64(it) for it in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


@record
class ShardRouter:
    """A rule by which every id belongs to one shard. Make one by ``single``, ``hashed`` or ``ranges``.

    >>> router = ShardRouter.hashed(4)
    >>> router.shard_of(42), router.shard_of("sku:7")
    (ShardId(1), ShardId(1))
    >>> ShardRouter.ranges([0, 1000]).shard_of(2**64 - 1)
    ShardId(1)
    """

    kind: str
    shards: int
    starts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("single", "hashed", "ranges"):
            raise InvalidOption(f"a router of kind {self.kind!r}; there are single, hashed and ranges")
        if type(self.shards) is not int or not 1 <= self.shards <= SHARDS_MAX:
            raise InvalidOption(f"{self.shards!r} shards: choose 1 to {SHARDS_MAX}")
        if self.kind == "single" and self.shards != 1:
            raise InvalidOption(f"a single router with {self.shards} shards")
        if bool(self.starts) != (self.kind == "ranges"):
            raise InvalidOption(f"a {self.kind} router with the starts {self.starts}")

    @classmethod
    def single(cls) -> ShardRouter:
        """Everything belongs to shard 0."""
        return cls("single", 1)

    @classmethod
    def hashed(cls, shards: int) -> ShardRouter:
        """Ids are spread evenly: a hash of the id, modulo the number of shards."""
        return cls("hashed", shards)

    @classmethod
    def ranges(cls, starts: Sequence[SupportsIndex]) -> ShardRouter:
        """Shard i has the ids from starts[i] to below starts[i + 1]; the last one all that follow.

        ``starts`` ascend from 0, so that every id belongs to a shard; else InvalidOption.
        """
        checked = tuple(checked_id(start) for start in starts)
        if not checked or checked[0] != 0 or any(a >= b for a, b in itertools.pairwise(checked)):
            raise InvalidOption(f"ranges {list(starts)!r}: write starts that ascend from 0")
        return cls("ranges", len(checked), checked)

    def shard_of(self, entity: Entity) -> ShardId:
        """Return the shard of an id or string key; InvalidEntity for what is neither."""
        id = entity_key_id(entity) if isinstance(entity, str) else checked_id(entity)
        return ShardId(int(self.shards_of(np.array([id], np.uint64))[0]))

    def shards_of(self, ids: U64) -> NDArray[np.intp]:
        """Return the number of the shard of each id, intp[n]."""
        if self.kind == "hashed":
            return (_mixed(ids) % np.uint64(self.shards)).astype(np.intp)
        if self.kind == "ranges":
            return np.searchsorted(np.array(self.starts, np.uint64), ids, side="right") - 1
        return np.zeros(len(ids), np.intp)

    def __str__(self) -> str:
        """As ``parse`` takes it."""
        of = ",".join(map(str, self.starts)) if self.starts else str(self.shards)
        return f"{self.kind}:{of}"

    @classmethod
    def parse(cls, text: str) -> ShardRouter:
        """Return the router that was written as text; InvalidOption for any other text.

        >>> ShardRouter.parse("ranges:0,1000") == ShardRouter.ranges([0, 1000])
        True
        """
        kind, _, of = text.partition(":")
        numbers = of.split(",")
        if kind in ("single", "hashed", "ranges") and all(it.isascii() and it.isdigit() for it in numbers):
            try:
                values = [int(it) for it in numbers]
                router = cls.ranges(values) if kind == "ranges" else cls(kind, values[0])
                if str(router) == text:
                    return router
            except InvalidOption:
                raise
            except ValueError:  # a number that is no id, or has more digits than Python reads
                pass
        raise InvalidOption(f'a router {text!r}: write "single:1", "hashed:4" or "ranges:0,1000"')


def _mixed(ids: U64) -> U64:
    with np.errstate(over="ignore"):
        x = ids + _ADD
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
        return x ^ (x >> np.uint64(31))
